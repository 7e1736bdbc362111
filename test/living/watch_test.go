package living

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/test/load"
)

// watcher is a program that watches a key, as an informer does.
type watcher struct {
	client *clientv3.Client
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	seen []string
}

// Close ends the watch.
func (w *watcher) Close() error {
	w.cancel()
	<-w.ended
	return w.client.Close()
}

// watch makes a program watch a key from now on, or prints what it has seen once its watch has
// ended.
func (b *bench) watch(ts *testscript.TestScript, neg bool, args []string) {
	s := b.scene(ts)
	switch {
	case !neg && len(args) == 2 && args[0] == "start" && s.watcher == nil:
		target, err := load.Members(b.asker(ts))
		ts.Check(err)
		client, err := target.Client()
		ts.Check(err)
		ctx, cancel := context.WithCancel(b.ctx)
		s.watcher = &watcher{client: client, cancel: cancel, ended: make(chan struct{})}
		s.held = append(s.held, io.Closer(s.watcher))
		created := make(chan struct{})
		go s.watcher.follow(ctx, args[1], created)
		select {
		case <-created:
		case <-time.After(patience):
			ts.Fatalf("the watch does not begin")
		}
	case !neg && len(args) == 1 && args[0] == "end" && s.watcher != nil:
		select {
		case <-s.watcher.ended:
		case <-time.After(patience):
			ts.Fatalf("nobody ends the watch, which has seen %v", s.watcher.lines())
		}
		for _, line := range s.watcher.lines() {
			fmt.Fprintln(ts.Stdout(), line)
		}
		s.watcher = nil
	default:
		ts.Fatalf("usage: watch start KEY, then watch end")
	}
}

// follow records what the watch receives, until it ends. Its client moves to other members by
// itself.
func (w *watcher) follow(ctx context.Context, key string, created chan<- struct{}) {
	defer close(w.ended)
	for got := range w.client.Watch(ctx, key, clientv3.WithCreatedNotify()) {
		if got.Created {
			close(created)
			created = make(chan struct{})
		}
		for _, event := range got.Events {
			w.note(fmt.Sprintf("%s %s %s", event.Type, event.Kv.Key, event.Kv.Value))
		}
		if err := got.Err(); err != nil {
			w.note("ended: " + err.Error())
		}
	}
}

func (w *watcher) note(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, line)
}

func (w *watcher) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}
