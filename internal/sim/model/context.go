package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/juju/charm/v12/hooks"
)

// Crash asks that the process of a hook die at one of its tool calls.
type Crash struct {
	// Unit is the unit it concerns; "" is the unit whose hook comes next.
	Unit string
	// Call is the number of the call, from 1.
	Call int
	// After lets the call have its effect before the process dies.
	After bool
}

// ErrCrashed is what a tool call returns when the hook is dead: stop at once
// and return an Outcome with Killed set.
var ErrCrashed = errors.New("the hook was killed")

// Outcome is how a hook ended.
type Outcome struct {
	// Code is the exit code; 0 commits.
	Code int
	// Missing means that the charm has no such hook; it counts as success.
	Missing bool
	// Killed means that the process was ended by a signal; the hook is queued again.
	Killed bool
	// Stdout and Stderr are what the hook printed; an action's are in its results.
	Stdout, Stderr []byte
	// CPU is the processor time the hook took, its children's included.
	CPU time.Duration
}

// Runner runs one hook. An error means that it could not be started, and counts
// as a failed hook.
type Runner interface {
	Run(ctx context.Context, c *Context) (Outcome, error)
}

// RunnerFunc is a function as a Runner.
type RunnerFunc func(ctx context.Context, c *Context) (Outcome, error)

// Run calls f.
func (f RunnerFunc) Run(ctx context.Context, c *Context) (Outcome, error) { return f(ctx, c) }

// Context is one run of a hook: what it sees, and what it has written so far.
type Context struct {
	// ID is unique in the model.
	ID string
	// Hook says what is run.
	Hook Hook

	m     *Model
	u     *unit
	act   *action
	start time.Time

	bags     map[bagKey]map[string]*string
	others   map[bagKey]map[string]string
	ports    map[string]bool
	state    map[string]*string
	secrets  map[string]*secret
	dropped  map[string]bool
	asLeader bool

	record Record
	crash  *Crash
	kill   func()
	dead   bool
	ended  bool
}

type bagKey struct {
	relation int
	owner    string
}

// begin opens the context of a hook. The caller holds the lock.
func (m *Model) begin(u *unit, h Hook) *Context {
	m.nextCtx++
	c := &Context{
		ID:   fmt.Sprintf("%s-%s-%d", u.name, h.Name(), m.nextCtx),
		Hook: h, m: m, u: u, start: m.opts.Now(),
		bags: map[bagKey]map[string]*string{}, others: map[bagKey]map[string]string{},
		ports: map[string]bool{}, state: map[string]*string{},
		secrets: map[string]*secret{}, dropped: map[string]bool{},
		record: Record{Unit: u.name, Hook: h.Name(), Juju: m.Rules.Version},
	}
	if m.crash != nil && (m.crash.Unit == "" || m.crash.Unit == u.name) {
		c.crash, m.crash = m.crash, nil
	}
	m.contexts[c.ID] = c
	u.running, u.machine.busy = true, true
	return c
}

// Context returns an open context by its id.
func (m *Model) Context(id string) (*Context, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.contexts[id]
	if c == nil {
		return nil, fmt.Errorf("bad request: unknown context id %q", id)
	}
	return c, nil
}

// Unit returns the name of the unit.
func (c *Context) Unit() string { return c.u.name }

// App returns the name of the unit's application.
func (c *Context) App() string { return c.u.app.name }

// Machine returns the unit's machine.
func (c *Context) Machine() int { return c.u.machine.id }

// Address returns the address of the unit's machine.
func (c *Context) Address() string { return c.u.machine.address }

// Model returns the model.
func (c *Context) Model() *Model { return c.m }

// Source returns where the files of the unit's charm come from, and a number
// that grows with each refresh.
func (c *Context) Source() (string, int) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return c.u.source, c.u.charmSeq
}

// OnKill sets the function that ends the hook's process when a crash was asked for.
func (c *Context) OnKill(f func()) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.kill = f
}

// end closes a context: it commits or drops what the hook wrote, and settles
// what the unit does next.
func (m *Model) end(c *Context, out Outcome, err error) Record {
	m.mu.Lock()
	u, r := c.u, &c.record
	delete(m.contexts, c.ID)
	c.ended = true
	u.running, u.machine.busy = false, false
	out.Killed = out.Killed || c.dead
	r.Exit, r.CPU, r.Duration = out.Code, out.CPU, m.opts.Now().Sub(c.start)
	m.logOutput(c, out)
	failure := ""
	switch {
	case err != nil:
		failure = err.Error()
	case out.Killed:
		r.Result = ResultKilled
	case out.Code != 0:
		failure = fmt.Sprintf("exit status %d", out.Code)
	case out.Missing:
		r.Result = ResultMissing
	default:
		if err := c.commit(); err != nil {
			failure = err.Error()
		}
	}
	if failure != "" {
		r.Result, r.Error = ResultFailed, failure
		if r.Exit == 0 {
			r.Exit = 1
		}
	} else if r.Result == "" {
		r.Result = ResultDone
	}
	if c.act != nil {
		c.act.close(c, out, failure)
	} else {
		m.settleHook(u, c.Hook, r.Result)
		if failure != "" {
			m.logf(u, "ERROR", "operation", "hook %q failed: %s", c.Hook.Name(), failure)
		}
	}
	r.Seq = len(m.records) + 1
	m.records = append(m.records, *r)
	rec := *r
	m.mu.Unlock()
	if m.opts.OnRecord != nil {
		m.opts.OnRecord(rec)
	}
	return rec
}

func (m *Model) settleHook(u *unit, h Hook, result string) {
	if u.life == Dead {
		return
	}
	switch result {
	case ResultFailed:
		u.failed = true
		u.attempts++
	case ResultKilled:
		if u.failed = false; h.Kind == hooks.Install && u.life == Dying {
			m.bury(u)
		}
	default:
		u.current, u.failed, u.attempts = nil, false, 0
		m.finished(u, h)
	}
}

// commit makes everything the hook wrote durable, or nothing of it.
func (c *Context) commit() error {
	if c.asLeader && c.u.app.leader != c.u.name {
		return errors.New("cannot apply changes: leadership of the application was lost")
	}
	size := 0
	for key, value := range c.viewState() {
		size += len(key) + len(value)
	}
	if size > maxState {
		return errors.New("cannot apply changes: max allowed size for state exceeded")
	}
	for key, changes := range c.bags {
		rel := c.m.relations[key.relation]
		if rel == nil || rel.bags[key.owner] == nil {
			continue
		}
		b := rel.bags[key.owner]
		next := overlay(b.values, changes)
		if !maps.Equal(next, b.values) {
			b.values = next
			b.version++
		}
	}
	for port, open := range c.ports {
		if open {
			c.u.ports[port] = true
		} else {
			delete(c.u.ports, port)
		}
	}
	c.u.state = c.viewState()
	c.commitSecrets()
	return nil
}

// viewState returns the state as this hook sees it.
func (c *Context) viewState() map[string]string { return overlay(c.u.state, c.state) }

func overlay(base map[string]string, changes map[string]*string) map[string]string {
	next := maps.Clone(base)
	if next == nil {
		next = map[string]string{}
	}
	for key, value := range changes {
		if value == nil {
			delete(next, key)
		} else {
			next[key] = *value
		}
	}
	return next
}

// SetCrash asks for a crash in the next hook that it fits.
func (m *Model) SetCrash(crash Crash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crash = &crash
}

// isBroken reports whether the hook is the relation's own -broken hook.
func (c *Context) isBroken(rel *relation) bool {
	return c.Hook.Kind == hooks.RelationBroken && c.Hook.Relation == rel.id
}
