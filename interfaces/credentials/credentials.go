// Package credentials is the three settings by which an etcd charm lets a client into its cluster:
// a certificate, its key, and the authorities to check the servers with, all PEM. Several relation
// interfaces hand them over under the same names.
//
// The rule it keeps: all three or none, and only three that belong together. It opens nothing and
// reads no clock; no error repeats any part of a value.
package credentials

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// The settings in a unit's bag.
const (
	KeyCert = "client_cert"
	KeyKey  = "client_key"
	KeyCA   = "client_ca"
)

const (
	// MaxCert bounds a certificate chain in bytes.
	MaxCert = 64 << 10
	// MaxCA bounds a bundle of authorities in bytes.
	MaxCA = 256 << 10
	// MaxKey bounds a private key in bytes. An RSA key of MaxRSA bits has 6.4 KiB; the bound is low
	// because the time to read an RSA key grows much faster than its length.
	MaxKey = 8 << 10
	// MaxRSA bounds an RSA key in bits, also that of a certificate. TLS in Go accepts no longer one
	// from the other side.
	MaxRSA = 8192
	// MaxCerts bounds how many certificates a text holds. A machine's bundle of public
	// authorities has some 150.
	MaxCerts = 256

	// anyTime is a time at which nothing has expired.
	anyTime = math.MinInt64
)

// A FaultError is why one setting was refused. Its text names the setting and repeats
// nothing of the value: errors of crypto/x509 are not passed on.
type FaultError struct{ Key, Text string }

func (f *FaultError) Error() string { return f.Text }

func faultOf(key, format string, args ...any) *FaultError {
	return &FaultError{Key: key, Text: key + fmt.Sprintf(format, args...)}
}

// In are those of the three that are in a bag, as they are.
func In(bag databag.Bag) Credentials {
	return Credentials{Cert: bag[KeyCert], Key: bag[KeyKey], CA: bag[KeyCA]}
}

// Into writes all three into a bag, or fails and writes none. Expiry is not checked.
func (c Credentials) Into(bag databag.Bag) error {
	c = c.Canonical()
	if err := c.check(anyTime); err != nil {
		return fmt.Errorf("cannot encode client credentials: %w", err)
	}
	bag[KeyCert], bag[KeyKey], bag[KeyCA] = c.Cert, c.Key, c.CA
	return nil
}

// Credentials let a client of the cluster in. All three are PEM text. It prints,
// logs and marshals without the private key. (Package fmt calls no methods of
// values in unexported struct fields: keep it in exported ones, or do not print the
// holder.)
type Credentials struct {
	// Cert is the client's certificate, perhaps followed by its chain.
	Cert string
	// Key is the certificate's private key.
	Key string
	// CA is the bundle of authorities to check the servers with.
	CA string
}

// IsZero reports whether there is none of the three.
func (c Credentials) IsZero() bool { return c == Credentials{} }

// Complete reports whether all three are there; Check reports whether they can be used.
func (c Credentials) Complete() bool { return c.Cert != "" && c.Key != "" && c.CA != "" }

// String shows the lengths of the certificates in bytes, and nothing of the key.
func (c Credentials) String() string {
	return fmt.Sprintf("{cert: %d bytes, key: %s, ca: %d bytes}",
		len(c.Cert), c.hiddenKey(), len(c.CA))
}

// Format prints what String gives, under every verb and flag.
func (c Credentials) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, c.String())
}

// LogValue is the credentials in a structured log, the key redacted.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("cert", len(c.Cert)), slog.String("key", c.hiddenKey()), slog.Int("ca", len(c.CA)),
	)
}

// MarshalText is what JSON and other encoders get: the key redacted. Credentials
// cannot be stored by encoding them: they go into a bag, or into files.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Credentials) hiddenKey() string {
	if c.Key == "" {
		return "none"
	}
	return "[redacted]"
}

// Check reports whether a client can use the credentials: all three are there, the certificate
// belongs to the key, and neither the certificate nor the whole CA bundle has expired. now is in
// seconds since the Unix epoch. A certificate that is not valid yet passes: the server's clock
// decides that, and ours may be slow. Text around the PEM blocks passes too, because the authority
// easyrsa writes some. The error names the setting and repeats nothing of its value; it wraps a
// *FaultError.
func (c Credentials) Check(now int64) error {
	if err := c.check(now); err != nil {
		return fmt.Errorf("cannot use the client credentials: %w", err)
	}
	return nil
}

// check returns a *FaultError or nil. The limits above bound its work: each unit checks what
// another machine published at each look.
func (c Credentials) check(now int64) error {
	if !c.Complete() {
		return c.incomplete()
	}
	for _, bound := range []struct {
		key, value string
		limit      int
	}{{KeyCert, c.Cert, MaxCert}, {KeyKey, c.Key, MaxKey}, {KeyCA, c.CA, MaxCA}} {
		if len(bound.value) > bound.limit {
			return faultOf(bound.key, " has %d bytes, more than the %d allowed",
				len(bound.value), bound.limit)
		}
	}
	chain, err := ParseCertificates(c.Cert)
	if err != nil {
		return faultOf(KeyCert, " %v", err)
	}
	authorities, err := ParseCertificates(c.CA)
	if err != nil {
		return faultOf(KeyCA, " %v", err)
	}
	public, err := parsePublic(c.Key)
	if err != nil {
		return faultOf(KeyKey, " %v", err)
	}
	if !public.Equal(chain[0].PublicKey) {
		return faultOf(KeyCert, ": certificate does not match its key")
	}
	if expired(chain[0], now) {
		return faultOf(KeyCert, ": certificate has expired on %s", end(chain[0]))
	}
	for _, authority := range authorities {
		if !expired(authority, now) {
			return nil
		}
	}
	return faultOf(KeyCA, ": certificate has expired on %s", end(authorities[0]))
}

