package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// stopGrace is how long open connections may still end by themselves when the proxy stops.
	stopGrace = time.Second
	// acceptPause is the wait after an accept failed, mostly because file descriptors ran out.
	acceptPause = 50 * time.Millisecond
)

type proxy struct {
	log     *slog.Logger
	files   *follower
	pool    *pool
	variant Variant

	healthKick   chan struct{}
	discoverKick chan struct{}
	learnKick    chan struct{}
	keep         string // where learned members are kept; empty is nowhere

	pages  rarely // requests that may come from a page
	silent rarely // clients that said nothing
	alien  rarely // clients that speak neither HTTP/1 nor HTTP/2
	away   rarely // clients for which there is no member

	crowded rarely // clients that cannot be accepted

	// resting is set while health is looked at only twice a minute.
	resting atomic.Bool

	mu      sync.Mutex
	listing listing // the last answer to discover
	learned learned
	refused []refused // named addresses that must not be dialled

	clients sync.WaitGroup
}

// Run serves the configuration file at path until ctx ends. Then it stops accepting, gives open
// connections about a second, closes them and returns nil. It returns an error if the file is not
// usable at the start or an address cannot be listened on. If NOTIFY_SOCKET is set, it notifies
// systemd once it listens.
func Run(ctx context.Context, path string, log *slog.Logger) error {
	return runAs(ctx, Shipped, path, log)
}

func runAs(ctx context.Context, variant Variant, path string, log *slog.Logger) error {
	files, err := newFollower(path, log)
	if err != nil {
		return err
	}
	p := &proxy{
		log: log, files: files, pool: newPool(log), variant: variant,
		healthKick: make(chan struct{}, 1), discoverKick: make(chan struct{}, 1),
		learnKick: make(chan struct{}, 1),
	}
	cfg, creds := files.current()
	p.keep = cfg.Learned
	if p.learned, err = readLearned(p.keep, cfg, creds); err != nil {
		log.Warn("members learned before are not used", "error", err)
	}
	listeners, err := listenAll(ctx, cfg, log)
	if err != nil {
		return err
	}
	p.retarget()

	bctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var background, accepting sync.WaitGroup
	background.Go(func() { p.watchFiles(bctx) })
	background.Go(func() { p.watchHealth(bctx) })
	first := make(chan struct{})
	background.Go(func() { p.watchMembers(bctx, first) })
	background.Go(func() { p.watchList(bctx) })
	pause(ctx, firstWait, first) // the first clients are given real addresses, not guesses
	for _, l := range listeners {
		if s, is := l.(*socketListener); is {
			background.Go(func() { s.keep(bctx, log) })
		}
		accepting.Go(func() { p.accept(bctx, l) })
	}
	notify(log, daemon.SdNotifyReady)

	<-ctx.Done()
	notify(log, daemon.SdNotifyStopping)
	for _, l := range listeners {
		_ = l.Close()
	}
	accepting.Wait() // from here on no client is added
	p.drain(stop)
	background.Wait()
	return nil
}

// listen opens every address, or none.
func listen(ctx context.Context, addrs []string, log *slog.Logger) ([]net.Listener, error) {
	var ls []net.Listener
	for _, a := range addrs {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a)
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
			return nil, fmt.Errorf("cannot listen for clients: %w", err)
		}
		ls = append(ls, l)
		if ta, ok := l.Addr().(*net.TCPAddr); ok && !ta.IP.IsLoopback() {
			log.Warn("clients of other machines can reach the plaintext address",
				"address", l.Addr().String())
		}
		log.Info("listening", "address", l.Addr().String())
	}
	return ls, nil
}

func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", "state", state, "error", err)
	}
}

// drain waits for clients to leave, then sends them away.
func (p *proxy) drain(stop context.CancelFunc) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.clients.Wait()
	}()
	select {
	case <-gone:
	case <-time.After(stopGrace):
	}
	stop()
	p.pool.close()
	<-gone
}

