package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestNothingLeaks is not parallel: it counts goroutines. Many clients of every kind come and go,
// and some are still connected at the stop.
func TestNothingLeaks(t *testing.T) {
	e := startEcho(t)
	cfg := Config{
		Members:     []Member{e.member, {Name: "dead", ClientURL: "https://" + freshIP(t) + ":2379"}},
		Credentials: e.ca.clientFiles(t, t.TempDir()),
	}
	before := runtime.NumGoroutine()
	r := startProxy(t, cfg)
	quiet := runtime.NumGoroutine()
	for range 20 {
		_, c, err := hello(t, r.addr)
		require.NoError(t, err)
		c.Close()
		g, err := net.Dial("tcp", r.addr)
		require.NoError(t, err)
		_, err = g.Write([]byte{0x16, 3, 1, 0, 0})
		require.NoError(t, err)
		g.Close()
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= quiet+6 }, 2*time.Minute, 20*time.Millisecond,
		"clients that left stay in memory (health checks need a few)")
	require.Eventually(t, func() bool { return e.open.Load() == 0 }, 2*time.Minute, 20*time.Millisecond)

	_, open, err := hello(t, r.addr)
	require.NoError(t, err)
	silent, err := net.Dial("tcp", r.addr)
	require.NoError(t, err)
	defer silent.Close()
	r.stop()
	_, err = open.Read(make([]byte, 1))
	require.Error(t, err, "open connections are closed at the stop")
	_, err = net.Dial("tcp", r.addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 2*time.Minute, 20*time.Millisecond,
		"goroutines outlive the proxy (one runs this check)")
}

// TestReadiness is not parallel: it sets the environment.
func TestReadiness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer sock.Close()
	require.NoError(t, sock.SetReadDeadline(time.Now().Add(10*time.Second)))
	t.Setenv("NOTIFY_SOCKET", path)
	r := startProxy(t, Config{})
	buf := make([]byte, 64)
	n, err := sock.Read(buf)
	require.NoError(t, err)
	assert.Equal(t, "READY=1", string(buf[:n]))
	r.stop()
	n, err = sock.Read(buf)
	require.NoError(t, err)
	assert.Equal(t, "STOPPING=1", string(buf[:n]))
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", net.JoinHostPort(freshIP(t), "2379"))
	require.NoError(t, err)
	defer taken.Close()
	tests := []struct{ name, content, want string }{
		{"broken file", "{", "cannot decode proxy configuration"},
		{"address in use", "listen: ['" + freshIP(t) + ":2379', '" + taken.Addr().String() + "']", "cannot listen for clients"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "proxy.yaml")
			replaceFile(t, path, []byte(tt.content))
			require.ErrorContains(t, Run(t.Context(), path, slog.New(slog.DiscardHandler)), tt.want)
		})
	}
	require.ErrorIs(t, Run(t.Context(), filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler)), os.ErrNotExist)
}

// TestAlienClients: TLS and garbage on the plaintext port are closed, and no member is dialled for
// them.
func TestAlienClients(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: e.ca.clientFiles(t, t.TempDir())})
	for _, garbage := range []string{"\x00\x01\x02", "get / http", "\xff\xfe", "\n"} {
		c, err := net.Dial("tcp", r.addr)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = io.WriteString(c, garbage)
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	_, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	require.Error(t, err)
	require.Eventually(t, func() bool {
		return strings.Count(r.log.String(), "neither HTTP/1 nor HTTP/2") == 5
	}, 2*time.Minute, 10*time.Millisecond)
	assert.Zero(t, e.open.Load())
}

// TestHalfClose: a client that has closed its half still receives the rest.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: e.ca.clientFiles(t, t.TempDir())})
	_, c, err := hello(t, r.addr)
	require.NoError(t, err)
	payload := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		_, _ = io.WriteString(c, payload)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	echoed, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, payload, string(echoed))
}

// TestUpstreamSockets: the socket options that detect a vanished machine are set.
func TestUpstreamSockets(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	up, err := dial(t.Context(), target{addr: l.Addr().String()}, nil, alpnH2)
	require.NoError(t, err)
	defer up.Close()
	sc, err := up.raw.(streamConn).SyscallConn()
	require.NoError(t, err)
	want := map[int]int{
		unix.TCP_USER_TIMEOUT: 20000, unix.TCP_KEEPIDLE: 2, unix.TCP_KEEPINTVL: 1, unix.TCP_NODELAY: 1,
	}
	got := map[int]int{}
	require.NoError(t, sc.Control(func(fd uintptr) {
		for opt := range want {
			v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, opt)
			assert.NoError(t, err)
			got[opt] = v
		}
	}))
	assert.Equal(t, want, got)
}

// TestDialIsBounded: a server that accepts and says nothing is given up.
func TestDialIsBounded(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	creds, err := loadCredentials(newAuthority(t, "a").clientFiles(t, t.TempDir()))
	require.NoError(t, err)
	_, err = dial(t.Context(), target{addr: l.Addr().String(), host: "127.0.0.1", tls: true}, creds, alpnH2)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestServerIsVerified: a certificate of the right authority but for another
// host is not a member's.
func TestServerIsVerified(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	creds, err := loadCredentials(e.ca.clientFiles(t, t.TempDir()))
	require.NoError(t, err)
	u, err := parseURL(e.member.ClientURL)
	require.NoError(t, err)
	good := newTarget("good", u)
	up, err := dial(t.Context(), good, creds, alpnHTTP1)
	require.NoError(t, err)
	up.raw.Close()
	other := good
	other.host = "127.0.0.99"
	_, err = dial(t.Context(), other, creds, alpnHTTP1)
	require.ErrorContains(t, err, "certificate is valid for")
}

// TestMemberHangsUp: a client that waits, as a watch does, notices at once that its member is gone.
func TestMemberHangsUp(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: e.ca.clientFiles(t, t.TempDir())})
	_, c, err := hello(t, r.addr)
	require.NoError(t, err)
	e.hangup <- struct{}{}
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// TestStopIsGraceful: what is in flight at a stop may end.
func TestStopIsGraceful(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: e.ca.clientFiles(t, t.TempDir())})
	_, c, err := hello(t, r.addr)
	require.NoError(t, err)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	for {
		n, err := net.Dial("tcp", r.addr)
		if err != nil {
			break
		}
		n.Close()
	}
	assert.True(t, echoes(t, c))
	require.NoError(t, c.Close())
	<-stopped
}
