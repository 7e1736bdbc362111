package main

import (
	"context"
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
	for _, step := range steps {
		c.log.InfoContext(ctx, "step", "do", step.String())
		if err := c.machine.Do(ctx, step); err != nil {
			return fmt.Errorf("cannot %s: %w", step, err)
		}
	}
	return c.answer(ctx, model, result)
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
