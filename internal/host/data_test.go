package host

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// writeWAL makes a write-ahead log as etcd does at a member's birth.
func writeWAL(tb testing.TB, dir string, cluster, member uint64) {
	tb.Helper()
	require.NoError(tb, os.MkdirAll(filepath.Dir(dir), 0o700))
	meta, err := proto.Marshal(&etcdserverpb.Metadata{ClusterID: &cluster, NodeID: &member})
	require.NoError(tb, err)
	w, err := wal.Create(zap.NewNop(), dir, meta)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
}

func TestLookData(t *testing.T) {
	t.Parallel()
	member := func(h *Host, parts ...string) string {
		return filepath.Join(append([]string{h.data(), "member"}, parts...)...)
	}
	database := func(t *testing.T, h *Host, bucket string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(member(h, "snap"), 0o700))
		db, err := bolt.Open(member(h, "snap", "db"), 0o600, nil)
		require.NoError(t, err)
		defer db.Close()
		require.NoError(t, db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte(bucket))
			if err != nil {
				return err
			}
			return b.Put([]byte("k"), []byte("v"))
		}))
	}
	for name, tt := range map[string]struct {
		lay   func(*testing.T, *Host)
		state operator.DataState
		says  string
	}{
		"nothing": {func(*testing.T, *Host) {}, operator.NoData, ""},
		"empty": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(h.data(), 0o700))
		}, operator.NoData, ""},
		"fresh file system": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(filepath.Join(h.data(), "lost+found"), 0o700))
		}, operator.NoData, ""},
		"on a disk that is not mounted": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(h.state(), 0o700))
			require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "disk"), h.data()))
		}, operator.AlienData, "leads nowhere"},
		"below a place on a disk that is not mounted": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(filepath.Dir(h.state()), 0o700))
			require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "disk"), h.state()))
		}, operator.AlienData, "leads nowhere"},
		"ours": {func(t *testing.T, h *Host) {
			t.Helper()
			writeWAL(t, member(h, "wal"), 7, 8)
		}, operator.OurData, ""},
		"newest segment torn": {func(t *testing.T, h *Host) {
			t.Helper()
			writeWAL(t, member(h, "wal"), 7, 8)
			require.NoError(t, os.WriteFile(member(h, "wal", "0000000000000001-0000000000000009.wal"), []byte("torn"), 0o600))
		}, operator.OurData, ""},
		"file": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(h.state(), 0o700))
			require.NoError(t, os.WriteFile(h.data(), nil, 0o600))
		}, operator.AlienData, "not a directory"},
		"somebody else's": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(filepath.Join(h.data(), "base"), 0o700))
		}, operator.AlienData, `holds "base" and no etcd data`},
		"garbage for a log": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(member(h, "wal"), 0o700))
			require.NoError(t, os.WriteFile(member(h, "wal", "0000000000000000-0000000000000000.wal"), bytes.Repeat([]byte{7}, 999), 0o600))
		}, operator.AlienData, "cannot read write-ahead log"},
		"a segment that lies elsewhere": {func(t *testing.T, h *Host) {
			t.Helper()
			const segment = "0000000000000000-0000000000000000.wal"
			elsewhere := filepath.Join(t.TempDir(), "wal")
			writeWAL(t, elsewhere, 7, 8)
			require.NoError(t, os.MkdirAll(member(h, "wal"), 0o700))
			require.NoError(t, os.Symlink(filepath.Join(elsewhere, segment), member(h, "wal", segment)))
		}, operator.AlienData, "not a regular file"},
		"a database that lies elsewhere": {func(t *testing.T, h *Host) {
			t.Helper()
			empty := filepath.Join(t.TempDir(), "empty")
			require.NoError(t, os.WriteFile(empty, nil, 0o600))
			require.NoError(t, os.MkdirAll(member(h, "snap"), 0o700))
			require.NoError(t, os.Symlink(empty, member(h, "snap", "db")))
		}, operator.AlienData, "not a regular file"},
		"log without identity": {func(t *testing.T, h *Host) {
			t.Helper()
			writeWAL(t, member(h, "wal"), 0, 0)
		}, operator.AlienData, "names no cluster"},
		"first start cut off": {func(t *testing.T, h *Host) {
			t.Helper()
			database(t, h, "meta")
		}, operator.NoData, ""},
		"log lost": {func(t *testing.T, h *Host) {
			t.Helper()
			database(t, h, "key")
		}, operator.AlienData, "without its write-ahead log"},
		"members, log lost": {func(t *testing.T, h *Host) {
			t.Helper()
			database(t, h, "members")
		}, operator.AlienData, "without its write-ahead log"},
		"no database but a file": {func(t *testing.T, h *Host) {
			t.Helper()
			require.NoError(t, os.MkdirAll(member(h, "snap"), 0o700))
			require.NoError(t, os.WriteFile(member(h, "snap", "db"), bytes.Repeat([]byte{7}, 20000), 0o600))
		}, operator.AlienData, "without its write-ahead log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
			tt.lay(t, h)
			got := h.lookData()
			assert.Equal(t, tt.state, got.State, got.Problem)
			if tt.says != "" {
				assert.Contains(t, got.Problem, tt.says)
			}
			if tt.state == operator.OurData {
				assert.Equal(t, operator.Data{State: operator.OurData, ClusterID: 7, MemberID: 8}, got)
			}
		})
	}
}

func FuzzSegment(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "wal")
	writeWAL(f, dir, 7, 8)
	data, err := os.ReadFile(filepath.Join(dir, "0000000000000000-0000000000000000.wal"))
	require.NoError(f, err)
	f.Add(data[:512])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.wal")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		meta, err := segmentIdentity(path)
		assert.Equal(t, err == nil, meta != nil)
	})
}

func TestMoveAside(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0", Now: func() time.Time { return time.Unix(0, 0) }})
	lay := func(content string) {
		require.NoError(t, os.MkdirAll(h.data(), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(h.data(), "x"), []byte(content), 0o600))
	}
	step := operator.MoveAside{Why: "Removed: cluster 1f/../x"}
	for _, content := range []string{"first", "second", "third"} {
		lay(content)
		require.NoError(t, h.Do(context.Background(), step))
		require.NoError(t, h.Do(context.Background(), step), "nothing left to move")
	}
	for suffix, content := range map[string]string{"": "first", "-2": "second", "-3": "third"} {
		data, err := os.ReadFile(h.data() + ".1970-01-01T000000Z-removed-cluster-1f-x" + suffix + "/x")
		require.NoError(t, err)
		assert.Equal(t, content, string(data))
	}
	info, err := os.Stat(h.data())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}
