package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/test/path"
)

// slowPaths are those on which a client of the cluster itself works, if slowly. doc.go says what
// each time-out means on them.
func slowPaths() map[string]path.Path {
	return map[string]path.Path{
		"50 ms":              {RoundTrip: 50 * time.Millisecond},
		"300 ms":             {RoundTrip: 300 * time.Millisecond},
		"1 s":                {RoundTrip: time.Second},
		"first packets lost": {RoundTrip: 50 * time.Millisecond, LostSYN: true},
		"lossy":              {RoundTrip: 300 * time.Millisecond, LossEvery: 5},
	}
}

// far is how long a test waits on a slow path for what must happen in the end.
const far = 2 * time.Minute

// directly is a client that takes the same path without the proxy.
func directly(tb testing.TB, cfg Config) *clientv3.Client {
	tb.Helper()
	creds, err := loadCredentials(cfg.Credentials)
	require.NoError(tb, err)
	var urls []string
	for _, m := range cfg.Members {
		urls = append(urls, m.ClientURL)
	}
	return newClient(tb, clientv3.Config{Endpoints: urls, TLS: creds.base.Clone()})
}

// TestSlowPath: what works directly works through the proxy, for clusters of one and of three. It
// makes each kind of request on one connection; none fails or moves to another member because it is
// slow.
func TestSlowPath(t *testing.T) {
	t.Parallel()
	for size, c := range map[int]func() *cluster{
		1: func() *cluster { return startCluster(t, clusterOptions{size: 1}) },
		3: func() *cluster { return shared.get(t) },
	} {
		c := c()
		for name, p := range slowPaths() {
			t.Run(fmt.Sprintf("%d/%s", size, name), func(t *testing.T) {
				t.Parallel()
				cfg := c.over(t, p)
				r := startProxy(t, cfg)
				ctx, key := within(t, far), "slow/"+t.Name()
				direct, proxied := directly(t, cfg), newClient(t, clientv3.Config{Endpoints: []string{"http://" + r.addr}})
				failures := make(chan error)
				go func() { failures <- said("directly", uses(ctx, direct, key+"/direct")) }()
				go func() { failures <- said("through the proxy", uses(ctx, proxied, key)) }()
				go func() { failures <- said("HTTP", usesJSON(ctx, r.addr)) }()
				for range 3 {
					assert.NoError(t, <-failures)
				}
				require.Eventually(t, func() bool { return !strings.Contains(lastOf(r, "healthy"), "no member") },
					far, 50*time.Millisecond, "members are far, not ill")
				for _, word := range []string{"client turned away", "connections moved away", "cannot be reached"} {
					assert.NotContains(t, r.log.String(), word)
				}
				for _, probe := range Probe(within(t, far), cfg) {
					assert.True(t, probe.Reachable, "%+v", probe)
					assert.Empty(t, probe.Error)
				}
			})
		}
	}
}

// lastOf is the last line of the proxy's log that contains word.
func lastOf(r *running, word string) string {
	lines := strings.Split(r.log.String(), "\n")
	slices.Reverse(lines)
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, word) })
	if i < 0 {
		return ""
	}
	return lines[i]
}

func said(where string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

// uses makes each kind of request once; all must be answered the first time.
func uses(ctx context.Context, cli *clientv3.Client, key string) error {
	if _, err := cli.Put(ctx, key, "1"); err != nil {
		return err
	}
	got, err := cli.Get(ctx, key)
	if err != nil || len(got.Kvs) != 1 {
		return fmt.Errorf("get: %v, %w", got, err)
	}
	lease, err := cli.Grant(ctx, 600)
	if err != nil {
		return err
	}
	alive, err := cli.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	if <-alive == nil {
		return errors.New("the lease is not kept alive")
	}
	seen := cli.Watch(clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(got.Header.Revision+1))
	if _, err := cli.Put(ctx, key, "2"); err != nil {
		return err
	}
	event := <-seen
	if len(event.Events) != 1 || string(event.Events[0].Kv.Value) != "2" {
		return fmt.Errorf("watch: %+v, %w", event, event.Err())
	}
	return nil
}

// usesJSON asks twice over HTTP/1, on one connection.
func usesJSON(ctx context.Context, addr string) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v3/kv/range", strings.NewReader(`{"key":"YQ=="}`))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !json.Valid(body) {
			return fmt.Errorf("%s: %s, %w", resp.Status, body, err)
		}
	}
	return nil
}

