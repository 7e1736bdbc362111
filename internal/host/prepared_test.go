package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/longwork"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/secondlife"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// saved returns a snapshot of u's member, as etcdctl saves one.
func (u *unit) saved() string {
	u.t.Helper()
	m, err := u.access(u.fleet.authority).dial(u.url(u.fleet.config.Port))
	require.NoError(u.t, err)
	defer ignoreClose(m)
	path := filepath.Join(u.t.TempDir(), "saved.db")
	require.NoError(u.t, snapshot.Save(u.t.Context(), m.Client, path, func(int64) {}))
	return path
}

// runsItsCopy makes u work with its own copy of the program.
func (u *unit) runsItsCopy() {
	u.t.Helper()
	u.carried = u.binary(u.carries())
}

func (u *unit) request(id, snapshot string) operator.WorkRequest {
	return operator.WorkRequest{
		ID: id, Kind: operator.PrepareRestore, Snapshot: snapshot,
		Name: "etcd0", PeerURL: u.url(u.fleet.config.ManagementPort), Token: "new-" + u.ip, Seen: 1000,
	}
}

// TestServePrepared: data is made from a snapshot while the member serves, and then served in place
// of the old data.
func TestServePrepared(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	owner := operator.Owner{Model: u.model().UUID, Unit: u.unitName}
	u.do(operator.Claim{Owner: owner})
	old := u.look()
	u.put(20, "before")
	file := u.saved()
	u.put(1, "after")
	u.runsItsCopy()

	assert.Empty(t, u.look().Prepared)
	words, err := u.prepareRestore(t.Context(), u.request("restore-1", file), nil)
	require.NoError(t, err)
	t.Log(words)
	w := u.look()
	require.Len(t, w.Prepared, 1)
	made := w.Prepared[0]
	assert.Equal(t, "restore-1", made.ID)
	assert.NotEqual(t, old.ClusterID, made.ClusterID)
	assert.GreaterOrEqual(t, made.Revision, int64(1000+secondlife.Jump))
	assert.Equal(t, old.Data, w.Data, "what serves is not touched")
	assert.Equal(t, operator.Healthy, w.Reach)
	assert.Equal(t, operator.LogState{}, w.Log)
	assert.Empty(t, w.Astray)

	require.ErrorContains(t, u.Do(t.Context(), operator.ServePrepared{ID: "restore-1"}), "the service is running")
	u.do(operator.Stop{Why: "a test"})
	require.Error(t, u.Do(t.Context(), operator.ServePrepared{ID: "another"}))
	assert.Equal(t, old.Data, u.look().Data, "nothing goes for nothing")
	for range 2 {
		require.NoError(t, u.Do(t.Context(), operator.ServePrepared{ID: "restore-1"}))
		w = u.look()
		assert.Equal(t, made.ClusterID, w.Data.ClusterID)
		assert.Equal(t, made.MemberID, w.Data.MemberID)
		assert.Equal(t, owner, w.Data.Owner)
		assert.Empty(t, w.Prepared)
	}
	assert.NoDirExists(t, u.prepared())
	aside, err := filepath.Glob(u.data() + ".*-replaced-by-restore-1")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	meta, err := walIdentity(filepath.Join(aside[0], "member", "wal"))
	require.NoError(t, err)
	assert.Equal(t, old.ClusterID, meta.GetClusterID())

	// The data is ours as the old data was, and claiming it again changes nothing.
	u.do(operator.Claim{Owner: owner})
	require.NoError(t, u.Do(t.Context(), operator.ServePrepared{ID: "restore-1"}))
	u.fleet.record.ClusterID = made.ClusterID
	u.do(operator.Start{}, operator.AwaitReady{})
	w = u.eventually("the new cluster", func(w operator.World) bool { return w.Reach == operator.Healthy })
	assert.Equal(t, made.ClusterID, w.ClusterID)
	require.Len(t, w.Members, 1)
	assert.Equal(t, []string{u.url(u.fleet.config.ManagementPort)}, w.Members[0].PeerURLs)
}

// TestServePreparedCutShort: after whichever operation it dies, the next try completes it.
func TestServePreparedCutShort(t *testing.T) {
	t.Parallel()
	for name, died := range map[string]func(*testing.T, *Host){
		"before all":          func(*testing.T, *Host) {},
		"between the renames": func(t *testing.T, h *Host) { t.Helper(); require.NoError(t, os.Rename(h.data(), h.data()+".aside")) },
		"and a hook mended it": func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.RemoveAll(h.data()))
			require.NoError(t, h.makeData())
		},
		"after the renames": func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, h.servePrepared(t.Context(), "op"))
			require.NoError(t, os.MkdirAll(filepath.Join(h.prepared(), "op.new"), 0o700))
		},
	} {
		h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
		h.supervisor.run = Supervised(t, h).Run
		writeWAL(t, filepath.Join(h.data(), "member", "wal"), 7, 8)
		made := filepath.Join(h.prepared(), "op")
		writeWAL(t, filepath.Join(made, "member", "wal"), 70, 80)
		text, err := h.preparedOwner("op")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(made, secondlife.OwnerFile), text, 0o600))
		died(t, h)
		require.NoError(t, h.Do(t.Context(), operator.ServePrepared{ID: "op"}), name)
		assert.EqualValues(t, 70, h.lookData().ClusterID, name)
		assert.Equal(t, operator.Owner{}, h.lookData().Owner, "%s: nobody had said whose the data was", name)
	}
}

