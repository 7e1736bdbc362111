package pack_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pack"
)

// echo is a program that prints the name and the arguments with which it was called.
const echo = `package main

import (
	"fmt"
	"os"
)

func main() { fmt.Printf("%q\n", os.Args) }
`

func TestExpand(t *testing.T) {
	t.Parallel()
	src := source(t)
	text := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(text, []byte(echo), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", src.Program, text)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+src.Arch)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	archive := filepath.Join(t.TempDir(), "a.charm")
	_, err = pack.Pack(t.Context(), src, archive)
	require.NoError(t, err)

	dir := t.TempDir()
	require.NoError(t, pack.Expand(archive, dir))
	again := filepath.Join(t.TempDir(), "b.charm")
	zipped(t, dir, again)
	sameCharm(t, archive, again)

	if exec.CommandContext(t.Context(), src.Program).Run() != nil {
		t.Logf("this machine does not run programs of %s: that the scripts pass on their name is not seen here", src.Arch)
		return
	}
	for _, name := range []string{"hooks/install", "actions/health"} {
		path := filepath.Join(dir, name)
		called, err := exec.CommandContext(t.Context(), path, "a b", "").CombinedOutput()
		require.NoError(t, err, "%s", called)
		assert.Equal(t, `["`+path+`" "a b" ""]`+"\n", string(called))
	}
}

// zipped does what charmcraft does when it packs: it adds every file, and follows links.
func zipped(t *testing.T, dir, out string) {
	t.Helper()
	f, err := os.Create(out)
	require.NoError(t, err)
	defer f.Close()
	zw := zip.NewWriter(f)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		h, err := zip.FileInfoHeader(info)
		if err != nil {
			return err
		}
		h.Name, h.Method = strings.TrimPrefix(path, dir+"/"), zip.Deflate
		w, err := zw.CreateHeader(h)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}))
	require.NoError(t, zw.Close())
}

// sameCharm compares the archive that charmcraft makes with ours: Juju reads the same from both,
// and charmcraft's is not many times as large.
func sameCharm(t *testing.T, ours, theirs string) {
	t.Helper()
	a, err := charm.ReadCharmArchive(ours)
	require.NoError(t, err)
	b, err := charm.ReadCharmArchive(theirs)
	require.NoError(t, err)
	assert.Equal(t, a.Meta(), b.Meta())
	assert.Equal(t, a.Config(), b.Config())
	assert.Equal(t, a.Actions(), b.Actions())
	assert.Equal(t, a.Manifest(), b.Manifest())
	assert.Equal(t, a.Version(), b.Version())
	assert.Equal(t, members(t, ours), members(t, theirs))

	one, err := os.Stat(ours)
	require.NoError(t, err)
	two, err := os.Stat(theirs)
	require.NoError(t, err)
	assert.Less(t, two.Size(), one.Size()*3/2)
}

// members are the files of an archive, each with whether it may be run.
func members(t *testing.T, archive string) map[string]bool {
	t.Helper()
	zr, err := zip.OpenReader(archive)
	require.NoError(t, err)
	defer zr.Close()
	m := map[string]bool{}
	for _, f := range zr.File {
		// The library adds a revision when it expands.
		if !f.Mode().IsDir() && f.Name != "revision" {
			m[f.Name] = f.Mode()&0o111 != 0
		}
	}
	return m
}
