package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// headerTimeout bounds how long a request's head may take; it is etcd's own.
	headerTimeout = 5 * time.Minute
	// continueTimeout bounds the wait for a member's answer to "Expect: 100-continue".
	continueTimeout = time.Second
	// flushPause is ample for the transport to flush a request after it reports it written.
	flushPause = time.Second
)

// What an HTTP/1 client gets instead of a member's answer.
const (
	unavailable = "no member of the cluster can be reached"
	cutOff      = "the member ended the connection before it answered; it may have done what was asked"
)

// web answers the requests of one HTTP/1 client.
//
// No browser speaks HTTP/2 in plaintext, so only HTTP/1 is taken apart: each request of a
// connection is looked at, and the member gets it as net/http understood it, so that nothing can
// hide in what two parsers see differently. Answers are etcd's. The client's connection uses one
// member's at a time, as in HTTP/2; when that has ended between two requests, another is dialled.
type web struct {
	*proxy
	client  socket
	forward *httputil.ReverseProxy
}

// serveHTTP1 carries an HTTP/1 client's connection to its end; head is what was read from it.
func (p *proxy) serveHTTP1(ctx context.Context, client socket, head []byte) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)
	w := &web{proxy: p, client: client}
	// A dialled connection lasts as long as the client's, not only for one request.
	dial := func(context.Context, string, string) (net.Conn, error) { return w.dial(ctx) }
	w.forward = &httputil.ReverseProxy{
		Rewrite: rewrite,
		Transport: &http.Transport{
			DialContext: dial, DisableCompression: true, ExpectContinueTimeout: continueTimeout,
		},
		BufferPool: pooled{}, ErrorHandler: w.failed, ErrorLog: quiet,
	}
	s := &http.Server{
		Handler: w, ReadHeaderTimeout: headerTimeout, DisableGeneralOptionsHandler: true, ErrorLog: quiet,
	}
	_ = s.Serve(newSingle(client, head)) // it ends with the client's connection
}

// rewrite undoes what ReverseProxy changes for servers other than etcd.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = "localhost" // the Host of an HTTP/1.0 client that names none
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Trailer = r.In.Trailer // filled in at the body's end
	for _, name := range []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	} {
		if v, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = v
		}
	}
	// etcd switches to WebSocket only. A connection switched to anything else, such as HTTP/2,
	// would carry requests that nobody looks at.
	if !strings.EqualFold(r.Out.Header.Get("Upgrade"), "websocket") {
		r.Out.Header.Del("Connection")
		r.Out.Header.Del("Upgrade")
	}
}

// ServeHTTP answers one request.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	cfg, _ := w.files.current()
	if why := forbidden(r, w.client.LocalAddr(), cfg.Listen); why != "" {
		if now, silent := w.pages.say(time.Now()); now {
			w.log.Warn("request refused, it may be a web page's", "host", brief(r.Host),
				"origin", brief(r.Header.Get("Origin")), "reason", why, "unlogged", silent)
		}
		rw.Header().Set("Connection", "close")
		http.Error(rw, why, http.StatusForbidden)
		return
	}
	// A member may answer before it has the whole request. net/http would then read the rest itself
	// and close the body, which ends the member's connection in the middle of its answer.
	_ = http.NewResponseController(rw).EnableFullDuplex() // HTTP/1 always can
	ctx, done := w.untilAnswered(r.Context())
	defer done()
	w.forward.ServeHTTP(ownContinue{rw}, r.WithContext(ctx))
}

// ownContinue drops a member's "100 Continue". net/http sends it when the body is first read, which
// is when the member has sent it. Otherwise both would send it.
type ownContinue struct{ http.ResponseWriter }

func (w ownContinue) WriteHeader(code int) {
	if code != http.StatusContinue {
		w.ResponseWriter.WriteHeader(code)
	}
}

