package operator

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeHost is an empty machine; do, if set, says how a step ends.
type fakeHost struct {
	blind error
	do    func(Step) error
	steps []Step
}

func (h *fakeHost) Observe(context.Context, Model) (World, error) { return World{}, h.blind }

func (h *fakeHost) Do(_ context.Context, s Step) error {
	h.steps = append(h.steps, s)
	if h.do == nil {
		return nil
	}
	return h.do(s)
}

// untilTried wants one step until it has failed; then it publishes.
func untilTried(_ Event, _ Model, w World) Plan {
	if len(w.Tried) == 0 {
		return Plan{Step: Start{}}
	}
	return Plan{Version: w.Tried[0].Err.Error()}
}

func TestReconcileRemembersWhatItDid(t *testing.T) {
	t.Parallel()
	h := &fakeHost{}
	p, w, err := Reconcile(t.Context(), func(_ Event, _ Model, w World) Plan {
		if len(w.Done) < 2 {
			return Plan{Step: AwaitPeer{ID: uint64(len(w.Done) + 1)}}
		}
		return Plan{Version: "told"}
	}, Event{}, Model{}, h)
	require.NoError(t, err)
	assert.Equal(t, Plan{Version: "told"}, p)
	assert.Equal(t, []Step{AwaitPeer{1}, AwaitPeer{2}}, h.steps)
	assert.Equal(t, h.steps, w.Done)
	assert.Empty(t, w.Tried)

	// A step that failed is not done again, and the pass goes on.
	h = &fakeHost{do: func(Step) error { return errors.New("no luck") }}
	p, w, err = Reconcile(t.Context(), untilTried, Event{}, Model{}, h)
	require.NoError(t, err)
	assert.Equal(t, "no luck", p.Version)
	assert.Equal(t, []Step{Start{}}, h.steps)
	assert.Empty(t, w.Done)
}

// A pass always ends: a step without effect is given up, and a pass that finds steps without end
// fails and publishes nothing.
func TestReconcileEnds(t *testing.T) {
	t.Parallel()
	h := &fakeHost{}
	p, _, err := Reconcile(t.Context(), untilTried, Event{}, Model{}, h)
	require.NoError(t, err)
	assert.Equal(t, ErrNoEffect.Error(), p.Version)
	assert.Len(t, h.steps, maxRepeats)

	endless := func(_ Event, _ Model, w World) Plan {
		return Plan{Step: AwaitPeer{ID: uint64(len(w.Done))}, Version: "told"}
	}
	h = &fakeHost{}
	p, _, err = Reconcile(t.Context(), endless, Event{}, Model{}, h)
	require.ErrorIs(t, err, ErrUnsettled)
	assert.Equal(t, Plan{}, p)
	assert.Len(t, h.steps, maxSteps)

	p, _, err = Reconcile(t.Context(), untilTried, Event{}, Model{}, &fakeHost{blind: errors.New("input/output error")})
	require.ErrorContains(t, err, "cannot look at the machine: input/output error")
	assert.Equal(t, Plan{}, p)
}

// A hook whose time is up fails, so that Juju calls it again: the outcome of a step that was cut
// off is not known.
func TestReconcileFailsWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	h := &fakeHost{do: func(Step) error {
		cancel(errors.New("the hook has had its time"))
		return fmt.Errorf("cut off: %w", ctx.Err())
	}}
	p, _, err := Reconcile(ctx, untilTried, Event{}, Model{}, h)
	require.ErrorContains(t, err, `cannot finish step "start service": the hook has had its time`)
	assert.Equal(t, Plan{}, p)
	assert.Len(t, h.steps, 1)
}
