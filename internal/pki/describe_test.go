package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// rsaKeyPEM is made anew for each run: no key lies in the repository.
var rsaKeyPEM = func() string {
	key, err := rsa.GenerateKey(cryptorand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}()

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
			assert.Equal(t, from, info.NotBefore)
			assert.Equal(t, until, info.NotAfter)
			assert.Equal(t, until.Sub(test.now), info.Remaining)
			assert.True(t, info.Trusted, "trust is apart from the leaf's dates")
			assert.True(t, info.ServerAuth)
			assert.True(t, info.ClientAuth)
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
	assert.Regexp(t, "^[0-9a-f]{12}$", info.Fingerprint)

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

func TestCheckPair(t *testing.T) {
	t.Parallel()
	a, other := authority(t, 1), authority(t, 2)
	admin, err := pki.IssueAdmin(epoch, stream(3), a)
	require.NoError(t, err)
	cert, key, ca := admin.CertPEM, admin.Key.PEM(), a.TrustClient
	foreign := foreignCA(t)
	huge := bytes.Repeat([]byte("x"), 10<<20)
	tests := []struct {
		name          string
		cert, key, ca []byte
		now           time.Time
		want          string // "" is good
	}{
		{"good", cert, key, ca, epoch, ""},
		{"stripped, CRLF, text before", join([]byte("Certificate:\r\n  Data: …\r\n"), bytes.ReplaceAll(bytes.TrimSpace(cert), []byte("\n"), []byte("\r\n"))), bytes.TrimSpace(key), ca, epoch, ""},
		{"bundle", cert, key, join(other.TrustClient, ca), epoch, ""},
		{"another charm's RSA", foreign.leafPEM, foreign.keyPEM, foreign.rootPEM, epoch, ""},
		{"with its intermediate", join(foreign.deepPEM, foreign.middlePEM), foreign.keyPEM, foreign.rootPEM, epoch, ""},
		{"without its intermediate", foreign.deepPEM, foreign.keyPEM, foreign.rootPEM, epoch, "certificate is not signed by the given CA"},
		{"server only", foreign.serverPEM, foreign.keyPEM, foreign.rootPEM, epoch, "certificate does not allow client authentication"},
		{"CA that expired first", foreign.leafPEM, foreign.keyPEM, foreign.rootPEM, epoch.Add(20 * day), "certificate is signed by a CA that has expired or is not valid yet"},
		{"another key", cert, a.Client.Key.PEM(), ca, epoch, "certificate does not match its key"},
		{"key of another kind", cert, []byte(rsaKeyPEM), ca, epoch, "certificate does not match its key"},
		{"another CA", cert, key, other.TrustClient, epoch, "certificate is not signed by the given CA"},
		{"the peer CA", cert, key, a.TrustPeer, epoch, "certificate is not signed by the given CA"},
		{"expired", cert, key, ca, epoch.Add(366 * day), "certificate has expired on 2027-11-22 10:00 UTC"},
		{"not yet", cert, key, ca, begin.Add(-2 * time.Hour), "certificate is not valid before 2020-01-01 00:00 UTC, and the clock says 2019-12-31 22:00 UTC"},
		{"no certificate", nil, key, ca, epoch, "certificate is empty"},
		{"no key", cert, []byte(" "), ca, epoch, "private key is empty"},
		{"no CA", cert, key, nil, epoch, "CA is empty"},
		{"swapped", key, cert, ca, epoch, "certificate holds a PEM block that is not a certificate"},
		{"encrypted key", cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), ca, epoch, "private key is encrypted"},
		{"old encrypted key", cert, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")}), ca, epoch, "private key is encrypted"},
		{"malformed key", cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), ca, epoch, "private key is malformed"},
		{"giant RSA", giantRSA(t), key, ca, epoch, "certificate holds an RSA key larger than 8192 bits"},
		{"10 MB certificate", huge, key, ca, epoch, "certificate is 10485760 bytes long, the limit is 262144"},
		{"10 MB key", cert, huge, ca, epoch, "private key is 10485760 bytes long, the limit is 8192"},
		{"10 MB CA", cert, key, huge, epoch, "CA is 10485760 bytes long, the limit is 262144"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := pki.CheckPair(test.cert, test.key, test.ca, test.now)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
}

func TestCheckPairReadsOpenSSLKeys(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	admin, err := pki.IssueAdmin(epoch, stream(3), a)
	require.NoError(t, err)
	block, _ := pem.Decode(admin.Key.PEM())
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	der, err := x509.MarshalECPrivateKey(parsed.(*ecdsa.PrivateKey))
	require.NoError(t, err)
	key := join(
		pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
	)
	assert.NoError(t, pki.CheckPair(admin.CertPEM, key, a.TrustClient, epoch))
}

type foreignCerts struct{ rootPEM, middlePEM, leafPEM, deepPEM, serverPEM, keyPEM []byte }

// foreignCA is what a charm of another make publishes: RSA, PKCS #1, a chain.
func foreignCA(t *testing.T) foreignCerts {
	t.Helper()
	block, _ := pem.Decode([]byte(rsaKeyPEM))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	require.NoError(t, err)
	authorityKey, err := ecdsa.GenerateKey(elliptic.P384(), cryptorand.Reader)
	require.NoError(t, err)
	serial := int64(0)
	issue := func(template, parent *x509.Certificate, public any) []byte {
		serial++
		template.SerialNumber = big.NewInt(serial)
		template.NotBefore = epoch.Add(-day)
		template.BasicConstraintsValid = true
		der, err := x509.CreateCertificate(cryptorand.Reader, template, parent, public, authorityKey)
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	ca := func(name string, life time.Duration) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: epoch.Add(life), IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	}
	leaf := func(usage x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, NotAfter: epoch.Add(30 * day), ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	}
	root, middle := ca("root", 10*day), ca("middle", 10*day)
	return foreignCerts{
		rootPEM:   issue(root, root, authorityKey.Public()),
		middlePEM: issue(middle, root, authorityKey.Public()),
		leafPEM:   issue(leaf(x509.ExtKeyUsageClientAuth), root, key.Public()),
		deepPEM:   issue(leaf(x509.ExtKeyUsageClientAuth), middle, key.Public()),
		serverPEM: issue(leaf(x509.ExtKeyUsageServerAuth), root, key.Public()),
		keyPEM:    []byte(rsaKeyPEM),
	}
}

func giantRSA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	require.NoError(t, err)
	modulus := new(big.Int).SetBit(big.NewInt(1), 500_000, 1)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: epoch.Add(day)}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, &rsa.PublicKey{N: modulus, E: 65537}, key)
	if err != nil {
		// Go compares the parent's key with the signer's; without one it does not.
		der, err = x509.CreateCertificate(cryptorand.Reader, template, &x509.Certificate{}, &rsa.PublicKey{N: modulus, E: 65537}, key)
	}
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
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
	f.Add(cert, []byte(rsaKeyPEM), join(a.TrustPeer, a.TrustClient), epoch.Unix())
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
		assert.False(t, info.Expired && info.NotYetValid && info.NotAfter.After(info.NotBefore))
	})
}

func FuzzCheckPair(f *testing.F) {
	fuzzInputs(f)
	f.Fuzz(func(t *testing.T, cert, key, ca []byte, now int64) {
		err := pki.CheckPair(cert, key, ca, time.Unix(now, 0))
		if err != nil {
			checkWords(t, err)
			return
		}
		info, err := pki.Describe(cert, key, ca, time.Unix(now, 0))
		require.NoError(t, err)
		assert.True(t, info.KeyMatches && info.Trusted && info.ClientAuth && !info.Expired && !info.NotYetValid)
	})
}

func checkWords(t *testing.T, err error) {
	t.Helper()
	assert.Less(t, len(err.Error()), 200)
	assert.NotContains(t, err.Error(), "-----")
	assert.Equal(t, err.Error(), strings.ToValidUTF8(err.Error(), ""))
}
