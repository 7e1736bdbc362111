package secondlife

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// older are the snapshots that older releases of etcd wrote; the README beside them says how.
var older = map[string]struct {
	version string // of the storage; etcd did not write one before 3.6
	auth    bool
}{
	"3.4.23":           {"", true},
	"3.5.35":           {"", false},
	"3.6.16":           {"3.6.0", true},
	"3.6.16-downgrade": {"", false},
}

// olderFile is the path of a snapshot of an older release, and what it holds when it is unpacked.
func olderFile(t *testing.T, name string) (path string, data []byte) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "snapshot", "testdata", "older", name+".db.zst"))
	require.NoError(t, err)
	packed, err := os.ReadFile(path)
	require.NoError(t, err)
	z, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer z.Close()
	data, err = z.DecodeAll(packed, nil)
	require.NoError(t, err)
	return path, data
}

// TestRestoreOlder: what etcd 3.4, 3.5 and 3.6 saved is restored with everything that clients had,
// as a cluster of one new member. Of a copy of the database file the same is restored, if the
// operator says that it may be unverified.
func TestRestoreOlder(t *testing.T) {
	t.Parallel()
	for name, has := range older {
		for _, raw := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s raw=%t", name, raw), func(t *testing.T) {
				t.Parallel()
				u := newUnit(t)
				file := name
				if raw { // it stays packed
					file += "-raw"
				}
				path, data := olderFile(t, file)
				if !raw {
					path = filepath.Join(t.TempDir(), "older.db")
					require.NoError(t, os.WriteFile(path, data, 0o600))
					db, err := datadir.ReadDB(path)
					require.NoError(t, err)
					assert.EqualValues(t, 13, db.Revision)
					assert.Equal(t, has.version, db.Version)
					users, err := datadir.ReadUsers(path)
					require.NoError(t, err)
					assert.Equal(t, snapshot.Users{Count: 2, Names: []string{"app", "root"}, Auth: has.auth}, users)
				}
				r := request("op", path)
				if raw {
					_, err := u.PrepareRestore(t.Context(), r, nil)
					require.ErrorContains(t, err, "only unverified=true restores it")
					nothing(t, u)
					r.Unverified = true
				}
				r.Seen = 5000
				words, err := u.PrepareRestore(t.Context(), r, nil)
				require.NoError(t, err)
				assert.Contains(t, words, "183 keys, revision 13, which is 1000005000 from now on")
				assert.Contains(t, words, "1 leases begin with their full time")
				if has.auth {
					assert.Contains(t, words, "authentication was on and is off")
				} else {
					assert.NotContains(t, words, "authentication")
				}
				assert.Equal(t, name == "3.6.16-downgrade", strings.Contains(words, "a downgrade to 3.5.0 had begun and is ended"), words)
				served(t, u, "op", func(ctx context.Context, s *server) { asOlder(ctx, t, s) })
			})
		}
	}
}

// asOlder fails unless a server has what the script that made the snapshots wrote.
func asOlder(ctx context.Context, t *testing.T, s *server) {
	t.Helper()
	list, err := s.MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, list.Members, 1, "the former members are gone")
	assert.Equal(t, "etcd-0", list.Members[0].Name)
	assert.Equal(t, []string{"https://192.0.2.1:2380"}, list.Members[0].PeerURLs)
	assert.False(t, list.Members[0].IsLearner)

	want := map[string]string{"often": "4", "leased": "value"}
	for i := range 180 { // k/180 to k/199 were deleted
		times := "first"
		if i < 50 {
			times = "second"
		}
		want[fmt.Sprintf("k/%03d", i)] = fmt.Sprintf("%s-%03d", times, i)
	}
	all, err := s.Get(ctx, "\x00", clientv3.WithFromKey())
	require.NoError(t, err)
	have := map[string]string{}
	var lease int64
	for _, kv := range all.Kvs {
		have[string(kv.Key)] = string(kv.Value)
		lease = max(lease, kv.Lease)
	}
	assert.Equal(t, want, have)
	assert.Greater(t, all.Header.GetRevision(), int64(Jump))
	_, err = s.Get(ctx, "k/190", clientv3.WithRev(10))
	require.ErrorIs(t, err, rpctypes.ErrCompacted)

	left, err := s.TimeToLive(ctx, clientv3.LeaseID(lease), clientv3.WithAttachedKeys())
	require.NoError(t, err)
	assert.EqualValues(t, 3600, left.GrantedTTL)
	assert.Equal(t, [][]byte{[]byte("leased")}, left.Keys)

	status, err := s.Status(ctx, s.Endpoints()[0])
	require.NoError(t, err)
	assert.False(t, status.DowngradeInfo.GetEnabled(), "a downgrade of the former cluster")
	assert.Empty(t, status.Errors)

	users, err := s.UserList(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"app", "root"}, users.Users)
	roles, err := s.RoleList(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"reader", "root"}, roles.Roles)
	app, err := s.UserGet(ctx, "app")
	require.NoError(t, err)
	assert.Equal(t, []string{"reader"}, app.Roles)
	reader, err := s.RoleGet(ctx, "reader")
	require.NoError(t, err)
	require.Len(t, reader.Perm, 1)
	assert.Equal(t, "k/", string(reader.Perm[0].GetKey()))

	// Their passwords are those that they had.
	_, err = s.AuthEnable(ctx)
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, "app", "secret")
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, "app", "another")
	require.Error(t, err)
}

