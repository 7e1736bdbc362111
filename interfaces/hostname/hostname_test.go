package hostname_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
)

func TestValid(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"etcd": true, "etcd-0.example.com": true, "my_host": true, "_srv.example": true, "UPPER.example": true, "a1": true,
		"3com.example": true, "xn--bcher-kva.example": true, strings.Repeat("a", 63): true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "-a": false, "a-": false, "a.-b": false,
		"1.2.3": false, "10.0.0.256": false, "42": false, "a b": false, "a/b": false, "a:1": false, "bücher.example": false,
		"*.example": false, "a\x00": false, "a\n": false, strings.Repeat("a", 64): false,
		strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 127) + "a": false,
	} {
		assert.Equal(t, want, hostname.Valid(text), "%q", text)
	}
	for text, want := range map[string]bool{
		"*.example.com": true, "example.com": true, "*.*.example": false, "*": false, "*.": false, "a.*.b": false, "*.1.2.3": false,
	} {
		assert.Equal(t, want, hostname.ValidPattern(text), "%q", text)
	}
}

// TestCertificates: what is valid here, crypto/x509 issues and verifies.
func TestCertificates(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for _, name := range []string{"my_host", "_srv.example", "etcd-0.example.com", "a1"} {
		require.True(t, hostname.Valid(name))
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}},
			&x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		assert.NoError(t, cert.VerifyHostname(name), name)
	}
}