// incomplete says which of the three are there and which are missing.
func (c Credentials) incomplete() error {
	var there, missing []string
	for _, part := range []struct{ key, value string }{
		{KeyCA, c.CA}, {KeyCert, c.Cert}, {KeyKey, c.Key},
	} {
		if part.value == "" {
			missing = append(missing, part.key)
			continue
		}
		there = append(there, part.key)
	}
	if len(there) == 0 {
		return &FaultError{Key: KeyKey, Text: "there are no client credentials"}
	}
	return &FaultError{
		Key:  there[0],
		Text: strings.Join(there, " and ") + " without " + strings.Join(missing, " and "),
	}
}

// Begun reports whether the certificate is valid already. If there is no certificate, there is
// nothing to wait for.
func (c Credentials) Begun(now int64) bool {
	chain, err := ParseCertificates(c.Cert)
	return err != nil || now >= chain[0].NotBefore.Unix()
}

func expired(cert *x509.Certificate, now int64) bool { return now > cert.NotAfter.Unix() }

func end(cert *x509.Certificate) string {
	return cert.NotAfter.UTC().Format("2006-01-02T15:04:05Z")
}

// ParseCertificates reads every certificate of a PEM text, at least one. Text around the blocks is
// allowed, because the authority easyrsa writes it. A broken block is refused, and so is one of
// another kind: it might be a private key, about to be written into a file of certificates. The
// error continues a sentence that begins with the text's name, as in "client_ca is not PEM", and
// quotes nothing of the text.
func ParseCertificates(text string) ([]*x509.Certificate, error) {
	blocks, err := parseBlocks(text)
	if err != nil {
		return nil, err
	}
	if len(blocks) > MaxCerts {
		return nil, fmt.Errorf("holds %d certificates, more than the %d allowed", len(blocks), MaxCerts)
	}
	certs := make([]*x509.Certificate, 0, len(blocks))
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("holds something that is not a certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a broken certificate")
		}
		if err := bounded(cert.PublicKey); err != nil {
			return nil, fmt.Errorf("holds a certificate of %w", err)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

type publicKey interface {
	Equal(other crypto.PublicKey) bool
}

// parsePublic reads the one private key in the text, in any of the three usual encodings, and
// returns its public half.
func parsePublic(text string) (publicKey, error) {
	blocks, err := parseBlocks(text)
	if err != nil {
		return nil, err
	}
	if blocks[0].Type == "EC PARAMETERS" { // openssl ecparam -genkey writes it first
		blocks = blocks[1:]
	}
	if len(blocks) != 1 {
		return nil, errors.New("does not hold exactly one private key")
	}
	var key any
	switch der := blocks[0].Bytes; blocks[0].Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	default:
		return nil, errors.New("holds something that is not a plain private key")
	}
	if err != nil {
		return nil, errors.New("holds a broken private key")
	}
	if signer, ok := key.(crypto.Signer); ok {
		if public, ok := signer.Public().(publicKey); ok {
			if err := bounded(public); err != nil {
				return nil, fmt.Errorf("holds %w", err)
			}
			return public, nil
		}
	}
	return nil, errors.New("holds a private key that cannot sign")
}

// bounded refuses a public key that makes checking a signature too slow.
func bounded(public crypto.PublicKey) error {
	if key, ok := public.(*rsa.PublicKey); ok && key.N.BitLen() > MaxRSA {
		return fmt.Errorf("an RSA key of %d bits, more than the %d allowed", key.N.BitLen(), MaxRSA)
	}
	return nil
}

// parseBlocks reads all PEM blocks, at least one, and refuses a text that was cut off.
func parseBlocks(text string) ([]*pem.Block, error) {
	var blocks []*pem.Block
	rest := []byte(text)
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		blocks, rest = append(blocks, block), after
	}
	// pem.Decode skips a block that it cannot read.
	switch begins := strings.Count(text, "-----BEGIN "); {
	case begins != len(blocks):
		return nil, errors.New("holds a broken PEM block")
	case begins == 0:
		return nil, errors.New("is not PEM")
	}
	return blocks, nil
}

// Canonical is the credentials in the form in which they are kept and published.
func (c Credentials) Canonical() Credentials {
	return Credentials{Cert: canonical(c.Cert), Key: canonical(c.Key), CA: canonical(c.CA)}
}

// canonical is the form in which PEM is kept and published: no space around it, one
// newline at the end, so that files made of it can be put one after another.
func canonical(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return text + "\n"
}
