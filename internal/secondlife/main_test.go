package secondlife

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
	"github.com/juju-charms/etcd-charm/test/built"
)

// TestMain makes the test binary act as etcd and etcdutl too, by the name under which it is called,
// as the charm's binary does.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "etcd":
		etcdmain.Main(os.Args)
	case "etcdutl":
		root := &cobra.Command{Use: "etcdutl", SilenceUsage: true}
		root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "")
		root.AddCommand(etcdutl.NewSnapshotCommand())
		if root.Execute() != nil {
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// newUnit is a unit with directories of its own.
func newUnit(t *testing.T) Unit {
	t.Helper()
	dir := t.TempDir()
	self := built.Self(t)
	u := Unit{
		Data: filepath.Join(dir, "data"), Prepared: filepath.Join(dir, "prepared"), Snapshots: filepath.Join(dir, "snapshots"),
		Drilled: filepath.Join(dir, "drill.json"), Etcd: filepath.Join(dir, "bin", "etcd"), Etcdutl: filepath.Join(dir, "bin", "etcdutl"),
		ClientURL: "https://192.0.2.1:2379", Now: time.Now,
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o700))
	require.NoError(t, os.Symlink(self, u.Etcd))
	require.NoError(t, os.Symlink(self, u.Etcdutl))
	return u
}

// freeURL returns a URL to listen at, on an address of its own: on 127.0.0.1 an outgoing connection
// could take the port meanwhile.
func freeURL(tb testing.TB) url.URL {
	tb.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)))
	require.NoError(tb, err)
	defer func() { require.NoError(tb, l.Close()) }()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

// member is a real member of one, in this process, and a client of it.
func member(tb testing.TB) *clientv3.Client {
	tb.Helper()
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync = tb.TempDir(), "error", true
	peer, client := freeURL(tb), freeURL(tb)
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

// put writes n keys of some size.
func put(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	for i := range n {
		_, err := c.Put(t.Context(), fmt.Sprintf("key%04d", i), fmt.Sprintf("value %d", i))
		require.NoError(t, err)
	}
}

// keep takes a snapshot of the member and keeps it.
func keep(t *testing.T, u Unit, c *clientv3.Client, at time.Time) snapshot.Meta {
	t.Helper()
	m, err := snapshot.Take(t.Context(), c, snapshot.Request{Dir: u.Snapshots, Unit: "etcd/0", Charm: "test", Etcdutl: u.Etcdutl, Now: at})
	require.NoError(t, err)
	return m
}

// plain is a snapshot as etcdctl saves it.
func plain(t *testing.T, c *clientv3.Client) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plain.db")
	require.NoError(t, snapshot.Save(t.Context(), c, path, func(int64) {}))
	return path
}

func request(id, snapshot string) operator.WorkRequest {
	return operator.WorkRequest{
		ID: id, Kind: operator.PrepareRestore, Snapshot: snapshot,
		Name: "etcd-0", PeerURL: "https://192.0.2.1:2380", Token: "token-" + id,
	}
}

// served serves the new data, as the unit would, until f returns.
func served(t *testing.T, u Unit, id string, f func(context.Context, *server)) {
	t.Helper()
	m := making{Unit: u, id: "look-" + id, dir: t.TempDir(), say: func(string, int64, int64) {}}
	s, err := m.serve(t.Context(), filepath.Join(u.Prepared, id), "etcd-0", 1<<20)
	require.NoError(t, err)
	f(t.Context(), s)
	require.NoError(t, s.stop())
}

// nothing fails the test if any unfinished data is left.
func nothing(t *testing.T, u Unit) {
	t.Helper()
	entries, err := os.ReadDir(u.Prepared)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	assert.Empty(t, entries)
}

func snapshotOf(ctx context.Context, s *server, path string) error {
	return snapshot.Save(ctx, s.Client, path, func(int64) {})
}
