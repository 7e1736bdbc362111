package etcdproxy_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

const (
	issued = 1_700_000_000 // when the test certificates begin
	now    = issued + 1000 // the clock of most tests
	ends   = issued + 2000 // when they expire

	clusterTLS   = "etcd0=https://10.0.0.5:2380,etcd1=https://10.0.0.6:2380"
	clusterPlain = "etcd0=http://10.0.0.5:2380"
)

// mint makes credentials: one certificate that is its own authority.
func mint(tb testing.TB) etcdproxy.Credentials {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	return mintFor(tb, key, ends, pkcs8)
}

func mintFor(tb testing.TB, key crypto.Signer, end int64, encode func(testing.TB, crypto.Signer) *pem.Block) etcdproxy.Credentials {
	tb.Helper()
	return mintBetween(tb, key, issued, end, encode)
}

func mintBetween(tb testing.TB, key crypto.Signer, begin, end int64, encode func(testing.TB, crypto.Signer) *pem.Block) etcdproxy.Credentials {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Organization: []string{"test"}},
		NotBefore:    time.Unix(begin, 0),
		NotAfter:     time.Unix(end, 0),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(tb, err)
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return etcdproxy.Credentials{Cert: cert, Key: string(pem.EncodeToMemory(encode(tb, key))), CA: cert}
}

func pkcs8(tb testing.TB, key crypto.Signer) *pem.Block {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}

func sec1(tb testing.TB, key crypto.Signer) *pem.Block {
	tb.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	require.NoError(tb, err)
	return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
}

func pkcs1(tb testing.TB, key crypto.Signer) *pem.Block {
	tb.Helper()
	return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))}
}

func ecKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(tb, err)
	return key
}

func edKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(tb, err)
	return key
}

func rsaKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(tb, err)
	return key
}

// bagOf is a provider unit's bag as the charms in the field write it.
func bagOf(cluster string, c etcdproxy.Credentials) databag.Bag {
	return databag.Bag{"cluster": cluster, "client_cert": c.Cert, "client_key": c.Key, "client_ca": c.CA}.Clone()
}

// upstream is the requirer's view of a relation with these remote units.
func upstream(units map[string]databag.Bag) databag.Relation {
	return databag.Relation{ID: "upstream:3", Endpoint: "upstream", App: "etcd", Units: units}
}
