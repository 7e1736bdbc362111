package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/datadir"
)

// killed kills all members of a cluster at once during writes, again and again. Of the acknowledged
// writes it counts those that are missing when the member with the best log goes on alone: with our
// recovery, and with etcd's flag.
func (b *bench) killed(ctx context.Context, t programs) error {
	for i := range b.kills {
		progress("second-life: kill %d of %d", i+1, b.kills)
		ours, theirs, err := t.oneKill(ctx, i)
		if err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		b.add("recover.lost-writes", "count", float64(ours))
		b.add("bare.recover.lost-writes", "count", float64(theirs))
	}
	return nil
}

func (t programs) oneKill(ctx context.Context, i int) (ours, theirs int, err error) {
	all, err := t.plain("killed", 3)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		for _, s := range all {
			err = errors.Join(err, s.end(syscall.SIGKILL))
		}
		err = errors.Join(err,
			os.RemoveAll(filepath.Join(t.dir, "killed")), os.RemoveAll(t.unit("").Prepared))
	}()
	if err := startAll(ctx, all...); err != nil {
		return 0, 0, err
	}
	acked, err := t.midst(ctx, all, time.Duration(500+i*97%700)*time.Millisecond)
	if err != nil {
		return 0, 0, err
	}
	best, err := furthest(all)
	if err != nil {
		return 0, 0, err
	}
	u := t.unit(best.settings["ETCD_DATA_DIR"])
	if _, err := u.PrepareRecover(ctx, life("recover", ""), nil); err != nil {
		return 0, 0, err
	}
	if ours, err = t.missing(ctx, filepath.Join(u.Prepared, "recover"), acked, false); err != nil {
		return 0, 0, err
	}
	theirs, err = t.missing(ctx, u.Data, acked, true)
	return ours, theirs, err
}

// midst has sixteen clients write, each as fast as it can, kills all members after a while, and
// returns which writes were acknowledged.
func (t programs) midst(
	ctx context.Context, all []*server, while time.Duration,
) (map[string]bool, error) {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	began := make(chan struct{}, 16)
	for w := range 16 {
		c, err := all[w%len(all)].client()
		if err != nil {
			return nil, err
		}
		wg.Go(func() {
			defer c.Close()
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("w%02d/%07d", w, i)
				if _, err := c.Put(ctx, key, "value of "+key); err != nil {
					continue
				}
				mu.Lock()
				acked[key] = true
				mu.Unlock()
				if i == 0 {
					began <- struct{}{}
				}
			}
		})
	}
	for range 16 {
		select {
		case <-began:
		case <-ctx.Done():
			return nil, fmt.Errorf("no writes: %w", ctx.Err())
		}
	}
	select {
	case <-time.After(while): // the load lasts this long
	case <-ctx.Done():
	}
	for _, s := range all { // all at once
		_ = s.cmd.Process.Kill()
	}
	var err error
	for _, s := range all {
		err = errors.Join(err, s.end(syscall.SIGKILL))
	}
	stop()
	wg.Wait()
	return acked, err
}

// furthest returns the member with the best log, by raft's own rule.
func furthest(all []*server) (best *server, err error) {
	var at datadir.Log
	for _, s := range all {
		l, err := datadir.ReadLog(s.settings["ETCD_DATA_DIR"])
		if err != nil {
			return nil, err
		}
		if best == nil || l.Term > at.Term || l.Term == at.Term && l.Index > at.Index {
			best, at = s, l
		}
	}
	return best, nil
}

// missing serves data, with etcd's flag if alone is set, and counts the acknowledged writes that
// are not in it.
func (t programs) missing(
	ctx context.Context, data string, acked map[string]bool, alone bool,
) (n int, err error) {
	all, err := t.plain("", 1)
	if err != nil {
		return 0, err
	}
	s := all[0]
	s.settings["ETCD_DATA_DIR"] = data
	if alone {
		s.settings["ETCD_FORCE_NEW_CLUSTER"] = "true"
	}
	defer func() { err = errors.Join(err, s.end(syscall.SIGKILL)) }()
	if err := startAll(ctx, s); err != nil {
		return 0, err
	}
	c, err := s.client()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	got, err := c.Get(ctx, "w", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, err
	}
	have := map[string]bool{}
	for _, kv := range got.Kvs {
		have[string(kv.Key)] = true
	}
	for key := range acked {
		if !have[key] {
			n++
		}
	}
	return n, nil
}
