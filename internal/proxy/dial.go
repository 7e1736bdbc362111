package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/interfaces/address"
)

// Protocols offered to a member, as registered for ALPN.
const (
	alpnH2    = "h2"
	alpnHTTP1 = "http/1.1"
)

// dialTimeout bounds TCP's and TLS's handshakes together, and the search for a member. It is
// grpc-go's own (backoff.MinConnectTimeout), so a path that is good enough for a client of the
// cluster is good enough for the proxy. A slow member is overtaken meanwhile (race).
const dialTimeout = 20 * time.Second

// A machine that is gone is noticed by the health rounds, if another member is well. If none is,
// only the connection itself can show it: a keepalive goes out after two idle seconds, and data or
// a keepalive that stays unacknowledged for userTimeout ends the connection (tcp(7),
// TCP_USER_TIMEOUT: it overrides the keepalive count). At a round trip of one second TCP sends lost
// bytes again after 3 s, and after twice as long each time that follows.
const (
	keepAliveIdle = 2 * time.Second
	userTimeout   = 20 * time.Second
)

var errNoCredentials = errors.New("the member wants TLS and no usable credentials are configured")

// upstream is an open connection to a member. raw is the TCP connection below
// it: closing raw never blocks, while closing a TLS connection may wait five
// seconds for a member that does not read.
type upstream struct {
	net.Conn
	raw     socket
	records *recordReader // nil without TLS

	// finishing is set when the client has sent everything and closed its half. The member may
	// still answer, for as long as it takes.
	finishing atomic.Bool
}

// Read reads from the member.
func (u *upstream) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	if n > 0 && u.finishing.Load() {
		_ = u.SetReadDeadline(time.Now().Add(halfClosedTimeout))
	}
	return n, err
}

// readMore fills p with what has already arrived, without waiting, and returns how much that was.
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
	return dialAs(ctx, Shipped, t, creds, alpn, func() {})
}

// dialAs is dial for a variant. It calls heard when t has taken the connection.
func dialAs(
	ctx context.Context, v Variant, t target, creds *credentials, alpn string, heard func(),
) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: time.Second, Count: 3,
		},
		Control: func(_, place string, c syscall.RawConn) error {
			return errors.Join(t.judged(place), setUserTimeout(c, userTimeout))
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
	heard()
	raw, err := v.socket(tcp)
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
		return nil, fmt.Errorf("TLS handshake failed: %w", err)
	}
	if got := tc.ConnectionState().NegotiatedProtocol; got != alpn && alpn == alpnH2 {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS handshake failed: the server does not speak %s", alpn)
	}
	return &upstream{Conn: tc, raw: raw, records: records}, nil
}

// judged is the error for an address that a target's name resolves to and that must not be dialled.
func (t target) judged(place string) error {
	if t.judge == nil {
		return nil
	}
	if why := t.judge.Leads(t.host, place); why != address.Fit {
		return fmt.Errorf("it leads to %s, %s", place, why)
	}
	return nil
}

// isRefusal reports whether err is a TLS alert from the other side.
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
