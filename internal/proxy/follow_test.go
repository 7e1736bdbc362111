package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hello opens a connection through the proxy to an echo and returns the serial of the certificate
// that the member saw, or the status of another answer, and the connection.
func hello(tb testing.TB, addr string) (string, net.Conn, error) {
	tb.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	require.NoError(tb, err)
	tb.Cleanup(func() { c.Close() })
	require.NoError(tb, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, lines("GET / HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"))
	require.NoError(tb, err)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return "", c, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.Status, c, nil
	}
	line, err := br.ReadString('\n')
	return strings.TrimSpace(line), c, err
}

func echoes(tb testing.TB, c net.Conn) bool {
	tb.Helper()
	if _, err := io.WriteString(c, "ping"); err != nil {
		return false
	}
	buf := make([]byte, 4)
	_, err := io.ReadFull(c, buf)
	return err == nil && string(buf) == "ping"
}

// TestCredentialsSwapped: new files, renamed into place one by one, are used by the next
// connection; an open one goes on. A broken file changes nothing.
func TestCredentialsSwapped(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	creds := e.ca.clientFiles(t, t.TempDir())
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: creds})
	before, conn, err := hello(t, r.addr)
	require.NoError(t, err)

	next := e.ca.clientFiles(t, t.TempDir())
	cert, err := os.ReadFile(next.Cert)
	require.NoError(t, err)
	key, err := os.ReadFile(next.Key)
	require.NoError(t, err)

	replaceFile(t, creds.Cert, cert) // the key does not match yet
	during, _, err := hello(t, r.addr)
	require.NoError(t, err)
	assert.Equal(t, before, during)

	replaceFile(t, creds.Key, key)
	after, _, err := hello(t, r.addr)
	require.NoError(t, err)
	assert.NotEqual(t, before, after)
	assert.True(t, echoes(t, conn), "the open connection goes on")

	replaceFile(t, creds.Cert, []byte("garbage"))
	require.NoError(t, os.Remove(creds.CA))
	still, _, err := hello(t, r.addr)
	require.NoError(t, err)
	assert.Equal(t, after, still)
	assert.Contains(t, r.log.String(), "credentials are not usable, the old ones stay")
	assert.NotContains(t, r.log.String(), "PRIVATE KEY")
}

// TestCredentialsComeLate: a proxy started before its credentials exist serves
// as soon as they do.
func TestCredentialsComeLate(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	dir := filepath.Join(t.TempDir(), "later")
	paths := Credentials{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: paths})
	answer, _, err := hello(t, r.addr)
	require.NoError(t, err)
	assert.Equal(t, "503 Service Unavailable", answer)
	e.ca.clientFiles(t, dir)
	answer, _, err = hello(t, r.addr)
	require.NoError(t, err)
	assert.NotEqual(t, "503 Service Unavailable", answer)
}

// TestMembersSwapped: a connection to a member that leaves the file is closed even if no client
// comes, and the next one goes to the new member.
func TestMembersSwapped(t *testing.T) {
	t.Parallel()
	a, b := startEcho(t), startEcho(t)
	dir := t.TempDir()
	creds := a.ca.clientFiles(t, dir)
	replaceFile(t, creds.CA, append(append([]byte{}, a.ca.pem...), b.ca.pem...))
	r := startProxy(t, Config{Members: []Member{a.member}, Credentials: creds})
	_, conn, err := hello(t, r.addr)
	require.NoError(t, err)

	b.ca.clientFiles(t, dir) // of b's authority now, same paths
	replaceFile(t, creds.CA, append(append([]byte{}, a.ca.pem...), b.ca.pem...))
	r.write(t, Config{Members: []Member{b.member}, Credentials: creds})
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "closed, well before the read deadline")
	answer, _, err := hello(t, r.addr)
	require.NoError(t, err)
	assert.NotEqual(t, "503 Service Unavailable", answer)
	assert.EqualValues(t, 1, b.open.Load())
}

// TestBrokenConfigKept: whatever replaces the file, the proxy goes on with what it has, and a good
// file is used again.
func TestBrokenConfigKept(t *testing.T) {
	t.Parallel()
	e := startEcho(t)
	r := startProxy(t, Config{Members: []Member{e.member}, Credentials: e.ca.clientFiles(t, t.TempDir())})
	_, conn, err := hello(t, r.addr)
	require.NoError(t, err)
	for i, bad := range []string{
		"", "{", "listen: [127.0.0.1:1]\nmembers: [{name: a}]\n", "lissten: []\n",
		"listen: [127.0.0.1:1]\ncredentials: {ca: x}\n", strings.Repeat("#", maxConfigBytes+1),
	} {
		replaceFile(t, r.path, []byte(bad))
		_, _, err := hello(t, r.addr)
		require.NoError(t, err)
		assert.Equal(t, i+1, strings.Count(r.log.String(), "new proxy configuration is not usable"), "logged once for each content")
	}
	assert.True(t, echoes(t, conn))
	require.NoError(t, os.Remove(r.path))
	_, _, err = hello(t, r.addr)
	require.NoError(t, err)

	r.write(t, Config{Members: nil})
	answer, _, err := hello(t, r.addr)
	require.NoError(t, err)
	assert.Equal(t, "503 Service Unavailable", answer)
}

func TestListenChangeNeedsRestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "proxy.yaml")
	replaceFile(t, path, []byte("listen: ['127.0.0.1:1']\n"))
	log := &logBuffer{}
	f, err := newFollower(path, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	assert.False(t, f.refresh(), "nothing changed")
	replaceFile(t, path, []byte("listen: ['127.0.0.1:2']\n"))
	assert.True(t, f.refresh())
	assert.Contains(t, log.String(), "a restart is needed")
}

func TestCredentialsAreRedacted(t *testing.T) {
	t.Parallel()
	creds, err := loadCredentials(newAuthority(t, "a").clientFiles(t, t.TempDir()))
	require.NoError(t, err)
	log := &logBuffer{}
	slog.New(slog.NewTextHandler(log, nil)).Info("x", "creds", creds)
	structured := &logBuffer{}
	slog.New(slog.NewJSONHandler(structured, nil)).Info("x", "creds", creds)
	for _, s := range []string{fmt.Sprint(creds), fmt.Sprintf("%+v", creds), fmt.Sprintf("%#v", creds), log.String(), structured.String()} {
		assert.Contains(t, s, "[redacted]")
		assert.NotContains(t, s, "Pool")
	}
}
