package proxy

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// penalty is how long a member that could not be dialled is tried last.
const penalty = 2 * time.Second

// evictAfter is the number of health rounds in a row that a member must fail
// while another one passes before its connections are closed.
const evictAfter = 2

// backend is a target, which never changes, and what is known about it. The pool's lock guards the
// rest.
type backend struct {
	target
	// the member's name if it differs from the target's by now; nil if not
	renamed  atomic.Pointer[string]
	spare    bool // as of now; the target's own may be out of date
	badUntil time.Time
	strikes  int
	pending  int // connections being dialled
	links    map[*link]struct{}
	gone     bool // no longer a member
	checker  checker
}

// pool knows the members and every open connection.
type pool struct {
	log   *slog.Logger
	clock func() time.Time

	mu       sync.Mutex
	backends []*backend
	closed   bool
	failing  bool // nobody passed the last health round
}

func newPool(log *slog.Logger) *pool { return &pool{log: log, clock: time.Now} }

// set makes the targets the members. Connections to a member that is no longer one are closed at
// once: gRPC connections never end by themselves. A removed member that does not know that it was
// removed (its machine was cut off meanwhile, or the proxy was pointed at another cluster) would go
// on to serve old data to serializable reads without end. A member that is removed in order has
// stopped, and closed its connections, before it leaves the list, so no client is disturbed then.
func (p *pool) set(targets []target) {
	p.mu.Lock()
	var next, dropped []*backend
	for _, t := range targets {
		i := slices.IndexFunc(p.backends, func(b *backend) bool { return b.url == t.url })
		if i >= 0 {
			p.backends[i].renamed.Store(&t.name)
			p.backends[i].spare = t.spare
			next = append(next, p.backends[i])
			continue
		}
		p.log.Info("member added", "member", t.name, "url", t.url)
		next = append(next, &backend{target: t, spare: t.spare, links: map[*link]struct{}{}})
	}
	for _, b := range p.backends {
		if !slices.Contains(next, b) {
			b.gone = true
			dropped = append(dropped, b)
		}
	}
	p.backends = next
	p.mu.Unlock()
	for _, b := range dropped {
		p.log.Info("member dropped", "member", b.label(), "url", b.url, "closed", p.evict(b))
		b.checker.close()
	}
}

// pick reserves a member that is not in tried, nil if there is none. It prefers one that is not
// known to be bad, then one that is configured, then the one with the fewest connections, then any.
// So processes that start together spread, and a member that comes back gets its share of the new
// connections. The caller ends the reservation with attach, overtaken or fail.
func (p *pool) pick(tried []*backend) *backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	var best *backend
	n := len(p.backends)
	if n == 0 {
		return nil
	}
	for i, start := 0, rand.IntN(n); i < n; i++ {
		b := p.backends[(start+i)%n]
		if slices.Contains(tried, b) {
			continue
		}
		if best == nil || b.better(best, now) {
			best = b
		}
	}
	if best != nil {
		best.pending++
	}
	return best
}

// label is the member's name, for logs.
func (b *backend) label() string {
	if name := b.renamed.Load(); name != nil {
		return *name
	}
	return b.name
}

func (b *backend) bad(now time.Time) bool { return b.strikes > 0 || now.Before(b.badUntil) }

func (b *backend) better(o *backend, now time.Time) bool {
	if b.bad(now) != o.bad(now) {
		return o.bad(now)
	}
	if b.spare != o.spare {
		return o.spare
	}
	return b.pending+len(b.links) < o.pending+len(o.links)
}

// attach records the connection that a reservation led to. It returns false if the member is no
// longer one; the caller then closes the connection.
func (p *pool) attach(b *backend, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.pending--
	b.badUntil = time.Time{}
	if b.gone || p.closed {
		return false
	}
	b.links[l] = struct{}{}
	return true
}

// detach forgets a connection that has ended.
func (p *pool) detach(b *backend, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(b.links, l)
}

// fail ends a reservation whose dialling failed. A member that is alive and refuses (an HTTP/1
// client where HTTP has been moved off the client port) does not count as bad: the next client may
// speak gRPC.
func (p *pool) fail(b *backend, cause error) {
	p.mu.Lock()
	now := p.clock()
	known := b.bad(now)
	b.pending--
	refused := isRefusal(cause)
	if !refused {
		b.badUntil = now.Add(penalty)
	}
	p.mu.Unlock()
	if known || refused {
		p.log.Debug("member cannot be used", "member", b.label(), "url", b.url, "error", cause)
		return
	}
	p.log.Warn("member cannot be reached", "member", b.label(), "url", b.url, "error", cause)
}

// overtaken ends a reservation when another member was quicker. The slow one is tried last, but
// nothing is wrong with it.
func (p *pool) overtaken(b *backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.pending--
	b.badUntil = p.clock().Add(penalty)
}

// evict closes every connection to b and returns how many there were.
func (p *pool) evict(b *backend) int {
	p.mu.Lock()
	links := make([]*link, 0, len(b.links))
	for l := range b.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	return len(links)
}

// roster returns the members, and those among them that carry connections.
func (p *pool) roster() (all, used []*backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.backends {
		if len(b.links)+b.pending > 0 {
			used = append(used, b)
		}
	}
	return slices.Clone(p.backends), used
}

// inOrder returns the members: those that are well first, and of those the configured ones first.
func (p *pool) inOrder() []*backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	out := slices.Clone(p.backends)
	slices.SortStableFunc(out, func(a, b *backend) int {
		rank := func(b *backend) int {
			switch {
			case b.bad(now):
				return 2
			case b.spare:
				return 1
			}
			return 0
		}
		return rank(a) - rank(b)
	})
	return out
}

// isSpare reports whether a member is known from the member list alone.
func (p *pool) isSpare(b *backend) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return b.spare
}

// judge evaluates one health round. A failure counts against a member only if another member passed
// in the same round: while a cluster elects a leader, or has none, every member fails, and closing
// connections would make it worse. For the same reason the last reachable member keeps its
// connections even if it fails. It reports whether a member has begun to fail.
func (p *pool) judge(results map[*backend]error) (worse bool) {
	if len(results) == 0 {
		return false
	}
	passed := false
	var cause error
	for _, err := range results {
		passed = passed || err == nil
		cause = err
	}
	var evicted []*backend
	p.mu.Lock()
	p.noteFailing(!passed, cause)
	if !passed {
		p.mu.Unlock()
		return false
	}
	for b, err := range results {
		switch {
		case err == nil && b.strikes > 0:
			p.log.Info("member answers again", "member", b.label(), "url", b.url)
			b.strikes = 0
		case err != nil:
			b.strikes++
			if b.strikes == 1 {
				worse = true
				p.log.Warn("member is not healthy", "member", b.label(), "url", b.url, "error", err)
			}
			if b.strikes >= evictAfter && len(b.links) > 0 {
				evicted = append(evicted, b)
			}
		}
	}
	p.mu.Unlock()
	for _, b := range evicted {
		p.log.Warn("connections moved away from a member",
			"member", b.label(), "url", b.url, "closed", p.evict(b))
	}
	return worse
}

// noteFailing logs the change from some healthy member to none and back.
func (p *pool) noteFailing(failing bool, cause error) {
	switch {
	case failing && !p.failing:
		p.log.Warn("no member is healthy", "error", cause)
	case !failing && p.failing:
		p.log.Info("a member is healthy again")
	}
	p.failing = failing
}

// close closes every connection and accepts no more.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := slices.Clone(p.backends)
	p.mu.Unlock()
	for _, b := range all {
		p.evict(b)
		b.checker.close()
	}
}
