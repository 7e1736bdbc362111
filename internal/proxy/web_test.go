package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startWeb runs a member that speaks only HTTP/1, and a proxy in front of it.
func startWeb(tb testing.TB, h http.HandlerFunc) *running {
	tb.Helper()
	member, _ := webMember(tb, h)
	return startProxy(tb, Config{Members: []Member{member}})
}

func webMember(tb testing.TB, h http.HandlerFunc) (Member, *http.Server) {
	tb.Helper()
	ip := freshIP(tb)
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", ip+":2379")
	require.NoError(tb, err)
	s := &http.Server{DisableGeneralOptionsHandler: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "PRI" { // a health check: the beginning of HTTP/2
			h(w, r)
		}
	})}
	go func() { _ = s.Serve(l) }()
	tb.Cleanup(func() { s.Close() })
	return Member{Name: "web-" + ip, ClientURL: "http://" + ip + ":2379"}, s
}

// TestRequestsArriveUnchanged: what a reverse proxy usually changes reaches etcd unchanged.
func TestRequestsArriveUnchanged(t *testing.T) {
	t.Parallel()
	type seen struct {
		method, uri, host, body string
		header, trailer         http.Header
	}
	got := make(chan seen, 1)
	r := startWeb(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		got <- seen{r.Method, r.RequestURI, r.Host, string(body), r.Header, r.Trailer}
	})
	tests := []struct {
		name, raw string
		want      seen
	}{
		{
			"plain", lines("GET /a//b/%2e%2F/..?x=1;y=%zz&&z HTTP/1.1", "Host: LOCALHOST:1", "Connection: close"),
			seen{"GET", "/a//b/%2e%2F/..?x=1;y=%zz&&z", "LOCALHOST:1", "", http.Header{}, nil},
		},
		{
			"two slashes", lines("GET //evil.example/a HTTP/1.1", "Host: localhost", "Connection: close"),
			seen{"GET", "//evil.example/a", "localhost", "", http.Header{}, nil},
		},
		{
			"a blank in the target", lines("DELETE / x HTTP/1.1", "Host: localhost", "Connection: close"), seen{},
		},
		{
			"forwarded, tokens and twice the same", lines("PUT /? HTTP/1.1", "Host: localhost", "Connection: close",
				"X-Forwarded-For: 10.0.0.9", "X-Forwarded-Host: h", "X-Forwarded-Proto: p", "Forwarded: for=x", "Authorization: token",
				"Accept-Encoding: br", "X-a_b: 1", "x-A_B: 2", "Grpc-Timeout: 1S", "TE: trailers", "Content-Length: 0"),
			seen{"PUT", "/?", "localhost", "", http.Header{
				"X-Forwarded-For": {"10.0.0.9"}, "X-Forwarded-Host": {"h"}, "X-Forwarded-Proto": {"p"}, "Forwarded": {"for=x"},
				"Authorization": {"token"}, "Accept-Encoding": {"br"}, "X-A_b": {"1", "2"}, "Grpc-Timeout": {"1S"}, "Te": {"trailers"},
				"Content-Length": {"0"},
			}, nil},
		},
		{
			"a body of known length", lines("POST /v3 HTTP/1.0", "Content-Length: 3", "User-Agent: x") + "abc",
			seen{"POST", "/v3", "localhost", "abc", http.Header{"Content-Length": {"3"}, "User-Agent": {"x"}}, nil},
		},
		{
			"chunks and a trailer", lines("POST /v3 HTTP/1.1", "Host: localhost", "Connection: close", "Transfer-Encoding: chunked",
				"Trailer: X-Sum") + "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
			seen{"POST", "/v3", "localhost", "abcde", http.Header{}, http.Header{"X-Sum": {"5"}}},
		},
		{
			"absolute target", lines("GET http://127.0.0.1:1/version HTTP/1.1", "Host: localhost", "Connection: close"),
			seen{"GET", "/version", "127.0.0.1:1", "", http.Header{}, nil},
		},
		{
			"all of it", lines("OPTIONS * HTTP/1.1", "Host: localhost", "Connection: close"),
			seen{"OPTIONS", "*", "localhost", "", http.Header{}, nil},
		},
		{
			"an offer to switch", lines("GET / HTTP/1.1", "Host: localhost", "Connection: close, Upgrade, HTTP2-Settings",
				"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
			seen{"GET", "/", "localhost", "", http.Header{}, nil},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want.method == "" {
				assert.Equal(t, []int{400}, statuses(answers(t, r.addr, tt.raw)))
				return
			}
			assert.Equal(t, []int{200}, statuses(answers(t, r.addr, tt.raw)))
			assert.Equal(t, tt.want, <-got)
		})
	}
}

