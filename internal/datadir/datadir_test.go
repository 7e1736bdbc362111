package datadir_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/datadir"
)

// TestMain makes log files small: 80 entries fill one.
func TestMain(m *testing.M) {
	wal.SegmentSizeBytes = 16 << 10
	os.Exit(m.Run())
}

const cluster, self, other = 0xc1, 0xa1, 0xb2

// log writes a log with etcd's own writer.
type log struct {
	*wal.WAL

	t    *testing.T
	data string
}

func newLog(t *testing.T) log {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	meta, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: proto.Uint64(self), ClusterID: proto.Uint64(cluster)})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(datadir.WALDir(data)), 0o700))
	w, err := wal.Create(zap.NewNop(), datadir.WALDir(data), meta)
	require.NoError(t, err)
	return log{w, t, data}
}

// entries writes entries of a term, with the index up to which the member knows them to be
// committed.
func (l log) entries(term, from, to, commit uint64) {
	l.t.Helper()
	var all []*raftpb.Entry
	for i := from; i <= to; i++ {
		all = append(all, &raftpb.Entry{Term: &term, Index: proto.Uint64(i), Data: bytes.Repeat([]byte{7}, 200)})
	}
	require.NoError(l.t, l.Save(&raftpb.HardState{Term: &term, Vote: proto.Uint64(self), Commit: &commit}, all))
}

// fill fills a file with 80 entries; etcd then begins the next.
func (l log) fill(from uint64) {
	l.t.Helper()
	l.entries(2, from, from+78, 50)
	l.entries(2, from+79, from+79, 50)
}

func (l log) change(index uint64, kind raftpb.ConfChangeType, id uint64) {
	l.t.Helper()
	data, err := proto.Marshal(&raftpb.ConfChange{Type: &kind, NodeId: &id})
	require.NoError(l.t, err)
	require.NoError(l.t, l.Save(&raftpb.HardState{}, []*raftpb.Entry{{
		Term: proto.Uint64(1), Index: &index, Type: raftpb.EntryConfChange.Enum(), Data: data,
	}}))
}

func (l log) snapshot(term, index uint64, of *raftpb.ConfState) {
	l.t.Helper()
	require.NoError(l.t, l.SaveSnapshot(&walpb.Snapshot{Term: &term, Index: &index, ConfState: of}))
}

// files are the files of the log; there must be n of them.
func (l log) files(n int) []string {
	l.t.Helper()
	segments, err := datadir.Segments(l.data)
	require.NoError(l.t, err)
	require.Len(l.t, segments, n)
	return segments
}

// spoil changes the newest file of a closed log.
func (l log) spoil(change func([]byte) []byte) {
	l.t.Helper()
	require.NoError(l.t, l.Close())
	segments, err := datadir.Segments(l.data)
	require.NoError(l.t, err)
	path := segments[len(segments)-1]
	text, err := os.ReadFile(path)
	require.NoError(l.t, err)
	require.NoError(l.t, os.WriteFile(path, change(text), 0o600))
}

// written is the length of a file without the zeroes at its end.
func written(text []byte) int {
	end := len(text)
	for end > 0 && text[end-1] == 0 {
		end--
	}
	return end
}

