package secondlife

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/internal/datadir"
)

// bare is three members as processes of their own, run without a charm.
type bare struct {
	t       *testing.T
	program string
	dirs    []string
	clients []string
	peers   []string
	cmds    []*exec.Cmd
}

func newBare(t *testing.T, u Unit, n int) *bare {
	t.Helper()
	b := &bare{t: t, program: u.Etcd}
	var initial []string
	for i := range n {
		client, peer := freeURL(t), freeURL(t)
		b.dirs = append(b.dirs, filepath.Join(t.TempDir(), "data"))
		b.clients, b.peers = append(b.clients, client.String()), append(b.peers, peer.String())
		initial = append(initial, fmt.Sprintf("m%d=%s", i, peer.String()))
	}
	for i := range n {
		b.start(i, strings.Join(initial, ","), "new")
	}
	return b
}

func (b *bare) start(i int, initial, state string) {
	b.t.Helper()
	cmd := exec.Command(b.program, "--name=m"+fmt.Sprint(i), "--data-dir="+b.dirs[i], //nolint:noctx // it is ended by its test
		"--listen-client-urls="+b.clients[i], "--advertise-client-urls="+b.clients[i],
		"--listen-peer-urls="+b.peers[i], "--initial-advertise-peer-urls="+b.peers[i],
		"--initial-cluster="+initial, "--initial-cluster-state="+state, "--log-level=error")
	require.NoError(b.t, cmd.Start())
	b.t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	b.cmds = append(b.cmds, cmd)
}

func (b *bare) client(i ...int) *clientv3.Client {
	b.t.Helper()
	ends := b.clients
	if len(i) > 0 {
		ends = []string{b.clients[i[0]]}
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: ends, Logger: zap.NewNop()})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// kill kills all members at once.
func (b *bare) kill() {
	for _, cmd := range b.cmds {
		_ = cmd.Process.Kill() // it may be dead
	}
	for _, cmd := range b.cmds {
		_ = cmd.Wait()
	}
}

// load writes until enough writes are acknowledged, kills all members while it writes, and returns
// what was acknowledged.
func (b *bare) load(writers, enough int) map[string]string {
	b.t.Helper()
	var mu sync.Mutex
	acked := map[string]string{}
	full := make(chan struct{})
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for w := range writers {
		c := b.client(w % len(b.clients))
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key, value := fmt.Sprintf("w%02d/%06d", w, i), fmt.Sprintf("%d-%d", w, i)
				if _, err := c.Put(ctx, key, value); err != nil {
					continue
				}
				mu.Lock()
				acked[key] = value
				if len(acked) == enough {
					close(full)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-full:
	case <-ctx.Done():
		assert.Fail(b.t, "too few writes")
	}
	b.kill()
	cancel()
	wg.Wait()
	return acked
}

// best is the member with the best log.
func (b *bare) best() int {
	b.t.Helper()
	best, at := datadir.Log{}, -1
	for i, dir := range b.dirs {
		l, err := datadir.ReadLog(dir)
		require.NoError(b.t, err)
		require.Empty(b.t, l.Damage)
		if at < 0 || l.Term > best.Term || l.Term == best.Term && l.Index > best.Index {
			best, at = l, i
		}
	}
	return at
}

// lost are the acknowledged writes that the server does not have.
func lost(ctx context.Context, t *testing.T, s *server, acked map[string]string) (missing []string) {
	t.Helper()
	got, err := s.Get(ctx, "\x00", clientv3.WithFromKey())
	require.NoError(t, err)
	have := map[string]string{}
	for _, kv := range got.Kvs {
		have[string(kv.Key)] = string(kv.Value)
	}
	for key, value := range acked {
		if have[key] != value {
			missing = append(missing, key)
		}
	}
	return missing
}

// TestRecover: all three members are killed during writes. What the best of them has on disk is
// recovered, up to the last write that was acknowledged, and its own data is not changed.
func TestRecover(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	b := newBare(t, u, 3)
	acked := b.load(8, 500)
	u.Data = b.dirs[b.best()]
	state, err := datadir.Read(u.Data)
	require.NoError(t, err)
	before := listing(t, u.Data)

	r := request("op", "")
	words, err := u.PrepareRecover(t.Context(), r, nil)
	require.NoError(t, err)
	assert.Contains(t, words, fmt.Sprintf("recovered its log to the end, term %d, entry %d", state.Log.Term, state.Log.Index))
	assert.Equal(t, before, listing(t, u.Data))
	entries, err := os.ReadDir(u.Prepared)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	made, err := datadir.ReadLog(filepath.Join(u.Prepared, "op"))
	require.NoError(t, err)
	assert.NotEqual(t, state.Log.ClusterID, made.ClusterID)
	served(t, u, "op", func(ctx context.Context, s *server) {
		assert.Empty(t, lost(ctx, t, s, acked))
		list, err := s.MemberList(ctx)
		require.NoError(t, err)
		assert.Len(t, list.Members, 1)
		now, err := s.Get(ctx, "x")
		require.NoError(t, err)
		assert.Greater(t, now.Header.GetRevision(), int64(Jump))
	})
	words, err = u.PrepareRecover(t.Context(), r, nil)
	require.NoError(t, err)
	assert.Contains(t, words, "prepared already")
}

// listing lists the files of a directory, with their sizes and the times of their last change.
func listing(t *testing.T, dir string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		out = append(out, fmt.Sprint(path, info.Size(), info.ModTime()))
		return nil
	}))
	return out
}

