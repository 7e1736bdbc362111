package fate

import (
	"errors"
	"iter"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// point is where a hook yields: before or after a step of the charm, or at a named place that is
// not a step.
type point struct {
	at   string
	step operator.Step
}

func (p point) String() string {
	if p.step != nil {
		return p.at + " " + p.step.String()
	}
	return p.at
}

// coroutine runs one hook after another, each from yield to yield. It is kept for later hooks,
// because growing a new stack is much of what a hook costs here.
type coroutine struct {
	// The hook that runs next or now, nil between two hooks; it must recover from errKilled.
	body   func(yield func(point))
	killed bool
	next   func() (point, bool)
	stop   func()
}

// errKilled unwinds a hook that is killed.
var errKilled = errors.New("killed")

func newCoroutine() *coroutine {
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(point) bool) {
		for more := true; more; {
			c.body(func(p point) {
				if more = more && yield(p); !more || c.killed {
					panic(errKilled)
				}
			})
			c.body, c.killed = nil, false
			more = more && yield(point{})
		}
	})
	return c
}

// step runs to the next yield; it returns false at the end of the hook.
func (c *coroutine) step() (point, bool) {
	p, _ := c.next()
	return p, c.body != nil
}

// stage keeps the idle coroutines of a sim and its clones, which must not run at the same time.
type stage struct{ idle []*coroutine }

// take returns a coroutine for one hook.
func (t *stage) take() *coroutine {
	n := len(t.idle)
	if n == 0 {
		return newCoroutine()
	}
	c := t.idle[n-1]
	t.idle = t.idle[:n-1]
	return c
}

// give takes a coroutine back. If its hook has not ended, give kills it at its present yield.
func (t *stage) give(c *coroutine) {
	if c.body != nil {
		c.killed = true
		c.next()
	}
	t.idle = append(t.idle, c)
}

// close ends the idle coroutines.
func (t *stage) close() {
	for _, c := range t.idle {
		c.stop()
	}
	t.idle = nil
}
