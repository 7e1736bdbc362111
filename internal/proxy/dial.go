package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Protocols offered to a member, as registered for ALPN.
const (
	alpnH2    = "h2"
	alpnHTTP1 = "http/1.1"
)

// How soon a machine that is gone is noticed. A keepalive goes out after two
// idle seconds; data or a keepalive that stays unacknowledged for three ends
// the connection (tcp(7), TCP_USER_TIMEOUT: it overrides the keepalive count).
const (
	dialTimeout   = time.Second
	keepAliveIdle = 2 * time.Second
	userTimeout   = 3 * time.Second
)

var errNoCredentials = errors.New("the member wants TLS and no usable credentials are configured")

// upstream is an open connection to a member. raw is the TCP connection below
// it: closing raw never blocks, while closing a TLS connection may wait five
// seconds for a member that does not read.
type upstream struct {
	net.Conn
	raw     *socket
	records *recordReader // nil without TLS
}

// readMore fills p with what has arrived already, without waiting, and returns
// how much that was.
func (u *upstream) readMore(p []byte) int {
	u.records.arrivedOnly = true
	defer func() { u.records.arrivedOnly = false }()
	n := 0
	for n < len(p) {
		m, err := u.Read(p[n:])
		n += m
		if err != nil {
			break // nothing more, or an error that comes again
		}
	}
	return n
}

// dial opens a connection to t within dialTimeout, offering alpn where t wants
// TLS.
func dial(ctx context.Context, t target, creds *credentials, alpn string) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: time.Second, Count: 3},
		Control: func(_, _ string, c syscall.RawConn) error {
			return setUserTimeout(c, userTimeout)
		},
	}
	if t.tls && creds == nil {
		return nil, errNoCredentials
	}
	conn, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot connect: unexpected connection type %T", conn)
	}
	raw, err := newSocket(tcp)
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	if !t.tls {
		return &upstream{Conn: raw, raw: raw}, nil
	}
	records := &recordReader{socket: raw}
	tc := tls.Client(records, creds.config(t.host, alpn))
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("cannot shake hands: %w", err)
	}
	if got := tc.ConnectionState().NegotiatedProtocol; got != alpn && alpn == alpnH2 {
		_ = raw.Close()
		return nil, fmt.Errorf("cannot shake hands: the server does not speak %s", alpn)
	}
	return &upstream{Conn: tc, raw: raw, records: records}, nil
}

// isRefusal says whether err is a TLS alert from the other side.
func isRefusal(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func setUserTimeout(c syscall.RawConn, d time.Duration) error {
	var serr error
	err := c.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	return errors.Join(err, serr)
}
