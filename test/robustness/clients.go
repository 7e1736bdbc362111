package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/juju-charms/etcd-charm/test/load"
)

const (
	prefix = "robustness/"
	// attempt bounds an operation. One that takes longer has ended for its client, but perhaps not
	// for etcd.
	attempt = 2 * time.Second
	rate    = 20 // operations of one client in a second
	keys    = 6
)

// field is where clients find the cluster at the moment.
type field struct {
	mu      sync.Mutex
	direct  load.Target
	proxies []string
}

func (f *field) set(direct load.Target, proxies []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.direct, f.proxies = direct, proxies
}

// Ways to the cluster.
const (
	toAll   = iota // every member, as etcd lists them from time to time
	toOne          // one random member
	byProxy        // the charm's proxies
)

// dial opens a connection that no other user shares.
func (f *field) dial(way int, rng *rand.Rand) (*clientv3.Client, error) {
	f.mu.Lock()
	endpoints, config := f.direct.Endpoints, f.direct.TLS
	if way == byProxy {
		endpoints, config = f.proxies, nil
	}
	f.mu.Unlock()
	sync := 500 * time.Millisecond
	if way != toAll {
		sync = 0
	}
	if way != toAll && rng != nil {
		endpoints = []string{endpoints[rng.IntN(len(endpoints))]}
	}
	return open(endpoints, config, sync)
}

func open(endpoints []string, config *tls.Config, sync time.Duration) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: config, AutoSyncInterval: sync, Logger: zap.NewNop(),
		DialKeepAliveTime:    2 * time.Second,
		DialKeepAliveTimeout: time.Second,
		DialOptions:          []grpc.DialOption{grpc.WithNoProxy()},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open client: %w", err)
	}
	return c, nil
}

// user makes one operation after another, over connections of its own.
type user struct {
	h     *history
	field *field
	rng   *rand.Rand
	way   int
	id    int
	name  string // of its values
	count int
	last  map[string]string // the last value that it knows of each key
}

func newUser(h *history, f *field, seed uint64, n int) *user {
	u := &user{
		h: h, field: f, rng: rand.New(rand.NewPCG(seed, uint64(n)+100)),
		id: h.client(), name: fmt.Sprintf("u%d", n), last: map[string]string{},
	}
	switch n % 5 {
	case 0, 1:
		u.way = byProxy
	case 2:
		u.way = toAll
	default:
		u.way = toOne
	}
	return u
}

// work goes on until ctx ends, and finishes what has begun. It drops a connection after a while, or
// when it does not work.
func (u *user) work(ctx context.Context) {
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for ctx.Err() == nil {
		c, err := u.field.dial(u.way, u.rng)
		if err != nil {
			<-tick.C
			continue
		}
		bad := 0
		for n := 50 + u.rng.IntN(100); n > 0 && bad < 3 && ctx.Err() == nil; n-- {
			select {
			case <-ctx.Done():
			case <-tick.C:
				if u.one(c) {
					bad = 0
				} else {
					bad++
				}
			}
		}
		c.Close()
	}
}

// one makes a random operation, and reports whether it succeeded.
func (u *user) one(c *clientv3.Client) bool {
	o := op{Client: u.id, Key: fmt.Sprintf("%s%d", prefix, u.rng.IntN(keys))}
	switch n := u.rng.IntN(20); {
	case n < 8:
		o.Kind = put
	case n < 14:
		o.Kind = get
	case n < 19:
		o.Kind, o.Expect = cas, u.last[o.Key]
	default:
		o.Kind = peek
	}
	if o.writes() {
		u.count++
		o.Value = fmt.Sprintf("%s-%d", u.name, u.count)
	}
	o = u.h.do(c, o)
	switch {
	case o.Outcome == unknown:
		u.id = u.h.client()
	case o.Outcome == done && o.acknowledged():
		u.last[o.Key] = o.Value
	case o.Outcome == done && o.Kind != peek:
		u.last[o.Key] = o.Found
	}
	return o.Outcome == done
}

// do makes an operation and records it.
func (h *history) do(c *clientv3.Client, o op) op {
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	o.Call = h.now()
	err := carryOut(ctx, c, &o)
	o.Return = h.now()
	switch {
	case err == nil:
		o.Outcome = done
	case o.writes():
		o.Outcome, o.Err = unknown, err.Error()
	default:
		o.Outcome, o.Err = failed, err.Error()
	}
	h.add(o)
	return o
}

func carryOut(ctx context.Context, c *clientv3.Client, o *op) error {
	var found *clientv3.GetResponse
	var err error
	switch o.Kind {
	case put:
		var resp *clientv3.PutResponse
		if resp, err = c.Put(ctx, o.Key, o.Value); err == nil {
			o.Rev = resp.Header.Revision
		}
		return err
	case cas:
		expected := clientv3.Compare(clientv3.Value(o.Key), "=", o.Expect)
		if o.Expect == "" {
			expected = clientv3.Compare(clientv3.CreateRevision(o.Key), "=", 0)
		}
		resp, err := c.Txn(ctx).If(expected).
			Then(clientv3.OpPut(o.Key, o.Value)).Else(clientv3.OpGet(o.Key)).Commit()
		if err != nil {
			return err
		}
		if o.Swapped = resp.Succeeded; o.Swapped {
			o.Rev = resp.Header.Revision
			return nil
		}
		found = (*clientv3.GetResponse)(resp.Responses[0].GetResponseRange())
	case get:
		found, err = c.Get(ctx, o.Key)
	case peek:
		found, err = c.Get(ctx, o.Key, clientv3.WithSerializable())
	}
	if err == nil && len(found.Kvs) == 1 {
		o.Found, o.Rev = string(found.Kvs[0].Value), found.Kvs[0].ModRevision
	}
	return err
}