// TestDropPrepared removes what was prepared for one operation, complete or not.
func TestDropPrepared(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	require.NoError(t, h.Do(t.Context(), operator.DropPrepared{ID: "op"}), "nothing is there")
	for _, name := range []string{"op", "op.new", "other"} {
		writeWAL(t, filepath.Join(h.prepared(), name, "member", "wal"), 7, 8)
	}
	for range 2 {
		require.NoError(t, h.Do(t.Context(), operator.DropPrepared{ID: "op"}))
	}
	left, err := os.ReadDir(h.prepared())
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.Equal(t, "other", left[0].Name())
	require.NoError(t, h.Do(t.Context(), operator.DropPrepared{ID: "other"}))
	assert.NoDirExists(t, h.prepared())
	for _, id := range []string{"", "..", "../data", ".x"} {
		require.ErrorContains(t, h.Do(t.Context(), operator.DropPrepared{ID: id}), "is not an operation")
		require.ErrorContains(t, h.Do(t.Context(), operator.ServePrepared{ID: id}), "is not an operation")
	}
}

// TestLog: while no quorum answers, the world shows where our log ends, whether our server runs or
// not; and the data can be recovered.
func TestLog(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	us, them := f.add(t), f.add(t)
	us.found()
	them.join()
	us.put(30, "value")
	assert.Equal(t, operator.LogState{}, us.look().Log, "a quorum answers")
	them.do(operator.Stop{Why: "a test"})
	w := us.eventually("no quorum", func(w operator.World) bool { return w.Reach != operator.Healthy })
	assert.Positive(t, w.Log.Term)
	assert.Greater(t, w.Log.Index, uint64(30))
	assert.False(t, w.Log.Torn)
	assert.False(t, w.Log.Learner)
	assert.Positive(t, w.Log.Revision)

	us.do(operator.Stop{Why: "a test"})
	w = us.look()
	assert.EqualValues(t, 31, w.Log.Revision)
	us.runsItsCopy()
	_, err := us.prepareRecover(t.Context(), us.request("recover-1", ""), nil)
	require.NoError(t, err)
	again := us.look()
	require.Len(t, again.Prepared, 1)
	assert.Equal(t, w.Log, again.Log)
	us.do(operator.ServePrepared{ID: "recover-1"})
	f.record.ClusterID = again.Prepared[0].ClusterID
	us.do(operator.Start{}, operator.AwaitReady{})
	w = us.eventually("the new cluster", func(w operator.World) bool { return w.Reach == operator.Healthy })
	assert.Len(t, w.Members, 1)
}

// TestLogIsReadOnce: an unchanged log is not read again.
func TestLogIsReadOnce(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	assert.Equal(t, operator.LogState{}, h.lookLog())
	writeWAL(t, filepath.Join(h.data(), "member", "wal"), 7, 8)
	require.NoError(t, os.MkdirAll(filepath.Join(h.data(), "member", "snap"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(h.data(), "member", "snap", "db"), nil, 0o600))
	key := h.logKey()
	require.NotEmpty(t, key)
	h.logs[key] = operator.LogState{Index: 99}
	assert.EqualValues(t, 99, h.lookLog().Index)
	require.NoError(t, os.WriteFile(filepath.Join(h.data(), "member", "snap", "db"), []byte("x"), 0o600))
	assert.NotEqual(t, uint64(99), h.lookLog().Index)
}

// TestUninstallDropsPrepared: prepared data is removed with the unit.
func TestUninstallDropsPrepared(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.prepare()
	writeWAL(t, filepath.Join(u.prepared(), "op", "member", "wal"), 7, 8)
	require.NoError(t, os.WriteFile(u.drilled(), []byte("{}"), 0o600))
	u.do(operator.Uninstall{})
	assert.NoDirExists(t, u.prepared())
	assert.NoFileExists(t, u.drilled())
}

// TestDataThatCannotBeReplaced: a mount point cannot be moved aside, and that is reported before
// anything stops.
func TestDataThatCannotBeReplaced(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	small(t, u.data(), 1<<20)
	for _, prepare := range []longwork.Do{u.prepareRestore, u.prepareRecover} {
		_, err := prepare(t.Context(), u.request("restore-1", "/no/such/file"), nil)
		assert.ErrorContains(t, err, "is on another disk")
	}
	assert.NoDirExists(t, u.prepared())
}
