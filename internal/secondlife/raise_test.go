package secondlife

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/datadir"
)

// TestRaise: the whole log is marked as committed, and a learner becomes a voter.
func TestRaise(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		of  *raftpb.ConfState
		end uint64
	}{
		"a voter":   {&raftpb.ConfState{Voters: []uint64{7, 8}}, 50},
		"a learner": {&raftpb.ConfState{Voters: []uint64{8}, Learners: []uint64{7}}, 51},
	} {
		data := filepath.Join(t.TempDir(), "data")
		meta, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: proto.Uint64(7), ClusterID: proto.Uint64(9)})
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(datadir.WALDir(data)), 0o700))
		w, err := wal.Create(zap.NewNop(), datadir.WALDir(data), meta)
		require.NoError(t, err)
		var entries []*raftpb.Entry
		for i := range uint64(50) {
			entries = append(entries, &raftpb.Entry{Term: proto.Uint64(3), Index: proto.Uint64(i + 1), Data: []byte("entry")})
		}
		state := &raftpb.HardState{Term: proto.Uint64(5), Vote: proto.Uint64(8), Commit: proto.Uint64(30)}
		require.NoError(t, w.Save(state, entries))
		require.NoError(t, w.SaveSnapshot(&walpb.Snapshot{Term: proto.Uint64(3), Index: proto.Uint64(10), ConfState: tc.of}))
		require.NoError(t, w.Close())

		before, err := datadir.ReadLog(data)
		require.NoError(t, err)
		assert.EqualValues(t, 30, before.Commit, name)
		require.NoError(t, raise(data, before))
		after, err := datadir.ReadLog(data)
		require.NoError(t, err)
		assert.Equal(t, tc.end, after.Commit, name)
		assert.Equal(t, tc.end, after.Index, name)
		assert.EqualValues(t, 3, after.Term, name)
		assert.Equal(t, datadir.Voter, after.Standing, name)
	}
}
