package secondlife

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// server is an etcd that serves our data where no other process can reach it: on sockets in a
// directory that only its user may enter. Its client is etcd's user root, whether or not
// authentication is switched on in the data.
type server struct {
	*clientv3.Client

	cmd    *exec.Cmd
	out    tail
	exited chan struct{}
	err    error // once exited is closed
	dir    *os.File
}

// What is in its directory.
const (
	clientSocket, peerSocket    = "client", "peer"
	trustFile, certFile, keyOne = "ca.crt", "server.crt", "server.key"
)

// startTime bounds how long a server may take to become ready: first it reads its whole database.
const startTime = 10 * time.Minute

// retry is the pause between two questions whether it is ready.
const retry = 20 * time.Millisecond

// endTime bounds how long it may take to end.
const endTime = time.Minute

// serve starts a server on the data and waits until it is ready.
func (m making) serve(
	ctx context.Context, data, name string, size int64, more ...string,
) (_ *server, err error) {
	dir := m.path("run")
	if err := os.RemoveAll(dir); err != nil { // left by the server before
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	config, err := credentials(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range []string{dir, data} {
		if err := m.give(path); err != nil {
			return nil, err
		}
	}
	advertised := m.ClientURL
	if advertised == "" {
		advertised = "unixs://" + clientSocket
	}
	args := append([]string{
		"--name=" + name, "--data-dir=" + data,
		"--listen-client-urls=unixs://" + clientSocket, "--advertise-client-urls=" + advertised,
		"--listen-peer-urls=unix://" + peerSocket,
		"--trusted-ca-file=" + trustFile,
		"--cert-file=" + certFile, "--key-file=" + keyOne, "--client-cert-auth",
		"--enable-grpc-gateway=false", "--log-level=warn", "--log-outputs=stderr",
		// A single member need not wait for others.
		"--heartbeat-interval=10", "--election-timeout=100",
		// The quota must not matter here: the server that will serve the data has its own.
		"--quota-backend-bytes=" + strconv.FormatInt(2*size+1<<30, 10),
	}, more...)
	if m.noFsync {
		args = append(args, "--unsafe-no-fsync")
	}
	s := &server{
		cmd:    command(context.WithoutCancel(ctx), m.Etcd, args...),
		exited: make(chan struct{}),
	}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, &s.out, &s.out
	if m.User != nil {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.User}
	}
	if s.dir, err = os.Open(dir); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, s.dir.Close())
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	if s.Client, err = s.dial(config); err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.kill())
	}
	return s, nil
}

// dial finds the socket through the open directory: the path of a socket may have at most 107
// bytes, and ours may be longer.
func (s *server) dial(config *tls.Config) (*clientv3.Client, error) {
	socket := fmt.Sprintf("/proc/self/fd/%d/%s", s.dir.Fd(), clientSocket)
	// The server does not listen yet. Without this setting gRPC would wait a second before it tries
	// again.
	again := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: retry, Multiplier: 1, MaxDelay: retry},
		MinConnectTimeout: endTime,
	})
	return clientv3.New(clientv3.Config{
		Endpoints: []string{"https://localhost:1"}, TLS: config, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{again, grpc.WithContextDialer(
			func(ctx context.Context, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		)},
	})
}

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		_, err := s.Get(attempt, "\x00", clientv3.WithCountOnly())
		done()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("etcd does not start on it: %s (%w)", s.out.last(), s.err)
		case <-ctx.Done():
			return fmt.Errorf("etcd is not ready on it: %w", errors.Join(ctx.Err(), err))
		case <-time.After(retry):
		}
	}
}

// stop ends the server by SIGTERM, so that it writes everything that it has to disk.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.exited:
	case <-time.After(endTime):
		return errors.Join(errors.New("etcd does not stop"), s.kill())
	}
	err := s.Close()
	if s.err != nil {
		// etcd raises the same signal on itself, once it has closed everything.
		if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok ||
			status.Signal() != syscall.SIGTERM {
			err = fmt.Errorf("etcd did not stop cleanly: %s (%w)", s.out.last(), s.err)
		}
	}
	return errors.Join(err, s.dir.Close())
}

// kill ends a server whose data is thrown away.
func (s *server) kill() error {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.exited
	if s.Client != nil {
		_ = s.Close()
	}
	return s.dir.Close()
}

// Close closes the client.
func (s *server) Close() error {
	if err := s.Client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// credentials writes the files that the server needs, and returns its one client's certificate.
// That is one of etcd's user root: without it, data for which authentication is switched on cannot
// be read. The authority is made for this server and this client, and is thrown away with them.
func credentials(dir string) (*tls.Config, error) {
	now := time.Now()
	template := func(serial int64, name string, usage x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
		}
	}
	ca := template(1, "of one server", x509.ExtKeyUsageServerAuth)
	ca.IsCA, ca.KeyUsage, ca.DNSNames = true,
		x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, []string{"localhost"}
	// It signs both server and client certificates.
	ca.ExtKeyUsage = append(ca.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := template(2, "root", x509.ExtKeyUsageClientAuth)
	root.KeyUsage = x509.KeyUsageDigitalSignature
	rootDER, err := x509.CreateCertificate(rand.Reader, root, ca, &rootKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(caKey)
	if err != nil {
		return nil, err
	}
	pemCA := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	for name, text := range map[string][]byte{
		trustFile: pemCA,
		certFile:  pemCA,
		keyOne:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pemCA)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: "localhost",
		Certificates: []tls.Certificate{{Certificate: [][]byte{rootDER}, PrivateKey: rootKey}},
	}, nil
}
