package snapshot

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// TestMain is etcdutl too: the deep check runs it as a child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "snapshot" {
		root := &cobra.Command{Use: "etcdutl", SilenceUsage: true}
		root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "")
		root.AddCommand(etcdutl.NewSnapshotCommand())
		if root.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// server is a real member of one, and a client of it.
func server(tb testing.TB) *clientv3.Client {
	tb.Helper()
	free := func() url.URL {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(tb, err)
		defer func() { require.NoError(tb, l.Close()) }()
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync = tb.TempDir(), "error", true
	peer, client := free(), free()
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.InitialCluster = "default=" + peer.String()
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(c)
	require.NoError(tb, err)
	tb.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	cl, err := clientv3.New(clientv3.Config{Endpoints: []string{client.Host}, Logger: zap.NewNop()})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, cl.Close()) })
	return cl
}

func request(tb testing.TB, dir string) Request {
	tb.Helper()
	self, err := os.Executable()
	require.NoError(tb, err)
	return Request{Dir: dir, Unit: "etcd/0", Charm: "test", Etcdutl: self, Now: time.Date(2026, 11, 27, 2, 3, 4, 0, time.UTC)}
}

func TestTakeAndVerify(t *testing.T) {
	t.Parallel()
	c := server(t)
	for i := range 200 {
		_, err := c.Put(t.Context(), fmt.Sprintf("key%d", i), strings.Repeat("v", 1000))
		require.NoError(t, err)
	}
	dir := filepath.Join(t.TempDir(), "made")
	r := request(t, dir)
	var said []string
	r.Progress = func(what string, _, _ int64) {
		if len(said) == 0 || said[len(said)-1] != what {
			said = append(said, what)
		}
	}
	m, err := Take(t.Context(), c, r)
	require.NoError(t, err)
	assert.Equal(t, []string{"copy", "check", "compress"}, said)
	assert.Equal(t, "etcd-0-20261127T020304Z", m.Name)
	assert.Equal(t, int64(201), m.Revision)
	assert.Equal(t, 200, m.Keys)
	assert.NotEmpty(t, m.Cluster)
	assert.Equal(t, "3.7.0", m.StorageVersion)
	assert.Less(t, m.Stored, m.Size)

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2, "nothing partial is left")
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode(), e.Name())
	}
	all, err := List(dir)
	require.NoError(t, err)
	require.Equal(t, []Meta{m}, all)
	status, err := Verify(t.Context(), dir, m, r.Etcdutl)
	require.NoError(t, err)
	assert.Equal(t, m.Revision, status.Revision)

	// What etcd restores is what was there.
	raw := filepath.Join(t.TempDir(), "snapshot.db")
	_, _, err = Unpack(t.Context(), m.file(dir), raw)
	require.NoError(t, err)
	status, err = DeepCheck(t.Context(), r.Etcdutl, raw)
	require.NoError(t, err)
	assert.Equal(t, 200, status.Keys)

	require.NoError(t, Remove(dir, m))
	all, err = List(dir)
	require.NoError(t, err)
	assert.Empty(t, all)
}

// TestTakeThatFails leaves no snapshot, and says why.
func TestTakeThatFails(t *testing.T) {
	t.Parallel()
	c := server(t)
	for name, tc := range map[string]struct {
		change func(*Request)
		why    string
	}{
		"etcd does not read it": {func(r *Request) { r.Etcdutl = "/bin/false" }, "etcd does not read it"},
		"no such program":       {func(r *Request) { r.Etcdutl = "/no/such/program" }, "no such file"},
	} {
		dir := t.TempDir()
		r := request(t, dir)
		tc.change(&r)
		_, err := Take(t.Context(), c, r)
		require.ErrorContains(t, err, tc.why, name)
		all, err := List(dir)
		require.NoError(t, err)
		require.Len(t, all, 1)
		assert.Contains(t, all[0].Error, tc.why)
		assert.False(t, all[0].Good())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, 1, "the word alone")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Take(ctx, c, request(t, t.TempDir()))
	require.ErrorIs(t, err, context.Canceled)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Take(t.Context(), c, request(t, file))
	require.ErrorIs(t, err, syscall.ENOTDIR)
}

