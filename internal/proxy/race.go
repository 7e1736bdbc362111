package proxy

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// patience is how long a try may take before another begins beside it. A member that is gone is
// silent, and so is one that is far away, or whose first packet was lost: TCP sends that again
// after a second. So the next is tried, and the first goes on: if it were given up, each try would
// begin from nothing.
const patience = time.Second

var errNoTry = errors.New("none is known")

// race makes tries side by side until one succeeds, and returns its result. next begins the next
// try, nil if there is none; it is called when a try has failed, and when none has ended for
// patience. Tries that are not needed any more are cancelled. If one of them succeeds after all,
// its result is given to waste. If all fail, the error is the last one's.
func race[T any](
	ctx context.Context, next func() func(context.Context) (T, error), waste func(T),
) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	type outcome struct {
		made T
		err  error
	}
	outcomes := make(chan outcome)
	running := 0
	defer func() {
		cancel()
		go func(left int) {
			for range left {
				if o := <-outcomes; o.err == nil {
					waste(o.made)
				}
			}
		}(running)
	}()
	begin := func() {
		if ctx.Err() != nil {
			return
		}
		if try := next(); try != nil {
			running++
			go func() {
				made, err := try(ctx)
				outcomes <- outcome{made, err}
			}()
		}
	}
	var none T
	last := cmp.Or(ctx.Err(), errNoTry)
	slow := time.NewTicker(patience)
	defer slow.Stop()
	for begin(); running > 0; begin() {
		select {
		case o := <-outcomes:
			running--
			if o.err == nil {
				return o.made, nil
			}
			last = o.err
			slow.Reset(patience)
		case <-slow.C:
		}
	}
	return none, last
}
