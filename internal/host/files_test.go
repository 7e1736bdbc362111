package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWriteFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	require.NoError(t, writeFiles(file{path: path, data: []byte("new"), mode: secret}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(data))
	before, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, secret, before.Mode().Perm())

	require.NoError(t, writeFiles(file{path: path, data: []byte("new"), mode: secret}))
	after, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "what says the same is left alone")

	// One file that cannot be written keeps all of them from being replaced, and leaves nothing
	// behind.
	err = writeFiles(file{path: path, data: []byte("newer"), mode: secret},
		file{path: filepath.Join(path, "x"), mode: secret})
	require.Error(t, err)
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(data))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)

	// Every write makes its directory.
	require.NoError(t, writeFiles(file{path: filepath.Join(dir, "a", "b", "x"), mode: secret}))
	assert.FileExists(t, filepath.Join(dir, "a", "b", "x"))
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	_, err = full.WriteString("x")
	assert.ErrorContains(t, inWords(err), "disk is full")
}

func TestFormatEnv(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line string
		ok   bool
	}{
		{"A=b", true},
		{"A=", true},
		{"ETCD_INITIAL_CLUSTER=a=https://1.2.3.4:2380,b=https://[::1]:2380", true},
		{"A=b\nC=d", false},
		{"A=b\\", false},
		{"A='b'", false},
		{"A=\"b", false},
		{"A= b", false},
		{"A=b\x00", false},
		{"=b", false},
		{"b", false},
	} {
		data, err := formatEnv([]string{tt.line})
		if assert.Equal(t, tt.ok, err == nil, "%q: %v", tt.line, err) && tt.ok {
			assert.Equal(t, []string{tt.line}, parseEnv(data))
		}
	}
}

func FuzzEnv(f *testing.F) {
	f.Add("A=b\nB=c=d\r\n# c\n\n=x\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := parseEnv([]byte(text))
		for _, line := range lines {
			assert.NotContains(t, line, "\n")
		}
		if data, err := formatEnv(lines); err == nil {
			assert.Equal(t, lines, parseEnv(data))
		}
	})
}
