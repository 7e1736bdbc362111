package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxRetries is how often Settle retries a failed hook before it gives the unit up. Juju retries
// without end, with back-off; Settle does not wait between retries.
const MaxRetries = 3

// ErrInError is in the error of Settle when units are left in error.
var ErrInError = errors.New("hook failed")

// Step runs the next hook of a unit. It returns false if there is none.
func (m *Model) Step(ctx context.Context, unitName string, r Runner) (Record, bool, error) {
	m.mu.Lock()
	u, err := m.unit(unitName)
	if err != nil {
		m.mu.Unlock()
		return Record{}, false, err
	}
	c := m.take(u)
	m.mu.Unlock()
	if c == nil {
		return Record{}, false, nil
	}
	return m.run(ctx, c, r), true, nil
}

// take opens the context of the unit's next hook, nil if there is none.
func (m *Model) take(u *unit) *Context {
	h, ok := m.next(u)
	if !ok || u.machine.busy {
		return nil
	}
	if u.current == nil {
		m.begun(u, h)
	}
	u.forget(h)
	u.current = &h
	return m.begin(u, h)
}

func (m *Model) run(ctx context.Context, c *Context, r Runner) Record {
	out, err := r.Run(ctx, c)
	return m.end(c, out, err)
}

// pick opens the next hook of the whole model: of each unit in turn, or of one
// chosen by the seed.
func (m *Model) pick() *Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	us := m.sortedUnits()
	if m.rand != nil {
		m.rand.Shuffle(len(us), func(i, j int) { us[i], us[j] = us[j], us[i] })
	} else if n := len(us); n > 0 {
		k := m.turn % n
		us = append(slices.Clone(us[k:]), us[:k]...)
	}
	for i, u := range us {
		if c := m.take(u); c != nil {
			m.turn += i + 1
			return c
		}
	}
	return nil
}

// Settle runs hooks until none is queued, at most parallel at a time (below 2:
// one at a time, in an order that depends on the model alone). Failed hooks are
// retried up to MaxRetries times while others go on. The error wraps
// ErrInError and names the units left in error.
func (m *Model) Settle(ctx context.Context, r Runner, parallel int) error {
	for {
		if err := m.drain(ctx, r, max(parallel, 1)); err != nil {
			return err
		}
		if !m.retryFailed() {
			return m.inError()
		}
	}
}

func (m *Model) drain(ctx context.Context, r Runner, parallel int) error {
	if parallel == 1 {
		for ctx.Err() == nil {
			c := m.pick()
			if c == nil {
				break
			}
			m.run(ctx, c, r)
		}
		return ctx.Err()
	}
	done := make(chan struct{})
	running := 0
	for {
		for running < parallel && ctx.Err() == nil {
			c := m.pick()
			if c == nil {
				break
			}
			running++
			go func() {
				// Deferred, because a test may end its goroutine inside a hook.
				defer func() { done <- struct{}{} }()
				m.run(ctx, c, r)
			}()
		}
		if running == 0 {
			return ctx.Err()
		}
		<-done
		running--
	}
}

func (m *Model) retryFailed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := false
	for _, u := range m.sortedUnits() {
		if u.failed && u.machine.on && u.attempts <= MaxRetries {
			u.failed, found = false, true
		}
	}
	return found
}

func (m *Model) inError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, u := range m.sortedUnits() {
		if u.failed {
			names = append(names, fmt.Sprintf("%s (%q)", u.name, u.current.Name()))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInError, strings.Join(names, ", "))
}

// Resolved lets a unit in error go on: it retries the failed hook, or with
// skip takes it as done.
func (m *Model) Resolved(name string, skip bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(name)
	if err != nil {
		return err
	}
	if !u.failed {
		return fmt.Errorf("unit %q is not in an error state", name)
	}
	h := *u.current
	u.failed, u.attempts = false, 0
	if skip {
		u.current = nil
		m.finished(u, h)
	}
	return nil
}

// UpdateStatus queues update-status on a unit.
func (m *Model) UpdateStatus(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(name)
	if err != nil {
		return err
	}
	u.updatePending = true
	return nil
}

// PowerOff stops a machine's agents: its units hear nothing until Boot. The
// leadership of its leaders passes on, as it does in Juju after a minute.
func (m *Model) PowerOff(id int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return fmt.Errorf("machine %d not found", id)
	}
	mc := m.machines[id]
	mc.on = false
	for _, u := range m.sortedUnits() {
		if u.machine == mc && u.app.leader == u.name {
			if m.hasOther(u) {
				m.electNext(u.app)
			}
		}
	}
	return nil
}

func (m *Model) hasOther(u *unit) bool {
	return slices.ContainsFunc(unitsOf(u.app), func(v *unit) bool { return v != u && v.machine.on })
}

// Boot starts a machine and its agents: each unit runs only start, and has forgotten the settings
// it had read and the members that are gone.
func (m *Model) Boot(id int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return fmt.Errorf("machine %d not found", id)
	}
	m.machines[id].reboots++
	m.wake(m.machines[id], true)
	return nil
}

// StartAgents starts the agents of a machine that kept running after StopAgents; no unit runs start
// again.
func (m *Model) StartAgents(id int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return fmt.Errorf("machine %d not found", id)
	}
	m.wake(m.machines[id], false)
	return nil
}

// StopAgents stops only the agents of a machine: its units hear nothing until StartAgents.
func (m *Model) StopAgents(id int) error { return m.PowerOff(id) }

// wake starts a machine's agents; what they kept in memory is lost.
func (m *Model) wake(mc *machine, rebooted bool) {
	mc.on = true
	for _, u := range m.sortedUnits() {
		if u.machine != mc {
			continue
		}
		u.rebooted = u.rebooted || (rebooted && u.started)
		for relID, ur := range u.rels {
			clear(ur.cache)
			rel := m.relations[relID]
			for name := range ur.members {
				if rel != nil && !rel.scope[name] && !m.tellsDeparted(name) {
					delete(ur.members, name)
				}
			}
			if rel != nil {
				m.vanish(u, rel)
			}
		}
		clear(u.ghosts)
	}
}
