package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const repository = "../.."

func readYAML(t *testing.T, name string, out any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, out))
}

// links returns the names in a directory, each of which must lead to the binary by a relative link.
func links(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(repository, dir))
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(repository, dir, entry.Name()))
		if assert.NoError(t, err, "%s is no link", entry.Name()) {
			assert.Equal(t, "../bin/etcd-charm", target, entry.Name())
		}
		names = append(names, entry.Name())
	}
	return names
}

// A hook without a link counts as a quiet success. So every hook that our endpoints and the unit's
// life need must have one.
func TestHooksMatchMetadata(t *testing.T) {
	t.Parallel()
	type endpoints map[string]struct{ Interface string }
	var meta struct{ Peers, Provides, Requires endpoints }
	readYAML(t, "metadata.yaml", &meta)
	want := []string{
		string(hooks.Install), string(hooks.Start), string(hooks.Stop), string(hooks.Remove), string(hooks.ConfigChanged),
		string(hooks.UpdateStatus), string(hooks.UpgradeCharm), string(hooks.LeaderElected), string(hooks.SecretChanged),
	}
	for i, side := range []endpoints{meta.Peers, meta.Provides, meta.Requires} {
		for endpoint := range side {
			for _, kind := range hooks.RelationHooks() {
				if i == 0 && kind == hooks.RelationBroken {
					continue // a peer relation never breaks while units exist
				}
				want = append(want, endpoint+"-"+string(kind))
			}
		}
	}
	assert.ElementsMatch(t, want, links(t, "hooks"))
	assert.NoFileExists(t, filepath.Join(repository, "dispatch"), "it would win over hooks/ and actions/")
}

func TestActionsMatch(t *testing.T) {
	t.Parallel()
	var declared map[string]any
	readYAML(t, "actions.yaml", &declared)
	names := links(t, "actions")
	for name := range declared {
		assert.Contains(t, names, name, "declared, and not linked")
	}
	for _, name := range names {
		assert.Contains(t, declared, name, "linked, and not declared")
		assert.Contains(t, operator.Actions, name, "linked, and not done")
	}
	assert.Len(t, operator.Actions, len(names))
}
