package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"gopkg.in/yaml.v3"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + " CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(tb testing.TB, tmpl *x509.Certificate) (certPEM, keyPEM []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	tmpl.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(tb, err)
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	require.NoError(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func (a *authority) files(tb testing.TB, dir string, tmpl *x509.Certificate) Credentials {
	tb.Helper()
	cert, key := a.issue(tb, tmpl)
	require.NoError(tb, os.MkdirAll(dir, 0o700))
	c := Credentials{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	replaceFile(tb, c.CA, a.pem)
	replaceFile(tb, c.Cert, cert)
	replaceFile(tb, c.Key, key)
	return c
}

// clientFiles writes a client certificate without CN or SANs.
func (a *authority) clientFiles(tb testing.TB, dir string) Credentials {
	tb.Helper()
	return a.files(tb, dir, &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"consumer"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) serverFiles(tb testing.TB, dir, ip string) Credentials {
	tb.Helper()
	return a.files(tb, dir, &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"server"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.ParseIP(ip), net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	})
}

// replaceFile writes a file the way the charm does, by rename.
func replaceFile(tb testing.TB, path string, data []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(path+".new", data, 0o600))
	require.NoError(tb, os.Rename(path+".new", path))
}

// running is a proxy under test.
type running struct {
	addr string
	path string
	log  *logBuffer
	stop func()
}

// startProxy runs a proxy on a loopback address of its own until the test ends.
func startProxy(tb testing.TB, cfg Config) *running {
	tb.Helper()
	return startProxyAs(tb, Shipped, cfg)
}

func startProxyAs(tb testing.TB, variant Variant, cfg Config) *running {
	tb.Helper()
	r := &running{addr: net.JoinHostPort(freshIP(tb), "2379"), path: filepath.Join(tb.TempDir(), "proxy.yaml"), log: &logBuffer{}}
	r.write(tb, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- runAs(ctx, variant, r.path, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			assert.NoError(tb, err)
		case <-time.After(10 * time.Second):
			tb.Error("the proxy did not stop")
		}
		if tb.Failed() {
			tb.Logf("proxy's log:\n%s", r.log.String())
		}
	})
	tb.Cleanup(r.stop)
	require.Eventually(tb, func() bool {
		c, err := net.DialTimeout("tcp", r.addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, 2*time.Minute, 10*time.Millisecond, "the proxy does not listen")
	return r
}

// write replaces the configuration; the listen address stays.
func (r *running) write(tb testing.TB, cfg Config) {
	tb.Helper()
	cfg.Listen = []string{r.addr}
	data, err := yaml.Marshal(cfg)
	require.NoError(tb, err)
	replaceFile(tb, r.path, data)
}

// client is an etcd client that knows nothing but the proxy's plain address.
func (r *running) client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	return newClient(tb, clientv3.Config{Endpoints: []string{"http://" + r.addr}, DialTimeout: 5 * time.Second})
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
