package model

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/require"
)

const (
	fixtureMeta = `
name: thing
summary: a thing
description: a thing
peers:
  ring: {interface: ring}
provides:
  out: {interface: flow}
requires:
  in: {interface: flow}
`
	fixtureConfig = `
options:
  name: {type: string, default: nobody}
  count: {type: int, default: 3}
  flag: {type: boolean}
`
	fixtureActions = `
greet:
  description: says hello
  params:
    who: {type: string, default: world}
    times: {type: integer}
    deep: {type: object, properties: {x: {type: string}}}
`
)

type fixtureCharm struct {
	meta    *charm.Meta
	config  *charm.Config
	actions *charm.Actions
}

func (c fixtureCharm) Meta() *charm.Meta       { return c.meta }
func (c fixtureCharm) Config() *charm.Config   { return c.config }
func (c fixtureCharm) Actions() *charm.Actions { return c.actions }

func newCharm(tb testing.TB) Charm {
	tb.Helper()
	meta, err := charm.ReadMeta(strings.NewReader(fixtureMeta))
	require.NoError(tb, err)
	config, err := charm.ReadConfig(strings.NewReader(fixtureConfig))
	require.NoError(tb, err)
	actions, err := charm.ReadActionsYaml("thing", strings.NewReader(fixtureActions))
	require.NoError(tb, err)
	return fixtureCharm{meta, config, actions}
}

// world is a model whose hooks are functions of the test.
type world struct {
	*Model
	t testing.TB
	// on is what a hook does, by "unit hook", or "hook" for every unit.
	on map[string]func(*hookRun) error
	// seen is every hook in order: "thing/0 ring-relation-joined thing/1".
	seen []string
}

// hookRun is a running hook.
type hookRun struct {
	*Context
	ctx context.Context
	t   testing.TB
}

func newWorld(tb testing.TB, series string) *world {
	tb.Helper()
	return newWorldOf(tb, Options{Series: series})
}

func newWorldOf(tb testing.TB, opts Options) *world {
	tb.Helper()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	opts.Now = func() time.Time { return now }
	m, err := New(opts)
	require.NoError(tb, err)
	return &world{Model: m, t: tb, on: map[string]func(*hookRun) error{}}
}

// Run is the world as a Runner; it is used one hook at a time.
func (w *world) Run(ctx context.Context, c *Context) (Outcome, error) {
	line := c.Unit() + " " + c.Hook.Name()
	for _, more := range []string{c.Hook.RemoteUnit, c.Hook.Departing} {
		if more != "" {
			line += " " + more
		}
	}
	w.seen = append(w.seen, line)
	do := w.on[c.Unit()+" "+c.Hook.Name()]
	if do == nil {
		do = w.on[c.Hook.Name()]
	}
	if do == nil {
		return Outcome{}, nil
	}
	if failure := do(&hookRun{c, ctx, w.t}); failure != nil {
		return Outcome{Code: 1, Stderr: []byte(failure.Error())}, nil //nolint:nilerr // a hook that fails is an outcome
	}
	return Outcome{}, nil
}

// tool runs a tool that must work and returns its output without the last newline.
func (h *hookRun) tool(name string, args ...string) string {
	h.t.Helper()
	out, err := h.Run(h.ctx, nil, name, args...)
	require.NoError(h.t, err)
	return strings.TrimSuffix(string(out), "\n")
}

// fails runs a tool that must fail and returns what it says.
func (h *hookRun) fails(name string, args ...string) string {
	h.t.Helper()
	_, err := h.Run(h.ctx, nil, name, args...)
	var te *ToolError
	require.ErrorAs(h.t, err, &te)
	return strings.TrimSpace(te.Stderr)
}

func (w *world) deploy(app string, units int) {
	w.t.Helper()
	require.NoError(w.t, w.Deploy(app, newCharm(w.t), "", nil))
	for range units {
		_, err := w.AddUnit(app, NewMachine)
		require.NoError(w.t, err)
	}
}

func (w *world) settle() {
	w.t.Helper()
	require.NoError(w.t, w.Settle(w.t.Context(), w, 1))
}

// take returns the hooks seen since the last call, of one unit or of all if unit
// is "", without the unit's name.
func (w *world) take(unit string) []string {
	got := []string{}
	for _, line := range w.seen {
		if unit == "" {
			got = append(got, line)
		} else if rest, ok := strings.CutPrefix(line, unit+" "); ok {
			got = append(got, rest)
		}
	}
	return got
}

func (w *world) forget() { w.seen = nil }

// inHook runs do in an update-status hook of a unit, which must succeed.
func (w *world) inHook(unit string, do func(h *hookRun)) {
	w.t.Helper()
	require.NoError(w.t, w.UpdateStatus(unit))
	ran := false
	w.on[unit+" update-status"] = func(h *hookRun) error {
		ran = true
		do(h)
		return nil
	}
	w.settle()
	delete(w.on, unit+" update-status")
	require.True(w.t, ran, "the hook did not run")
}

func (w *world) bag(relation, owner string) map[string]string {
	w.t.Helper()
	values, err := w.Bag(relation, owner)
	require.NoError(w.t, err)
	return values
}

func errHook(format string, args ...any) error { return fmt.Errorf(format, args...) }
