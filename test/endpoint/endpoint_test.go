// Package endpoint tests what CONTRIBUTING.md says about adding a relation: a few files, one row,
// and nothing else. It adds one to a copy of the charm and runs it.
package endpoint

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/juju/charm/v12"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/built"
)

func TestMain(m *testing.M) { sim.Main(m) }

// patience bounds the waits for what takes seconds on a quiet machine.
const patience = 15 * time.Minute

// row is the one line that is added to the table of endpoints, and where.
const (
	anchor = "		{Name: upstreamEndpoint,"
	row    = "		{Name: \"toy\", For: RoleMember, Read: UnitsAndApps, Handle: toys},\n"
)

func TestAnEndpointIsAdded(t *testing.T) {
	t.Parallel()
	dir := extended(t)
	keeper, err := filepath.Abs("testdata/keeper")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/toy.txt"},
		Cmds:  sim.Cmds(t.Context(), options(t)),
		Setup: func(env *testscript.Env) error {
			env.Setenv("CHARM", dir)
			env.Setenv("KEEPER", keeper)
			return nil
		},
	})
}

func options(t *testing.T) sim.Options {
	t.Helper()
	return sim.Options{
		Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Patience: patience, Transcript: true, Tool: built.Tool(t),
	}
}

// extended is the charm with the endpoint toy, unpacked.
func extended(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "charm")
	archive, err := charm.ReadCharmArchive(built.Archive(t))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, archive.ExpandTo(dir))

	build(t, filepath.Join(dir, "bin", "etcd-charm"))
	metadata := filepath.Join(dir, "metadata.yaml")
	text, err := os.ReadFile(metadata)
	require.NoError(t, err)
	added, err := os.ReadFile("testdata/metadata.yaml")
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(text, []byte("\nrequires:\n")))
	text = bytes.Replace(text, []byte("\nrequires:\n"), append([]byte("\nrequires:\n"), added...), 1)
	require.NoError(t, os.WriteFile(metadata, text, 0o600))
	for _, hook := range []string{"created", "joined", "changed", "departed", "broken"} {
		require.NoError(t, os.Symlink("../bin/etcd-charm", filepath.Join(dir, "hooks", "toy-relation-"+hook)))
	}
	return dir
}

// build builds the charm's binary from the sources with the files of testdata/tree and the row
// added.
func build(t *testing.T, to string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	replace := map[string]string{}
	tree, err := filepath.Abs("testdata/tree")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			replace[filepath.Join(root, strings.TrimPrefix(path, tree))] = path
		}
		return err
	}))
	table := filepath.Join(root, "internal", "operator", "endpoints.go")
	text, err := os.ReadFile(table)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), anchor), "the table of endpoints has moved")
	replace[table] = filepath.Join(t.TempDir(), "endpoints.go")
	require.NoError(t, os.WriteFile(replace[table], []byte(strings.Replace(string(text), anchor, row+anchor, 1)), 0o600))

	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-overlay", file, "-o", to, "./cmd/etcd-charm")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
