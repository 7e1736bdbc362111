package proxy

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dialRaw connects for a test that writes its requests byte by byte.
func dialRaw(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(tb, err)
	tb.Cleanup(func() { c.Close() })
	require.NoError(tb, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// answer is what a client receives for one request.
type answer struct {
	code   int
	header http.Header
	body   string
}

// answers sends raw bytes and reads answers until the connection ends.
func answers(tb testing.TB, addr, raw string) []answer {
	tb.Helper()
	c := dialRaw(tb, addr)
	_, err := io.WriteString(c, raw)
	require.NoError(tb, err)
	var all []answer
	for r := bufio.NewReader(c); ; {
		if _, err := r.Peek(1); err != nil {
			require.ErrorIs(tb, err, io.EOF, "%d answers", len(all))
			return all
		}
		all = append(all, nextAnswer(tb, r))
	}
}

func nextAnswer(tb testing.TB, r *bufio.Reader) answer {
	tb.Helper()
	resp, err := http.ReadResponse(r, nil)
	require.NoError(tb, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return answer{resp.StatusCode, resp.Header, ""}
	}
	body, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// lines makes a request's head; body follows it.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

func statuses(all []answer) []int {
	got := []int{}
	for _, a := range all {
		got = append(got, a.code)
	}
	return got
}

const (
	fine   = "GET /version HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n\r\n"
	origin = "Origin: http://evil.example"
)

// putBody is etcd's JSON for a put of key.
func putBody(key string) string {
	return `{"key":"` + base64.StdEncoding.EncodeToString([]byte(key)) + `","value":"eA=="}`
}

// put is a put of key as a web page can cause it: without a preflight request.
func put(key string, head ...string) string { return putAt("/v3/kv/put", key, head...) }

func putAt(target, key string, head ...string) string {
	body := putBody(key)
	return lines(append([]string{
		"POST " + target + " HTTP/1.1", "Content-Type: text/plain", "Content-Length: " + strconv.Itoa(len(body)),
	}, head...)...) + body
}

func chunked(s string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s), s) }

// TestPagesAreKeptOut: no request that a page in a browser can cause reaches a member, wherever in
// a connection it stands and however it is written.
func TestPagesAreKeptOut(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	r := startProxy(t, c.config())
	const key = "browser/key"
	evil := put(key, "Host: 127.0.0.1:2379", origin)
	tests := []struct {
		name, raw string
		want      []int
	}{
		{"a page of elsewhere writes", evil, []int{403}},
		{"a page whose name leads here", put(key, "Host: rebind.example:2379"), []int{403}},
		{"both", put(key, "Host: rebind.example", origin), []int{403}},
		{"a page of no origin", put(key, "Host: localhost", "Origin: null"), []int{403}},
		{"an empty origin", put(key, "Host: localhost", "Origin:"), []int{403}},
		{"an origin on this machine", put(key, "Host: localhost:2379", "Origin: http://localhost:2379"), []int{403}},
		{"a GET that tells no origin", lines("GET /version HTTP/1.1", "Host: localhost", "Sec-Fetch-Site: cross-site"), []int{403}},
		{"a page of another port", lines("GET /version HTTP/1.1", "Host: localhost", "sec-fetch-site: same-site"), []int{403}},
		{"preflight", lines("OPTIONS /v3/kv/put HTTP/1.1", "Host: 127.0.0.1", origin, "Access-Control-Request-Method: POST"), []int{403}},
		{"OPTIONS *", lines("OPTIONS * HTTP/1.1", "Host: 127.0.0.1", origin), []int{403}},
		{"odd casing", put(key, "hOST: 127.0.0.1", "oRIGIN: http://evil.example"), []int{403}},
		{"bare line feeds", strings.ReplaceAll(evil, "\r\n", "\n"), []int{403}},
		{"the address of all", put(key, "Host: 0.0.0.0:2379"), []int{403}},
		{"names that look like ours", put(key, "Host: localhost.evil.example:2379"), []int{403}},
		{"addresses that look like ours", put(key, "Host: 127.0.0.1.evil.example"), []int{403}},
		{"HTTP/1.0", strings.Replace(evil, "HTTP/1.1", "HTTP/1.0", 1), []int{403}},
		{"HTTP/1.0 by name", strings.Replace(put(key, "Host: rebind.example"), "HTTP/1.1", "HTTP/1.0", 1), []int{403}},
		{"pipelined", fine + fine + evil + fine, []int{200, 200, 403}},
		{"pipelined by name", fine + put(key, "Host: rebind.example"), []int{200, 403}},
		{"behind a body", put("browser/fine", "Host: localhost") + evil, []int{200, 403}},
		{
			"behind chunks", lines("POST /v3/kv/put HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked") + chunked(putBody("browser/fine")) + evil,
			[]int{200, 403},
		},
		{
			"two lengths", lines("POST /v3/kv/put HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked",
				"Content-Length: 9999") + chunked(putBody("browser/fine")) + evil, []int{200, 403},
		},
		{
			"a length within chunks", lines("POST /v3/kv/range HTTP/1.1", "Host: localhost", "Content-Length: 4",
				"Transfer-Encoding: chunked") + "0\r\n\r\n" + evil, []int{400, 403},
		},
		{
			"two lengths that differ", lines("POST /v3/kv/put HTTP/1.1", "Host: localhost", "Content-Length: 2",
				"Content-Length: 3") + "{}" + evil, []int{400},
		},
		{"an unknown coding", lines("POST /v3/kv/put HTTP/1.1", "Host: localhost", "Transfer-Encoding: gzip, chunked") + evil, []int{501}},
		{"absolute target", putAt("http://rebind.example/v3/kv/put", key, "Host: localhost"), []int{403}},
		{"absolute target with an origin", putAt("http://localhost/v3/kv/put", key, "Host: localhost", origin), []int{403}},
		{"two Host lines", put(key, "Host: localhost", "Host: rebind.example"), []int{400}},
		{"no Host", put(key), []int{400}},
		{"an empty Host", put(key, "Host:"), []int{403}},
		{"a folded Host", put(key, "Host: localhost\r\n .evil.example"), []int{400}},
		{"a folded Origin", put(key, "Host: localhost", "Origin:\r\n http://evil.example"), []int{403}},
		{"a space before the colon", put(key, "Host: localhost", "Origin : http://evil.example"), []int{400}},
		{"asks to go on", put(key, "Host: localhost", origin, "Expect: 100-continue"), []int{403}},
		{
			"WebSocket", lines("GET /v3/watch HTTP/1.1", "Host: localhost", origin, "Connection: Upgrade", "Upgrade: websocket",
				"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), []int{403},
		},
		{
			"WebSocket by name", lines("GET /v3/watch HTTP/1.1", "Host: rebind.example", "Connection: Upgrade", "Upgrade: websocket",
				"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), []int{403},
		},
		{
			"h2c", lines("GET /version HTTP/1.1", "Host: localhost", origin, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
				"HTTP2-Settings: AAMAAABkAAQAAP__"), []int{403},
		},
		{
			"behind h2c", lines("GET /version HTTP/1.1", "Host: localhost", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
				"HTTP2-Settings: AAMAAABkAAQAAP__") + evil, []int{200, 403},
		},
		{"HTTP/2 behind HTTP/1", fine + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", []int{200, 403}},
		{"a method that looks like HTTP/2", lines("PRI /v3/kv/put HTTP/1.1", "Host: localhost", origin), []int{403}},
		{"HTTP/0.9", "GET /version\r\n\r\n", []int{400}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all := answers(t, r.addr, tt.raw)
			assert.Equal(t, tt.want, statuses(all))
			last := all[len(all)-1]
			assert.Empty(t, last.header.Get("Access-Control-Allow-Origin"))
			if last.code == http.StatusForbidden {
				assert.Equal(t, "text/plain; charset=utf-8", last.header.Get("Content-Type"))
				assert.Contains(t, last.body, "refused: ")
			}
		})
	}
	t.Cleanup(func() {
		got, err := c.client(t).Get(context.WithoutCancel(t.Context()), key)
		if assert.NoError(t, err) {
			assert.Empty(t, got.Kvs, "a page has written")
		}
	})
}
