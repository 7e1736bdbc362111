package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// slice is how long each way is measured before the next has its turn.
const slice = 500 * time.Millisecond

// user is one client, with a connection of its own for each way that it needs.
type user struct {
	client *clientv3.Client // over the way that is measured
	direct *clientv3.Client
	key    string
	events clientv3.WatchChan // of key
}

// op is one kind of request, and how to make the i-th.
type op struct {
	name string
	run  func(ctx context.Context, u *user, i int) error
}

//nolint:gochecknoglobals // a constant that Go cannot write as one
var value = strings.Repeat("v", 256)

var ops = []op{
	{"put", func(ctx context.Context, u *user, i int) error {
		_, err := u.client.Put(ctx, fmt.Sprintf("bench/%d", i%1000), value)
		return err
	}},
	{"lin", func(ctx context.Context, u *user, i int) error {
		_, err := u.client.Get(ctx, fmt.Sprintf("bench/%d", i%1000))
		return err
	}},
	{"ser", func(ctx context.Context, u *user, i int) error {
		_, err := u.client.Get(ctx, fmt.Sprintf("bench/%d", i%1000), clientv3.WithSerializable())
		return err
	}},
	// What is put directly to the member must arrive.
	{"watch", func(ctx context.Context, u *user, _ int) error {
		put, err := u.direct.Put(ctx, u.key, value)
		if err != nil {
			return err
		}
		for resp := range u.events {
			if err := resp.Err(); err != nil {
				return err
			}
			for _, e := range resp.Events {
				if e.Kv.ModRevision >= put.Header.Revision {
					return nil
				}
			}
		}
		return errors.New("the watch ended")
	}},
}

// rate is a load: so many users, at full speed or at half of what they reach together without a
// proxy.
type rate struct {
	name  string
	users int
	half  bool
}

var rates = []rate{{"half", 8, true}, {"1", 1, false}, {"8", 8, false}, {"64", 64, false}}

// proxies compares the ways to a member, and measures how soon a client behind the proxy is served
// again.
func (b *bench) proxies(ctx context.Context) error {
	w, err := b.newWays(ctx, 3)
	if err != nil {
		return err
	}
	defer w.Close()
	var failures []error
	if b.wants("proxy.failover-ms") {
		failures = append(failures, b.failover(ctx, w))
	}
	wanted := func(way string) bool {
		return b.wants(way+".rss-mib") ||
			slices.ContainsFunc(ops, func(o op) bool { return b.wants(way + "." + o.name + ".") })
	}
	if err := w.open(ctx, b.dir, wanted); err != nil {
		return errors.Join(append(failures, err)...)
	}
	defer w.end()
	for _, r := range rates {
		if err := b.beside(ctx, w, r, ops); err != nil {
			failures = append(failures, fmt.Errorf("%s clients: %w", r.name, err))
		}
	}
	for _, one := range w.all[1:] {
		mib, err := one.rss()
		if err != nil {
			failures = append(failures, err)
			continue
		}
		b.add(one.name+".rss-mib", "MiB", mib)
	}
	return errors.Join(failures...)
}

// leads is the number of members that a connection may lead to.
const leads = 3

