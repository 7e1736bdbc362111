package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
)

const redactedText = "[redacted]"

// redacted is embedded by every type that holds a private key: such a value prints as "[redacted]",
// whichever way it is printed.
type redacted struct{}

// Format answers every fmt verb with "[redacted]".
func (redacted) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redactedText) }

// String returns "[redacted]".
func (redacted) String() string { return redactedText }

// LogValue makes slog write "[redacted]".
func (redacted) LogValue() slog.Value { return slog.StringValue(redactedText) }

// MarshalText makes encoders of JSON, YAML and text write "[redacted]".
func (redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// PrivateKey is an ECDSA P-256 private key that prints as "[redacted]"; only PEM returns the key.
// The zero value holds no key.
type PrivateKey struct {
	redacted
	// A pointer, so that fmt, which calls no methods on unexported fields of a
	// caller's struct, prints an address there and not the key.
	key *ecdsa.PrivateKey
}

// PEM returns the key in PKCS #8, the form that OpenSSL, Go, Java and Python
// all read, or nil for the zero value. The same key always gives the same bytes.
func (k PrivateKey) PEM() []byte {
	if k.key == nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		panic("pki: a P-256 key cannot be encoded: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// raw returns the key's scalar, 32 bytes.
func (k PrivateKey) raw() ([]byte, error) {
	if k.key == nil {
		return nil, errors.New("there is no private key")
	}
	return k.key.Bytes()
}

// keyTries bounds rejection sampling. A random 32-byte string is outside the
// P-256 scalar range with a chance of 2⁻³², so a second miss means that the
// source is broken.
const keyTries = 8

// sampleKey makes a key of the first candidate from next that is within the range of P-256 scalars.
// ecdsa.GenerateKey cannot be used: since Go 1.26 it ignores the reader that it is given.
func sampleKey(next func(try int) ([]byte, error)) (PrivateKey, error) {
	for try := range keyTries {
		candidate, err := next(try)
		if err != nil {
			return PrivateKey{}, err
		}
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), candidate); err == nil {
			return PrivateKey{key: key}, nil
		}
	}
	return PrivateKey{}, errors.New("randomness gives no usable key")
}

func randomKey(random io.Reader) (PrivateKey, error) {
	return sampleKey(func(int) ([]byte, error) { return readRandom(random, 32) })
}

// randomSerial returns a serial of 129 bits, 128 of them random. Bit 128 is always set, and derived
// serials end at bit 126. So a derived serial on the CRL is never that of a random one: etcd
// compares serials only, and not issuers.
func randomSerial(random io.Reader) (*big.Int, error) {
	b, err := readRandom(random, 16)
	if err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(b)
	return n.SetBit(n, 128, 1), nil
}

func readRandom(random io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("cannot read randomness: %w", err)
	}
	return b, nil
}
