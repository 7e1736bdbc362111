package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/test/load"
)

// near is how well a server's clock is known: a date of HTTP has no fractions.
const near = 2 * time.Second

// errClock means that a clock does not show what it was set to, so the test did not test what it
// was to.
var errClock = errors.New("a clock is not as it was set")

// offs are how far a clock is off: a little, an hour, a day, and longer than certificates live or
// the cluster is old.
func offs() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{
		5 * time.Second, time.Hour, day, 400 * day,
		-5 * time.Second, -time.Hour, -day, -400 * day,
	}
}

// clock is that of a machine: its file, and the server there that shows the time.
type clock struct {
	file, server string
}

// clockOf is the clock of a unit's machine.
func (c *cluster) clockOf(ctx context.Context, unit string) (clock, error) {
	root, err := c.ask(ctx)("root", unit)
	if err != nil {
		return clock{}, err
	}
	k := clock{file: filepath.Join(root, clockFile)}
	dir, err := load.Config(c.ask(ctx), unit)
	if err != nil {
		return clock{}, err
	}
	settings, err := os.ReadFile(filepath.Join(dir, "etcd.env"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return clock{}, fmt.Errorf("cannot read the server's settings: %w", err)
	}
	if found := regexp.MustCompile(`(?m)^ETCD_LISTEN_METRICS_URLS="?(http:[^",\s]+)`).
		FindSubmatch(settings); found != nil {
		k.server = string(found[1])
	}
	return k, nil
}

// set sets how far the clock is off; 0 is right.
func (k clock) set(off time.Duration) error {
	if off == 0 {
		if err := os.Remove(k.file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	//nolint:gosec // services are other users
	err := os.WriteFile(k.file+".new", strconv.AppendInt(nil, int64(off), 10), 0o644)
	return errors.Join(err, os.Rename(k.file+".new", k.file))
}

// tells returns how far the clock is off, as the server shows it.
func (k clock) tells(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.server+"/livez", nil)
	if err != nil {
		return 0, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	return time.Until(date), err
}

// listen asks the server until it shows what the clock was set to. If it is silent all the time
// that is not an error: it may be down for other reasons.
func (k clock) listen(ctx context.Context, off time.Duration) (heard bool, failure error) {
	for wait(ctx, 100*time.Millisecond) {
		told, err := k.tells(ctx)
		if err != nil {
			continue
		}
		if (told - off).Abs() <= near {
			return true, nil
		}
		failure = fmt.Errorf("%w: off by %v, not %v", errClock, told, off)
	}
	return false, failure
}

// stepClock sets a clock off and right again. Meanwhile the unit looks at the world at least once,
// as it otherwise does every five minutes.
func (n *nemesis) stepClock(
	ctx context.Context, unit string, off time.Duration,
) (begin, end func() error) {
	var k clock
	var listening, looking sync.WaitGroup
	var heard bool
	var failure error
	listen, stop := context.WithCancel(ctx)
	begin = func() error {
		var err error
		if k, err = n.cluster.clockOf(ctx, unit); err != nil {
			return err
		}
		if err := k.set(off); err != nil {
			return err
		}
		listening.Go(func() { heard, failure = k.listen(listen, off) })
		if err := n.cluster.do(ctx, "update-status", unit); err != nil {
			return err
		}
		looking.Go(func() { _ = n.cluster.sim.Settle(ctx) }) // waiting for the end shows what failed
		return nil
	}
	end = func() error {
		stop()
		if k.file == "" {
			return nil
		}
		err := k.set(0)
		listening.Wait()
		if heard {
			n.heard++
		}
		n.say("  the clock of %s is right again; its server told that it was off: %t", unit, heard)
		after, cancel := context.WithTimeout(ctx, near)
		defer cancel()
		_, late := k.listen(after, 0)
		looking.Wait()
		return errors.Join(err, failure, late)
	}
	return begin, end
}
