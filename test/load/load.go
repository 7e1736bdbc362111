// Package load writes to a cluster as its users do, and reports afterwards what they noticed. The
// rule it keeps: a write counts as failed only when its user gave up, and as lost when it was
// acknowledged and is not there at the end.
package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Users is how many users write in parallel, each over its own connection.
const (
	Users = 8
	rate  = 45 // how often each writes in a second, unless the target says otherwise
	// attempt bounds one try, patience all tries of one write unless the target says otherwise.
	attempt  = time.Second
	patience = 15 * time.Second
	prefix   = "load/"
	// syncInterval is how often clients ask for the members.
	syncInterval = 500 * time.Millisecond
)

// Target is the cluster. A nil TLS means plaintext, to a proxy; only the proxy then knows the
// members.
type Target struct {
	Endpoints []string
	TLS       *tls.Config
	Fixed     bool // clients keep to Endpoints and do not ask for the members
	Watches   int  // open watches that count what they receive
	Reads     bool // each user reads back what it wrote, when it was acknowledged
	Rate      int  // how often a second each user writes; zero is 45
	// Patience is how long a user tries one write; zero is 15 s.
	Patience time.Duration
}

// Client is a client of the cluster.
func (t Target) Client() (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints: t.Endpoints, TLS: t.TLS, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithNoProxy()},
	}
	if t.TLS != nil && !t.Fixed {
		config.AutoSyncInterval = syncInterval
	}
	c, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("cannot open client: %w", err)
	}
	return c, nil
}

// Report is what the users noticed.
type Report struct {
	Writes  int           // acknowledged
	Reads   int           // answered
	Failed  int           // given up, reads too
	Retried int           // attempts that did not succeed
	Lost    int           // acknowledged and not there, at once or at the end
	Gap     time.Duration // longest time in which no write succeeded
	GapFrom time.Time     // when it began
	Worst   time.Duration // of one write or read, with its retries
	Last    error         // of an attempt that did not succeed
}

func (r Report) String() string {
	return fmt.Sprintf(
		"%d writes, %d reads, %d failed, %d lost, %d attempts retried, longest gap %v from %s, slowest %v",
		r.Writes, r.Reads, r.Failed, r.Lost, r.Retried,
		r.Gap.Round(time.Millisecond), r.GapFrom.Format("15:04:05.000"), r.Worst.Round(time.Millisecond),
	)
}

// Load is users that write.
type Load struct {
	target Target
	run    string
	cancel context.CancelFunc
	wg     sync.WaitGroup
	gone   atomic.Bool // the users give up

	mu     sync.Mutex
	report Report
	acked  map[string]bool
	times  []time.Time
}

// Start makes the users begin; run makes their keys unique. The caller must Stop them.
func Start(ctx context.Context, target Target, run string) (*Load, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{target: target, run: run, cancel: cancel, acked: map[string]bool{}}
	for user := range Users + target.Watches {
		c, err := target.Client()
		if err != nil {
			cancel()
			l.wg.Wait()
			return nil, err
		}
		l.wg.Go(func() {
			defer c.Close()
			if user >= Users {
				for range c.Watch(ctx, prefix, clientv3.WithPrefix()) { // it only has to be open
				}
				return
			}
			l.user(ctx, c, user)
		})
	}
	return l, nil
}

// user writes at its rate until ctx ends.
func (l *Load) user(ctx context.Context, c *clientv3.Client, user int) {
	tick := time.NewTicker(time.Second / time.Duration(cmp.Or(l.target.Rate, rate)))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			key := fmt.Sprintf("%s%s/%d/%d", prefix, l.run, user, n)
			if l.write(c, key) && l.target.Reads {
				l.read(c, key)
			}
		}
	}
}

// write writes a key and reports whether that was acknowledged.
func (l *Load) write(c *clientv3.Client, key string) bool {
	return l.insist(func(ctx context.Context) error {
		_, err := c.Put(ctx, key, strings.Repeat("x", 256))
		return err
	}, func() {
		l.report.Writes++
		l.acked[key] = true
		l.times = append(l.times, time.Now())
	})
}

// read looks for a key that was acknowledged. The read is linearizable: the key is there, or it is
// lost.
func (l *Load) read(c *clientv3.Client, key string) {
	var found int64
	l.insist(func(ctx context.Context) error {
		resp, err := c.Get(ctx, key, clientv3.WithCountOnly())
		if err == nil {
			found = resp.Count
		}
		return err
	}, func() {
		l.report.Reads++
		if found == 0 {
			l.report.Lost++
		}
	})
}

// insist tries until it succeeds, which done records, or its user gives up. It does not end with
// the load: what has begun is finished.
func (l *Load) insist(try func(context.Context) error, done func()) bool {
	began, limit := time.Now(), cmp.Or(l.target.Patience, patience)
	for tries := 0; ; tries++ {
		// If several tries take too long, the machine is slow: the next may take longer.
		ctx, cancel := context.WithTimeout(context.Background(), attempt*time.Duration(1+tries/5))
		err := try(ctx)
		cancel()
		took := time.Since(began)
		l.mu.Lock()
		l.report.Worst = max(l.report.Worst, took)
		switch {
		case err == nil:
			done()
		case took > limit:
			l.report.Failed++
			l.report.Last = err
		default:
			l.report.Retried++
			l.report.Last = err
		}
		l.mu.Unlock()
		if err == nil || took > limit || l.gone.Load() {
			return err == nil
		}
		time.Sleep(10 * time.Millisecond) // a refusal that comes at once must not cause a storm
	}
}

// Abandon ends the users, which do not finish what they have begun.
func (l *Load) Abandon() {
	l.gone.Store(true)
	l.cancel()
	l.wg.Wait()
}

// Stop ends the users, looks for what they wrote, and deletes it.
func (l *Load) Stop(ctx context.Context) (Report, error) {
	l.cancel()
	l.wg.Wait()
	c, err := l.target.Client()
	if err != nil {
		return l.report, err
	}
	defer c.Close()
	for user := range Users {
		own := fmt.Sprintf("%s%s/%d/", prefix, l.run, user)
		resp, err := c.Get(ctx, own, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return l.report, fmt.Errorf("cannot read what was written: %w", err)
		}
		for _, kv := range resp.Kvs {
			delete(l.acked, string(kv.Key))
		}
		if _, err := c.Delete(ctx, own, clientv3.WithPrefix()); err != nil {
			return l.report, fmt.Errorf("cannot delete what was written: %w", err)
		}
	}
	l.report.Lost += len(l.acked)
	slices.SortFunc(l.times, time.Time.Compare)
	for i := 1; i < len(l.times); i++ {
		if gap := l.times[i].Sub(l.times[i-1]); gap > l.report.Gap {
			l.report.Gap, l.report.GapFrom = gap, l.times[i-1]
		}
	}
	if l.report.Writes == 0 {
		return l.report, errors.Join(errors.New("nobody wrote anything"), l.report.Last)
	}
	return l.report, nil
}