// beside measures requests at one load.
func (b *bench) beside(ctx context.Context, w *ways, r rate, ops []op) error {
	users := map[*way][]*user{}
	defer func() {
		for _, all := range users {
			closeUsers(all)
		}
	}()
	for _, one := range w.all {
		for k := range max(r.users, leads) {
			u, err := newUser(w.all[0], one, k)
			if err != nil {
				return err
			}
			users[one] = append(users[one], u)
		}
	}
	for _, o := range ops {
		if !slices.ContainsFunc(w.all, func(one *way) bool {
			return b.wants(fmt.Sprintf("%s.%s.%s.", one.name, o.name, r.name))
		}) {
			continue
		}
		progress("%s with %s clients", o.name, r.name)
		if err := b.rounds(ctx, w.all, users, o, r); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

func newUser(direct, one *way, k int) (*user, error) {
	u := &user{key: fmt.Sprintf("bench/%s/%d", one.name, k)}
	var err error
	if u.client, err = one.Client(); err != nil {
		return nil, err
	}
	if u.direct, err = direct.Client(); err != nil {
		return nil, errors.Join(err, u.client.Close())
	}
	return u, nil
}

func closeUsers(users []*user) {
	for _, u := range users {
		_ = u.client.Close()
		_ = u.direct.Close()
	}
}

// rounds gives each way its turn, b.runs times, and three times as often at half load, where rounds
// differ most. The way that begins changes. A single client is a new one each time, so that no
// result depends on the member that one connection leads to.
func (b *bench) rounds(
	ctx context.Context, all []*way, users map[*way][]*user, o op, r rate,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, one := range all {
		if err := warm(ctx, users[one], o); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	var pace time.Duration
	if r.half {
		full, err := saturated(ctx, users[all[0]], o)
		if err != nil {
			return err
		}
		pace = time.Duration(float64(r.users) / (full / 2) * float64(time.Second))
	}
	rounds := b.runs
	if r.half {
		rounds *= 3
	}
	for round := range rounds {
		got := map[string]sample{}
		for i := range all {
			one := all[(round+i)%len(all)]
			from := round % (len(users[one]) - r.users + 1)
			before := one.spent()
			s, err := takeTurn(ctx, users[one][from:from+r.users], o, pace, slice)
			if err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			s.cpu = (one.spent() - before) / time.Duration(s.requests)
			got[one.name] = s
		}
		b.compare(all, got, o.name+"."+r.name, o.name)
	}
	return nil
}

// warm makes connections and watches before the measurement, so that no way starts cold.
func warm(ctx context.Context, users []*user, o op) error {
	var group sync.WaitGroup
	failures := make([]error, len(users))
	for k, u := range users {
		if o.name == "watch" {
			u.events = u.client.Watch(ctx, u.key)
		}
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			failures[k] = o.run(ctx, u, k)
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	_, err := takeTurn(ctx, users, o, 0, slice)
	return err
}

// saturated is the rate that users reach at full speed: the median of a few turns, because other
// work on the machine may disturb a single one.
func saturated(ctx context.Context, users []*user, o op) (float64, error) {
	var rates []float64
	for range 5 {
		s, err := takeTurn(ctx, users, o, 0, slice)
		if err != nil {
			return 0, err
		}
		rates = append(rates, s.rate)
	}
	return median(rates), nil
}

// compare adds one round's figures. All ways are compared with the first.
func (b *bench) compare(all []*way, got map[string]sample, what, op string) {
	straight := all[0].name
	direct := got[straight]
	b.add(straight+"."+what+".throughput", "requests/s", direct.rate)
	b.add(straight+"."+what+".p50-ms", "ms", milliseconds(direct.p50))
	b.add(straight+"."+what+".p99-ms", "ms", milliseconds(direct.p99))
	for _, one := range all[1:] {
		name, s := one.name, got[one.name]
		b.add(name+"."+what+".throughput-ratio", "ratio", s.rate/direct.rate)
		b.add(name+"."+what+".p50-ratio", "ratio", float64(s.p50)/float64(direct.p50))
		b.add(name+"."+what+".p99-ratio", "ratio", float64(s.p99)/float64(direct.p99))
		b.add(name+"."+what+".cpu-us", "µs", milliseconds(s.cpu)*1000)
	}
	// Serializable reads and watches are not compared: grpc-proxy answers them itself.
	if other, ok := got["grpc-proxy"]; ok &&
		(op == "put" || op == "lin") && !strings.HasSuffix(what, "half") {
		b.add("proxy."+what+".ratio-to-grpc-proxy", "ratio", got["proxy"].rate/other.rate)
	}
}

// sample is what one turn gave.
type sample struct {
	requests int
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      time.Duration // that the way's process spent on a request
}

// takeTurn lets every user make one request after another for so long, no faster than one in pace.
func takeTurn(ctx context.Context, users []*user, o op, pace, long time.Duration) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, long+30*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var failure error
	var wg sync.WaitGroup
	start := time.Now()
	for k, u := range users {
		wg.Go(func() {
			took, err := u.work(ctx, o,
				start.Add(pace*time.Duration(k)/time.Duration(len(users))), pace, start.Add(long), k)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			failure = errors.Join(failure, err)
		})
	}
	wg.Wait()
	if failure != nil {
		return sample{}, failure
	}
	if len(all) == 0 {
		return sample{}, errors.New("nothing was done in time")
	}
	slices.Sort(all)
	return sample{
		requests: len(all), rate: float64(len(all)) / long.Seconds(),
		p50: all[len(all)/2], p99: all[len(all)*99/100],
	}, nil
}

// work makes one request after another until end, from number k, and returns how long each took.
func (u *user) work(
	ctx context.Context, o op, next time.Time, pace time.Duration, end time.Time, k int,
) ([]time.Duration, error) {
	var took []time.Duration
	for i := k; ; i++ {
		if pace > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(pace)
		}
		began := time.Now()
		if began.After(end) {
			return took, nil
		}
		if err := o.run(ctx, u, i); err != nil {
			return took, err
		}
		if time.Now().After(end) { // not within the turn, and no later one is
			return took, nil
		}
		took = append(took, time.Since(began))
	}
}
