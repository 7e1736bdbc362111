package pack_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

const root = "../.."

// documented lists the values that our project may hold, by their path, in the words of
// charmcraft's reference and its published schema. charmcraft cannot be run here. We use nothing
// else that it documents.
var documented = []struct{ path, value string }{
	{`type`, `charm`},
	{`name`, `[a-z][a-z0-9-]{0,38}[a-z0-9]`},
	{`title`, `.{2,40}`},
	{`summary`, `.{1,78}`},
	{`description`, `(?s).+`},
	{`links/(documentation|issues|source)`, `https://\S+`},
	{`assumes/\d+`, `juju (>=|<) \d+\.\d+(\.\d+)?`},

	// A name of base and architecture needs no value: the charm is built on the platform for which
	// it is built.
	{`platforms/ubuntu@(22|24|26)\.04:(amd64|arm64)`, ``},

	{`parts/[a-z-]+/plugin`, `nil`}, // the plugins `charm` and `reactive` are for Python
	{`parts/[a-z-]+/source`, `\.`},
	{`parts/[a-z-]+/build-snaps/\d+`, `[a-z]+/\d+\.\d+/stable`},
	{`parts/[a-z-]+/build-packages/\d+`, `[a-z0-9+.-]+`},
	{`parts/[a-z-]+/build-environment/\d+/[A-Z0-9_]+`, `.+`},
	{`parts/[a-z-]+/override-build`, `(?s).+`},

	{`config/options/[a-z][a-z0-9_-]*/type`, `string|int|float|boolean|secret`},
	{`config/options/[a-z][a-z0-9_-]*/default`, `(?s).*`},
	{`config/options/[a-z][a-z0-9_-]*/description`, `(?s).+`},

	{`actions/[a-z][a-z0-9-]*/description`, `(?s).+`},
	{`actions/[a-z][a-z0-9-]*/(execution-group|parallel)`, `.+`},
	{`actions/[a-z][a-z0-9-]*/params(/.+)?`, `(?s).*`}, // a JSON schema
	{`actions/[a-z][a-z0-9-]*/required/\d+`, `[a-z][a-z0-9-]*`},
	// Juju 3 and 4 have different defaults.
	{`actions/[a-z][a-z0-9-]*/additionalProperties`, `false`},
}

// required are the keys that a project must have.
var required = []string{"type", "name", "summary", "description", "platforms", "parts"}

// moved are the keys that charmcraft takes from metadata.yaml if that exists; it refuses them in
// both files.
var moved = []string{"name", "summary", "description"}

// readNode returns the mapping of a file.
func readNode(t *testing.T, name string) *yaml.Node {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal(data, &document), name)
	require.Equal(t, yaml.DocumentNode, document.Kind, name)
	require.Equal(t, yaml.MappingNode, document.Content[0].Kind, name)
	return document.Content[0]
}

// entries returns the keys of a mapping with their values.
func entries(m *yaml.Node) map[string]*yaml.Node {
	all := map[string]*yaml.Node{}
	for pair := range slices.Chunk(m.Content, 2) {
		all[pair[0].Value] = pair[1]
	}
	return all
}

// leaves calls f for each value that contains no other, with the path that leads to it.
func leaves(n *yaml.Node, path string, f func(path string, n *yaml.Node)) {
	switch {
	case len(n.Content) == 0:
		f(path, n)
	case n.Kind == yaml.MappingNode:
		for name, value := range entries(n) {
			leaves(value, path+"/"+name, f)
		}
	default:
		for i, value := range n.Content {
			leaves(value, fmt.Sprintf("%s/%d", path, i), f)
		}
	}
}

// TestCharmcraftForm compares the project, value by value, with what charmcraft documents. The
// project is what charmcraft makes of charmcraft.yaml and the files beside it.
func TestCharmcraftForm(t *testing.T) {
	t.Parallel()
	project, meta := entries(readNode(t, "charmcraft.yaml")), entries(readNode(t, "metadata.yaml"))
	file := map[string]string{"config": "config.yaml", "actions": "actions.yaml"}
	for key, name := range file {
		require.NotContains(t, project, key, "charmcraft refuses it beside %s", name)
		project[key] = readNode(t, name)
	}
	for _, key := range moved {
		require.NotContains(t, project, key, "charmcraft refuses it beside metadata.yaml")
		project[key], file[key] = meta[key], "metadata.yaml"
	}
	for _, key := range required {
		require.NotNil(t, project[key], "charmcraft requires %s", key)
	}
	for key, value := range project {
		leaves(value, key, func(path string, n *yaml.Node) {
			at := fmt.Sprintf("%s:%d: %s", cmp.Or(file[key], "charmcraft.yaml"), n.Line, path)
			for _, d := range documented {
				if regexp.MustCompile(`^(?:` + d.path + `)$`).MatchString(path) {
					assert.Regexp(t, `^(?:`+d.value+`)$`, n.Value, at)
					return
				}
			}
			assert.Fail(t, "charmcraft documents no such key, or we had no use for it so far", at)
		})
	}

	var platforms []string
	for _, base := range []string{"ubuntu@22.04", "ubuntu@24.04", "ubuntu@26.04"} {
		platforms = append(platforms, base+":amd64", base+":arm64")
	}
	assert.Equal(t, platforms, slices.Sorted(maps.Keys(entries(project["platforms"]))))
	assert.NotContains(t, meta, "series", "bases are platforms, in charmcraft.yaml")
}

