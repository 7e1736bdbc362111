package secondlife

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// TestRestore: the new data has every key, is of a cluster of its own, begins beyond every revision
// that was seen, and has nothing of the charm's keys of the former cluster.
func TestRestore(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	u.Owner = func(id string) ([]byte, error) { return []byte(id), nil }
	c := member(t)
	put(t, c, 50)
	lease, err := c.Grant(t.Context(), 3600)
	require.NoError(t, err)
	_, err = c.Put(t.Context(), "leased", "value", clientv3.WithLease(lease.ID))
	require.NoError(t, err)
	_, err = c.Put(t.Context(), OwnKeys+"turn", "etcd/0")
	require.NoError(t, err)
	kept := keep(t, u, c, time.Now())
	put(t, c, 1) // the restore undoes it

	r := request("op1", "latest")
	r.Seen = 5000
	var said []string
	words, err := u.PrepareRestore(t.Context(), r, func(what string, _, _ int64) {
		if len(said) == 0 || said[len(said)-1] != what {
			said = append(said, what)
		}
	})
	require.NoError(t, err)
	assert.Contains(t, words, "restored "+kept.Name+": 52 keys, revision 53, which is 1000005000 from now on")
	assert.Contains(t, words, "1 leases begin with their full time")
	assert.Equal(t, []string{"unpack", "restore", "serve", "check"}, said)

	entries, err := os.ReadDir(u.Prepared)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing half made is left")
	made := filepath.Join(u.Prepared, "op1")
	owner, err := os.ReadFile(filepath.Join(made, OwnerFile))
	require.NoError(t, err)
	assert.Equal(t, "op1", string(owner))
	log, err := datadir.ReadLog(made)
	require.NoError(t, err)
	assert.Equal(t, datadir.Voter, log.Standing)
	assert.Empty(t, log.Damage)
	db, err := datadir.ReadDB(datadir.DBFile(made))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, db.Revision, int64(5000+Jump))
	assert.LessOrEqual(t, db.Index, log.Index)

	served(t, u, "op1", func(ctx context.Context, s *server) {
		list, err := s.MemberList(ctx)
		require.NoError(t, err)
		require.Len(t, list.Members, 1)
		assert.Equal(t, log.ClusterID, list.Header.GetClusterId())
		assert.Equal(t, []string{"https://192.0.2.1:2380"}, list.Members[0].PeerURLs)
		assert.Equal(t, []string{u.ClientURL}, list.Members[0].ClientURLs)
		got, err := s.Get(ctx, "\x00", clientv3.WithFromKey())
		require.NoError(t, err)
		assert.EqualValues(t, 51, got.Count, "the turn is gone")
		_, err = s.Get(ctx, "key0001", clientv3.WithRev(60))
		require.ErrorIs(t, err, rpctypes.ErrCompacted, "what others saw since is compacted, not silent")
	})

	// The same work a second time makes nothing.
	before, err := os.Stat(made)
	require.NoError(t, err)
	words, err = u.PrepareRestore(t.Context(), r, nil)
	require.NoError(t, err)
	assert.Contains(t, words, "prepared already")
	after, err := os.Stat(made)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))

	// Another operation makes another cluster from the same snapshot.
	_, err = u.PrepareRestore(t.Context(), request("op2", kept.Name), nil)
	require.NoError(t, err)
	other, err := datadir.ReadLog(filepath.Join(u.Prepared, "op2"))
	require.NoError(t, err)
	assert.NotEqual(t, log.ClusterID, other.ClusterID)
}

// TestRestoreEmpty: a cluster without any writes can be restored.
func TestRestoreEmpty(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	kept := keep(t, u, member(t), time.Now())
	words, err := u.PrepareRestore(t.Context(), request("op1", "latest"), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "restored "+kept.Name+": 0 keys, revision 1, which is 1000000001 from now on")
	words, err = u.Drill(t.Context(), request("op2", "latest"), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "0 keys, revision 1")
}

