package host

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// keyPair is a copy of one of a unit's certificates, with its key.
type keyPair struct {
	pair  tls.Certificate
	roots *x509.CertPool
	leaf  operator.Issued
}

// copied are u's three key pairs.
func copied(t *testing.T, u *unit) map[operator.LeafKind]keyPair {
	t.Helper()
	out := map[operator.LeafKind]keyPair{}
	for _, leaf := range u.lookIssued() {
		name := string(leaf.Kind)
		pair, err := tls.LoadX509KeyPair(u.tls(certFile(name)), u.tls(keyFile(name)))
		require.NoError(t, err)
		trust := u.tls(clientTrustFile)
		if leaf.Kind == operator.PeerLeaf {
			trust = u.tls(peerTrustFile)
		}
		roots := x509.NewCertPool()
		data, err := os.ReadFile(trust)
		require.NoError(t, err)
		require.True(t, roots.AppendCertsFromPEM(data))
		out[leaf.Kind] = keyPair{pair, roots, leaf}
	}
	require.Len(t, out, 3)
	return out
}

// opens reports whether the key pair opens a new connection to the port that it is for.
func (k keyPair) opens(t *testing.T, u *unit) bool {
	t.Helper()
	port := u.fleet.config.Port
	if k.leaf.Kind == operator.PeerLeaf {
		port = u.fleet.config.ManagementPort
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		RootCAs:              k.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &k.pair, nil },
	}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.ip, fmt.Sprint(port)))
	if err == nil {
		defer conn.Close()
		deadline, _ := ctx.Deadline()
		require.NoError(t, conn.SetDeadline(deadline))
		_, err = fmt.Fprintf(conn, "GET /version HTTP/1.1\r\nHost: %s\r\n\r\n", u.ip)
		if err == nil {
			var resp *http.Response
			if resp, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				defer resp.Body.Close()
				assert.Equal(t, http.StatusOK, resp.StatusCode)
			}
		}
	}
	var late net.Error
	require.False(t, errors.As(err, &late) && late.Timeout(), "no answer is no refusal")
	return err == nil
}

// lists returns the step that writes both lists and nothing else.
func (u *unit) lists(refused operator.Refused) operator.WriteTLS {
	return operator.WriteTLS{
		Authority: u.fleet.authority, CommonName: u.unitName, Revoked: &operator.Revoked{ModelUUID: u.model().UUID, Refused: refused},
	}
}

func refuse(kinds map[operator.LeafKind]keyPair) operator.Refused {
	out := operator.Refused{
		Client: []string{kinds[operator.ServerLeaf].leaf.Serial, kinds[operator.AdminLeaf].leaf.Serial},
		Peer:   []string{kinds[operator.PeerLeaf].leaf.Serial},
	}
	slices.Sort(out.Client)
	return out
}

// A unit that has left opens no new connection on either port once the lists are written; units
// that stay go on.
func TestLeaversAreRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.add(t), f.add(t), f.add(t)
	a.found()
	b.join()
	gone := c.join()
	left, stays := copied(t, c), copied(t, b)
	assertOpens := func(pairs map[operator.LeafKind]keyPair, want bool, why string) {
		t.Helper()
		for kind, pair := range pairs {
			for _, u := range []*unit{a, b} {
				assert.Equal(t, want, pair.opens(t, u), "%s: %s at %s", why, kind, u.unitName)
			}
		}
	}
	assertOpens(left, true, "before it leaves")
	process, err := a.supervisor.state(t.Context())
	require.NoError(t, err)

	c.do(operator.Stop{Why: "the unit leaves"})
	a.do(operator.RemoveMember{ID: gone.Data.MemberID})
	for _, u := range []*unit{a, b} {
		u.do(u.lists(refuse(left)))
		assert.Equal(t, refuse(left), u.look().TLS.Refused)
	}
	assertOpens(left, false, "after it has left")
	assertOpens(stays, true, "whoever stays")
	still, err := a.supervisor.state(t.Context())
	require.NoError(t, err)
	assert.Equal(t, process.process.pid, still.process.pid, "no restart is needed")

	// Members connect to each other again after a restart with the lists in place.
	a.do(operator.Restart{}, operator.AwaitReady{})
	b.eventually("two ready voters", func(w operator.World) bool {
		return voters(w) == 2 && !slices.ContainsFunc(w.Members, func(m operator.Member) bool { return !m.Ready })
	})

	// If a list is missing or unreadable, etcd refuses every client, whether or not it is on a
	// list.
	for _, name := range []string{peerRevokedFile, revokedFile} {
		kind := map[string]operator.LeafKind{peerRevokedFile: operator.PeerLeaf, revokedFile: operator.AdminLeaf}[name]
		require.NoError(t, os.Remove(a.tls(name)))
		assert.False(t, stays[kind].opens(t, a), "%s is missing", name)
		require.NoError(t, os.WriteFile(a.tls(name), []byte("garbage"), 0o644))
		assert.False(t, stays[kind].opens(t, a), "%s is garbage", name)
		require.NoError(t, a.Do(t.Context(), a.lists(operator.Refused{})))
		assert.True(t, stays[kind].opens(t, a), "%s is back", name)
	}
	assert.True(t, left[operator.PeerLeaf].opens(t, a), "what is not on the list any more is let in again")
}

