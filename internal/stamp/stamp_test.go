package stamp

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const repository = "../.."

// tree copies the sources to a directory in which they are not a clone.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "elsewhere")
	for _, part := range []string{"cmd", "internal", "interfaces", "docs", "hooks"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(repository, part))))
	}
	for _, name := range []string{"go.mod", "go.sum", "README.md", "actions.yaml", "metadata.yaml", "config.yaml", "Makefile"} {
		text, err := os.ReadFile(filepath.Join(repository, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return dir
}

// alter appends to a file, or makes it, until the test ends.
func alter(t *testing.T, path, more string) {
	t.Helper()
	was, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Cleanup(func() { assert.NoError(t, os.Remove(path)) })
	} else {
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, os.WriteFile(path, was, 0o600)) })
	}
	require.NoError(t, os.WriteFile(path, append(was, more...), 0o600))
}

func ids(t *testing.T, root, arch string) IDs {
	t.Helper()
	got, err := Of(t.Context(), root, arch)
	require.NoError(t, err)
	assert.Regexp(t, `^s[0-9a-f]{12}-p[0-9a-f]{12}$`, got.String())
	return got
}

// TestWhatAnIDIsOf: a role's ID changes with what its process runs, and with nothing else.
func TestWhatAnIDIsOf(t *testing.T) {
	t.Parallel()
	root := tree(t)
	was := ids(t, root, "amd64")
	assert.Equal(t, ids(t, repository, "amd64"), was, "whatever the directory")
	assert.NotEqual(t, was.Server, was.Proxy)
	other := ids(t, root, "arm64")
	assert.NotEqual(t, was.Server, other.Server)
	assert.NotEqual(t, was.Proxy, other.Proxy)

	older, err := filepath.Abs(filepath.Join(repository, "test/living/older/etcd.mod"))
	require.NoError(t, err)
	const pki = `import _ "github.com/juju-charms/etcd-charm/internal/pki"`
	for name, tt := range map[string]struct {
		file, more    string
		env           string
		server, proxy bool // which ID changes
	}{
		"the front page":                     {file: "README.md", more: "more\n"},
		"a page":                             {file: "docs/new.md", more: "more\n"},
		"a hook":                             {file: "hooks/new-relation-changed", more: "more\n"},
		"an action":                          {file: "actions.yaml", more: "new: {}\n"},
		"an option":                          {file: "config.yaml", more: "#\n"},
		"what decides":                       {file: "internal/operator/decide.go", more: "\nvar changed int\n"},
		"a file of what decides":             {file: "internal/operator/changed.go", more: "package operator\n"},
		"what does":                          {file: "internal/host/service.go", more: "\nvar changed int\n"},
		"what talks to Juju":                 {file: "internal/juju/tools.go", more: "\nvar changed int\n"},
		"what makes keys":                    {file: "internal/pki/key.go", more: "\nvar changed int\n"},
		"the program's names":                {file: "cmd/etcd-charm/command.go", more: "\nvar changed int\n"},
		"a test of the proxy":                {file: "internal/proxy/changed_test.go", more: "package proxy\n"},
		"the proxy":                          {file: "internal/proxy/dial.go", more: "\nvar changed int\n", proxy: true},
		"a file of the proxy":                {file: "internal/proxy/changed.go", more: "package proxy\n", proxy: true},
		"the proxy of another system":        {file: "internal/proxy/changed_windows.go", more: "package proxy\n"},
		"the server":                         {file: "internal/server/server.go", more: "\nvar changed int\n", server: true},
		"what the server imports":            {file: "internal/server/changed.go", more: "package server\n" + pki, server: true},
		"what both import":                   {file: "internal/webproxy/webproxy.go", more: "\nvar changed int\n", server: true, proxy: true},
		"how systemd runs them":              {file: "internal/host/unit.service.tmpl", more: "#\n", server: true, proxy: true},
		"a setting of Go's runtime":          {file: "go.mod", more: "godebug http2server=0\n", server: true, proxy: true},
		"another etcd, and what it requires": {env: "GOFLAGS=-modfile=" + older, server: true, proxy: true},
		"another set of instructions":        {env: "GOAMD64=v3", server: true, proxy: true},
		"a build tag":                        {env: "GOFLAGS=-tags=netgo", server: true, proxy: true},
		"flags of the compiler":              {env: "GOFLAGS=-mod=readonly -gcflags=all=-N", server: true, proxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.file != "" {
				alter(t, filepath.Join(root, tt.file), tt.more)
			}
			if tt.env != "" {
				now, err := tool{root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", tt.env)}.ids(t.Context())
				require.NoError(t, err)
				assert.NotEqual(t, was.Server, now.Server)
				assert.NotEqual(t, was.Proxy, now.Proxy)
				return
			}
			now := ids(t, root, "amd64")
			assert.Equal(t, tt.server, was.Server != now.Server, "the server's")
			assert.Equal(t, tt.proxy, was.Proxy != now.Proxy, "the proxy's")
		})
	}
	assert.Equal(t, was, ids(t, root, "amd64"), "all is as it was")
}

// TestModules: a module counts by its version and checksum; one that is replaced by a directory
// counts by its files.
func TestModules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte("package a"), 0o600))
	of := func(m *module) []string {
		parts, err := listed{ImportPath: "x/a", Dir: dir, Module: m, GoFiles: []string{"a.go"}}.parts()
		require.NoError(t, err)
		return parts
	}
	assert.Equal(t, []string{"module x x v1.0.0 h1:a"}, of(&module{Path: "x", Version: "v1.0.0", Sum: "h1:a"}))
	assert.Equal(t, []string{"module x y v1.0.1 h1:b"}, of(&module{
		Path: "x", Version: "v1.0.0", Sum: "h1:a", Replace: &module{Path: "y", Version: "v1.0.1", Sum: "h1:b"},
	}))
	file := []string{"file x/a a.go package a"}
	assert.Equal(t, file, of(&module{Path: "x", Version: "v1.0.0", Sum: "h1:a", Replace: &module{Path: "./y"}}))
	assert.Equal(t, file, of(&module{Path: "x", Main: true}))
	_, err := listed{Module: &module{Path: "x", Version: "v1.0.0"}}.parts()
	require.ErrorContains(t, err, "go.sum has no checksum of x v1.0.0")
	standard, err := listed{Standard: true, GoFiles: []string{"no-such-file.go"}}.parts()
	require.NoError(t, err)
	assert.Empty(t, standard)
}

func TestDigest(t *testing.T) {
	t.Parallel()
	assert.Equal(t, digest([]string{"b", "a", "b"}), digest([]string{"a", "b"}))
	assert.NotEqual(t, digest([]string{"ab", "c"}), digest([]string{"a", "bc"}))
}

func TestNoSources(t *testing.T) {
	t.Parallel()
	_, err := Of(t.Context(), t.TempDir(), "amd64")
	require.ErrorContains(t, err, "cannot stamp: go list")
}
