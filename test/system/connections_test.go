package system

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// linesKey and serversKey are the keys under which a script has its open connections, and the
// servers that it has seen run.
type (
	linesKey   struct{}
	serversKey struct{}
)

// lines are open connections by name.
type lines map[string]*line

// line is one TLS connection that speaks HTTP.
type line struct {
	conn net.Conn
	in   *bufio.Reader
	host string
}

// connect is "[!] connect NAME HOST:PORT ROOTS [CERT KEY]": it opens a connection over TLS and asks
// for the version. With ! the server must refuse it: a client that does not trust the server proves
// nothing.
func connect(ts *testscript.TestScript, neg bool, args []string) {
	name, address := args[0], args[1]
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[2]))) {
		ts.Fatalf("no certificate in %s", args[2])
	}
	config := &tls.Config{RootCAs: roots}
	if len(args) > 3 {
		pair, err := tls.X509KeyPair([]byte(ts.ReadFile(args[3])), []byte(ts.ReadFile(args[4])))
		ts.Check(err)
		// Not Certificates: those are left out if the server names other authorities.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	l, err := open(address, config)
	switch {
	case err == nil && neg:
		ts.Fatalf("%s lets this certificate in", address)
	case err != nil && !neg:
		ts.Fatalf("cannot connect to %s: %v", address, err)
	case err != nil && !refused(err):
		ts.Fatalf("%s does not refuse this certificate, but: %v", address, err)
	case err == nil:
		ts.Defer(func() { l.conn.Close() })
		ts.Value(linesKey{}).(lines)[name] = l
	}
}

// open opens a connection and asks for the version.
func open(address string, config *tls.Config) (*line, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, config)
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, in: bufio.NewReader(conn), host: address}
	if err := l.ask(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return l, nil
}

// refused reports a server's refusal: an alert, or a connection that it ends.
func refused(err error) bool {
	return strings.Contains(err.Error(), "remote error: tls:") || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// ask asks for the version, and fails if there is no answer.
func (l *line) ask() error {
	if err := l.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(l.conn, "GET /version HTTP/1.1\r\nHost: %s\r\n\r\n", l.host); err != nil {
		return err
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// ask is "[!] ask NAME": the open connection answers, or with ! has ended.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	l := ts.Value(linesKey{}).(lines)[args[0]]
	if l == nil {
		ts.Fatalf("there is no connection %s", args[0])
	}
	switch err := l.ask(); {
	case err == nil && neg:
		ts.Fatalf("connection %s still answers", args[0])
	case err != nil && (!neg || !refused(err)):
		ts.Fatalf("connection %s: %v", args[0], err)
	}
}

// servers is "[!] servers DIR": the same etcd servers run below a directory as at the last call;
// with ! each is another. The first call only looks.
func servers(ts *testscript.TestScript, neg bool, args []string) {
	dir := filepath.Clean(ts.MkAbs(args[0]))
	found := map[string]bool{}
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	ts.Check(err)
	for _, program := range programs {
		exe, err := os.Readlink(program)
		if err != nil || !strings.HasPrefix(exe, dir+"/") {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(filepath.Dir(program), "cmdline"))
		argv0, _, _ := strings.Cut(string(cmdline), "\x00")
		if err == nil && filepath.Base(argv0) == "etcd" {
			found[program] = true
		}
	}
	if len(found) == 0 {
		ts.Fatalf("no server runs below %s", dir)
	}
	known := ts.Value(serversKey{}).(map[string]bool)
	for program := range known {
		if found[program] == neg {
			ts.Fatalf("%s: it runs %v, and %d servers run in all", program, found[program], len(found))
		}
	}
	clear(known)
	for program := range found {
		known[program] = true
	}
}