// TestCharmcraftSaysWhatJujuReads: where charmcraft.yaml repeats metadata.yaml in its own words,
// both say the same. In an archive metadata.yaml counts.
func TestCharmcraftSaysWhatJujuReads(t *testing.T) {
	t.Parallel()
	var project struct {
		Title   string            `yaml:"title"`
		Links   map[string]string `yaml:"links"`
		Assumes []string          `yaml:"assumes"`
	}
	require.NoError(t, readNode(t, "charmcraft.yaml").Decode(&project))
	var meta struct {
		Title         string   `yaml:"display-name"`
		Documentation string   `yaml:"docs"`
		Issues        string   `yaml:"issues"`
		Source        string   `yaml:"source"`
		Assumes       []string `yaml:"assumes"`
	}
	require.NoError(t, readNode(t, "metadata.yaml").Decode(&meta))
	assert.Equal(t, meta.Title, project.Title)
	assert.Equal(t, meta.Assumes, project.Assumes)
	assert.Equal(t, map[string]string{
		"documentation": meta.Documentation, "issues": meta.Issues, "source": meta.Source,
	}, project.Links)
}

// part is a part of charmcraft.yaml.
type part struct {
	Snaps         []string            `yaml:"build-snaps"`
	Environment   []map[string]string `yaml:"build-environment"`
	OverrideBuild string              `yaml:"override-build"`
}

func readPart(t *testing.T) part {
	t.Helper()
	var parts map[string]part
	require.NoError(t, entries(readNode(t, "charmcraft.yaml"))["parts"].Decode(&parts))
	require.Len(t, parts, 1)
	return parts[slices.Collect(maps.Keys(parts))[0]]
}

// TestCharmcraftSnap: the version of the snap that builds is go.mod's.
func TestCharmcraftSnap(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	require.NotNil(t, version)
	assert.Contains(t, readPart(t).Snaps, "go/"+string(version[1])+"/stable")
}

// TestIcon: Charmhub requires a canvas of 100 by 100, filled by a circle of one colour behind
// everything else.
func TestIcon(t *testing.T) {
	t.Parallel()
	icon, err := os.ReadFile(filepath.Join(root, "icon.svg"))
	require.NoError(t, err)
	assert.Regexp(t, `^<svg [^>]*viewBox="0 0 100 100" width="100" height="100">\s*<title>[^<]*</title>\s*`+
		`<circle cx="50" cy="50" r="50" fill="#[0-9a-f]{6}"/>`, string(icon))
}

// TestBuilds builds the charm from a repository, and from an archive of its sources as charmcraft
// does. Both give the same bytes and version, and Juju reads the same from what charmcraft zips.
func TestBuilds(t *testing.T) {
	t.Parallel()
	clone, sources, install := t.TempDir(), t.TempDir(), t.TempDir()
	copyProject(t, clone)
	const version = "v0.1.2"
	script(t, clone, nil, `git init -q
		git add -A
		git -c user.name=a -c user.email=a@example.com -c commit.gpgsign=false commit -qm sources
		git tag `+version+`
		make charm`)
	script(t, sources, []string{"CLONE=" + clone}, `git -C "$CLONE" archive HEAD | tar -x`)

	// As charmcraft does: the part's script runs in a copy of the project and fills a directory
	// that is zipped.
	p := readPart(t)
	env := []string{"CRAFT_ARCH_BUILD_FOR=" + runtime.GOARCH, "CRAFT_PART_INSTALL=" + install}
	for _, e := range p.Environment {
		for k, v := range e {
			env = append(env, k+"="+v)
		}
	}
	script(t, sources, env, p.OverrideBuild)

	archive := filepath.Join("dist", "etcd_"+runtime.GOARCH+".charm")
	one, err := os.ReadFile(filepath.Join(clone, archive))
	require.NoError(t, err)
	two, err := os.ReadFile(filepath.Join(sources, archive))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(one, two), "built from a repository and from its sources alone, the archives differ")

	read, err := charm.ReadCharmArchive(filepath.Join(clone, archive))
	require.NoError(t, err)
	assert.Equal(t, version, read.Version())
	var bases []string
	for _, b := range read.Manifest().Bases {
		require.Equal(t, []string{runtime.GOARCH}, b.Architectures)
		bases = append(bases, b.Name+"@"+b.Channel.Track+":"+runtime.GOARCH)
	}
	platforms := entries(entries(readNode(t, "charmcraft.yaml"))["platforms"])
	maps.DeleteFunc(platforms, func(name string, _ *yaml.Node) bool { return !strings.HasSuffix(name, ":"+runtime.GOARCH) })
	assert.Equal(t, slices.Sorted(maps.Keys(platforms)), bases)

	charmcrafts := filepath.Join(t.TempDir(), "charmcraft.charm")
	zipped(t, install, charmcrafts)
	sameCharm(t, filepath.Join(sources, archive), charmcrafts)
}

// script runs lines of bash in a directory, without the environment that the make or git running
// this test passes on.
func script(t *testing.T, dir string, env []string, lines string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", lines)
	cmd.Dir = dir
	passedOn := regexp.MustCompile(`^(GIT_|MAKE|MFLAGS|SOURCE_DATE_EPOCH=|ARCH=)`)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), passedOn.MatchString), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// copyProject copies the files that git tracks, as they are in the work tree.
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
			continue // removed, but that is not committed yet
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
