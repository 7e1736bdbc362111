package datadir_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// withUsers is a database with so many users, as etcd writes it.
func withUsers(t *testing.T, n int, on bool) string {
	t.Helper()
	path := database(t, t.TempDir(), 55)
	be := backend.NewDefaultBackend(zap.NewNop(), path)
	auth := schema.NewAuthBackend(zap.NewNop(), be)
	auth.CreateAuthBuckets()
	tx := auth.BatchTx()
	tx.Lock()
	for i := range n {
		tx.UnsafePutUser(&authpb.User{Name: fmt.Appendf(nil, "user%04d", i), Password: make([]byte, 60), Roles: []string{"r"}})
	}
	tx.UnsafeSaveAuthEnabled(on)
	tx.Unlock()
	be.ForceCommit()
	require.NoError(t, be.Close())
	return path
}

func TestReadUsers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		users int
		on    bool
	}{
		"none":                   {0, false},
		"some":                   {3, false},
		"with authentication":    {2, true},
		"more than a page holds": {5000, true},
	} {
		got, err := datadir.ReadUsers(withUsers(t, tc.users, tc.on))
		require.NoError(t, err, name)
		want := snapshot.Users{Auth: tc.on}
		for i := range tc.users {
			want.Add(fmt.Appendf(nil, "user%04d", i))
		}
		assert.Equal(t, want, got, name)
	}
	_, err := datadir.ReadUsers(database(t, t.TempDir(), 1))
	require.ErrorContains(t, err, "it is not an etcd database", "it never had the buckets")
	_, err = datadir.ReadUsers(t.TempDir())
	require.Error(t, err, "a directory")
}

// TestReadUsersOfBadDatabases: whatever the database contains, reading ends.
func TestReadUsersOfBadDatabases(t *testing.T) {
	t.Parallel()
	path := withUsers(t, 300, true)
	good, err := datadir.ReadUsers(path)
	require.NoError(t, err)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := filepath.Join(t.TempDir(), "bad")
	for size := 0; size < 64<<10; size += 512 {
		require.NoError(t, os.WriteFile(bad, whole[:size], 0o600))
		_, err := datadir.ReadUsers(bad)
		require.Error(t, err, "%d bytes", size)
	}
	for at := 8192; at < 64<<10; at += 4096 {
		for _, with := range []byte{0, 1, 0xff} {
			spoilt := slices.Clone(whole)
			for i := range spoilt[at : at+4096] {
				spoilt[at+i] = with
			}
			require.NoError(t, os.WriteFile(bad, spoilt, 0o600))
			if got, err := datadir.ReadUsers(bad); err == nil {
				assert.Equal(t, good, got, "page %d is none of theirs", at/4096)
			}
		}
	}

	// The users' pages lead to one of themselves.
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	var root uint64
	require.NoError(t, db.View(func(tx *bolt.Tx) error { root = uint64(tx.Bucket([]byte("authUsers")).Root()); return nil }))
	require.NoError(t, db.Close())
	page := whole[root*4096 : (root+1)*4096]
	require.Equal(t, uint16(1), binary.LittleEndian.Uint16(page[8:]), "it is a branch")
	for i := range int(binary.LittleEndian.Uint16(page[10:])) {
		binary.LittleEndian.PutUint64(page[16+i*16+8:], root)
	}
	require.NoError(t, os.WriteFile(bad, whole, 0o600))
	_, err = datadir.ReadUsers(bad)
	require.ErrorContains(t, err, "it is damaged")
}