// TestRestoreChooses: the newest good snapshot, or one by its name.
func TestRestoreChooses(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	_, err := u.find(t.Context(), request("op", "latest"))
	require.ErrorContains(t, err, "no good snapshot is kept here")
	c := member(t)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	first, second := keep(t, u, c, noon), keep(t, u, c, noon.Add(time.Hour))
	require.NoError(t, os.WriteFile(filepath.Join(u.Snapshots, "bad.json"),
		[]byte(`{"name":"bad","taken":"2026-01-02T15:00:00Z","error":"disk is full"}`), 0o600))
	for which, want := range map[string]string{"latest": second.Name, first.Name: first.Name} {
		s, err := u.find(t.Context(), request("op", which))
		require.NoError(t, err)
		assert.Equal(t, want, s.words)
	}
	for name, why := range map[string]string{
		"bad": "snapshot bad cannot be used: disk is full", "no-such": `no snapshot "no-such" is kept here`, "../x": "is kept here",
	} {
		_, err := u.find(t.Context(), request("op", name))
		require.ErrorContains(t, err, why)
	}
}

// TestRestoreWithAuthentication: a cluster that was not the charm's, with authentication on, is
// restored with it off.
func TestRestoreWithAuthentication(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	c := member(t)
	ctx := t.Context()
	put(t, c, 3)
	for _, user := range []string{"root", "app"} {
		_, err := c.UserAdd(ctx, user, "secret")
		require.NoError(t, err)
		_, err = c.RoleAdd(ctx, user)
		require.NoError(t, err)
		_, err = c.UserGrantRole(ctx, user, user)
		require.NoError(t, err)
	}
	_, err := c.AuthEnable(ctx)
	require.NoError(t, err)
	root, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Username: "root", Password: "secret"})
	require.NoError(t, err)
	defer func() { assert.NoError(t, root.Close()) }()
	file := plain(t, root)
	who, err := datadir.ReadUsers(file)
	require.NoError(t, err)
	assert.Equal(t, snapshot.Users{Count: 2, Names: []string{"app", "root"}, Auth: true}, who)

	words, err := u.PrepareRestore(ctx, request("op", file), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "authentication was on and is off")
	served(t, u, "op", func(ctx context.Context, s *server) {
		status, err := s.AuthStatus(ctx)
		require.NoError(t, err)
		assert.False(t, status.Enabled)
		users, err := s.UserList(ctx)
		require.NoError(t, err)
		assert.Equal(t, []string{"app", "root"}, users.Users)
	})
}

// TestRestoreTwice: restored data can be restored again, and its revisions do not run away.
func TestRestoreTwice(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	c := member(t)
	put(t, c, 3)
	file := plain(t, c)
	for range 2 {
		_, err := u.PrepareRestore(t.Context(), request("op", file), nil)
		require.NoError(t, err)
		file = filepath.Join(t.TempDir(), "again.db")
		served(t, u, "op", func(ctx context.Context, s *server) { require.NoError(t, snapshotOf(ctx, s, file)) })
		require.NoError(t, os.RemoveAll(filepath.Join(u.Prepared, "op")))
	}
	db, err := datadir.ReadDB(file)
	require.NoError(t, err)
	assert.Less(t, db.Revision, int64(2*Jump+100))
}

// TestRestoreOfNothing: a cluster whose keys are all deleted can be restored too.
func TestRestoreOfNothing(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	c := member(t)
	put(t, c, 3)
	_, err := c.Delete(t.Context(), "key", clientv3.WithPrefix())
	require.NoError(t, err)
	_, err = c.Compact(t.Context(), 5, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	words, err := u.Drill(t.Context(), request("d2", plain(t, c)), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "can be restored: 0 keys, revision 5")
}

func TestJump(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ revision, seen, want int64 }{
		"nobody saw more":    {100, 0, Jump},
		"others saw more":    {100, 250, Jump + 150},
		"it is the furthest": {250, 100, Jump},
	} {
		got, err := jump(tc.revision, tc.seen)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, got, name)
	}
	for _, seen := range []int64{-1, 1<<63 - 1} {
		_, err := jump(seen, seen)
		require.ErrorContains(t, err, "leaves no room", seen)
	}
}