// sample is a small snapshot as etcd sends it.
func sample(t *testing.T) []byte {
	t.Helper()
	c := server(t)
	_, err := c.Put(t.Context(), "key", "value")
	require.NoError(t, err)
	dir := t.TempDir()
	m, err := Take(t.Context(), c, request(t, dir))
	require.NoError(t, err)
	raw := filepath.Join(dir, "plain.db")
	_, _, err = Unpack(t.Context(), m.file(dir), raw)
	require.NoError(t, err)
	data, err := os.ReadFile(raw)
	require.NoError(t, err)
	return data
}

// TestBadSnapshots: none reaches etcd's own reader, which some of them would kill.
func TestBadSnapshots(t *testing.T) {
	t.Parallel()
	good := sample(t)
	dir := t.TempDir()
	unpack := func(t *testing.T, name string, data []byte) error {
		t.Helper()
		from, to := filepath.Join(dir, name), filepath.Join(dir, "to")
		require.NoError(t, os.WriteFile(from, data, 0o600))
		_, _, err := Unpack(t.Context(), from, to)
		_, statErr := os.Stat(to)
		if err != nil {
			require.ErrorIs(t, statErr, os.ErrNotExist, "nothing is left")
		} else {
			require.NoError(t, statErr)
			require.NoError(t, os.Remove(to))
		}
		return err
	}
	require.NoError(t, unpack(t, "good.db", good))
	for cut := 0; cut < len(good); cut += 512 {
		require.Error(t, unpack(t, "cut.db", good[:cut]), "cut at %d", cut)
		if cut > 0 {
			require.Error(t, unpack(t, "cut.db", good[:cut-1]), "cut before %d", cut)
		}
	}
	flips := 0
	for at := 0; at < len(good); at += 1 + len(good)/300 {
		bad := append([]byte{}, good...)
		bad[at] ^= 0x40
		require.Error(t, unpack(t, "flipped.db", bad), "flipped at %d", at)
		flips++
	}
	t.Logf("%d cuts and %d flips of %d bytes", 2*len(good)/512, flips, len(good))
	require.ErrorIs(t, unpack(t, "empty.db", nil), errTruncated)
	require.ErrorIs(t, unpack(t, "raw.db", good[:len(good)-32]), errUnhashed)

	packed := func(data []byte) []byte {
		z, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		return z.EncodeAll(data, nil)
	}
	require.NoError(t, unpack(t, "good.db.zst", packed(good)))
	require.Error(t, unpack(t, "cut.db.zst", packed(good)[:100]))
	require.Error(t, unpack(t, "plain.db.zst", good))
	require.Error(t, unpack(t, "packed.db", packed(good)))

	for name, make := range map[string]func(string) error{
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"dangling":  func(path string) error { return os.Symlink("/no/such/file", path) },
	} {
		path := filepath.Join(dir, name+".db")
		require.NoError(t, make(path))
		_, _, err := Unpack(t.Context(), path, filepath.Join(dir, "to"))
		require.Error(t, err, name)
	}
}

// TestGuard: a hash that matches does not help a file that is shorter than it says. What the guard lets through, etcd reads.
func TestGuard(t *testing.T) {
	t.Parallel()
	good := sample(t)
	content := good[:len(good)-32]
	r := request(t, t.TempDir())
	passed := 0
	for size := 512; size <= len(content); size += 512 {
		err := guard(content[:min(headSize, size)], int64(size))
		if passed > 0 {
			require.NoError(t, err, "%d bytes are more than %d, which pass", size, passed)
		}
		if err == nil && passed == 0 {
			passed = size
		}
	}
	require.Greater(t, passed, len(content)/4)
	raw := filepath.Join(r.Dir, "least.db")
	require.NoError(t, os.WriteFile(raw, append(append([]byte{}, content[:passed]...), make([]byte, 32)...), 0o600))
	_, err := DeepCheck(t.Context(), r.Etcdutl, raw)
	require.NoError(t, err)
	require.ErrorIs(t, guard(make([]byte, headSize), headSize), errFormat)
	require.ErrorIs(t, guard(nil, 0), errFormat)
}