// TestSlowFailover: when the member in use dies, a client far away goes on with another.
func TestSlowFailover(t *testing.T) {
	t.Parallel()
	for name, p := range slowPaths() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, clusterOptions{size: 3})
			r := startProxy(t, c.over(t, p))
			cli := newClient(t, clientv3.Config{Endpoints: []string{"http://" + r.addr}})
			id, err := memberBehind(within(t, far), cli)
			require.NoError(t, err)
			n := c.nodeByID(t, id)
			n.signal(t, syscall.SIGKILL)
			untilServed(t, cli, 20*time.Second, far)
			id, err = memberBehind(within(t, far), cli)
			require.NoError(t, err)
			assert.NotEqual(t, n, c.nodeByID(t, id))
		})
	}
}

// TestSilentMemberIsOvertaken: one of two members accepts connections and says nothing. Each client
// is served by the other, though the silent one is not given up for it.
func TestSilentMemberIsOvertaken(t *testing.T) {
	t.Parallel()
	good := startFakeEtcd(t, "g")
	l, err := net.Listen("tcp", freshIP(t)+":2379")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	creds := newAuthority(t, "x").clientFiles(t, t.TempDir())
	r := startProxy(t, Config{Credentials: creds, Members: []Member{
		{Name: "silent", ClientURL: "https://" + l.Addr().String()}, good.member,
	}})
	for range 4 {
		cli := newClient(t, clientv3.Config{Endpoints: []string{"http://" + r.addr}})
		resp, err := cli.Put(within(t, far), "k", "v")
		require.NoError(t, err)
		assert.Equal(t, uint64('g'), resp.Header.ClusterId)
	}
	assert.NotContains(t, r.log.String(), "turned away")
}

func TestRace(t *testing.T) {
	t.Parallel()
	type try = func(context.Context) (int, error)
	answers := func(v int) try { return func(context.Context) (int, error) { return v, nil } }
	fails := func(context.Context) (int, error) { return 0, assert.AnError }
	slow := func(v int, after time.Duration) try {
		return func(ctx context.Context) (int, error) {
			pause(ctx, after, nil)
			return v, nil // even if it is not needed any more
		}
	}
	for name, test := range map[string]struct {
		tries  []try
		want   int
		wasted []int
		err    error
	}{
		"the first":                 {tries: []try{answers(1), answers(2)}, want: 1},
		"the next, if one fails":    {tries: []try{fails, answers(2)}, want: 2},
		"the next, if one is slow":  {tries: []try{slow(1, time.Hour), answers(2)}, want: 2, wasted: []int{1}},
		"the slow one all the same": {tries: []try{slow(1, 3*patience/2), fails}, want: 1},
		"the slow one that is less": {tries: []try{slow(1, 5*patience), slow(2, 2*patience)}, want: 2, wasted: []int{1}},
		"all fail":                  {tries: []try{fails, fails}, err: assert.AnError},
		"none":                      {err: errNoTry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				left := test.tries
				var wasted []int
				got, err := race(t.Context(), func() func(context.Context) (int, error) {
					if len(left) == 0 {
						return nil
					}
					next := left[0]
					left = left[1:]
					return next
				}, func(v int) { wasted = append(wasted, v) })
				require.ErrorIs(t, err, test.err)
				synctest.Wait()
				assert.Equal(t, test.want, got)
				assert.Equal(t, test.wasted, wasted)
			})
		})
	}
}

// TestLateLooksGoOn: a member that needs longer than a round is well once it has answered, and is
// asked one thing at a time.
func TestLateLooksGoOn(t *testing.T) {
	t.Parallel()
	f := startFakeEtcd(t, "a")
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	f.set(func(ctx context.Context) error {
		asked <- struct{}{}
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	var c checker
	t.Cleanup(c.close)
	u, err := parseURL(f.member.ClientURL)
	require.NoError(t, err)
	at := newTarget("a", u)
	to := func(ctx context.Context) (net.Conn, error) { return dial(ctx, at, nil, alpnH2) }
	c.took = time.Nanosecond
	require.ErrorIs(t, c.check(t.Context(), to, at.addr), errLate)
	<-asked
	first, _ := c.begin(to, at.addr)
	again, _ := c.begin(to, at.addr)
	assert.Same(t, first, again)
	close(answer)
	<-first.done
	require.NoError(t, first.err)
	assert.Empty(t, asked, "one look")
	assert.Greater(t, c.took, leastWait, "what it took is known")
	_, wait := c.begin(to, at.addr)
	assert.Greater(t, wait, 3*leastWait, "the next is waited for longer")
}
