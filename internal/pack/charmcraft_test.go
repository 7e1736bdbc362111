package pack_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

const root = "../.."

// part is a part of charmcraft.yaml; a key that it does not have fails the decoding.
type part struct {
	Plugin        string              `yaml:"plugin"`
	Source        string              `yaml:"source"`
	Snaps         []string            `yaml:"build-snaps"`
	Packages      []string            `yaml:"build-packages"`
	Environment   []map[string]string `yaml:"build-environment"`
	OverrideBuild string              `yaml:"override-build"`
}

type charmcraft struct {
	Type      string          `yaml:"type"`
	Platforms map[string]any  `yaml:"platforms"`
	Parts     map[string]part `yaml:"parts"`
}

func readCharmcraft(t *testing.T) charmcraft {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "charmcraft.yaml"))
	require.NoError(t, err)
	defer f.Close()
	var c charmcraft
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	// charmcraft 3 and later: `bases` goes no further than 22.04, and what metadata.yaml, config.yaml and
	// actions.yaml say must not be said twice.
	require.NoError(t, d.Decode(&c), "charmcraft.yaml has a key that charmcraft refuses beside the other files")
	return c
}

func readYAML(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	m := map[string]any{}
	require.NoError(t, yaml.Unmarshal(data, &m))
	return m
}

// charmcraft cannot be run here, so what it checks first is checked by hand.
func TestCharmcraftFile(t *testing.T) {
	t.Parallel()
	c := readCharmcraft(t)
	assert.Equal(t, "charm", c.Type)

	var platforms []string
	for _, base := range []string{"ubuntu@22.04", "ubuntu@24.04", "ubuntu@26.04"} {
		platforms = append(platforms, base+":amd64", base+":arm64")
	}
	assert.Equal(t, platforms, slices.Sorted(maps.Keys(c.Platforms)))
	for name, value := range c.Platforms {
		assert.Nil(t, value, "%s is built on what it is built for", name)
	}

	// What charmcraft takes from the other files.
	meta := readYAML(t, "metadata.yaml")
	assert.Regexp(t, `^[a-z][a-z0-9-]*[a-z0-9]$`, meta["name"])
	assert.NotEmpty(t, meta["description"])
	summary, _ := meta["summary"].(string)
	assert.NotEmpty(t, summary)
	assert.LessOrEqual(t, len(summary), 200)
	assert.LessOrEqual(t, len(meta["display-name"].(string)), 40)
	assert.NotContains(t, meta, "series")
	// It makes these of `links`, which has no effect beside a metadata.yaml.
	for _, link := range []string{"docs", "issues", "source"} {
		assert.Regexp(t, `^https://`, meta[link], link)
	}
	options, _ := readYAML(t, "config.yaml")["options"].(map[string]any)
	assert.NotEmpty(t, options)
	for name, o := range options {
		assert.Contains(t, []any{"string", "int", "float", "boolean", "secret"}, o.(map[string]any)["type"], name)
	}
	for name := range readYAML(t, "actions.yaml") {
		assert.Regexp(t, `^[a-zA-Z_][a-zA-Z0-9-_]*$`, name)
	}
}

func TestCharmcraftPart(t *testing.T) {
	t.Parallel()
	c := readCharmcraft(t)
	require.Len(t, c.Parts, 1)
	p := c.Parts[slices.Collect(maps.Keys(c.Parts))[0]]
	assert.Equal(t, "nil", p.Plugin, "the plugins `charm` and `reactive` are for Python")
	assert.Equal(t, ".", p.Source)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	require.NotNil(t, version)
	assert.Contains(t, p.Snaps, "go/"+string(version[1])+"/stable", "the snap that builds is of go.mod's version")

	// As charmcraft does: the part's script, in a copy of the project, fills a directory that is zipped.
	clone, install := t.TempDir(), t.TempDir()
	copyProject(t, clone)
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", p.OverrideBuild)
	cmd.Dir = clone
	cmd.Env = append(os.Environ(), "CRAFT_ARCH_BUILD_FOR="+runtime.GOARCH, "CRAFT_PART_INSTALL="+install, "MAKEFLAGS=")
	for _, e := range p.Environment {
		for k, v := range e {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	archive := filepath.Join(t.TempDir(), "charmcraft.charm")
	zipped(t, install, archive)
	sameCharm(t, filepath.Join(clone, "dist", "etcd_"+runtime.GOARCH+".charm"), archive)
}

// copyProject copies what git knows of, as it is in the work tree.
func copyProject(t *testing.T, to string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	require.NoError(t, err)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		from, at := filepath.Join(root, name), filepath.Join(to, name)
		info, err := os.Lstat(from)
		if os.IsNotExist(err) {
			continue // removed, not yet committed
		}
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if info.Mode()&os.ModeSymlink != 0 {
			target, err := os.Readlink(from)
			require.NoError(t, err)
			require.NoError(t, os.Symlink(target, at))
			continue
		}
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(at, data, info.Mode().Perm()))
	}
}
