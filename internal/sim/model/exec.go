package model

import (
	"context"
	"fmt"

	"github.com/juju/charm/v12/hooks"
)

// ExecName is the name of the task that Juju makes for commands in a unit's context.
const ExecName = "juju-exec"

// Exec makes r run commands in the context of a unit, now. Hook tools answer, and what they write
// is committed if the commands exit 0. Juju does this as an action with a name of its own that no
// charm declares, so a unit in error accepts it too.
func (m *Model) Exec(ctx context.Context, unitName string, r Runner) (ActionResult, error) {
	c, err := m.beginExec(unitName)
	if err != nil {
		return ActionResult{}, fmt.Errorf("cannot run commands on %s: %w", unitName, err)
	}
	m.run(ctx, c, r)
	return *c.act.done, nil
}

func (m *Model) beginExec(unitName string) (*Context, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(unitName)
	if err == nil {
		err = ready(u)
	}
	if err != nil {
		return nil, err
	}
	return m.beginTask(u, ExecName, map[string]any{}), nil
}

// beginTask opens the context of an action, or of commands. Juju counts an operation and its one
// task together.
func (m *Model) beginTask(u *unit, name string, params map[string]any) *Context {
	m.nextTask += 2
	c := m.begin(u, Hook{Kind: hooks.Action, Action: name})
	c.act = &action{name: name, id: fmt.Sprint(m.nextTask), params: params, results: map[string]any{}}
	return c
}

// OnActionLog sets the function that receives each line of action-log at once. It must not call the
// model.
func (c *Context) OnActionLog(f func(line string)) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.act.follow = f
}
