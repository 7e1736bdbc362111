package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// machine is what a pass needs of the unit's machine.
type machine interface {
	operator.Host
	// Seen are the IDs of the members that etcd lists now, and the turn; none when it does not answer.
	Seen(context.Context) ([]uint64, operator.Turn)
	NewAuthority(app string) (operator.Authority, error)
}

// charm is one hook or action.
type charm struct {
	tools    juju.Tools
	find     juju.Finder
	env      func(string) string
	argv0    string
	hostname string
	out      io.Writer
	log      *slog.Logger
	machine  machine
	now      func() time.Time
}

// run does the hook or action. An error makes the process exit non-zero, which makes Juju drop what was published and call a
// hook again. An action that fails or is refused is no error: Juju shows its own message then.
func (c charm) run(ctx context.Context) (err error) {
	event, err := juju.ParseEvent(c.env, c.argv0)
	switch {
	case errors.Is(err, juju.ErrUnknownHook):
		c.log.InfoContext(ctx, "nothing to do", "why", err)
		return nil
	case err != nil:
		return err
	}
	// What Flush has not yet sent is not published, and what it has sent Juju drops for the exit code.
	defer func() {
		if cause := recover(); cause != nil {
			c.log.ErrorContext(context.WithoutCancel(ctx), "panic", "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = c.failed(context.WithoutCancel(ctx), event, fmt.Errorf("the charm broke: %v", cause))
		}
	}()

	switch err := juju.Preflight(ctx, c.tools, c.find, c.log, c.env("JUJU_VERSION")); {
	case errors.Is(err, juju.ErrNoElection) && event.Kind == hooks.Action:
		return juju.FailAction(ctx, c.tools, juju.ElectionMessage)
	case errors.Is(err, juju.ErrNoElection):
		return fmt.Errorf("%w: %s", err, juju.ElectionMessage)
	case errors.Is(err, juju.ErrOldJuju) && event.Kind == hooks.Action:
		return juju.FailAction(ctx, c.tools, err.Error())
	case errors.Is(err, juju.ErrOldJuju):
		return nil // blocked, by its status
	case err != nil:
		return err
	}
	if event.Kind == hooks.Action {
		if err := c.action(ctx, event); err != nil {
			return c.failed(context.WithoutCancel(ctx), event, err)
		}
		return nil
	}
	return c.hook(ctx, event)
}

// failed ends an action with a message, since Juju would show its exit code for one; a hook it leaves to fail.
func (c charm) failed(ctx context.Context, event operator.Event, err error) error {
	if event.Kind != hooks.Action {
		return err
	}
	return errors.Join(err, juju.FailAction(ctx, c.tools, err.Error()))
}

// leadership is for how long an answer of is-leader may be built upon. Juju warrants 30 s; a leader that lost the
// leadership and got it back within one hook could overwrite what another recorded meanwhile, and Juju would not notice.
const leadership = 25 * time.Second

// overdue refuses to record the birth or the end of a cluster on an answer of is-leader that is too old.
func overdue(m operator.Model, p operator.Plan, age time.Duration) error {
	was := m.Cluster.Value.Record
	if p.Record == nil || age <= leadership || (p.Record.ClusterID == was.ClusterID && p.Record.Ended == was.Ended) {
		return nil
	}
	return fmt.Errorf("cannot record the cluster %s after asking who leads: the next try does it", age.Round(time.Second))
}

// hook is the one pass.
func (c charm) hook(ctx context.Context, event operator.Event) error {
	began := c.now()
	model, err := c.observe(ctx, event)
	if err != nil {
		return err
	}
	plan, _, err := operator.Reconcile(ctx, event, model, c.machine)
	if err != nil {
		return fmt.Errorf("cannot settle: %w", err)
	}
	if err := overdue(model, plan, c.now().Sub(began)); err != nil {
		return err
	}
	c.log.DebugContext(ctx, "settled", "states", plan.States)
	return juju.Flush(ctx, c.tools, model, plan, c.minter(model.App))
}

func (c charm) observe(ctx context.Context, event operator.Event) (operator.Model, error) {
	unit := c.env("JUJU_UNIT_NAME")
	app, _, found := strings.Cut(unit, "/")
	if !found {
		return operator.Model{}, errors.New("cannot tell which unit this is: JUJU_UNIT_NAME is not set")
	}
	// Members and the turn are looked at before units: nobody is judged by a goal-state that is older than himself.
	seen, turn := c.machine.Seen(ctx)
	model, err := juju.Observe(ctx, c.tools, juju.Env{
		Event: event, Unit: unit, ModelUUID: c.env("JUJU_MODEL_UUID"), JujuVersion: c.env("JUJU_VERSION"),
		Hostname: c.hostname, Secrets: c.find.Has("secret-get"),
	}, seen, c.minter(app))
	model.SeenTurn = turn
	return model, err
}

func (c charm) minter(app string) juju.Minter { return minter{c.machine, app} }

// minter makes and reads what holds keys.
type minter struct {
	machine machine
	app     string
}

func (m minter) New() (operator.Authority, error) { return m.machine.NewAuthority(m.app) }

func (minter) Describe(content map[string]string) (operator.Authority, error) {
	return host.ReadAuthority(content)
}

func (minter) Client(a operator.Authority, modelUUID, relationID string, period int64) (key, cert, ca string, err error) {
	cert, key, ca, err = host.ConsumerCredentials(a, modelUUID, relationID, period)
	return key, cert, ca, err
}
