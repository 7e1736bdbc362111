package pki_test

import (
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// etcdPort listens as etcd does: its own TLS listener, with files.
type etcdPort struct {
	address string
	crl     string
	trust   []byte
}

func listen(t *testing.T, leaf pki.Leaf, trust, crl []byte) etcdPort {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	info := transport.TLSInfo{
		CertFile:       write("leaf.crt", leaf.CertPEM),
		KeyFile:        write("leaf.key", leaf.Key.PEM()),
		TrustedCAFile:  write("ca.crt", trust),
		ClientCertAuth: true,
	}
	if crl != nil {
		info.CRLFile = write("client.crl", crl)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener, err := transport.NewTLSListener(plain, &info)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return etcdPort{address: plain.Addr().String(), crl: info.CRLFile, trust: trust}
}

// dial returns nil if the port accepted the certificate.
func (p etcdPort) dial(t *testing.T, certPEM, keyPEM []byte) error {
	t.Helper()
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(p.trust))
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", p.address, &tls.Config{
		RootCAs: roots,
		// Not Certificates: that is silently left out if the server names other CAs.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	greeting := make([]byte, len("hello"))
	_, err = io.ReadFull(conn, greeting)
	return err
}

func TestEtcdReadsTheCRL(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, err := pki.NewAuthority(cryptorand.Reader, now, "etcd")
	require.NoError(t, err)
	server, err := pki.IssueServer(now, cryptorand.Reader, a, pki.Request{CommonName: "etcd0", SANs: []string{"127.0.0.1"}})
	require.NoError(t, err)
	admin, err := pki.IssueAdmin(now, cryptorand.Reader, a)
	require.NoError(t, err)
	stays, err := a.Credentials(modelUUID, "proxy:1", 1, pki.PeriodOf(now))
	require.NoError(t, err)
	ends, err := a.Credentials(modelUUID, "proxy:2", 1, pki.PeriodOf(now))
	require.NoError(t, err)

	empty, err := pki.CRL(a.Client, nil, now)
	require.NoError(t, err)
	port := listen(t, server, a.TrustClient, empty)
	require.NoError(t, port.dial(t, []byte(stays.Cert), []byte(stays.Key)), "an empty CRL refuses nobody")
	require.NoError(t, port.dial(t, []byte(ends.Cert), []byte(ends.Key)))
	require.NoError(t, port.dial(t, admin.CertPEM, admin.Key.PEM()))

	serials, err := pki.SerialsOf(a.Client, modelUUID, "proxy:2", 1, pki.PeriodOf(now))
	require.NoError(t, err)
	full, err := pki.CRL(a.Client, serials, now)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(port.crl+".new", full, 0o600))
	require.NoError(t, os.Rename(port.crl+".new", port.crl))
	assert.Error(t, port.dial(t, []byte(ends.Cert), []byte(ends.Key)), "revoked")
	assert.NoError(t, port.dial(t, []byte(stays.Cert), []byte(stays.Key)))
	assert.NoError(t, port.dial(t, admin.CertPEM, admin.Key.PEM()))

	require.NoError(t, os.Remove(port.crl))
	assert.Error(t, port.dial(t, []byte(stays.Cert), []byte(stays.Key)), "a missing file refuses everybody")
}

// ADR 0010 and the pages say so: etcd's grpc-proxy demands a certificate without a name in this
// way.
func TestGRPCProxyRefusesConsumers(t *testing.T) {
	t.Parallel()
	given, err := authority(t, 1).Credentials(modelUUID, "proxy:1", 1, pki.PeriodOf(epoch))
	require.NoError(t, err)
	dir := t.TempDir()
	info := transport.TLSInfo{CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "key"), EmptyCN: true}
	require.NoError(t, os.WriteFile(info.CertFile, []byte(given.Cert), 0o600))
	require.NoError(t, os.WriteFile(info.KeyFile, []byte(given.Key), 0o600))
	_, err = info.ClientConfig()
	require.ErrorContains(t, err, "non empty Common Name (proxy:1)")
}

func TestPortsTrustTheirOwnAuthorityOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, err := pki.NewAuthority(cryptorand.Reader, now, "etcd")
	require.NoError(t, err)
	server, err := pki.IssueServer(now, cryptorand.Reader, a, pki.Request{SANs: []string{"127.0.0.1"}})
	require.NoError(t, err)
	peer, err := pki.IssuePeer(now, cryptorand.Reader, a, pki.Request{SANs: []string{"127.0.0.1"}})
	require.NoError(t, err)
	admin, err := pki.IssueAdmin(now, cryptorand.Reader, a)
	require.NoError(t, err)
	client, err := a.Credentials(modelUUID, "proxy:1", 1, pki.PeriodOf(now))
	require.NoError(t, err)
	crl, err := pki.CRL(a.Client, []*big.Int{big.NewInt(1)}, now)
	require.NoError(t, err)
	peerPort := listen(t, peer, a.TrustPeer, nil)
	clientPort := listen(t, server, a.TrustClient, crl)

	assert.NoError(t, peerPort.dial(t, peer.CertPEM, peer.Key.PEM()))
	assert.Error(t, peerPort.dial(t, []byte(client.Cert), []byte(client.Key)), "a consumer on the peer port")
	assert.Error(t, peerPort.dial(t, admin.CertPEM, admin.Key.PEM()), "the admin on the peer port")
	assert.Error(t, peerPort.dial(t, server.CertPEM, server.Key.PEM()), "a server certificate on the peer port")
	assert.NoError(t, clientPort.dial(t, []byte(client.Cert), []byte(client.Key)))
	assert.NoError(t, clientPort.dial(t, server.CertPEM, server.Key.PEM()), "etcd's gateway dials its own port")
	assert.Error(t, clientPort.dial(t, peer.CertPEM, peer.Key.PEM()), "a member's certificate on the client port")
}

// A date from one clock stays in a certificate for as long as an authority lives, so no clock may
// set a date that makes others refuse it.
func TestWrongClocksDoNoHarm(t *testing.T) {
	t.Parallel()
	right := time.Now()
	for name, off := range map[string]time.Duration{
		"49 hours ahead": 49 * time.Hour, "400 days ahead": 400 * day, "20 years ahead": 20 * 365 * day,
		"49 hours behind": -49 * time.Hour, "300 days behind": -300 * day,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := right.Add(off)
			a, err := pki.NewAuthority(cryptorand.Reader, wrong, "etcd")
			require.NoError(t, err)
			for _, now := range []time.Time{right, wrong} {
				names := pki.Request{SANs: []string{"127.0.0.1"}}
				server, err := pki.IssueServer(now, cryptorand.Reader, a, names)
				require.NoError(t, err)
				admin, err := pki.IssueAdmin(now, cryptorand.Reader, a)
				require.NoError(t, err)
				peer, err := pki.IssuePeer(now, cryptorand.Reader, a, names)
				require.NoError(t, err)
				assert.NoError(t, listen(t, server, a.TrustClient, nil).dial(t, admin.CertPEM, admin.Key.PEM()))
				assert.NoError(t, listen(t, peer, a.TrustPeer, nil).dial(t, peer.CertPEM, peer.Key.PEM()))
			}
			server, err := pki.IssueServer(right, cryptorand.Reader, a, pki.Request{SANs: []string{"127.0.0.1"}})
			require.NoError(t, err)
			consumer, err := a.Credentials(modelUUID, "proxy:1", 1, pki.PeriodOf(right))
			require.NoError(t, err)
			assert.NoError(t, listen(t, server, a.TrustClient, nil).dial(t, []byte(consumer.Cert), []byte(consumer.Key)))
		})
	}
}

// A machine without a clock battery starts in 1970: the authorities that it makes are valid once
// its clock is right.
func TestAuthoritiesOfAClockThatWasNeverSet(t *testing.T) {
	t.Parallel()
	a, err := pki.NewAuthority(cryptorand.Reader, time.Unix(60, 0), "etcd")
	require.NoError(t, err)
	_, err = pki.IssueAdmin(time.Unix(60, 0), cryptorand.Reader, a)
	require.ErrorContains(t, err, "the clock says 1970-01-01")
	server, err := pki.IssueServer(time.Now(), cryptorand.Reader, a, pki.Request{SANs: []string{"127.0.0.1"}})
	require.NoError(t, err)
	admin, err := pki.IssueAdmin(time.Now(), cryptorand.Reader, a)
	require.NoError(t, err)
	assert.NoError(t, listen(t, server, a.TrustClient, nil).dial(t, admin.CertPEM, admin.Key.PEM()))
}
