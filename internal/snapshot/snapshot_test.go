package snapshot

import (
	"context"
	"fmt"
	"math/rand/v2"
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

	"github.com/juju-charms/etcd-charm/test/built"
)

// TestMain makes the test binary act as etcdutl too: the deep check runs it as a child.
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

// server is a real single member, and a client of it.
func server(tb testing.TB) *clientv3.Client {
	tb.Helper()
	free := func() url.URL { // of an address of its own: at 127.0.0.1 an outgoing connection could take the port meanwhile
		l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)))
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
	return Request{Dir: dir, Unit: "etcd/0", Charm: "test", Etcdutl: built.Self(tb), Now: time.Date(2026, 11, 27, 2, 3, 4, 0, time.UTC)}
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
	r.Users = func(file string) (u Users, err error) {
		_, err = DeepCheck(t.Context(), r.Etcdutl, file)
		u.Add([]byte("root"))
		return u, err
	}
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
	status, err := Verify(t.Context(), dir, m, r.Etcdutl, r.Users)
	require.NoError(t, err)
	assert.Equal(t, m.Revision, status.Revision)
	assert.Equal(t, &Users{Count: 1, Names: []string{"root"}}, m.Users)
	assert.Equal(t, m.Users, status.Users)
	status, err = Verify(t.Context(), dir, m, r.Etcdutl, func(string) (Users, error) { return Users{}, errFormat })
	require.NoError(t, err, "it is good, whoever its users are")
	assert.Nil(t, status.Users)

	// What etcd restores is what was in the member.
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

