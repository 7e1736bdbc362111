package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func testPool(t *testing.T, names ...string) (*pool, map[string]*backend, *time.Time) {
	t.Helper()
	p := newPool(slog.New(slog.DiscardHandler))
	now := time.Unix(1000, 0)
	p.clock = func() time.Time { return now }
	var ts []target
	for _, n := range names {
		ts = append(ts, target{name: n, url: n})
	}
	p.set(ts)
	by := map[string]*backend{}
	for _, b := range p.backends {
		by[b.name] = b
	}
	return p, by, &now
}

// testLink is an open connection whose client side is returned.
func testLink(t *testing.T) (*link, net.Conn) {
	t.Helper()
	client, far := tcpPair(t)
	raw, _ := tcpPair(t)
	up := asSocket(t, raw)
	return &link{client: asSocket(t, client), up: &upstream{Conn: up, raw: up}}, far
}

func isOpen(t *testing.T, c net.Conn) bool {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestPickSpreadsAndAvoids(t *testing.T) {
	t.Parallel()
	p, by, now := testPool(t, "a", "b", "c")
	count := map[string]int{}
	for range 30 {
		count[p.pick(nil).name]++
	}
	assert.Equal(t, map[string]int{"a": 10, "b": 10, "c": 10}, count, "reservations count")

	firsts := map[string]bool{}
	for range 100 {
		fresh, _, _ := testPool(t, "a", "b", "c")
		firsts[fresh.pick(nil).name] = true
	}
	assert.Len(t, firsts, 3, "processes that start together do not pick alike")

	p.fail(by["a"], errors.New("x"))
	for range 10 {
		assert.NotEqual(t, "a", p.pick(nil).name)
	}
	assert.Equal(t, "a", p.pick([]*backend{by["b"], by["c"]}).name, "a bad one is better than none")
	assert.Nil(t, p.pick([]*backend{by["a"], by["b"], by["c"]}))
	*now = now.Add(penalty)
	assert.Equal(t, "a", p.pick(nil).name, "the penalty ends, and it has the fewest")
}

// TestRenamed: a member may get another name while somebody dials it; the race detector looks on.
func TestRenamed(t *testing.T) {
	t.Parallel()
	p, by, _ := testPool(t, "a")
	b := p.pick(nil)
	dialled := make(chan target)
	go func() { dialled <- b.target }()
	p.set([]target{{name: "b", url: "a"}})
	assert.Equal(t, "a", (<-dialled).url)
	assert.Equal(t, "b", by["a"].label())
}

func TestRefusalIsNoPenalty(t *testing.T) {
	t.Parallel()
	p, by, now := testPool(t, "a")
	p.pick(nil)
	p.fail(by["a"], &net.OpError{Op: "remote error", Err: errors.New("no application protocol")})
	assert.False(t, by["a"].bad(*now))
}

func TestJudge(t *testing.T) {
	t.Parallel()
	sick := errors.New("sick")
	tests := []struct {
		name    string
		rounds  []map[string]error
		evicted bool
	}{
		{"one failure is forgiven", []map[string]error{{"a": sick, "b": nil}}, false},
		{"two in a row are not", []map[string]error{{"a": sick, "b": nil}, {"a": sick, "b": nil}}, true},
		{"a pass between them clears", []map[string]error{{"a": sick, "b": nil}, {"a": nil, "b": nil}, {"a": sick, "b": nil}}, false},
		{"rounds that nobody passes do not count", []map[string]error{{"a": sick, "b": nil}, {"a": sick, "b": sick}, {"a": sick, "b": sick}}, false},
		{"nor do they clear", []map[string]error{{"a": sick, "b": nil}, {"a": sick, "b": sick}, {"a": sick, "b": nil}}, true},
		{"the only member stays", []map[string]error{{"a": sick}, {"a": sick}, {"a": sick}}, false},
		{"an empty round says nothing", []map[string]error{{}, {}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, by, _ := testPool(t, "a", "b")
			l, far := testLink(t)
			b := p.pick([]*backend{by["b"]})
			require.True(t, p.attach(b, l))
			for _, round := range tt.rounds {
				results := map[*backend]error{}
				for name, err := range round {
					results[by[name]] = err
				}
				p.judge(results)
			}
			assert.Equal(t, tt.evicted, !isOpen(t, far))
		})
	}
}

func TestDroppedMember(t *testing.T) {
	t.Parallel()
	p, by, _ := testPool(t, "a", "b")
	l, far := testLink(t)
	require.True(t, p.attach(p.pick([]*backend{by["b"]}), l))
	late := p.pick([]*backend{by["b"]})
	p.set([]target{{name: "b", url: "b"}})
	assert.False(t, isOpen(t, far))
	ll, _ := testLink(t)
	assert.False(t, p.attach(late, ll), "dialled while the member left")
	assert.Same(t, by["b"], p.backends[0], "what is known of those who stay is kept")
}

// TestHealthDecides runs the whole proxy with members whose reads fail in the ways that those of
// real members do.
func TestHealthDecides(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name   string
		answer func(context.Context) error
		moved  bool
	}{
		{"no leader", func(context.Context) error { return status.Error(codes.Unavailable, "etcdserver: no leader") }, true},
		{"cut off, the read hangs", hang, true},
		{"learner", func(context.Context) error { return status.Error(codes.FailedPrecondition, "learner") }, true},
		{"permission denied is health", func(context.Context) error { return status.Error(codes.PermissionDenied, "x") }, false},
		{"corrupt alarm is everybody's", func(context.Context) error { return status.Error(codes.DataLoss, "x") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := startFakeEtcd(t, "a"), startFakeEtcd(t, "b")
			r := startProxy(t, Config{Members: []Member{a.member, b.member}})
			cli := r.client(t)
			where := func(ctx context.Context) byte {
				resp, err := cli.Put(ctx, "k", "v")
				if err != nil {
					return 0
				}
				return byte(resp.Header.ClusterId)
			}
			first := where(within(t, 5*time.Second))
			require.Contains(t, []byte("ab"), first)
			used := map[byte]*fakeEtcd{'a': a, 'b': b}[first]
			asked := make(chan struct{}, 100)
			used.set(func(ctx context.Context) error {
				asked <- struct{}{}
				return tt.answer(ctx)
			})
			looks := 3
			if tt.moved {
				looks = 1 // one that hangs is not asked again; others carry nothing after evictAfter
			}
			for range looks {
				select {
				case <-asked:
				case <-time.After(20 * time.Second):
					require.Fail(t, "the member in use is not looked at")
				}
			}
			if !tt.moved {
				assert.Equal(t, first, where(within(t, 5*time.Second)))
				assert.NotContains(t, r.log.String(), "moved away")
				return
			}
			require.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				now := where(ctx)
				return now != 0 && now != first
			}, 2*time.Minute, 20*time.Millisecond)
			assert.Equal(t, 1, strings.Count(r.log.String(), "moved away"))
		})
	}
}

// TestSpread: clients of one proxy are spread evenly.
func TestSpread(t *testing.T) {
	t.Parallel()
	members := []*fakeEtcd{startFakeEtcd(t, "a"), startFakeEtcd(t, "b"), startFakeEtcd(t, "c")}
	var cfg Config
	for _, m := range members {
		cfg.Members = append(cfg.Members, m.member)
	}
	r := startProxy(t, cfg)
	count := map[byte]int{}
	for range 9 {
		cli := newClient(t, clientv3.Config{Endpoints: []string{"http://" + r.addr}, DialTimeout: 5 * time.Second})
		resp, err := cli.Put(within(t, 5*time.Second), "k", "v")
		require.NoError(t, err)
		count[byte(resp.Header.ClusterId)]++
	}
	assert.Equal(t, map[byte]int{'a': 3, 'b': 3, 'c': 3}, count)
}
