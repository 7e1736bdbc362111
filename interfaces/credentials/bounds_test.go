package credentials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// odd is an odd number of that many bits; the product of two of them has twice as many.
func odd(t *testing.T, bits int) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	require.NoError(t, err)
	return n.SetBit(n.SetBit(n.SetBit(n, bits-1, 1), bits-2, 1), 0, 1)
}

// rsaKey is a private key as it is in a bag. Its factors are not primes; readers do not check that.
func rsaKey(t *testing.T, bits int) string {
	t.Helper()
	one, exponent := big.NewInt(1), big.NewInt(65537)
	for {
		p, q := odd(t, bits/2), odd(t, bits/2)
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
		d, inverse := new(big.Int).ModInverse(exponent, new(big.Int).Mul(p1, q1)), new(big.Int).ModInverse(q, p)
		if d == nil || inverse == nil {
			continue
		}
		der, err := asn1.Marshal(struct {
			Version             int
			N, E, D, P, Q       *big.Int
			D1, D2, Coefficient *big.Int
		}{0, new(big.Int).Mul(p, q), exponent, d, p, q, new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), inverse})
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der}))
	}
}

// certificate is one of a public key, signed by another.
func certificate(t *testing.T, public any) string {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(4_000_000_000, 0)}
	if public == nil {
		public = signer.Public()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestBounds: what another machine publishes costs a bounded look, and the error says which setting
// is too large.
func TestBounds(t *testing.T) {
	t.Parallel()
	small := certificate(t, nil)
	sized := func(bits int) string { return certificate(t, &rsa.PublicKey{N: odd(t, bits), E: 65537}) }
	key := rsaKey(t, 2048)
	for name, tt := range map[string]struct {
		c    Credentials
		want string
	}{
		"a key of 8192 bits":     {Credentials{small, rsaKey(t, 8192), small}, "client_cert: certificate does not match its key"},
		"a key of 8320 bits":     {Credentials{small, rsaKey(t, 8320), small}, "client_key holds an RSA key of 83"},
		"a key of 20000 bits":    {Credentials{small, rsaKey(t, 20000), small}, "client_key has 15"},
		"a key of 40960 bits":    {Credentials{small, rsaKey(t, 40960), small}, "client_key has 31"},
		"a certificate of 8192":  {Credentials{sized(8192), key, small}, "client_cert: certificate does not match its key"},
		"a certificate of 40960": {Credentials{sized(40960), key, small}, "client_cert holds a certificate of an RSA key of 40960 bits, more than the 8192 allowed"},
		"an authority of 40960":  {Credentials{small, key, small + sized(40960)}, "client_ca holds a certificate of an RSA key of 40960 bits, more than the 8192 allowed"},
		"256 authorities":        {Credentials{small, key, strings.Repeat(small, MaxCerts)}, "client_cert: certificate does not match its key"},
		"257 authorities":        {Credentials{small, key, strings.Repeat(small, MaxCerts+1)}, "client_ca holds 257 certificates, more than the 256 allowed"},
		"a long chain":           {Credentials{strings.Repeat(small, 200), key, small}, "client_cert has "},
	} {
		err := tt.c.Check(0)
		if assert.Error(t, err, name) {
			assert.True(t, strings.HasPrefix(err.Error(), "cannot use the client credentials: "+tt.want), "%s: %v", name, err)
		}
	}
}