// TestAnswersArriveUnchanged: informational answers, trailers, and answers without a body.
func TestAnswersArriveUnchanged(t *testing.T) {
	t.Parallel()
	r := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hints":
			w.Header().Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
		case "/trailers":
			w.Header().Set("Trailer", "Grpc-Trailer-A")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("Grpc-Trailer-A", "1")
			w.Header().Set(http.TrailerPrefix+"B", "2")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/zipped":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "as it is")
		}
	})
	get := func(method, path string) (got answer, trailer http.Header, length int64) {
		req, err := http.NewRequestWithContext(within(t, time.Minute), method, "http://"+r.addr+path, http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Accept-Encoding", "gzip") // the client unpacks nothing by itself then
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return answer{resp.StatusCode, resp.Header, string(body)}, resp.Trailer, resp.ContentLength
	}
	c := dialRaw(t, r.addr)
	_, err := io.WriteString(c, lines("GET /hints HTTP/1.1", "Host: localhost"))
	require.NoError(t, err)
	br := bufio.NewReader(c)
	hints := nextAnswer(t, br)
	assert.Equal(t, http.StatusEarlyHints, hints.code)
	assert.Equal(t, "</a>", hints.header.Get("Link"))
	assert.Equal(t, "{}", nextAnswer(t, br).body)

	got, trailer, _ := get("GET", "/trailers")
	assert.Equal(t, "body", got.body)
	assert.Equal(t, http.Header{"Grpc-Trailer-A": {"1"}, "B": {"2"}}, trailer)
	got, _, _ = get("GET", "/none")
	assert.Equal(t, http.StatusNoContent, got.code)
	got, _, _ = get("GET", "/zipped")
	assert.Equal(t, "as it is", got.body)
	assert.Equal(t, "gzip", got.header.Get("Content-Encoding"))
	got, _, length := get("HEAD", "/zipped")
	assert.Empty(t, got.body)
	assert.EqualValues(t, len("as it is"), length)
}

// TestContinue: the member decides when a body may come.
func TestContinue(t *testing.T) {
	t.Parallel()
	r := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusExpectationFailed)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	head := []string{"Host: localhost", "Expect: 100-continue", "Content-Length: 4"}
	c := dialRaw(t, r.addr)
	br := bufio.NewReader(c)
	for range 2 {
		_, err := io.WriteString(c, lines(append([]string{"POST / HTTP/1.1"}, head...)...))
		require.NoError(t, err)
		require.Equal(t, http.StatusContinue, nextAnswer(t, br).code)
		_, err = io.WriteString(c, "body")
		require.NoError(t, err)
		assert.Equal(t, "body", nextAnswer(t, br).body)
	}
	_, err := io.WriteString(c, lines(append([]string{"POST /no HTTP/1.1"}, head...)...))
	require.NoError(t, err)
	assert.Equal(t, http.StatusExpectationFailed, nextAnswer(t, br).code)
}

// TestEarlyAnswer: a member answers before it has read all, and ends the connection; the client
// gets that answer.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	r := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := r.Body.Read(make([]byte, 1))
		assert.NoError(t, err)
		http.Error(w, "no", http.StatusTeapot)
	})
	for range 20 {
		c := dialRaw(t, r.addr)
		go func() {
			// net/http ends the connection at once if a client asked for that.
			_, _ = io.WriteString(c, lines("POST / HTTP/1.1", "Host: localhost", "Expect: 100-continue",
				"Content-Length: 8000000")+strings.Repeat("x", 8_000_000))
		}()
		br := bufio.NewReader(c)
		require.Equal(t, http.StatusContinue, nextAnswer(t, br).code)
		require.Equal(t, http.StatusTeapot, nextAnswer(t, br).code)
	}
}

// TestStreamEndsWithTheClient: what a member streams arrives piece by piece, and the member notices
// that the client has gone, even if it has not answered yet.
func TestStreamEndsWithTheClient(t *testing.T) {
	t.Parallel()
	gone := make(chan string, 1)
	r := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body) // net/http looks for the client's end behind the body
		assert.NoError(t, err)
		if r.URL.Path == "/stream" {
			fmt.Fprint(w, "1\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		gone <- r.URL.Path
	})
	for _, path := range []string{"/stream", "/silent"} {
		c := dialRaw(t, r.addr)
		_, err := io.WriteString(c, lines("POST "+path+" HTTP/1.1", "Host: localhost", "Content-Length: 2")+"{}")
		require.NoError(t, err)
		if path == "/stream" {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			line, err := bufio.NewReader(resp.Body).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "1\n", line)
		}
		require.NoError(t, c.Close())
		select {
		case got := <-gone:
			assert.Equal(t, path, got)
		case <-time.After(time.Minute):
			require.Fail(t, "the member was not told", path)
		}
	}
}

// TestRequestOfHalfClosedClient: a client that closes its half with the request, as "nc -N" does,
// is answered.
func TestRequestOfHalfClosedClient(t *testing.T) {
	t.Parallel()
	r := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		if r.URL.Path == "/late" {
			<-r.Context().Done() // the member notices, and answers all the same
		}
		fmt.Fprint(w, len(body))
	})
	const size = 3 << 20
	for _, path := range []string{"/soon", "/late"} {
		c := dialRaw(t, r.addr)
		go func() {
			_, _ = io.WriteString(c, lines("POST "+path+" HTTP/1.0", "Content-Length: "+fmt.Sprint(size))+strings.Repeat("x", size))
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		assert.Equal(t, fmt.Sprint(size), nextAnswer(t, bufio.NewReader(c)).body, path)
	}
}

