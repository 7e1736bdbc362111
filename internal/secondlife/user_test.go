package secondlife

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/test/built"
)

// TestRestoreForTheServersUser: what is made belongs to the user that the server runs as, and that
// user serves it meanwhile; root's directory around it stays root's. Without root that user is
// ours. The service of long work has a umask that leaves others nothing. A umask is the whole
// process's, so no other test runs meanwhile.
func TestRestoreForTheServersUser(t *testing.T) { //nolint:paralleltest // a process has one umask
	b := newBad(t)
	require.NoError(t, os.WriteFile(b.file, b.good, 0o600))
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if uid == 0 {
		uid, gid = 65534, 65534
	}
	b.User = &syscall.Credential{Uid: uid, Gid: gid, NoSetGroups: os.Geteuid() != 0}
	// A directory of tests is its user's alone.
	public, err := os.MkdirTemp("", "second-life") //nolint:usetesting // the test's own is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(public)) })
	require.NoError(t, os.Chmod(public, 0o755))
	b.Prepared = filepath.Join(public, "prepared")
	self := built.Self(t)
	b.Etcd = filepath.Join(public, "etcd")
	if os.Link(self, b.Etcd) != nil { // it is on another file system
		text, err := os.ReadFile(self)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(b.Etcd, text, 0o755))
	}
	b.Owner = func(id string) ([]byte, error) { return []byte(id), nil }

	defer syscall.Umask(syscall.Umask(0o077))
	_, err = b.PrepareRestore(t.Context(), request("op", b.file), nil)
	require.NoError(t, err)
	owner := func(path string) uint32 {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Uid
	}
	assert.EqualValues(t, os.Geteuid(), owner(b.Prepared))
	require.NoError(t, filepath.WalkDir(filepath.Join(b.Prepared, "op"), func(path string, _ os.DirEntry, err error) error {
		require.NoError(t, err)
		assert.Equal(t, uid, owner(path), path)
		return nil
	}))
	info, err := os.Stat(filepath.Join(b.Prepared, "op"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	// A member's data that already belongs to the same user is recovered too.
	b.Data = filepath.Join(b.Prepared, "op")
	_, err = b.PrepareRecover(t.Context(), request("again", ""), nil)
	require.NoError(t, err)
	assert.Equal(t, uid, owner(filepath.Join(b.Prepared, "again")))
	words, err := b.PrepareRecover(context.WithoutCancel(t.Context()), request("again", ""), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "prepared already")
}
