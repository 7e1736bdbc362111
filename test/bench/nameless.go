package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/juju-charms/etcd-charm/internal/sim"
)

// nameless writes a client certificate without a common name and its key, and returns their files.
// A relation's certificate has one, which grpc-proxy refuses. The authority that signs it is read
// from the answers of the hook tools.
func (w *ways) nameless(dir string) (cert, key string, err error) {
	authority, err := w.clientAuthority()
	if err != nil {
		return "", "", fmt.Errorf("cannot find the client authority: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf,
		private.Public(), authority.PrivateKey)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "nameless.crt"), filepath.Join(dir, "nameless.key")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

func (w *ways) clientAuthority() (tls.Certificate, error) {
	file, err := os.Open(filepath.Join(w.Dir(), sim.TranscriptName))
	if err != nil {
		return tls.Certificate{}, err
	}
	defer file.Close()
	for calls := json.NewDecoder(bufio.NewReader(file)); ; {
		var call sim.Call
		if err := calls.Decode(&call); err != nil {
			return tls.Certificate{}, err
		}
		var content map[string]string
		if call.Tool == "secret-get" && json.Unmarshal(call.Stdout, &content) == nil &&
			content["client-ca-key"] != "" {
			return tls.X509KeyPair([]byte(content["client-ca-cert"]), []byte(content["client-ca-key"]))
		}
	}
}