func TestSnapshotThatWasChanged(t *testing.T) {
	t.Parallel()
	c := server(t)
	dir := t.TempDir()
	r := request(t, dir)
	m, err := Take(t.Context(), c, r)
	require.NoError(t, err)
	_, err = c.Put(t.Context(), "later", "value")
	require.NoError(t, err)
	r.Now = r.Now.Add(time.Hour)
	later, err := Take(t.Context(), c, r)
	require.NoError(t, err)

	data, err := os.ReadFile(later.file(dir))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(m.file(dir), data, 0o600))
	_, err = Verify(t.Context(), dir, m, r.Etcdutl)
	require.ErrorContains(t, err, "it is not the one that was written down")
	require.NoError(t, os.Remove(later.file(dir)))
	all, err := List(dir)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.False(t, all[1].Good())
	assert.Contains(t, all[1].Error, "missing")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alien.json"), []byte("{}"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.json"), []byte("{"), 0o600))
	all, err = List(dir)
	require.NoError(t, err)
	assert.Len(t, all, 2, "what is none of ours is left alone")
	require.Error(t, Remove(dir, Meta{Name: "../x"}))
	require.Error(t, Remove(dir, Meta{}))
}

func TestRoom(t *testing.T) {
	t.Parallel()
	const mib, gib = 1 << 20, 1 << 30
	good := func(name string, size int64) Meta { return Meta{Name: name, SHA256: "x", Stored: size} }
	failed := Meta{Name: "failed", Error: "no"}
	for name, tc := range map[string]struct {
		budget Budget
		have   []Meta
		size   int64
		drop   []string
		noRoom bool
	}{
		"the first":                    {Budget{2, 10 * gib, 0, 50 * gib, gib}, nil, gib, nil, false},
		"the second":                   {Budget{2, 10 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib)}, gib, nil, false},
		"the third":                    {Budget{2, 10 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib), good("b", gib)}, gib, []string{"a"}, false},
		"more than are kept by now":    {Budget{2, 10 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib), good("b", gib), good("c", gib)}, gib, []string{"a", "b"}, false},
		"one is kept, until the next":  {Budget{1, 10 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib)}, gib, nil, false},
		"the budget is used":           {Budget{9, 3 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib), good("b", gib), good("c", gib)}, gib, []string{"a"}, false},
		"data moved aside counts":      {Budget{9, 3 * gib, gib, 50 * gib, gib}, []Meta{good("a", gib), good("b", gib)}, gib, []string{"a"}, false},
		"the newest good one stays":    {Budget{9, 2 * gib, gib, 50 * gib, gib}, []Meta{good("a", gib)}, gib, nil, true},
		"nothing goes for nothing":     {Budget{9, 2 * gib, 0, 50 * gib, gib}, []Meta{good("a", 10*mib), good("b", gib)}, 2 * gib, nil, true},
		"2 GiB stay free":              {Budget{9, 10 * gib, 0, 2*gib + 50*mib, gib}, []Meta{good("a", 60*mib), good("b", mib)}, 100 * mib, []string{"a"}, false},
		"the database's size stays":    {Budget{9, 90 * gib, 0, 8 * gib, 8 * gib}, []Meta{good("a", mib)}, mib, nil, true},
		"a failed one does not count":  {Budget{2, 10 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib), failed}, gib, nil, false},
		"a failed one may be the last": {Budget{2, 2 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib), good("b", gib), failed}, gib, []string{"a"}, false},
		"none is kept: one is":         {Budget{0, 10 * gib, 0, 50 * gib, gib}, []Meta{good("a", gib), good("b", gib)}, gib, []string{"a"}, false},
	} {
		drop, err := tc.budget.Room(tc.have, tc.size)
		if tc.noRoom {
			require.ErrorIs(t, err, ErrNoRoom, name)
			assert.Empty(t, drop, name)
			continue
		}
		require.NoError(t, err, name)
		var names []string
		for _, m := range drop {
			names = append(names, m.Name)
		}
		assert.Equal(t, tc.drop, names, name)
	}
}
