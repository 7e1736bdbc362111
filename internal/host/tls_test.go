package host

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// dressed returns a unit with certificates and without a server; now is its clock.
func dressed(tb testing.TB, now *time.Time) (u *unit, m operator.Model) {
	tb.Helper()
	u = newFleet(tb).add(tb)
	u.now = func() time.Time { return *now }
	require.NoError(tb, u.mendItems(tb.Context()))
	require.NoError(tb, u.makeData())
	require.NoError(tb, u.Do(tb.Context(), u.writeAll()))
	return u, u.model()
}

func TestLookTLS(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		spoil   func(*testing.T, *unit, *operator.Model)
		after   time.Duration
		problem string // of the peer certificate
		due     bool
	}{
		"as written":      {},
		"in half a year":  {after: 180 * day},
		"in nine months":  {after: 270 * day, due: true},
		"in two years":    {after: 730 * day, problem: "it expired on", due: true},
		"a clock behind":  {after: -400 * day},
		"never set clock": {after: -20 * 365 * day, due: true},
		"unreadable":      {spoil: spoil(certFile(peerName), "garbage"), problem: "certificate"},
		"key is another":  {spoil: swapKeys, problem: "key does not match"},
		"key is gone":     {spoil: spoil(keyFile(peerName), ""), problem: "no such file"},
		"trust is broken": {spoil: spoil(peerTrustFile, "garbage"), problem: "trust bundle"},
		"another authority in the model": {spoil: func(t *testing.T, u *unit, m *operator.Model) {
			t.Helper()
			other, err := u.NewAuthority("etcd")
			require.NoError(t, err)
			m.Authority = operator.Know(other)
		}, problem: "signed by another authority"},
		"no authority known": {spoil: func(_ *testing.T, _ *unit, m *operator.Model) {
			m.Authority = operator.Unknown[*pki.Authority]("test")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := begin
			u, m := dressed(t, &now)
			if tt.spoil != nil {
				tt.spoil(t, u, &m)
			}
			now = begin.Add(tt.after)
			leaf := u.lookTLS(m).Peer
			assert.True(t, leaf.Present)
			if tt.problem == "" {
				assert.Empty(t, leaf.Problem)
				assert.ElementsMatch(t, []string{u.ip, "127.0.0.1"}, leaf.SANs)
				assert.NotEmpty(t, leaf.Signer)
			} else {
				assert.Contains(t, leaf.Problem, tt.problem)
			}
			assert.Equal(t, tt.due, leaf.Due)
		})
	}
}

func spoil(name, content string) func(*testing.T, *unit, *operator.Model) {
	return func(t *testing.T, u *unit, _ *operator.Model) {
		t.Helper()
		require.NoError(t, os.Remove(u.tls(name)))
		if content != "" {
			require.NoError(t, os.WriteFile(u.tls(name), []byte(content), 0o600))
		}
	}
}

func swapKeys(t *testing.T, u *unit, _ *operator.Model) {
	t.Helper()
	require.NoError(t, os.Rename(u.tls(keyFile(serverName)), u.tls(keyFile(peerName))))
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, m := dressed(t, &now)
	ended := []operator.Ended{{RelationID: "proxy:3", Generation: 1, Period: pki.PeriodOf(now)}, {RelationID: "db:5", Generation: 2, Period: pki.PeriodOf(now) - 1}}
	revoked := func(h *Host, m operator.Model) string { return h.lookTLS(m).Revoked }

	assert.Equal(t, operator.RevokedDigest(nil), revoked(u.Host, m), "an empty list is a list")
	m.Cluster.Value.AppBag.Revoked = ended
	assert.NotEqual(t, operator.RevokedDigest(ended), revoked(u.Host, m))

	// The hook has written the list before Juju has the record: this process remembers it, and the
	// next one finds it in the record.
	step := operator.WriteTLS{Authority: u.fleet.authority, Revoked: &operator.Revoked{ModelUUID: m.UUID, Relations: ended}}
	require.NoError(t, u.Do(t.Context(), step))
	m.Cluster.Value.AppBag.Revoked = nil
	assert.Equal(t, operator.RevokedDigest(ended), revoked(u.Host, m))
	next := New(Options{Root: u.root, Unit: u.unitName, Binary: u.carried})
	assert.Equal(t, staleList, revoked(next, m))
	m.Cluster.Value.AppBag.Revoked = ended
	assert.Equal(t, operator.RevokedDigest(ended), revoked(next, m))

	require.NoError(t, os.WriteFile(u.tls(revokedFile), []byte("garbage"), 0o644))
	assert.Equal(t, staleList, revoked(next, m))
	require.NoError(t, os.Remove(u.tls(revokedFile)))
	assert.Empty(t, revoked(next, m))
}

func BenchmarkLookRevoked(b *testing.B) {
	now := time.Now()
	u, m := dressed(b, &now)
	for i := range int64(1000) {
		m.Cluster.Value.AppBag.Revoked = append(m.Cluster.Value.AppBag.Revoked,
			operator.Ended{RelationID: "proxy:" + strconv.FormatInt(i, 10), Generation: 1, Period: pki.PeriodOf(now) - i%4})
	}
	ended := m.Cluster.Value.AppBag.Revoked
	step := operator.WriteTLS{Authority: u.fleet.authority, Revoked: &operator.Revoked{ModelUUID: m.UUID, Relations: ended}}
	require.NoError(b, u.Do(b.Context(), step))
	next := New(Options{Root: u.root, Unit: u.unitName, Binary: u.carried})
	a := m.Authority.Value
	for b.Loop() {
		revoked, _ := next.lookRevoked(m, a)
		require.Equal(b, operator.RevokedDigest(ended), revoked)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	assert.NotContains(t, u.writeAll().String(), "KEY")
	err := u.Do(t.Context(), operator.WriteTLS{Authority: &pki.Authority{Peer: u.fleet.authority.Peer}, Peer: true})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "KEY")
	key := file{path: "/k", data: []byte("hush"), mode: secret}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{key, &key, []file{key}} {
			printed := fmt.Sprintf(verb, value)
			assert.Contains(t, printed, "/k -rw------- (4 bytes)", verb)
			assert.NotContains(t, printed, "hush", verb)
		}
	}
}

func TestTrustIsComparable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, m := dressed(t, &now)
	w, err := u.Observe(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, u.fleet.authority.Trust(), w.TLS.Trust)
}

// TestOthersReadNoKey: only their owner can read keys; all users can read what etcd and etcdctl
// read as another user.
func TestOthersReadNoKey(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, _ := dressed(t, &now)
	entries, err := os.ReadDir(u.tls(""))
	require.NoError(t, err)
	modes := map[string]os.FileMode{}
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		modes[e.Name()] = info.Mode()
	}
	want := map[string]os.FileMode{
		issuedFile: secret, peerTrustFile: public, clientTrustFile: public, revokedFile: public, peerRevokedFile: public,
	}
	for _, name := range []string{peerName, serverName, adminName} {
		want[keyFile(name)], want[certFile(name)] = secret, public
	}
	assert.Equal(t, want, modes)
}
