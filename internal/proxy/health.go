package proxy

import (
	"context"
	"errors"
	"maps"
	"net"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Health is checked once a second where connections are open. The members that carry none are
// checked in every fifth round, and at once when one in use fails. A proxy that nobody uses checks
// twice a minute. So a thousand proxies cost a cluster of three about a thousand small reads a
// second, not three thousand.
const (
	roundInterval = time.Second
	idleInterval  = 30 * time.Second
	sparesEvery   = 5
)

// How long a round waits for a member's answer: twice what the last answer took, at least leastWait
// and at most mostWait, because a slow path is not a dead one. Before the first answer it is
// mostWait: a connection has to be made. checkTimeout bounds the check itself, which goes on behind
// the round.
const (
	leastWait    = time.Second
	mostWait     = 5 * time.Second
	checkTimeout = 20 * time.Second
)

// checker asks one member whether it can serve. It keeps one connection of its own, so a check
// costs a round trip and no handshake. The zero value is ready to use.
type checker struct {
	mu     sync.Mutex
	conn   *grpc.ClientConn
	closed bool
	look   *look         // the one under way; nil is none
	took   time.Duration // what the last check that passed took; 0 before
}

// look is one request to a member.
type look struct {
	done chan struct{} // closed when it has ended
	err  error         // valid then
}

var (
	errCheckerClosed = errors.New("the member is no longer one")
	errLate          = errors.New("it does not answer in time")
)

// check does what etcdctl's endpoint health does: a linearizable read of one key, over gRPC. Any
// certificate may make it, and it works where HTTP has been moved off the client port. It fails on
// a member cut off from its quorum and on a learner. An alarm, which is the whole cluster's, does
// not fail it.
//
// A check that is late fails this round and goes on: started again in each round, it would never
// end where the path is slow.
func (c *checker) check(
	ctx context.Context, dial func(context.Context) (net.Conn, error), addr string,
) error {
	l, wait := c.begin(dial, addr)
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-l.done:
		return l.err
	case <-late.C:
		return errLate
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin returns the look that is under way, or a new one, and how long to wait for it.
func (c *checker) begin(
	dial func(context.Context) (net.Conn, error), addr string,
) (*look, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := mostWait
	if c.took > 0 {
		wait = min(leastWait+2*c.took, mostWait)
	}
	if c.look == nil {
		l := &look{done: make(chan struct{})}
		c.look = l
		go func() {
			start := time.Now()
			l.err = c.ask(dial, addr)
			c.mu.Lock()
			c.look = nil
			if l.err == nil {
				c.took = max(time.Since(start), 1)
			}
			c.mu.Unlock()
			close(l.done)
		}()
	}
	return c.look, wait
}

// ask asks the member, within checkTimeout or until the checker is closed.
func (c *checker) ask(dial func(context.Context) (net.Conn, error), addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	conn, err := c.open(dial, addr)
	if err != nil {
		return err
	}
	err = readQuorum(ctx, conn)
	if code := status.Code(err); code == codes.DeadlineExceeded || code == codes.Unavailable {
		// A connection that hangs would hide that the member is back.
		c.drop(conn)
	}
	return err
}

// readQuorum makes the read. Any answer that a member gives after it went through the quorum
// counts, an error too: permission denied, for one.
func readQuorum(ctx context.Context, conn *grpc.ClientConn, how ...grpc.CallOption) error {
	_, err := pb.NewKVClient(conn).Range(ctx,
		&pb.RangeRequest{Key: []byte("health"), CountOnly: true}, how...)
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.DataLoss:
		return nil
	default:
		return err
	}
}

func (c *checker) open(
	dial func(context.Context) (net.Conn, error), addr string,
) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errCheckerClosed
	}
	if c.conn == nil {
		conn, err := newClientConn(dial, addr)
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	return c.conn, nil
}

// newClientConn makes a gRPC connection over dial, which does TLS itself.
func newClientConn(
	dial func(context.Context) (net.Conn, error), addr string,
) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return dial(ctx)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second,
			},
			MinConnectTimeout: dialTimeout,
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	)
}

func (c *checker) drop(conn *grpc.ClientConn) {
	c.mu.Lock()
	if c.conn == conn {
		c.conn = nil
	}
	c.mu.Unlock()
	_ = conn.Close()
}

func (c *checker) close() {
	c.mu.Lock()
	conn := c.conn
	c.conn, c.closed = nil, true
	c.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// round checks the members in use, or all of them. If one of those in use fails it checks the rest
// too: whether a failure counts depends on them.
func (p *proxy) round(ctx context.Context, everyone bool) {
	all, used := p.pool.roster()
	if everyone {
		used = all
	}
	results := p.checkAll(ctx, used, nil)
	for _, err := range results {
		if err != nil {
			results = p.checkAll(ctx, all, results)
			break
		}
	}
	if ctx.Err() == nil && p.pool.judge(results) {
		kick(p.learnKick)
	}
}

// checkAll checks those of bs that results does not hold yet, all at once, and
// returns both.
func (p *proxy) checkAll(
	ctx context.Context, bs []*backend, results map[*backend]error,
) map[*backend]error {
	out := maps.Clone(results)
	if out == nil {
		out = map[*backend]error{}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, b := range bs {
		if _, done := results[b]; done {
			continue
		}
		wg.Go(func() {
			err := b.checker.check(ctx, p.dialer(b), b.addr)
			mu.Lock()
			defer mu.Unlock()
			out[b] = err
		})
	}
	wg.Wait()
	return out
}

// watchHealth runs rounds until ctx ends. A kick (the first connection after a
// quiet time, a member that could not be dialled) brings the next one forward.
func (p *proxy) watchHealth(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		start := time.Now()
		// Set before the check: a first client that comes after it sees it set.
		p.resting.Store(true)
		_, used := p.pool.roster()
		idle := len(used) == 0
		if !idle {
			p.resting.Store(false)
		}
		p.round(ctx, idle || n%sparesEvery == 0)
		wait := roundInterval
		if idle {
			wait = idleInterval
		}
		pause(ctx, time.Until(start.Add(wait)), p.healthKick)
		// However often it is kicked, at most one round each interval.
		pause(ctx, time.Until(start.Add(roundInterval)), nil)
	}
}

// pause waits for d, for a kick, or for the end of ctx.
func pause(ctx context.Context, d time.Duration, kick <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-kick:
	case <-t.C:
	}
}