// TestRecoverRefused: a member that runs is not recovered from, and neither is an empty directory.
func TestRecoverRefused(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	_, err := u.PrepareRecover(t.Context(), request("op", ""), nil)
	require.ErrorContains(t, err, "cannot recover: ")
	nothing(t, u)
	b := newBare(t, u, 1)
	put(t, b.client(), 3)
	u.Data = b.dirs[0]
	_, err = u.PrepareRecover(t.Context(), request("op", ""), nil)
	require.ErrorContains(t, err, "cannot recover: a server has the database")
	nothing(t, u)
	b.kill()
	u.Free = func(string) (int64, error) { return mib, nil }
	_, err = u.PrepareRecover(t.Context(), request("op", ""), nil)
	require.ErrorContains(t, err, "cannot recover: it needs")
	nothing(t, u)
}

// TestRecoverLearner: from a learner alone everything in its log is recovered.
func TestRecoverLearner(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	b := newBare(t, u, 1)
	c := b.client()
	put(t, c, 10)
	client, peer := freeURL(t), freeURL(t)
	b.clients, b.peers = append(b.clients, client.String()), append(b.peers, peer.String())
	b.dirs = append(b.dirs, filepath.Join(t.TempDir(), "data"))
	var err error
	require.Eventually(t, func() bool {
		_, err = c.MemberAddAsLearner(t.Context(), []string{peer.String()})
		return err == nil
	}, time.Minute, 100*time.Millisecond, "%v", err)
	b.start(1, "m0="+b.peers[0]+",m1="+b.peers[1], "existing")
	acked := map[string]string{}
	for i := range 50 {
		key := fmt.Sprintf("later%d", i)
		_, err := c.Put(t.Context(), key, "value")
		require.NoError(t, err)
		acked[key] = "value"
	}
	require.Eventually(t, func() bool {
		l, err := datadir.ReadLog(b.dirs[1])
		want, err2 := datadir.ReadLog(b.dirs[0])
		return err == nil && err2 == nil && l.Index == want.Index
	}, time.Minute, 50*time.Millisecond)
	b.kill()
	u.Data = b.dirs[1]
	state, err := datadir.Read(u.Data)
	require.NoError(t, err)
	assert.Equal(t, datadir.Learner, state.Log.Standing)
	_, err = u.PrepareRecover(t.Context(), request("op", ""), nil)
	require.NoError(t, err)
	served(t, u, "op", func(ctx context.Context, s *server) { assert.Empty(t, lost(ctx, t, s, acked)) })
}

// TestRecoverDamaged: if the log is damaged, either the log up to its damage or the database is
// recovered, whichever goes further.
func TestRecoverDamaged(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	b := newBare(t, u, 1)
	put(t, b.client(), 100)
	require.Eventually(t, func() bool { // it lags behind the log
		db, err := datadir.ReadDB(datadir.DBFile(b.dirs[0]))
		return err == nil && db.Index > 100
	}, time.Minute, 20*time.Millisecond)
	acked := b.load(4, 300)
	whole, err := datadir.Read(b.dirs[0])
	require.NoError(t, err)
	segments, err := datadir.Segments(b.dirs[0])
	require.NoError(t, err)
	wal := segments[len(segments)-1]
	log, err := os.ReadFile(wal)
	require.NoError(t, err)
	end := len(log)
	for log[end-1] == 0 {
		end--
	}
	for name, tc := range map[string]struct {
		at   int // the byte that changes
		word string
	}{
		"near the end": {end - 20, "its log to the end"},
		"early":        {end/20 + bytes.Index(log[end/20:], []byte("value")), "its database alone"}, // what fills up a record is not checked
	} {
		data := filepath.Join(t.TempDir(), "data")
		require.NoError(t, os.CopyFS(data, os.DirFS(b.dirs[0])))
		broken := append([]byte{}, log...)
		broken[tc.at] ^= 0xff
		require.NoError(t, os.WriteFile(filepath.Join(datadir.WALDir(data), filepath.Base(wal)), broken, 0o600))
		state, err := datadir.Read(data)
		require.NoError(t, err, name)
		assert.NotEmpty(t, state.Log.Damage, name)
		assert.LessOrEqual(t, state.Log.Index, whole.Log.Index, name)
		u.Data = data
		id := strings.ReplaceAll(name, " ", "-")
		words, err := u.PrepareRecover(t.Context(), request(id, ""), nil)
		require.NoError(t, err, name)
		assert.Contains(t, words, tc.word, name)
		served(t, u, id, func(ctx context.Context, s *server) {
			missing := lost(ctx, t, s, acked)
			most := whole.Log.Index - max(state.Log.Index, state.DB.Index)
			assert.LessOrEqual(t, uint64(len(missing)), most, name)
		})
	}
}