// TestClientOutlivesItsMember: a connection that is kept open is served by another member when its
// own has gone. One in the middle of an answer ends, and one that waits for an answer gets an
// error.
func TestClientOutlivesItsMember(t *testing.T) {
	t.Parallel()
	arrived := make(chan *http.Server, 1)
	servers := map[string]*http.Server{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		addr := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		switch r.URL.Path {
		case "/half":
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
			fallthrough
		case "/wait":
			arrived <- servers[addr]
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprint(w, addr)
		}
	}
	cfg := Config{}
	for range 4 {
		m, s := webMember(t, handler)
		cfg.Members = append(cfg.Members, m)
		servers[strings.TrimPrefix(m.ClientURL, "http://")] = s
	}
	r := startProxy(t, cfg)
	c := dialRaw(t, r.addr)
	br := bufio.NewReader(c)
	ask := func(path string) {
		method := "POST" // which nobody repeats
		if path == "/" {
			method = "GET"
		}
		_, err := io.WriteString(c, lines(method+" "+path+" HTTP/1.1", "Host: localhost", "Content-Length: 0"))
		require.NoError(t, err)
	}
	ask("/")
	first := nextAnswer(t, br).body
	ask("/")
	assert.Equal(t, first, nextAnswer(t, br).body, "one member for one connection")
	require.NoError(t, servers[first].Close())
	ask("/")
	second := nextAnswer(t, br).body
	assert.NotEqual(t, first, second)

	ask("/wait")
	require.NoError(t, (<-arrived).Close())
	told := nextAnswer(t, br)
	assert.Equal(t, http.StatusBadGateway, told.code)
	assert.Equal(t, cutOff+"\n", told.body)

	c = dialRaw(t, r.addr)
	br = bufio.NewReader(c)
	ask("/half")
	require.NoError(t, (<-arrived).Close())
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "half an answer is no whole one")
}

// TestRefusalsAreLoggedOnce: a page that keeps trying does not fill the log.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	r := startWeb(t, func(http.ResponseWriter, *http.Request) { t.Error("a member was asked") })
	long := strings.Repeat("x", 1000)
	for range 3 {
		all := answers(t, r.addr, lines("GET / HTTP/1.1", "Host: "+long, "Origin: http://"+long))
		assert.Equal(t, []int{403}, statuses(all))
		assert.Equal(t, refusedOrigin+"\n", all[0].body)
	}
	assert.Equal(t, 1, strings.Count(r.log.String(), "request refused"))
	assert.NotContains(t, r.log.String(), long)
}

// TestWatchOverHTTP: etcd's stream of JSON, and the same as a WebSocket, through real members.
func TestWatchOverHTTP(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	r := startProxy(t, c.config())
	const create = `{"create_request":{"key":"d2ViL3dhdGNoZWQ="}}` // web/watched
	event := func(tb testing.TB, next func() []byte) {
		tb.Helper()
		var m struct {
			Result struct {
				Created bool
				Events  []struct{ Kv struct{ Value []byte } }
			}
		}
		require.NoError(tb, json.Unmarshal(next(), &m))
		require.True(tb, m.Result.Created)
		_, err := c.client(tb).Put(within(tb, time.Minute), "web/watched", "seen")
		require.NoError(tb, err)
		require.NoError(tb, json.Unmarshal(next(), &m))
		require.NotEmpty(tb, m.Result.Events)
		assert.Equal(tb, "seen", string(m.Result.Events[0].Kv.Value))
	}
	t.Run("stream", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.addr+"/v3/watch", strings.NewReader(create))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		event(t, func() []byte {
			line, err := br.ReadBytes('\n')
			require.NoError(t, err)
			return line
		})
	})
	t.Run("WebSocket", func(t *testing.T) {
		conn := dialRaw(t, r.addr)
		_, err := io.WriteString(conn, lines("GET /v3/watch HTTP/1.1", "Host: localhost", "Connection: keep-alive, Upgrade",
			"Upgrade: WebSocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
		require.NoError(t, err)
		br := bufio.NewReader(conn)
		require.Equal(t, http.StatusSwitchingProtocols, nextAnswer(t, br).code)
		// One text frame, masked with zeros (RFC 6455, section 5.2).
		_, err = conn.Write(slices.Concat([]byte{0x81, 0x80 | byte(len(create)), 0, 0, 0, 0}, []byte(create)))
		require.NoError(t, err)
		event(t, func() []byte {
			head := make([]byte, 2)
			_, err := io.ReadFull(br, head)
			require.NoError(t, err)
			n := int(head[1])
			if n == 126 {
				_, err := io.ReadFull(br, head)
				require.NoError(t, err)
				n = int(head[0])<<8 | int(head[1])
			}
			payload := make([]byte, n)
			_, err = io.ReadFull(br, payload)
			require.NoError(t, err)
			return payload
		})
	})
}
