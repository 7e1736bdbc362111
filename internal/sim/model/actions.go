package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// ActionResult is the result of an action.
type ActionResult struct {
	ID     string `json:"id" yaml:"id"`
	Unit   string `json:"unit" yaml:"unit"`
	Status string `json:"status" yaml:"status"`
	// Message is why it failed.
	Message string         `json:"message,omitempty" yaml:"message,omitempty"`
	Results map[string]any `json:"results" yaml:"results"`
	Log     []string       `json:"log,omitempty" yaml:"log,omitempty"`
}

type action struct {
	name, id string
	params   map[string]any
	results  map[string]any
	log      []string
	follow   func(line string) // receives each line of the log; nil discards them
	failed   bool
	message  string
	done     *ActionResult
}

// RunAction runs an action on a unit now, before whatever the unit has queued;
// the error is not nil if it could not be run at all. Params are checked
// against the charm's actions.yaml and completed by its defaults.
func (m *Model) RunAction(
	ctx context.Context, unitName, name string, params map[string]any, r Runner,
) (ActionResult, Record, error) {
	c, err := m.beginAction(unitName, name, params)
	if err != nil {
		return ActionResult{}, Record{}, fmt.Errorf("cannot run action %q on %s: %w", name, unitName, err)
	}
	rec := m.run(ctx, c, r)
	return *c.act.done, rec, nil
}

func (m *Model) beginAction(unitName, name string, params map[string]any) (*Context, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(unitName)
	if err != nil {
		return nil, err
	}
	spec, ok := u.charm.Actions().ActionSpecs[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("action not defined on unit %q", unitName)
	case u.failed:
		return nil, fmt.Errorf("unit %q is in error", unitName)
	}
	if err := ready(u); err != nil {
		return nil, err
	}
	params = maps.Clone(params)
	if params == nil {
		params = map[string]any{}
	}
	if err := spec.ValidateParams(params); err != nil {
		return nil, err
	}
	if params, err = spec.InsertDefaults(params); err != nil {
		return nil, err
	}
	return m.beginTask(u, name, params), nil
}

// ready returns why a unit can run no action now; nil if it can.
func ready(u *unit) error {
	switch {
	case !u.machine.on:
		return fmt.Errorf("the agent of %q is not running", u.name)
	case u.machine.busy:
		return errors.New("another hook is running on the machine")
	case !u.installed:
		return fmt.Errorf("unit %q is not installed yet", u.name)
	}
	return nil
}

// ActionID returns the ID of the action, or "" in a hook.
func (c *Context) ActionID() string {
	if c.act == nil {
		return ""
	}
	return c.act.id
}

// close makes the result. A non-zero exit fails the action and commits nothing;
// action-fail fails it and commits.
func (a *action) close(c *Context, out Outcome, failure string) {
	res := &ActionResult{
		ID: a.id, Unit: c.u.name, Status: "completed",
		Message: a.message, Results: a.results, Log: a.log,
	}
	switch {
	case out.Missing:
		res.Status, res.Message = "failed", fmt.Sprintf("action not implemented on unit %q", c.u.name)
	case out.Killed:
		res.Status, res.Message = "failed", "action terminated"
	case failure != "":
		res.Status, res.Message = "failed", failure
	case a.failed:
		res.Status = "failed"
	}
	res.Results["return-code"] = out.Code
	for key, text := range map[string][]byte{"stdout": out.Stdout, "stderr": out.Stderr} {
		if len(text) > 0 {
			res.Results[key] = string(text)
		}
	}
	a.done = res
}

// set puts a value at a dotted key, making maps on the way.
func (a *action) set(path []string, value string) {
	at := a.results
	for _, part := range path[:len(path)-1] {
		next, ok := at[part].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[part] = next
		}
		at = next
	}
	at[path[len(path)-1]] = value
}

// param looks a dotted key up; ok is false if there is none.
func (a *action) param(key string) (any, bool) {
	var at any = a.params
	for _, part := range strings.Split(key, ".") {
		mm, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = mm[part]; !ok {
			return nil, false
		}
	}
	return at, true
}