// watchFiles follows configuration and credentials while no client comes.
func (p *proxy) watchFiles(ctx context.Context) {
	t := time.NewTicker(followInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.follow()
		}
	}
}

func (p *proxy) follow() {
	if p.files.refresh() {
		p.retarget()
		kick(p.discoverKick)
		kick(p.learnKick)
		kick(p.healthKick)
	}
}

// listed stores a fresh answer to discover.
func (p *proxy) listed(l listing) {
	p.mu.Lock()
	p.listing = l
	p.mu.Unlock()
	p.retarget()
}

// retarget tells the pool what the members are now. A list is of another cluster, and is forgotten,
// if it knows none of the configured members and none of them gave it.
func (p *proxy) retarget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	cfg, creds := p.files.current()
	known := func(m Member) bool {
		return m.PeerURL == p.listing.from || match(m, p.listing.members) >= 0
	}
	if !slices.ContainsFunc(cfg.Members, known) {
		p.listing = listing{}
	}
	p.learned = p.learned.of(cfg, creds)
	places := targets(cfg, p.listing.members, p.learned)
	for _, r := range places.refused {
		if !slices.Contains(p.refused, r) {
			p.log.Warn("address is not dialled", "url", r.url, "reason", "it is "+string(r.why))
		}
	}
	p.refused = places.refused
	p.pool.set(places.found)
}

func kick(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// accept accepts clients until the listener is closed.
func (p *proxy) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.warnRarely(&p.crowded, "client cannot be accepted", "error", err)
			pause(ctx, acceptPause, nil)
			continue
		}
		conn, ok := c.(streamConn)
		if !ok {
			_ = c.Close()
			continue
		}
		client, err := p.variant.socket(conn)
		if err != nil {
			_ = c.Close()
			continue
		}
		p.clients.Go(func() { p.serve(ctx, client) })
	}
}

// serve carries one client's connection from its first byte to its end.
func (p *proxy) serve(ctx context.Context, client socket) {
	defer func() { _ = client.Close() }()
	// At a stop nothing else closes it in HTTP/1, nor in HTTP/2 before it is linked to a member.
	release := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer release()

	buf := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buf)
	n, proto, err := sniff(client, buf[:])
	if err != nil {
		p.unheard(client, proto, err)
		return
	}
	if proto == http1 {
		p.serveHTTP1(ctx, client, bytes.Clone(buf[:n]))
		return
	}
	b, l, err := p.reach(ctx, client, alpnH2)
	if err != nil {
		p.turnAway(client, err)
		return
	}
	defer p.pool.detach(b, l)
	if err := l.splice(buf[:n]); isRefusal(err) {
		p.refusedBy(b, err)
	}
}

func (p *proxy) refusedBy(b *backend, err error) {
	p.log.Warn("member refuses the connection", "member", b.label(), "url", b.url, "error", err)
}

// turnAway logs that there is no member for a client. All clients come back again and again, so it
// does so rarely.
func (p *proxy) turnAway(client socket, err error) {
	p.warnRarely(&p.away, "client turned away", "client", client.RemoteAddr().String(), "error", err)
}

// unheard logs why a client's first bytes led to nothing. A client that leaves without a byte only
// checked whether the port is open.
func (p *proxy) unheard(client socket, proto protocol, err error) {
	who := client.RemoteAddr().String()
	switch {
	case proto == alien:
		p.warnRarely(&p.alien, "client closed", "client", who, "reason",
			"it speaks neither HTTP/1 nor HTTP/2 in plaintext; is its URL https rather than http?")
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.warnRarely(&p.silent, "client closed", "client", who, "reason",
			"it has said nothing for "+sniffTimeout.String())
	}
}

// warnRarely logs a warning; those that follow soon after it are logged at debug level.
func (p *proxy) warnRarely(r *rarely, msg string, args ...any) {
	if now, unlogged := r.say(time.Now()); now {
		p.log.Warn(msg, append(args, "unlogged", unlogged)...)
		return
	}
	p.log.Debug(msg, args...)
}
