package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// maxSteps bounds one pass. The longest orderly pass (a member that yields and joins again) takes
// about twenty.
const maxSteps = 60

// maxRepeats bounds how often one pass does the same step: a step that is wanted again and again
// has no effect.
const maxRepeats = 3

// ErrUnsettled means that a pass still found steps at its bound.
var ErrUnsettled = fmt.Errorf("did not settle within %d steps", maxSteps)

// ErrNoEffect is the failure of a step that succeeded and was still wanted again and again.
var ErrNoEffect = errors.New("done repeatedly, without effect")

// Decider makes the decision. It is Decide in production; tests wrap it to break a rule, and prove
// that this is noticed.
type Decider func(Event, Model, World) Plan

// Reconcile is the one pass of a hook: observe, decide, act, and observe again until no step is
// left. A step that fails is remembered for the pass: decide then says what it waits for, and goes
// on with what does not depend on it. Reconcile fails only if observing fails, if ctx ends, or with
// ErrUnsettled; nothing may then be published.
func Reconcile(ctx context.Context, decide Decider, e Event, m Model, h Host) (Plan, World, error) {
	var pass progress
	count := map[string]int{}
	for range maxSteps {
		w, err := h.Observe(ctx, m)
		if err != nil {
			return Plan{}, World{}, fmt.Errorf("cannot look at the machine: %w", err)
		}
		if len(pass.Done)+len(pass.Tried) == 0 {
			pass.Began = w.Now
		}
		w.progress = pass
		p := decide(e, m, w)
		if p.Step == nil {
			return p, w, nil
		}
		what := p.Step.String()
		if log := slog.Default(); log.Enabled(ctx, slog.LevelInfo) {
			log.InfoContext(ctx, "step", StepLog(p.Step, w)...)
		}
		err = h.Do(ctx, p.Step)
		if ctx.Err() != nil {
			return Plan{}, World{}, fmt.Errorf("cannot finish step %q: %w", what, context.Cause(ctx))
		}
		if count[what]++; err == nil && count[what] >= maxRepeats {
			err = ErrNoEffect
		}
		if err != nil {
			slog.WarnContext(ctx, "step failed", "step", what, "error", err)
			pass.Tried = append(pass.Tried, Attempt{p.Step, err})
		} else {
			pass.Done = append(pass.Done, p.Step)
		}
	}
	return Plan{}, World{}, ErrUnsettled
}