// TestTakeThatFails: a failed attempt leaves no snapshot, and says why.
func TestTakeThatFails(t *testing.T) {
	t.Parallel()
	c := server(t)
	for name, tc := range map[string]struct {
		change func(*Request)
		why    string
	}{
		"etcd cannot read it": {func(r *Request) { r.Etcdutl = "/bin/false" }, "etcd cannot read it"},
		"no such program":     {func(r *Request) { r.Etcdutl = "/no/such/program" }, "no such file"},
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

// TestBadSnapshots: no bad snapshot reaches etcd's own reader, which some of them would kill.
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

	for name, lay := range map[string]func(string) error{
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"dangling":  func(path string) error { return os.Symlink("/no/such/file", path) },
	} {
		path := filepath.Join(dir, name+".db")
		require.NoError(t, lay(path))
		_, _, err := Unpack(t.Context(), path, filepath.Join(dir, "to"))
		require.Error(t, err, name)
	}
}

// TestGuard: a matching hash does not save a file that is shorter than its header says. What the
// guard accepts, etcd can read.
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
	_, err = Verify(t.Context(), dir, m, r.Etcdutl, r.Users)
	require.ErrorContains(t, err, "it is not the one that was recorded")
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
	apart := func(name string, size int64) Meta {
		return Meta{Name: name, SHA256: "x", Stored: size, Why: "before-restore"}
	}
	failed := Meta{Name: "failed", Error: "no"}
	for name, tc := range map[string]struct {
		budget Budget
		have   []Meta
		size   int64
		work   int64
		drop   []string
		noRoom string
	}{
		"the first":                    {budget: Budget{10 * gib, 0, 50 * gib, gib}, size: gib},
		"there is room beside others":  {budget: Budget{10 * gib, 0, 50 * gib, gib}, have: []Meta{good("a", gib), good("b", gib)}, size: gib},
		"the budget is used":           {budget: Budget{3 * gib, 0, 50 * gib, gib}, have: []Meta{good("a", gib), good("b", gib), good("c", gib)}, size: gib, drop: []string{"a"}},
		"data moved aside counts":      {budget: Budget{3 * gib, gib, 50 * gib, gib}, have: []Meta{good("a", gib), good("b", gib)}, size: gib, drop: []string{"a"}},
		"the newest good one stays":    {budget: Budget{2 * gib, gib, 50 * gib, gib}, have: []Meta{good("a", gib)}, size: gib, noRoom: "it takes 1.0 GiB, and of the 2.0 GiB allowed 2.0 GiB are used"},
		"nothing goes for nothing":     {budget: Budget{2 * gib, 0, 50 * gib, gib}, have: []Meta{good("a", 10*mib), good("b", gib)}, size: 2 * gib, noRoom: "it takes 2.0 GiB"},
		"2 GiB stay free":              {budget: Budget{10 * gib, 0, 2*gib + 50*mib, gib}, have: []Meta{good("a", 60*mib), good("b", mib)}, size: 100 * mib, drop: []string{"a"}},
		"and what it needs meanwhile":  {budget: Budget{10 * gib, 0, 2*gib + 50*mib, gib}, have: []Meta{good("a", 60*mib), good("b", mib)}, size: 10 * mib, work: 90 * mib, drop: []string{"a"}},
		"the database's size stays":    {budget: Budget{90 * gib, 0, 8 * gib, 8 * gib}, have: []Meta{good("a", mib)}, size: mib, noRoom: "8.0 GiB are free, and 8.0 GiB must stay free"},
		"one kept apart stays":         {budget: Budget{2 * gib, 0, 50 * gib, gib}, have: []Meta{apart("a", gib), good("b", gib)}, size: gib, noRoom: "no room"},
		"an older usual one goes":      {budget: Budget{3 * gib, 0, 50 * gib, gib}, have: []Meta{apart("a", gib), good("b", gib), good("c", gib)}, size: gib, drop: []string{"b"}},
		"a failed one may be the last": {budget: Budget{2 * gib, 0, 50 * gib, gib}, have: []Meta{good("a", gib), good("b", gib), failed}, size: gib, drop: []string{"a"}},
	} {
		drop, err := tc.budget.Room(tc.have, tc.size, tc.work)
		if tc.noRoom != "" {
			require.ErrorIs(t, err, ErrNoRoom, name)
			require.ErrorContains(t, err, tc.noRoom, name)
			assert.Empty(t, drop, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, tc.drop, names(drop), name)
	}
}

func names(all []Meta) (out []string) {
	for _, m := range all {
		out = append(out, m.Name)
	}
	return out
}

func TestSurplus(t *testing.T) {
	t.Parallel()
	good := func(name string) Meta { return Meta{Name: name, SHA256: "x", Stored: 1} }
	apart := func(name, why string) Meta { return Meta{Name: name, SHA256: "x", Stored: 1, Why: why} }
	failed := func(name string) Meta { return Meta{Name: name, Error: "no"} }
	for name, tc := range map[string]struct {
		have []Meta
		keep int
		drop []string
	}{
		"none":                        {keep: 2},
		"as many as are kept":         {have: []Meta{good("a"), good("b")}, keep: 2},
		"one more":                    {have: []Meta{good("a"), good("b"), good("c")}, keep: 2, drop: []string{"a"}},
		"fewer are kept by now":       {have: []Meta{good("a"), good("b"), good("c")}, keep: 1, drop: []string{"a", "b"}},
		"the newest stays always":     {have: []Meta{good("a")}, keep: 0},
		"those apart do not count":    {have: []Meta{good("a"), apart("b", "before-restore"), good("c")}, keep: 2},
		"the last of each reason":     {have: []Meta{apart("a", "x"), apart("b", "y"), apart("c", "x")}, keep: 2, drop: []string{"a"}},
		"failures do not count":       {have: []Meta{good("a"), good("b"), failed("c")}, keep: 2},
		"the last failures are shown": {have: []Meta{good("a"), failed("b"), failed("c"), failed("d"), failed("e")}, keep: 2, drop: []string{"b"}},
	} {
		assert.Equal(t, tc.drop, names(Surplus(tc.have, tc.keep)), name)
	}
}

// TestClockThatWentBack: a snapshot taken later counts as later, whatever the clock says, and
// nothing is overwritten.
func TestClockThatWentBack(t *testing.T) {
	t.Parallel()
	c := server(t)
	r := request(t, t.TempDir())
	first, err := Take(t.Context(), c, r)
	require.NoError(t, err)
	same, err := Take(t.Context(), c, r)
	require.NoError(t, err)
	assert.Equal(t, first.Name+"-2", same.Name)
	r.Now = r.Now.Add(-24 * time.Hour)
	back, err := Take(t.Context(), c, r)
	require.NoError(t, err)
	all, err := List(r.Dir)
	require.NoError(t, err)
	assert.Equal(t, []string{first.Name, same.Name, back.Name}, names(all))
	newest, ok := Newest(all)
	require.True(t, ok)
	assert.Equal(t, back, newest)
	assert.Equal(t, []string{first.Name}, names(Surplus(all, 2)))
}

// TestExport: a copy is what etcdctl would save. A target that exists, or whose directory is
// missing, full or read-only, is reported, and the snapshot is kept anyway.
func TestExport(t *testing.T) {
	t.Parallel()
	c := server(t)
	r := request(t, t.TempDir())
	out := t.TempDir()
	r.To = filepath.Join(out, "mine.db")
	m, err := Take(t.Context(), c, r)
	require.NoError(t, err)
	status, err := VerifyFile(t.Context(), r.To, filepath.Join(out, "raw"), r.Etcdutl, false, r.Users)
	require.NoError(t, err)
	assert.Equal(t, m.Revision, status.Revision)
	_, err = Take(t.Context(), c, r)
	require.ErrorContains(t, err, "is kept, but cannot be copied")
	require.ErrorContains(t, err, "already exists")
	r.To = filepath.Join(out, "no", "such.db")
	_, err = Take(t.Context(), c, r)
	require.ErrorIs(t, err, os.ErrNotExist)
	all, err := List(r.Dir)
	require.NoError(t, err)
	require.Len(t, all, 3)
	for _, m := range all {
		assert.True(t, m.Good(), m.Name)
	}
}

// TestFullFileSystem: a snapshot that does not fit leaves a Meta that says so, and nothing else.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system needs root to be mounted: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, 0)) })
	c := server(t)
	_, err := c.Put(t.Context(), "key", strings.Repeat("v", 1<<20))
	require.NoError(t, err)
	r := request(t, filepath.Join(dir, "snapshots"))
	_, err = Take(t.Context(), c, r)
	require.ErrorIs(t, err, syscall.ENOSPC)
	all, err := List(r.Dir)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Contains(t, all[0].Error, "no space left on device")
	entries, err := os.ReadDir(r.Dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "the word alone")

	r.Dir, r.To = t.TempDir(), filepath.Join(dir, "mine.db")
	_, err = Take(t.Context(), c, r)
	require.ErrorIs(t, err, syscall.ENOSPC)
	all, err = List(r.Dir)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.True(t, all[0].Good(), "it is kept all the same")
	_, err = os.Lstat(r.To)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err = Take(t.Context(), c, r)
	require.ErrorIs(t, err, syscall.EROFS)
}