func (w ownContinue) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// untilAnswered is a context for a request that does not end when the client sends no more: it may
// have closed its half only. The member sees that too, as in HTTP/2, and decides, as etcd does for
// a client of its own.
func (w *web) untilAnswered(client context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(client))
	var conn atomic.Pointer[memberConn]
	wrote := make(chan struct{})
	written := sync.OnceFunc(func() { close(wrote) })
	stop := context.AfterFunc(client, func() {
		select {
		case <-wrote:
			pause(ctx, flushPause, nil)
		case <-ctx.Done():
		}
		if ctx.Err() == nil {
			_ = conn.Load().CloseWrite()
		}
	})
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(i httptrace.GotConnInfo) { conn.Store(i.Conn.(*memberConn)) },
		WroteRequest: func(httptrace.WroteRequestInfo) { written() },
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// dial opens a connection to a member; it ends with ctx.
func (w *web) dial(ctx context.Context) (net.Conn, error) {
	b, l, err := w.reach(ctx, nil, alpnHTTP1)
	if err != nil {
		w.turnAway(w.client, err)
		return nil, err
	}
	release := context.AfterFunc(ctx, l.close)
	return &memberConn{
		upstream: l.up, link: l,
		refused: func(err error) { w.refusedBy(b, err) },
		end: sync.OnceFunc(func() {
			release()
			w.pool.detach(b, l)
			l.close()
		}),
	}, nil
}

// failed answers a request that no member answered.
func (w *web) failed(rw http.ResponseWriter, _ *http.Request, err error) {
	rw.Header().Set("Connection", "close")
	if errors.Is(err, errNoMember) {
		http.Error(rw, unavailable, http.StatusServiceUnavailable)
		return
	}
	http.Error(rw, cutOff, http.StatusBadGateway)
}

// brief is the beginning of a text that comes from outside.
func brief(s string) string { return s[:min(len(s), 100)] }

// memberConn is a member's connection as net/http keeps it: the pool counts it until its end.
type memberConn struct {
	*upstream
	link    *link
	end     func()
	refused func(error)
}

// Read reads from the member, whose TLS alert comes after the handshake if it refuses us.
func (c *memberConn) Read(p []byte) (int, error) {
	n, err := c.upstream.Read(p)
	if isRefusal(err) {
		c.refused(err)
	}
	return n, err
}

// Write never fails. A member may answer and hang up before it has the whole request, for instance
// because a body is too large, and net/http reads no answer after a failed write. If the connection
// has ended, the read fails as well.
func (c *memberConn) Write(p []byte) (int, error) {
	_, _ = c.upstream.Write(p)
	return len(p), nil
}

// Close ends the connection and never blocks.
func (c *memberConn) Close() error {
	c.end()
	return nil
}

// CloseWrite tells the member that the client has sent everything.
func (c *memberConn) CloseWrite() error { return c.link.finishWriting() }

// single is a listener that gives out one connection, the client's, and ends with it.
type single struct {
	net.Conn
	rest  io.Reader     // what was read from the connection, and it
	given chan net.Conn // holds the connection until it is given out; closed with it
	end   func() error
}

func newSingle(c net.Conn, head []byte) *single {
	s := &single{
		Conn:  c,
		rest:  io.MultiReader(bytes.NewReader(head), c),
		given: make(chan net.Conn, 1),
	}
	s.given <- s
	s.end = sync.OnceValue(func() error {
		close(s.given)
		return c.Close()
	})
	return s
}

func (s *single) Accept() (net.Conn, error) {
	if c, ok := <-s.given; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (s *single) Addr() net.Addr             { return s.LocalAddr() }
func (s *single) Read(p []byte) (int, error) { return s.rest.Read(p) }
func (s *single) Close() error               { return s.end() }

// CloseWrite lets net/http end its answer before the connection.
func (s *single) CloseWrite() error {
	if w, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// pooled lends the buffers of splice.
type pooled struct{}

func (pooled) Get() []byte  { return buffers.Get().(*[bufferBytes]byte)[:] }
func (pooled) Put(b []byte) { buffers.Put((*[bufferBytes]byte)(b)) }
