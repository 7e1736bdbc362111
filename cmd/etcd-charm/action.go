package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// action answers one action. A refusal, an unknown action and a parameter that cannot be used fail it by message; the
// answer is set all the same. An error is for what went wrong on the way.
func (c charm) action(ctx context.Context, event operator.Event) error {
	act, known := operator.Actions[event.Action]
	if !known {
		return juju.FailAction(ctx, c.tools, fmt.Sprintf("unknown action %q", event.Action))
	}
	params, err := juju.Params(ctx, c.tools)
	if err != nil {
		return err
	}
	event.Params = params
	model, err := c.observe(ctx, event)
	if err != nil {
		return err
	}
	world, err := c.machine.Observe(ctx, model)
	if err != nil {
		return fmt.Errorf("cannot look at the machine: %w", err)
	}
	steps, result, err := act(params, model, world)
	if err != nil {
		return juju.FailAction(ctx, c.tools, err.Error())
	}
	if len(steps) == 0 {
		return c.answer(ctx, model, result)
	}
	failure := c.steps(ctx, steps)
	if failure != nil && errors.Is(failure, errNoTurn) {
		if world, err = c.machine.Observe(ctx, model); err != nil {
			return errors.Join(failure, fmt.Errorf("cannot look at the machine: %w", err))
		}
		if again, since, ok := operator.Redecide(act, params, model, world); ok {
			if result = since; len(again) == 0 {
				return c.answer(ctx, model, result)
			}
			failure = c.steps(ctx, again)
		}
	}
	if result.Finish != nil {
		if world, err = c.machine.Observe(ctx, model); err != nil {
			return errors.Join(failure, fmt.Errorf("cannot look at the machine: %w", err))
		}
		result = result.Finish(world)
	}
	if failure != nil {
		result.Failed = failure.Error()
	}
	return c.answer(ctx, model, result)
}

// errNoTurn says that an action could not take the turn, so that nothing was done.
var errNoTurn = errors.New("nothing was done")

// steps does an action's steps in order up to the first that fails, and tells of each. A turn that was taken is given
// back whatever happens.
func (c charm) steps(ctx context.Context, steps []operator.Step) error {
	held := false
	for _, step := range steps {
		c.log.InfoContext(ctx, "step", "do", step.String())
		if err := juju.LogAction(ctx, c.tools, step.String()); err != nil {
			c.log.WarnContext(ctx, "progress is not shown", "error", err)
		}
		if err := c.machine.Do(ctx, step); err != nil {
			err = fmt.Errorf("cannot %s: %w", step, err)
			if held {
				back := c.machine.Do(context.WithoutCancel(ctx), operator.ReleaseTurn{})
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

// answer sets an action's results. Its text goes to stdout unless it is among the results already: Juju shows both.
func (c charm) answer(ctx context.Context, model operator.Model, result operator.Result) error {
	if _, shown := result.Values["table"]; !shown {
		fmt.Fprint(c.out, result.Text)
	}
	if err := juju.SetResults(ctx, c.tools, result.Values); err != nil {
		return err
	}
	if result.Failed != "" {
		return juju.FailAction(ctx, c.tools, result.Failed)
	}
	return juju.Flush(ctx, c.tools, model, operator.Plan{Record: result.Record}, c.minter(model.App))
}