// TestForeignFiles: of files that were not made here, a copy of a database file counts only if the
// caller says that it may be unverified, and a file of a later etcd never.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	good := sample(t)
	dir := t.TempDir()
	r := request(t, dir)
	path := filepath.Join(dir, "raw.db")
	require.NoError(t, os.WriteFile(path, good[:len(good)-32], 0o600))
	raw := filepath.Join(dir, "unpacked")
	_, err := VerifyFile(t.Context(), path, raw, r.Etcdutl, false, r.Users)
	require.ErrorIs(t, err, errUnhashed)
	status, err := VerifyFile(t.Context(), path, raw, r.Etcdutl, true, r.Users)
	require.NoError(t, err)
	assert.Equal(t, 1, status.Keys)
	require.NoError(t, os.WriteFile(path, good[:len(good)/2/512*512], 0o600))
	_, err = VerifyFile(t.Context(), path, raw, r.Etcdutl, true, r.Users)
	require.ErrorIs(t, err, errTruncated)
	for version, fine := range map[string]bool{"": true, "3.4.0": true, "3.6.0": true, "3.7.0": true, "3.7.99": true, "3.8.0": false, "4.0.0": false} {
		assert.Equal(t, fine, readable(version) == nil, version)
	}
}

// TestUsers: what is recorded of users is bounded, and is text.
func TestUsers(t *testing.T) {
	t.Parallel()
	var u Users
	for _, name := range []string{"a\nb", "\xff", strings.Repeat("é", 41), strings.Repeat("é", 40)} {
		u.Add([]byte(name))
	}
	assert.Equal(t, []string{"a?b", "?", strings.Repeat("é", 39) + "…", strings.Repeat("é", 40)}, u.Names)
	for range 1000 {
		u.Add([]byte("more"))
	}
	assert.Equal(t, 1004, u.Count)
	assert.Len(t, u.Names, mostNames)
}

// TestListOlder: the Meta of a snapshot may be that of an earlier charm, which recorded no users,
// or of a later one.
func TestListOlder(t *testing.T) {
	t.Parallel()
	const older = `"name": "etcd-0-20261127T020304Z", "taken": "2026-11-27T02:03:04Z", "unit": "etcd/0", "revision": 4, "keys": 3, "sha256": "00", "stored": 1`
	for name, tc := range map[string]struct {
		text  string
		users *Users
		none  bool
	}{
		"an earlier charm's": {text: "{" + older + "}"},
		"ours": {
			text:  "{" + older + `, "users": {"count": 2, "names": ["alice", "root"], "authentication": true}}`,
			users: &Users{2, []string{"alice", "root"}, true},
		},
		"without users":      {text: "{" + older + `, "users": {"count": 0, "authentication": false}}`, users: &Users{}},
		"a later charm's":    {text: "{" + older + `, "users": {"count": 1, "names": ["root"], "roles": 3}}`, users: &Users{Count: 1, Names: []string{"root"}}},
		"null":               {text: "{" + older + `, "users": null}`},
		"users of some kind": {text: "{" + older + `, "users": "many"}`, none: true},
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etcd-0-20261127T020304Z.json"), []byte(tc.text), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etcd-0-20261127T020304Z.db.zst"), []byte("x"), 0o600))
		all, err := List(dir)
		require.NoError(t, err, name)
		if tc.none {
			assert.Empty(t, all, name)
			continue
		}
		require.Len(t, all, 1, name)
		assert.True(t, all[0].Good(), name)
		assert.Equal(t, tc.users, all[0].Users, name)
	}
}