// etcd reads the setting of the peer port's list only at its start.
func TestPeerListNeedsRestart(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	u.do(operator.SpendInitial{})
	written, err := os.ReadFile(u.memberEnv())
	require.NoError(t, err)
	setting := "ETCD_PEER_CRL_FILE=" + u.tls(peerRevokedFile)
	require.Contains(t, string(written), setting+"\n")
	own := copied(t, u)
	require.NoError(t, os.WriteFile(u.memberEnv(), []byte(strings.ReplaceAll(string(written), setting+"\n", "")), 0o600))
	u.do(operator.Restart{}, operator.AwaitReady{}) // as a former charm has started it
	u.do(u.lists(refuse(own)))
	assert.True(t, own[operator.PeerLeaf].opens(t, u))

	require.NoError(t, os.WriteFile(u.memberEnv(), written, 0o600))
	assert.True(t, own[operator.PeerLeaf].opens(t, u))
	require.NoError(t, u.Do(t.Context(), operator.Restart{}))
	require.NoError(t, u.Do(t.Context(), operator.AwaitReady{Learner: true})) // its client port refuses us
	assert.False(t, own[operator.PeerLeaf].opens(t, u))
}

func TestListsOnDisk(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, m := dressed(t, &now)
	look := func() operator.TLS { return u.lookTLS(m) }
	assert.True(t, look().PeerList)
	assert.Equal(t, operator.Refused{}, look().Refused)
	_, err := os.Stat(u.tls(peerRevokedFile))
	require.NoError(t, err)

	// Relations and units are on one list, and are not confused with each other.
	m.Cluster.Value.AppBag.Revoked = []operator.Ended{{RelationID: "proxy:3", Generation: 1, Period: pki.PeriodOf(now)}}
	step := u.lists(refuse(copied(t, u)))
	step.Revoked.Relations = m.Cluster.Value.AppBag.Revoked
	require.NoError(t, u.Do(t.Context(), step))
	require.NoError(t, u.Do(t.Context(), step), "twice")
	assert.Equal(t, operator.RevokedDigest(step.Revoked.Relations), look().Revoked)
	assert.Equal(t, step.Revoked.Refused, look().Refused)
	m.Authority = operator.Unknown[*pki.Authority]("test")
	assert.Equal(t, step.Revoked.Client, look().Refused.Client)

	bad := u.lists(operator.Refused{Peer: []string{"x"}})
	require.Error(t, u.Do(t.Context(), bad))
	require.NoError(t, os.WriteFile(u.tls(peerRevokedFile), []byte("garbage"), 0o644))
	assert.False(t, look().PeerList)
	require.NoError(t, os.Remove(u.tls(peerRevokedFile)))
	assert.False(t, look().PeerList)
}

// A unit remembers each certificate that it has issued until it expires, even if another has
// replaced it or the hook fails.
func TestIssuedIsRemembered(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, m := dressed(t, &now)
	look := func() []operator.Issued { return u.lookTLS(m).Issued }
	first := look()
	require.Len(t, first, 3)
	tls := u.lookTLS(m)
	for _, leaf := range first {
		want := map[operator.LeafKind]operator.Leaf{
			operator.PeerLeaf: tls.Peer, operator.ServerLeaf: tls.Server, operator.AdminLeaf: tls.Admin,
		}[leaf.Kind]
		assert.Equal(t, want.Serial, leaf.Serial)
		assert.InDelta(t, now.Add(365*24*time.Hour).Unix(), leaf.End, 2)
	}
	now = now.Add(100 * 24 * time.Hour)
	step := u.writeAll()
	step.Admin = false
	require.NoError(t, u.Do(t.Context(), step))
	require.Len(t, look(), 5)
	assert.Subset(t, look(), first)
	require.NoError(t, u.Do(t.Context(), step), "as a hook that died before it told of the first")
	require.Len(t, look(), 7)

	now = now.Add(300 * 24 * time.Hour)
	require.NoError(t, u.Do(t.Context(), u.writeAll()))
	assert.Len(t, look(), 4+3, "what has ended is forgotten")

	// A former charm kept no such file, and a disk may lose it.
	for _, spoil := range []func() error{
		func() error { return os.Remove(u.tls(issuedFile)) },
		func() error { return os.WriteFile(u.tls(issuedFile), []byte("garbage"), 0o600) },
	} {
		require.NoError(t, spoil())
		assert.Len(t, look(), 3)
	}
	require.NoError(t, os.WriteFile(u.tls(certFile(peerName)), []byte("garbage"), 0o644))
	assert.Len(t, look(), 2)
	for range 100 {
		require.NoError(t, u.noteIssued(operator.Issued{Kind: operator.PeerLeaf, Serial: fmt.Sprintf("%x", now.UnixNano()), End: now.Unix()}))
		now = now.Add(time.Second)
	}
	assert.NotEmpty(t, look(), "however many there are")
}
