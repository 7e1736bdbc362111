package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

// maxPEMBytes bounds each credential file; a bundle of a hundred CAs fits.
const maxPEMBytes = 1 << 20

// credentials are one generation of key, certificate and trust. Each generation has a session cache
// of its own: a session ticket that belongs to an older certificate or trust is never offered
// again.
type credentials struct {
	base *tls.Config
	ca   []byte // the authority's certificates, PEM
}

// LogValue keeps the private key out of every log.
func (c *credentials) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// String keeps the private key out of every formatted text.
func (c *credentials) String() string { return "[redacted]" }

// GoString keeps the private key out of %#v.
func (c *credentials) GoString() string { return "[redacted]" }

// loadCredentials reads the three files; nil without error if none are named.
func loadCredentials(paths Credentials) (*credentials, error) {
	if paths == (Credentials{}) {
		return nil, nil
	}
	var pem [3][]byte
	for i, path := range []string{paths.CA, paths.Cert, paths.Key} {
		data, err := readBounded(path, os.O_RDONLY)
		if err != nil {
			return nil, fmt.Errorf("cannot read credentials: %w", err)
		}
		pem[i] = data
	}
	return parseCredentials(pem[0], pem[1], pem[2])
}

func readBounded(path string, flag int) ([]byte, error) {
	f, err := regular.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxPEMBytes+1))
	if err == nil && len(data) > maxPEMBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPEMBytes)
	}
	return data, err
}

func parseCredentials(ca, cert, key []byte) (*credentials, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("cannot use credentials: no CA certificate in the bundle")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use credentials: %w", err)
	}
	return &credentials{ca: ca, base: &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    roots,
		// Not Certificates: Go would then send no certificate if the server's CA hints do not
		// match, and the server's error would mislead.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		},
		ClientSessionCache:          tls.NewLRUClientSessionCache(64),
		DynamicRecordSizingDisabled: true,
	}}, nil
}

// config returns the settings for one handshake with host, offering only the
// protocol alpn. The server's certificate is verified for host, name or IP.
func (c *credentials) config(host, alpn string) *tls.Config {
	cfg := c.base.Clone()
	cfg.ServerName = host
	cfg.NextProtos = []string{alpn}
	return cfg
}
