package regular_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

// TestRead: what is not a regular file is refused at once.
func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("file"), []byte("text"), 0o600))
	require.NoError(t, os.Symlink("file", at("link")))
	require.NoError(t, os.WriteFile(at("large"), bytes.Repeat([]byte("x"), 16<<20+1), 0o600))
	require.NoError(t, syscall.Mkfifo(at("fifo"), 0o600))
	require.NoError(t, os.Symlink("fifo", at("fifo link")))
	for _, name := range []string{"file", "link"} {
		data, err := regular.Read(at(name))
		require.NoError(t, err)
		assert.Equal(t, "text", string(data))
	}
	for path, why := range map[string]string{
		at("fifo"): "fifo is not a regular file", at("fifo link"): "not a regular file", dir: "not a regular file",
		os.DevNull: "not a regular file", "/dev/zero": "not a regular file", at("large"): "is larger than 16777216 bytes",
	} {
		_, err := regular.Read(path)
		assert.ErrorContains(t, err, why, path)
	}
	_, err := regular.Read(at("nothing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