// TestOthersJoinOlder: restored data of an older release becomes data of our own release, and
// another member joins it.
func TestOthersJoinOlder(t *testing.T) {
	t.Parallel()
	for name := range older {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUnit(t)
			path, _ := olderFile(t, name)
			peers := []url.URL{freeURL(t), freeURL(t)}
			r := request("op", path)
			r.PeerURL = peers[0].String()
			_, err := u.PrepareRestore(t.Context(), r, nil)
			require.NoError(t, err)

			cluster := "etcd-0=" + peers[0].String()
			start := func(data, name string, peer url.URL, state string) *clientv3.Client {
				c := embed.NewConfig()
				c.Dir, c.Name, c.LogLevel, c.UnsafeNoFsync, c.ClusterState = data, name, "error", true, state
				c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
				client := freeURL(t)
				c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
				c.InitialCluster = cluster
				c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
				e, err := embed.StartEtcd(c)
				require.NoError(t, err)
				t.Cleanup(e.Close)
				<-e.Server.ReadyNotify()
				cl, err := clientv3.New(clientv3.Config{Endpoints: []string{client.Host}, Logger: zap.NewNop()})
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, cl.Close()) })
				return cl
			}
			one := start(filepath.Join(u.Prepared, "op"), "etcd-0", peers[0], embed.ClusterStateFlagExisting)
			added, err := one.MemberAddAsLearner(t.Context(), []string{peers[1].String()})
			require.NoError(t, err)
			cluster += ",etcd-1=" + peers[1].String()
			two := start(t.TempDir(), "etcd-1", peers[1], embed.ClusterStateFlagExisting)
			require.EventuallyWithT(t, func(look *assert.CollectT) {
				_, err := one.MemberPromote(t.Context(), added.Member.GetID())
				require.NoError(look, err)
			}, time.Minute, retry)
			for _, c := range []*clientv3.Client{one, two} {
				require.EventuallyWithT(t, func(look *assert.CollectT) {
					all, err := c.Get(t.Context(), "k/", clientv3.WithPrefix(), clientv3.WithCountOnly())
					require.NoError(look, err)
					assert.EqualValues(look, 180, all.Count)
					status, err := c.Status(t.Context(), c.Endpoints()[0])
					require.NoError(look, err)
					assert.Equal(look, "3.7.0", status.StorageVersion)
					assert.Empty(look, status.Errors)
				}, time.Minute, retry)
			}
		})
	}
}

// TestRefusedOlder: an older snapshot that is cut off or changed is refused, and leaves nothing.
func TestRefusedOlder(t *testing.T) {
	t.Parallel()
	for name := range older {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bad{Unit: newUnit(t), file: filepath.Join(t.TempDir(), "bad.db")}
			_, good := olderFile(t, name)
			for _, size := range []int{0, 512, 4096, len(good) / 2 / 512 * 512, len(good) - 512, len(good) - 1} {
				require.NoError(t, os.WriteFile(b.file, good[:size], 0o600))
				b.refuses(t, false, "", size)
			}
			for i := range 8 {
				at := i * (len(good) - 1) / 7
				data := append([]byte{}, good...)
				data[at] ^= 0x10
				require.NoError(t, os.WriteFile(b.file, data, 0o600))
				b.refuses(t, false, "", at)
			}
			require.NoError(t, os.WriteFile(b.file, good[:len(good)-32], 0o600))
			b.refuses(t, false, "only unverified=true restores it")
		})
	}
}

// TestRestoreDuringDowngrade: a cluster of our own etcd that is being downgraded is restored as one
// that is not.
func TestRestoreDuringDowngrade(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	c := member(t)
	put(t, c, 3)
	require.EventuallyWithT(t, func(look *assert.CollectT) { // it has no cluster version at first
		_, err := c.Downgrade(t.Context(), clientv3.DowngradeEnable, "3.6.0")
		require.NoError(look, err)
	}, time.Minute, retry)
	words, err := u.PrepareRestore(t.Context(), request("op", plain(t, c)), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "a downgrade to 3.6.0 had begun and is ended")
	served(t, u, "op", func(ctx context.Context, s *server) {
		status, err := s.Status(ctx, s.Endpoints()[0])
		require.NoError(t, err)
		assert.False(t, status.DowngradeInfo.GetEnabled())
	})
}

// TestRestoreOtherPages: a machine with larger pages than ours wrote it.
func TestRestoreOtherPages(t *testing.T) {
	t.Parallel()
	_, data := olderFile(t, "3.5.35-raw")
	for _, size := range []int{8 << 10, 16 << 10, 64 << 10} {
		u := newUnit(t)
		dir := t.TempDir()
		was, is := filepath.Join(dir, "was.db"), filepath.Join(dir, "is.db")
		require.NoError(t, os.WriteFile(was, data, 0o600))
		src, err := bolt.Open(was, 0o600, nil)
		require.NoError(t, err)
		dst, err := bolt.Open(is, 0o600, &bolt.Options{PageSize: size})
		require.NoError(t, err)
		require.NoError(t, bolt.Compact(dst, src, 0))
		require.NoError(t, errors.Join(src.Close(), dst.Close()))
		plain, err := os.ReadFile(is)
		require.NoError(t, err)
		sum := sha256.Sum256(plain)
		require.NoError(t, os.WriteFile(is, append(plain, sum[:]...), 0o600))

		words, err := u.PrepareRestore(t.Context(), request("op", is), nil)
		require.NoError(t, err, size)
		assert.Contains(t, words, "183 keys, revision 13", size)
		served(t, u, "op", func(ctx context.Context, s *server) { asOlder(ctx, t, s) })
	}
}
