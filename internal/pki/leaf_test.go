package pki_test

import (
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestIssue(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	request := pki.Request{CommonName: "etcd0", SANs: []string{"Host.Example.", "10.0.0.5", "fd00:0::5", "10.0.0.5", ""}}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	names := []string{"10.0.0.5", "fd00::5", "host.example"}

	peer, err := pki.IssuePeer(epoch, stream(2), a, request)
	require.NoError(t, err)
	server, err := pki.IssueServer(epoch, stream(3), a, request)
	require.NoError(t, err)
	admin, err := pki.IssueAdmin(epoch, stream(4), a)
	require.NoError(t, err)
	tests := []struct {
		name            string
		leaf            pki.Leaf
		signer, other   pki.CA
		cn              string
		usages          []x509.ExtKeyUsage
		sans            []string
		trust, distrust []byte
	}{
		{"peer", peer, a.Peer, a.Client, "etcd0", both, names, a.TrustPeer, a.TrustClient},
		{"server", server, a.Client, a.Peer, "etcd0", both, names, a.TrustClient, a.TrustPeer},
		{"admin", admin, a.Client, a.Peer, "root", both[1:], []string{}, a.TrustClient, a.TrustPeer},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cert := parse(t, test.leaf.CertPEM)
			assert.Equal(t, test.usages, cert.ExtKeyUsage)
			assert.False(t, cert.IsCA)
			assert.Equal(t, x509.KeyUsageDigitalSignature, cert.KeyUsage)
			assert.Equal(t, begin, cert.NotBefore)
			assert.Equal(t, epoch.Add(365*day), cert.NotAfter)

			info, err := pki.Describe(test.leaf.CertPEM, test.leaf.Key.PEM(), test.trust, epoch)
			require.NoError(t, err)
			assert.Equal(t, test.cn, cert.Subject.CommonName)
			assert.Equal(t, test.sans, info.SANs)
			assert.Equal(t, test.signer.Fingerprint(), info.SignedBy)
			assert.True(t, info.KeyMatches)
			assert.True(t, info.Trusted)

			info, err = pki.Describe(test.leaf.CertPEM, test.leaf.Key.PEM(), test.distrust, epoch)
			require.NoError(t, err)
			assert.False(t, info.Trusted, "the two authorities are strangers")
		})
	}
}

func TestIssueIsDeterministic(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	one, err := pki.IssuePeer(epoch, stream(2), a, pki.Request{SANs: []string{"b", "a"}})
	require.NoError(t, err)
	two, err := pki.IssuePeer(epoch, stream(2), a, pki.Request{SANs: []string{"a", "b", "a"}})
	require.NoError(t, err)
	assert.Equal(t, string(one.CertPEM), string(two.CertPEM))
	assert.Equal(t, string(one.Key.PEM()), string(two.Key.PEM()))
	three, err := pki.IssuePeer(epoch, stream(3), a, pki.Request{SANs: []string{"a", "b"}})
	require.NoError(t, err)
	assert.NotEqual(t, string(one.Key.PEM()), string(three.Key.PEM()))
}

func TestIssueStaysWithinTheAuthority(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	ca := parse(t, a.Client.CertPEM)

	early, err := pki.IssueAdmin(ca.NotBefore.Add(time.Minute), stream(2), a)
	require.NoError(t, err)
	assert.Equal(t, ca.NotBefore, parse(t, early.CertPEM).NotBefore)
	late, err := pki.IssueAdmin(ca.NotAfter.Add(-day), stream(2), a)
	require.NoError(t, err)
	assert.Equal(t, ca.NotAfter, parse(t, late.CertPEM).NotAfter)
	info, err := pki.Describe(late.CertPEM, late.Key.PEM(), a.TrustClient, ca.NotAfter.Add(-day))
	require.NoError(t, err)
	assert.False(t, info.Due, "a new one would end with the authority too, and be due at once")

	_, err = pki.IssueAdmin(ca.NotAfter.Add(time.Second), stream(2), a)
	require.EqualError(t, err, "cannot issue admin certificate: CA has expired on 2046-11-22 10:00 UTC")
	_, err = pki.IssueAdmin(time.Unix(0, 0), stream(2), a)
	require.EqualError(t, err, "cannot issue admin certificate: CA is not valid before 2020-01-01 00:00 UTC, and the clock says 1970-01-01 00:00 UTC")
}

