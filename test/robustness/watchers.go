package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher keeps everything it is told of the prefix, and resumes after the last revision whenever a watch ends.
type watcher struct {
	field *field
	rng   *rand.Rand
	way   int
	life  time.Duration // about how long it keeps a watch open; zero is as long as it lasts

	mu  sync.Mutex
	log watch
	at  int64 // the revision that comes next
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

// work goes on until ctx ends, or the revision it needs is compacted.
func (w *watcher) work(ctx context.Context) {
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil && w.sofar().Broken == "" {
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
	w.mu.Lock()
	from := w.at
	w.log.Opened++
	w.mu.Unlock()
	for resp := range c.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		w.mu.Lock()
		if resp.CompactRevision > 0 {
			w.log.Broken = fmt.Sprintf("revisions before %d are compacted, and %d was needed", resp.CompactRevision, w.at)
		}
		for _, e := range resp.Events {
			w.log.Events = append(w.log.Events, event{e.Kv.ModRevision, string(e.Kv.Key), string(e.Kv.Value), e.Type == clientv3.EventTypeDelete})
			w.at = e.Kv.ModRevision + 1
		}
		w.mu.Unlock()
		if resp.Err() != nil {
			return
		}
	}
}

// sofar is what it has been told.
func (w *watcher) sofar() watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log
}

// reaches waits until it has been told of a revision; the log is then complete up to it, or faulty.
func (w *watcher) reaches(ctx context.Context, rev int64) watch {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		there := w.at > rev
		w.mu.Unlock()
		if there || ctx.Err() != nil {
			log := w.sofar()
			log.Until = rev
			return log
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
