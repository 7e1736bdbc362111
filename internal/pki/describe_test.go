package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestDescribeDates(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	leaf, err := pki.IssueServer(epoch, stream(2), a, pki.Request{})
	require.NoError(t, err)
	from, until := begin, epoch.Add(365*day)
	third := 365 * day / 3
	tests := []struct {
		name                      string
		now                       time.Time
		due, expired, notYetValid bool
	}{
		{"before", from.Add(-time.Second), false, false, true},
		{"first moment", from, false, false, false},
		{"a third left", until.Add(-third), false, false, false},
		{"less than a third", until.Add(-third + time.Second), true, false, false},
		{"last moment", until, true, false, false},
		{"after", until.Add(time.Second), true, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			info, err := pki.Describe(leaf.CertPEM, leaf.Key.PEM(), a.TrustClient, test.now)
			require.NoError(t, err)
			assert.Equal(t, test.due, info.Due)
			assert.Equal(t, test.expired, info.Expired)
			assert.Equal(t, test.notYetValid, info.NotYetValid)
			assert.Equal(t, until, info.NotAfter)
			assert.Equal(t, until.Sub(from), info.Life)
			assert.Equal(t, until.Sub(test.now), info.Remaining)
			assert.True(t, info.Trusted, "trust is apart from the leaf's dates")
		})
	}
}

func TestDescribeTrust(t *testing.T) {
	t.Parallel()
	a, next := authority(t, 1), authority(t, 2)
	leaf, err := pki.IssuePeer(epoch, stream(3), a, pki.Request{})
	require.NoError(t, err)
	renewed, err := pki.IssuePeer(epoch, stream(4), next, pki.Request{})
	require.NoError(t, err)
	bundle := join(next.TrustPeer, a.TrustPeer)

	info, err := pki.Describe(leaf.CertPEM, leaf.Key.PEM(), bundle, epoch)
	require.NoError(t, err)
	assert.Equal(t, a.Peer.Fingerprint(), info.SignedBy)
	info, err = pki.Describe(renewed.CertPEM, leaf.Key.PEM(), bundle, epoch)
	require.NoError(t, err)
	assert.Equal(t, next.Peer.Fingerprint(), info.SignedBy)
	assert.False(t, info.KeyMatches)

	info, err = pki.Describe(leaf.CertPEM, nil, nil, epoch)
	require.NoError(t, err)
	assert.False(t, info.KeyMatches)
	assert.False(t, info.Trusted)
	assert.Empty(t, info.SignedBy)
	assert.Equal(t, parse(t, leaf.CertPEM).SerialNumber.Text(16), info.Serial)

	info, err = pki.Describe(a.Peer.CertPEM, a.Peer.Key.PEM(), a.TrustPeer, epoch)
	require.NoError(t, err)
	assert.Equal(t, a.Peer.Fingerprint(), info.SignedBy, "a CA describes itself")
}

func TestDescribeErrors(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	good, key := a.Client.CertPEM, a.Client.Key.PEM()
	for _, test := range []struct {
		name             string
		cert, key, trust []byte
		want             string
	}{
		{"no certificate", nil, key, good, "certificate is empty"},
		{"bad key", good, []byte("hunter2"), good, "private key is not PEM"},
		{"key in another form", good, sec1(t, key), good, "private key is not a private key in PKCS #8"},
		{"key of another kind", good, rsaKey(t), good, "private key is not an ECDSA P-256 key"},
		{"malformed key", good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), good, "private key is malformed"},
		{"10 MB key", good, bytes.Repeat([]byte("x"), 10<<20), good, "private key is 10485760 bytes long, the limit is 8192"},
		{"10 MB certificate", bytes.Repeat([]byte("x"), 10<<20), key, good, "certificate is 10485760 bytes long, the limit is 262144"},
		{"bad trust", good, key, []byte("hunter2"), "trust bundle is not PEM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			info, err := pki.Describe(test.cert, test.key, test.trust, epoch)
			require.EqualError(t, err, test.want)
			assert.Zero(t, info)
		})
	}
}

// rsaKey is made for each call: no key lies in the repository.
func rsaKey(tb testing.TB) []byte {
	tb.Helper()
	key, err := rsa.GenerateKey(cryptorand.Reader, 2048)
	require.NoError(tb, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// sec1 is an ECDSA key in the form that openssl ecparam writes.
func sec1(tb testing.TB, keyPEM []byte) []byte {
	tb.Helper()
	block, _ := pem.Decode(keyPEM)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(tb, err)
	der, err := x509.MarshalECPrivateKey(parsed.(*ecdsa.PrivateKey))
	require.NoError(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func fuzzInputs(f *testing.F) (*pki.Authority, pki.Leaf) {
	f.Helper()
	a := authority(f, 1)
	leaf, err := pki.IssueServer(epoch, stream(2), a, pki.Request{CommonName: "etcd0", SANs: []string{"a.b"}})
	require.NoError(f, err)
	cert, key := leaf.CertPEM, leaf.Key.PEM()
	f.Add(cert, key, a.TrustClient, epoch.Unix())
	f.Add(join(cert, a.TrustClient), key, a.TrustPeer, int64(0))
	f.Add(cert[:100], []byte("x"), []byte(nil), int64(1)<<62)
	f.Add(key, cert, cert, -epoch.Unix())
	f.Add(cert, rsaKey(f), join(a.TrustPeer, a.TrustClient), epoch.Unix())
	return a, leaf
}

func FuzzDescribe(f *testing.F) {
	fuzzInputs(f)
	f.Fuzz(func(t *testing.T, cert, key, trust []byte, now int64) {
		info, err := pki.Describe(cert, key, trust, time.Unix(now, 0))
		if err != nil {
			checkWords(t, err)
			assert.Zero(t, info)
			return
		}
		assert.Equal(t, info.Trusted, info.SignedBy != "")
		assert.Equal(t, info.Expired, info.Remaining < 0)
	})
}

func checkWords(t *testing.T, err error) {
	t.Helper()
	assert.Less(t, len(err.Error()), 200)
	assert.NotContains(t, err.Error(), "-----")
	assert.Equal(t, err.Error(), strings.ToValidUTF8(err.Error(), ""))
}