func TestReadLog(t *testing.T) {
	t.Parallel()
	voters := &raftpb.ConfState{Voters: []uint64{self, other}}
	learner := &raftpb.ConfState{Voters: []uint64{other}, Learners: []uint64{self}}
	for name, tc := range map[string]struct {
		write       func(log)
		term, index uint64
		standing    datadir.Standing
		damaged     bool
	}{
		"nothing yet": {func(log) {}, 0, 0, datadir.Unsaid, false},
		"entries":     {func(l log) { l.entries(2, 1, 50, 40) }, 2, 50, datadir.Unsaid, false},
		"a new leader had some written over": {func(l log) {
			l.entries(2, 1, 50, 30)
			l.entries(3, 40, 42, 41)
		}, 3, 42, datadir.Unsaid, false},
		"a snapshot stands in for entries": {func(l log) {
			l.entries(2, 1, 10, 10)
			l.snapshot(4, 900, voters)
		}, 4, 900, datadir.Voter, false},
		"entries after a snapshot": {func(l log) {
			l.snapshot(4, 900, learner)
			l.entries(4, 901, 905, 903)
		}, 4, 905, datadir.Learner, false},
		"several files": {func(l log) {
			l.fill(1)
			l.entries(2, 81, 90, 55)
			l.files(2)
		}, 2, 90, datadir.Unsaid, false},
		"promoted": {func(l log) {
			l.change(1, raftpb.ConfChangeAddLearnerNode, self)
			l.change(2, raftpb.ConfChangeAddNode, other)
			l.change(3, raftpb.ConfChangeAddNode, self)
			l.snapshot(1, 2, learner) // it is written after the entries that it covers
		}, 1, 3, datadir.Voter, false},
		"learner": {func(l log) {
			l.change(1, raftpb.ConfChangeAddNode, other)
			l.change(2, raftpb.ConfChangeAddLearnerNode, self)
			l.change(3, raftpb.ConfChangeUpdateNode, self)
		}, 1, 3, datadir.Learner, false},
		"removed": {func(l log) {
			l.entries(1, 1, 1, 1)
			l.snapshot(1, 1, voters)
			l.change(2, raftpb.ConfChangeRemoveNode, self)
		}, 1, 2, datadir.Removed, false},
		"not in the snapshot": {func(l log) { l.snapshot(1, 5, &raftpb.ConfState{Voters: []uint64{other}}) }, 1, 5, datadir.Removed, false},

		"cut off in the midst of a record": {func(l log) {
			l.entries(2, 1, 50, 10)
			l.spoil(func(b []byte) []byte { return b[:written(b)-150] })
		}, 2, 49, datadir.Unsaid, false},
		"something after the zeroes": {func(l log) {
			l.entries(2, 1, 50, 40)
			l.spoil(func(b []byte) []byte { copy(b[len(b)-100:], "something"); return b })
		}, 2, 50, datadir.Unsaid, false},
		"its last bytes are zero": {func(l log) {
			l.entries(2, 1, 50, 40)
			l.spoil(func(b []byte) []byte { clear(b[written(b)-4 : written(b)]); return b })
		}, 2, 50, datadir.Unsaid, true},
		"a byte in the middle": {func(l log) {
			l.entries(2, 1, 50, 10)
			l.spoil(func(b []byte) []byte { b[written(b)/2] ^= 1; return b })
		}, 2, 25, datadir.Unsaid, true},
		"it ends before what was agreed": {func(l log) {
			l.entries(2, 1, 50, 50)
			l.entries(2, 51, 51, 51)
			l.entries(2, 52, 52, 100)
		}, 2, 52, datadir.Unsaid, true},
		"a file of it is missing": {func(l log) {
			l.fill(1)
			l.fill(81)
			l.entries(2, 161, 170, 165)
			require.NoError(l.t, os.Remove(l.files(3)[1]))
		}, 2, 80, datadir.Unsaid, true},
		"a file of it is cut off": {func(l log) {
			l.fill(1)
			l.entries(2, 81, 90, 60)
			first := l.files(2)[0]
			info, err := os.Stat(first)
			require.NoError(l.t, err)
			require.NoError(l.t, os.Truncate(first, info.Size()-300))
		}, 2, 78, datadir.Unsaid, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			tc.write(l)
			_ = l.Close() // it may be closed already
			got, err := datadir.ReadLog(l.data)
			require.NoError(t, err)
			assert.EqualValues(t, cluster, got.ClusterID)
			assert.EqualValues(t, self, got.MemberID)
			assert.Equal(t, tc.damaged, got.Damage != "", got.Damage)
			assert.Equal(t, tc.term, got.Term)
			if tc.damaged && tc.index == 25 { // about the middle
				assert.InDelta(t, tc.index, got.Index, 3)
			} else {
				assert.Equal(t, tc.index, got.Index)
			}
			assert.Equal(t, tc.standing, got.Standing)

			// If it is cut where it ends, etcd can open the log, and it ends there.
			if got.Index == 0 {
				return
			}
			require.NoError(t, got.Cut(l.data))
			again, err := datadir.ReadLog(l.data)
			require.NoError(t, err)
			assert.Equal(t, got.Index, again.Index)
			snaps, err := wal.ValidSnapshotEntries(zap.NewNop(), datadir.WALDir(l.data))
			require.NoError(t, err)
			w, err := wal.Open(zap.NewNop(), datadir.WALDir(l.data), snaps[len(snaps)-1])
			require.NoError(t, err)
			_, _, _, err = w.ReadAll()
			require.NoError(t, err)
			require.NoError(t, w.Close())
		})
	}
}

func TestNoLog(t *testing.T) {
	t.Parallel()
	_, err := datadir.ReadLog(t.TempDir())
	require.Error(t, err)
	data := t.TempDir()
	require.NoError(t, os.MkdirAll(datadir.WALDir(data), 0o700))
	_, err = datadir.ReadLog(data)
	require.ErrorContains(t, err, "there is no log")
	require.NoError(t, os.WriteFile(filepath.Join(datadir.WALDir(data), "0.wal"), []byte("nothing of the kind"), 0o600))
	_, err = datadir.ReadLog(data)
	require.ErrorContains(t, err, "it names no cluster")
	_, err = datadir.Read(data)
	require.ErrorContains(t, err, "database: ")
}

