package proxy

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
)

// groupHere is a group that this process may give a file to.
func groupHere(tb testing.TB) string {
	tb.Helper()
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	require.NoError(tb, err)
	return group.Name
}

// socketHere is a socket in a directory of its own, whose path is short enough.
func socketHere(tb testing.TB) Socket {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sock") //nolint:usetesting // a socket's path has 107 bytes at most
	require.NoError(tb, err)
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return Socket{filepath.Join(dir, "etcd.sock"), groupHere(tb)}
}

func unixClient(tb testing.TB, path string) *http.Client {
	tb.Helper()
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

// TestSocket: the socket serves what the port serves, to its group.
func TestSocket(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	cfg := c.config()
	cfg.Socket = socketHere(t)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: cfg.Socket.Path})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	require.NoError(t, left.Close(), "a process that was killed leaves its socket behind")
	r := startProxy(t, cfg)
	ctx := within(t, time.Minute)

	for _, endpoint := range []string{"unix://" + cfg.Socket.Path, r.addr} {
		cli := newClient(t, clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
		_, err := cli.Put(ctx, "socket/"+endpoint, "by gRPC")
		require.NoError(t, err)
		got, err := cli.Get(ctx, "socket/"+endpoint)
		require.NoError(t, err)
		assert.Equal(t, "by gRPC", string(got.Kvs[0].Value))
	}

	// Clients of a socket may send any Host, and a page's request is still refused.
	client := unixClient(t, cfg.Socket.Path)
	for _, host := range []string{"localhost", "etcd.sock", "what.ever.example"} {
		for origin, code := range map[string]int{"": http.StatusOK, "http://evil.example": http.StatusForbidden} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/version", nil)
			require.NoError(t, err)
			if origin != "" {
				req.Header.Set("Origin", origin)
			}
			resp, err := client.Do(req)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, code, resp.StatusCode, "%s %s", host, origin)
		}
	}

	info, err := os.Stat(cfg.Socket.Path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(socketMode)|os.ModeSocket, info.Mode())
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(cfg.Socket.Path), 0o755))
		require.NoError(t, connectAs(65534, 65534, os.Getgid(), cfg.Socket.Path), "another user of the group")
		require.ErrorIs(t, connectAs(65534, 65534, 65534, cfg.Socket.Path), syscall.EACCES)
	}

	// If somebody opens it to others, the mode is put back.
	require.NoError(t, os.Chmod(cfg.Socket.Path, 0o666))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(cfg.Socket.Path, -1, 65534))
	}
	assert.Eventually(t, func() bool {
		info, err := os.Stat(cfg.Socket.Path)
		return err == nil && info.Mode().Perm() == socketMode && int(info.Sys().(*syscall.Stat_t).Gid) == os.Getgid()
	}, time.Minute, 10*time.Millisecond)

	r.stop()
	assert.NoFileExists(t, cfg.Socket.Path)
}

// connectAs connects to a socket as a user in a further group. It uses up a thread.
func connectAs(uid, gid, group int, path string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread cannot get back what it gave up
		done <- func() error {
			groups := []uint32{uint32(group)} //nolint:gosec // a group's number
			for _, call := range [][4]uintptr{
				{unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0]))},
				{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
				{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
			} {
				if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
					return errno
				}
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(fd) }()
			return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		}()
	}()
	return <-done
}

// TestSocketAlone: a proxy can do without a port.
func TestSocketAlone(t *testing.T) {
	t.Parallel()
	socket := socketHere(t)
	var log logBuffer
	ls, err := listenAll(t.Context(), Config{Socket: socket}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	require.Len(t, ls, 1)
	assert.Equal(t, "unix", ls[0].Addr().Network())
	require.NoError(t, ls[0].Close())

	_, err = listenAll(t.Context(), Config{Socket: Socket{socket.Path, "no-such-group"}}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "no-such-group")
	require.NoError(t, os.WriteFile(socket.Path, []byte("something of somebody's"), 0o600))
	_, err = listenAll(t.Context(), Config{Socket: socket}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "address already in use", "what is no socket is not taken away")
	assert.FileExists(t, socket.Path)
}

// TestListenAlso: an address that may be left out is, with a line in the log; any other is an
// error.
func TestListenAlso(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", net.JoinHostPort(freshIP(t), "2379"))
	require.NoError(t, err)
	defer taken.Close()
	free := net.JoinHostPort(freshIP(t), "2379")
	var log logBuffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	ls, err := listenAll(t.Context(), Config{
		Listen: []string{net.JoinHostPort(freshIP(t), "2379")},
		Also:   []string{taken.Addr().String(), "[2001:db8::1]:2379", free},
	}, logger)
	require.NoError(t, err)
	require.Len(t, ls, 2)
	assert.Equal(t, free, ls[1].Addr().String())
	assert.Contains(t, log.String(), "address already in use")
	assert.Contains(t, log.String(), "cannot assign requested address")
	for _, l := range ls {
		require.NoError(t, l.Close())
	}
	_, err = listenAll(t.Context(), Config{Listen: []string{taken.Addr().String()}, Also: []string{free}}, logger)
	require.ErrorContains(t, err, "cannot listen for clients: listen tcp "+taken.Addr().String()+": bind: address already in use")
}

// TestConfigOfListening: what the file may say about listening.
func TestConfigOfListening(t *testing.T) {
	t.Parallel()
	c, err := ParseConfig([]byte("socket: {path: /run/x/etcd.sock, group: g}\n"))
	require.NoError(t, err)
	assert.Equal(t, Config{Socket: Socket{"/run/x/etcd.sock", "g"}}, c)
	c, err = ParseConfig([]byte("listen: ['127.0.0.1:1']\nalso: ['[::1]:1']\n"))
	require.NoError(t, err)
	assert.Equal(t, Config{Listen: []string{"127.0.0.1:1"}, Also: []string{"[::1]:1"}}, c)
	for text, want := range map[string]string{
		"also: ['[::1]:1']":                        "no listen address",
		"listen: ['a:1']\nalso: ['a']":             "missing port",
		"socket: {path: x/etcd.sock, group: g}":    "absolute path and a group",
		"socket: {path: /run/x/etcd.sock}":         "absolute path and a group",
		"socket: {group: g}":                       "absolute path and a group",
		"socket: {path: /x, group: g, mode: 0777}": "field mode not found",
	} {
		_, err := ParseConfig([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	assert.False(t, bytes.Contains(mustYAML(t, Config{Listen: []string{"a:1"}}), []byte("socket")), "none is left out")
}