func TestIssueErrors(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	_, err := pki.IssueServer(epoch, stream(2), a, pki.Request{SANs: []string{"not a name"}})
	require.EqualError(t, err, `cannot issue server certificate: SAN "not a name" is neither an IP address nor a DNS name`)
	_, err = pki.IssuePeer(epoch, stream(2), &pki.Authority{}, pki.Request{})
	require.EqualError(t, err, "cannot issue peer certificate: CA certificate is empty")
	_, err = pki.IssuePeer(epoch, stream(2), &pki.Authority{Peer: pki.CA{CertPEM: a.Peer.CertPEM}}, pki.Request{})
	require.EqualError(t, err, "cannot issue peer certificate: CA has no private key")
	_, err = pki.IssueAdmin(epoch, strings.NewReader("short"), a)
	require.ErrorContains(t, err, "cannot read randomness")
	_, err = pki.IssueAdmin(epoch, stream(2), &pki.Authority{Client: pki.CA{CertPEM: a.Client.CertPEM, Key: a.Peer.Key}})
	require.ErrorContains(t, err, "cannot sign certificate")
}

func TestSerialsNeverMeet(t *testing.T) {
	t.Parallel()
	// The CRL names serials only: a serial that a relation can have must never be one that a member
	// or the admin can have.
	a := authority(t, 1)
	random := stream(5)
	seen := map[string]bool{}
	for range 20 {
		peer, err := pki.IssuePeer(epoch, random, a, pki.Request{})
		require.NoError(t, err)
		admin, err := pki.IssueAdmin(epoch, random, a)
		require.NoError(t, err)
		for _, leaf := range []pki.Leaf{peer, admin} {
			serial := parse(t, leaf.CertPEM).SerialNumber
			assert.Equal(t, 129, serial.BitLen())
			assert.False(t, seen[serial.String()])
			seen[serial.String()] = true
		}
	}
	serials, err := pki.SerialsOf(a.Client, modelUUID, "proxy:7", 1, 200)
	require.NoError(t, err)
	for _, serial := range serials {
		assert.Equal(t, 127, serial.BitLen())
		assert.Equal(t, 1, serial.Cmp(big.NewInt(0)))
	}
}

func TestSANs(t *testing.T) {
	t.Parallel()
	good := []struct {
		name string
		in   []string
		want []string
	}{
		{"none", nil, []string{}},
		{"loopback once", []string{"LOCALHOST", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}, []string{"127.0.0.1", "::1", "localhost"}},
		{"zone", []string{"fe80::1%eth0"}, []string{"fe80::1"}},
		{"names", []string{"*.Etcd.example", "juju-1a2b_c"}, []string{"*.etcd.example", "juju-1a2b_c"}},
	}
	for _, test := range good {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := pki.SANs(test.in)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)

			again, err := pki.SANs(got)
			require.NoError(t, err)
			assert.Equal(t, got, again)

			leaf, err := pki.IssueServer(epoch, stream(1), authority(t, 1), pki.Request{SANs: test.in})
			require.NoError(t, err)
			info, err := pki.Describe(leaf.CertPEM, nil, nil, epoch)
			require.NoError(t, err)
			assert.Equal(t, got, info.SANs, "what is asked for is what is read back")
		})
	}
	for _, bad := range []string{"10.0.0.1/24", "10.0.0.300", "a..b", "-a", "a-", "*", "a.*.b", "https://a", "ä", "a b", ".", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "aa"} {
		t.Run("bad "+bad, func(t *testing.T) {
			t.Parallel()
			_, err := pki.SANs([]string{bad})
			require.ErrorContains(t, err, "is neither an IP address nor a DNS name")
			assert.Less(t, len(err.Error()), 200)
		})
	}
}
