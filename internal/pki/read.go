package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// Limits on what is read, which may come from another charm's databag: parsing
// is work, and checking a signature with a key of a million bits is a great deal.
const (
	maxCertificateBytes = 256 << 10
	maxKeyBytes         = 8 << 10
	maxRSABits          = 8192 // as crypto/tls
)

// readCertificates parses one or more PEM certificates. Text around the blocks
// is allowed, since easyrsa writes it; a broken block or one of another type is
// not, since a bundle that lost a certificate would be believed whole. Its errors
// are words of our own: those of crypto/x509 can quote the input.
func readCertificates(data []byte) ([]*x509.Certificate, error) {
	blocks, err := readBlocks(data, maxCertificateBytes)
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, 0, len(blocks))
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("holds a PEM block that is not a certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a malformed certificate")
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return nil, fmt.Errorf("holds an RSA key larger than %d bits", maxRSABits)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// readKey parses one PEM private key: PKCS #8, SEC 1 (also behind the parameter
// block that OpenSSL writes before it) or PKCS #1.
func readKey(data []byte) (crypto.Signer, error) {
	blocks, err := readBlocks(data, maxKeyBytes)
	if err != nil {
		return nil, err
	}
	if len(blocks) > 1 && blocks[0].Type == "EC PARAMETERS" {
		blocks = blocks[1:]
	}
	if len(blocks) != 1 {
		return nil, errors.New("holds more than one PEM block")
	}
	block := blocks[0]
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted")
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, errors.New("is not a private key")
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("is malformed")
	}
	return signer, nil
}

func readBlocks(data []byte, limit int) ([]*pem.Block, error) {
	if len(data) > limit {
		return nil, fmt.Errorf("is %d bytes long, the limit is %d", len(data), limit)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("is empty")
	}
	var blocks []*pem.Block
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	// pem.Decode passes over a block that it cannot read.
	begins := bytes.Count(data, []byte("-----BEGIN "))
	switch {
	case begins == 0:
		return nil, errors.New("is not PEM")
	case begins != len(blocks):
		return nil, errors.New("holds a broken PEM block")
	}
	return blocks, nil
}

func encodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// keyMatches reports whether key is the private half of the certificate's key.
func keyMatches(cert *x509.Certificate, key crypto.Signer) bool {
	return samePublicKey(cert.PublicKey, key.Public())
}

func samePublicKey(a, b crypto.PublicKey) bool {
	public, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && public.Equal(b)
}

// fingerprintBytes is how much of a SHA-256 a fingerprint shows: 12 hex digits.
const fingerprintBytes = 6

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:fingerprintBytes])
}
