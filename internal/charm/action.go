package charm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// action answers one action. A refusal, an unknown action or an unusable parameter fails the action
// with a message; the results are set all the same. An error means that something else went wrong.
func (c Charm) action(ctx context.Context, event operator.Event) error {
	act, known := operator.Actions[event.Action]
	if !known {
		return juju.FailAction(ctx, c.Tools, fmt.Sprintf("unknown action %q", event.Action))
	}
	began := c.Now()
	params, err := juju.Params(ctx, c.Tools)
	if err != nil {
		return err
	}
	model, err := observe(ctx, event, c, c.Machine)
	if err != nil {
		return err
	}
	world, err := c.Machine.Observe(ctx, model)
	if err == nil {
		err = world.Unseen()
	}
	if err != nil {
		return fmt.Errorf("cannot look at the machine: %w", err)
	}
	steps, result, err := act(params, model, world)
	if err != nil {
		return juju.FailAction(ctx, c.Tools, err.Error())
	}
	if len(steps) == 0 {
		return c.answer(ctx, model, world, result, began)
	}
	failure := c.steps(ctx, steps, world)
	if failure != nil && errors.Is(failure, errNoTurn) {
		if world, err = c.Machine.Observe(ctx, model); err != nil {
			return errors.Join(failure, fmt.Errorf("cannot look at the machine: %w", err))
		}
		if again, since, ok := operator.Redecide(act, params, model, world); ok {
			if result = since; len(again) == 0 {
				return c.answer(ctx, model, world, result, began)
			}
			failure = c.steps(ctx, again, world)
		}
	}
	if result.Finish != nil {
		if world, err = c.Machine.Observe(ctx, model); err != nil {
			return errors.Join(failure, fmt.Errorf("cannot look at the machine: %w", err))
		}
		result = result.Finish(world)
	}
	if failure != nil {
		result.Failed = failure.Error()
	}
	return c.answer(ctx, model, world, result, began)
}

// errNoTurn means that an action could not take the turn, so nothing was done.
var errNoTurn = errors.New("nothing was done")

// steps does an action's steps in order, up to the first that fails, and reports each. It gives
// back a turn that was taken, whatever happens.
func (c Charm) steps(ctx context.Context, steps []operator.Step, w operator.World) error {
	held := false
	for _, step := range steps {
		c.Log.InfoContext(ctx, "step", operator.StepLog(step, w)...)
		if err := juju.LogAction(ctx, c.Tools, step.String()); err != nil {
			c.Log.WarnContext(ctx, "progress is not shown", "error", err)
		}
		if err := c.Machine.Do(ctx, step); err != nil {
			err = fmt.Errorf("cannot %s: %w", step, err)
			if held {
				back := c.Machine.Do(context.WithoutCancel(ctx), operator.ReleaseTurn{})
				err = errors.Join(err, back)
			}
			if step == operator.Step(operator.TakeTurn{}) {
				err = fmt.Errorf("%w: %w", errNoTurn, err)
			}
			return err
		}
		switch step.(type) {
		case operator.TakeTurn:
			held = true
		case operator.ReleaseTurn:
			held = false
		}
	}
	return nil
}

// answer sets an action's results, including its text, and the unit's status, which the action may
// know better than the last hook. It fails the action if the action began too long ago to record
// the birth or end of a cluster.
func (c Charm) answer(
	ctx context.Context, model operator.Model, world operator.World,
	result operator.Result, began time.Time,
) error {
	plan := operator.Plan{Bags: result.Bags, Claims: result.Claims, Status: result.Status}
	if plan.Status.Level == "" {
		plan.Status = operator.StatusNow(model, world)
	}
	if err := overdue(plan, c.Now().Sub(began)); err != nil {
		return juju.FailAction(ctx, c.Tools, err.Error())
	}
	values := maps.Clone(result.Values)
	if result.Text != "" {
		if values == nil {
			values = map[string]any{}
		}
		values[operator.TextKey] = result.Text
	}
	if err := juju.SetResults(ctx, c.Tools, values); err != nil {
		return err
	}
	if result.Failed != "" {
		return errors.Join(
			juju.SetStatus(ctx, c.Tools, plan.Status), juju.FailAction(ctx, c.Tools, result.Failed))
	}
	return c.Flush(ctx, model, plan)
}
