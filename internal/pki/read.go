package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
)

// Limits on what is read, in bytes: a file on disk or a secret may hold anything.
const (
	maxCertificateBytes = 256 << 10
	maxKeyBytes         = 8 << 10
)

// readCertificates parses one or more PEM certificates. A broken block or one of another type is an
// error: otherwise a bundle that lost a certificate would pass as complete. Its errors quote
// nothing of the input.
func readCertificates(data []byte) ([]*x509.Certificate, error) {
	if err := checkSize(data, maxCertificateBytes); err != nil {
		return nil, err
	}
	return credentials.ParseCertificates(string(data))
}

// readKey parses the one form in which this package writes a key: PKCS #8, ECDSA
// on P-256.
func readKey(data []byte) (*ecdsa.PrivateKey, error) {
	if err := checkSize(data, maxKeyBytes); err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errors.New("is not PEM")
	case block.Type != "PRIVATE KEY":
		return nil, errors.New("is not a private key in PKCS #8")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("holds more than one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is malformed")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("is not an ECDSA P-256 key")
	}
	return key, nil
}

func checkSize(data []byte, limit int) error {
	switch {
	case len(data) > limit:
		return fmt.Errorf("is %d bytes long, the limit is %d", len(data), limit)
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("is empty")
	}
	return nil
}

func encodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// keyMatches reports whether key is the private half of the certificate's key.
func keyMatches(cert *x509.Certificate, key *ecdsa.PrivateKey) bool {
	return samePublicKey(cert.PublicKey, key.Public())
}

func samePublicKey(a, b crypto.PublicKey) bool {
	public, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && public.Equal(b)
}

// fingerprintBytes is how much of a SHA-256 is in a fingerprint: 12 hex digits.
const fingerprintBytes = 6

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:fingerprintBytes])
}
