// Package charm runs one hook or one action, from event to flush. It keeps the order of the pass:
// look, decide, do, and publish last. So a charm that dies anywhere before has published nothing.
// Production and the simulation call the same Hook.
package charm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Charm is one hook or action: the tools it asks, the machine it works on, and the log it writes
// to.
type Charm struct {
	Tools    juju.Tools
	Find     juju.Finder
	Env      func(string) string
	Hostname string // the machine's own; it need not resolve, and may be empty
	Log      *slog.Logger
	Machine  Machine
	Now      func() time.Time
	// NewAuthority makes certificate authorities. It has its own clock and randomness.
	NewAuthority juju.NewAuthority
}

// Run runs the hook or action that argv0 names. An error makes the process exit non-zero: Juju then
// drops what was published, and runs a hook again. An action that fails or is refused is not an
// error, because Juju then shows the action's own message.
func (c Charm) Run(ctx context.Context, argv0 string) (err error) {
	event, err := juju.ParseEvent(c.Env, argv0)
	switch {
	case errors.Is(err, juju.ErrUnknownHook):
		c.Log.InfoContext(ctx, "nothing to do", "why", err)
		return nil
	case err != nil:
		return err
	}
	// What Flush has not yet sent is never published, and Juju drops what Flush has sent because of
	// the exit code.
	defer func() {
		if cause := recover(); cause != nil {
			c.Log.ErrorContext(context.WithoutCancel(ctx), "panic",
				"cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = c.failed(context.WithoutCancel(ctx), event, fmt.Errorf("internal error: %v", cause))
		}
	}()

	if c.Env("JUJU_UNIT_NAME") == "" && !c.Find.Has("is-leader") {
		return errors.New(
			"not run by Juju, which calls the charm's hooks and actions with an environment and hook tools of its own")
	}
	switch err := juju.Preflight(ctx, c.Tools, c.Find, c.Log, c.Env("JUJU_VERSION")); {
	case errors.Is(err, juju.ErrNoElection) && event.Kind == hooks.Action:
		return juju.FailAction(ctx, c.Tools, operator.NoElection().Text())
	case errors.Is(err, juju.ErrNoElection):
		return fmt.Errorf("%w: %s", err, operator.NoElection())
	case errors.Is(err, juju.ErrOldJuju) && event.Kind == hooks.Action:
		return juju.FailAction(ctx, c.Tools, err.Error())
	case errors.Is(err, juju.ErrOldJuju):
		return nil // the status says blocked
	case err != nil:
		return err
	}
	if event.Kind == hooks.Action {
		if err := c.action(ctx, event); err != nil {
			return c.failed(context.WithoutCancel(ctx), event, err)
		}
		return nil
	}
	return Hook(ctx, event, c, c.Machine, operator.Decide, c.Now)
}

// failed ends an action with a message, because Juju would otherwise show only its exit code. For a
// hook it returns the error.
func (c Charm) failed(ctx context.Context, event operator.Event, err error) error {
	if event.Kind != hooks.Action {
		return err
	}
	return errors.Join(err, juju.FailAction(ctx, c.Tools, err.Error()))
}

// Observe reads the model; it implements Juju for Hook.
func (c Charm) Observe(
	ctx context.Context, e operator.Event, seen []uint64,
) (operator.Model, error) {
	unit := c.Env("JUJU_UNIT_NAME")
	if !strings.Contains(unit, "/") {
		return operator.Model{}, errors.New("cannot tell which unit this is: JUJU_UNIT_NAME is not set")
	}
	return juju.Observe(ctx, c.Tools, juju.Env{
		Event: e, Unit: unit, ModelUUID: c.Env("JUJU_MODEL_UUID"), Zone: c.Env("JUJU_AVAILABILITY_ZONE"),
		Hostname: c.Hostname, Secrets: c.Find.Has("secret-get"),
	}, seen)
}

// Flush publishes what the plan wants.
func (c Charm) Flush(ctx context.Context, m operator.Model, p operator.Plan) error {
	return juju.Flush(ctx, c.Tools, m, p, c.NewAuthority)
}
