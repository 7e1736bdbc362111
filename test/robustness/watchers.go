package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher records everything that it receives of the prefix, and resumes after the last revision
// whenever a watch ends.
type watcher struct {
	field *field
	rng   *rand.Rand
	way   int
	life  time.Duration // about how long it keeps a watch open; 0 means until it ends

	mu    sync.Mutex
	ended []watch // that ended because the data was replaced
	log   watch
	at    int64 // the next revision; 0 means that it must find out
}

func newWatchers(f *field, seed uint64, from int64) []*watcher {
	var all []*watcher
	for i, w := range []*watcher{
		{way: toAll, log: watch{Name: "steady"}},
		{way: byProxy, log: watch{Name: "proxied"}},
		{way: toOne, life: 4 * time.Second, log: watch{Name: "restless"}},
		{way: byProxy, life: 4 * time.Second, log: watch{Name: "restless-proxied"}},
	} {
		w.field, w.rng, w.at, w.log.From = f, rand.New(rand.NewPCG(seed, uint64(i)+200)), from, from
		all = append(all, w)
	}
	return all
}

// work goes on until ctx ends. If the revision that it needs is compacted it begins again, as
// informers do.
func (w *watcher) work(ctx context.Context) {
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil {
		if c, err := w.field.dial(w.way, w.rng); err == nil {
			w.follow(ctx, c)
			c.Close()
		}
		<-pause.C
	}
}

func (w *watcher) follow(ctx context.Context, c *clientv3.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.life > 0 {
		ctx, cancel = context.WithTimeout(ctx, w.life/2+time.Duration(w.rng.Int64N(int64(w.life))))
		defer cancel()
	}
	from, err := w.from(ctx, c)
	if err != nil {
		return
	}
	for resp := range c.Watch(clientv3.WithRequireLeader(ctx), prefix,
		clientv3.WithPrefix(), clientv3.WithRev(from)) {
		w.mu.Lock()
		for _, e := range resp.Events {
			w.log.Events = append(w.log.Events, event{
				e.Kv.ModRevision, string(e.Kv.Key), string(e.Kv.Value), e.Type == clientv3.EventTypeDelete,
			})
			w.at = e.Kv.ModRevision + 1
		}
		if resp.CompactRevision > 0 {
			w.log.Compacted, w.log.Until = resp.CompactRevision, w.at-1
			w.ended, w.log, w.at = append(w.ended, w.log), watch{Name: w.log.Name}, 0
		}
		w.mu.Unlock()
		if resp.Err() != nil {
			return
		}
	}
}

// from is the revision from which to watch. A watcher that has to begin again lists first, and goes
// on from there.
func (w *watcher) from(ctx context.Context, c *clientv3.Client) (int64, error) {
	w.mu.Lock()
	from := w.at
	w.mu.Unlock()
	if from == 0 {
		ctx, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		list, err := c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return 0, err
		}
		from = list.Header.GetRevision() + 1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == 0 {
		w.at, w.log.From = from, from
	}
	w.log.Opened++
	return from, nil
}

// reaches waits until the watcher has received a revision; the log is then complete up to it, or
// faulty.
func (w *watcher) reaches(ctx context.Context, rev int64) []watch {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		all := append(slices.Clone(w.ended), w.log)
		there := w.at > rev
		w.mu.Unlock()
		if there || ctx.Err() != nil {
			all[len(all)-1].Until = rev
			return all
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