// database is a small database as etcd writes it.
func database(t *testing.T, data string, index uint64) string {
	t.Helper()
	path := datadir.DBFile(data)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	be := backend.NewDefaultBackend(zap.NewNop(), path)
	tx := be.BatchTx()
	tx.Lock()
	tx.UnsafeCreateBucket(schema.Key)
	tx.UnsafeCreateBucket(schema.Meta)
	for _, rev := range []int64{2, 3, 700} {
		tx.UnsafePut(schema.Key, mvcc.RevToBytes(mvcc.Revision{Main: rev}, mvcc.NewRevBytes()), make([]byte, 3000))
	}
	schema.UnsafeUpdateConsistentIndexForce(tx, index, 3)
	tx.Unlock()
	be.ForceCommit()
	// As it is sent, without the free space at the end of the file.
	require.NoError(t, be.Close())
	big, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	small := filepath.Join(t.TempDir(), "small")
	require.NoError(t, big.View(func(tx *bolt.Tx) error { return tx.CopyFile(small, 0o600) }))
	require.NoError(t, big.Close())
	require.NoError(t, os.Rename(small, path))
	return path
}

func TestReadDB(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	path := database(t, data, 55)
	db, err := datadir.ReadDB(path)
	require.NoError(t, err)
	assert.Equal(t, datadir.DB{Revision: 700, Index: 55}, db)

	held, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	beside, err := datadir.ReadDB(path)
	require.NoError(t, err, "a server has it")
	assert.Equal(t, db, beside)
	require.NoError(t, held.Close())

	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := filepath.Join(t.TempDir(), "bad")
	for size := 0; size < len(whole); size += 512 {
		require.NoError(t, os.WriteFile(bad, whole[:size], 0o600))
		if got, err := datadir.ReadDB(bad); err == nil {
			assert.Equal(t, db, got, "%d bytes: all pages are there", size)
		}
	}
	// Every page but the two meta pages.
	for at := 8192; at < len(whole); at += 4096 {
		spoilt := slices.Clone(whole)
		for i := range spoilt[at : at+4096] {
			spoilt[at+i] = 0xff
		}
		require.NoError(t, os.WriteFile(bad, spoilt, 0o600))
		_, _ = datadir.ReadDB(bad) // it returns, whatever it finds
	}
	alien := filepath.Join(t.TempDir(), "alien")
	other, err := bolt.Open(alien, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, other.Close())
	_, err = datadir.ReadDB(alien)
	require.ErrorContains(t, err, "it is not an etcd database")
}

// TestReadDBOfHugeValues: values may be longer than what is read at once. bbolt keeps at least two
// on a page.
func TestReadDBOfHugeValues(t *testing.T) {
	t.Parallel()
	path := database(t, t.TempDir(), 55)
	big, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	require.NoError(t, err)
	require.NoError(t, big.Update(func(tx *bolt.Tx) error {
		for _, rev := range []int64{701, 702} {
			key := mvcc.RevToBytes(mvcc.Revision{Main: rev}, mvcc.NewRevBytes())
			if err := tx.Bucket(schema.Key.Name()).Put(key, make([]byte, 33<<20)); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, big.Close())
	db, err := datadir.ReadDB(path)
	require.NoError(t, err)
	assert.Equal(t, datadir.DB{Revision: 702, Index: 55}, db)
}

// TestReadDBWhileItIsWritten: what is read of a database that is being written is one of its
// states.
func TestReadDBWhileItIsWritten(t *testing.T) {
	t.Parallel()
	path := database(t, t.TempDir(), 1)
	be := backend.NewDefaultBackend(zap.NewNop(), path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := int64(1); i <= 300; i++ {
			tx := be.BatchTx()
			tx.Lock()
			tx.UnsafePut(schema.Key, mvcc.RevToBytes(mvcc.Revision{Main: 700 + i}, mvcc.NewRevBytes()), make([]byte, 3000))
			tx.UnsafeDelete(schema.Key, mvcc.RevToBytes(mvcc.Revision{Main: 699 + i}, mvcc.NewRevBytes()))
			schema.UnsafeUpdateConsistentIndexForce(tx, uint64(i)+1, 3)
			tx.Unlock()
			be.ForceCommit()
		}
	}()
	read := 0
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		db, err := datadir.ReadDB(path)
		if err != nil {
			require.ErrorContains(t, err, "it changes while it is read")
			continue
		}
		read++
		assert.EqualValues(t, db.Index+699, db.Revision)
	}
	assert.Positive(t, read)
	require.NoError(t, be.Close())
}

// TestState: a database that is ahead of its log says that the log is damaged.
func TestState(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		index   uint64
		damaged bool
		byLog   bool
	}{
		"the database lags": {40, false, true},
		"they are even":     {50, false, true},
		"the log lags":      {51, true, false},
	} {
		l := newLog(t)
		l.entries(2, 1, 50, 30)
		require.NoError(t, l.Close())
		database(t, l.data, tc.index)
		s, err := datadir.Read(l.data)
		require.NoError(t, err, name)
		assert.Equal(t, tc.damaged, s.Log.Damage != "", name)
		assert.Equal(t, tc.byLog, s.ByLog(), name)
	}
	l := newLog(t)
	l.entries(2, 1, 50, 30)
	l.spoil(func(b []byte) []byte { b[written(b)-300] ^= 1; return b })
	database(t, l.data, 20)
	s, err := datadir.Read(l.data)
	require.NoError(t, err)
	assert.NotEmpty(t, s.Log.Damage)
	assert.True(t, s.ByLog(), "it has more than the database all the same")
}
