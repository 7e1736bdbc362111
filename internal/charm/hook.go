package charm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Machine is what a pass needs of the unit's machine.
type Machine interface {
	operator.Host
	// Seen returns the IDs of the members that etcd lists now, and the turn; it returns none when
	// etcd does not answer.
	Seen(context.Context) ([]uint64, operator.Turn)
}

// Juju is what a pass needs of Juju: the whole model, read once, and one place to publish.
type Juju interface {
	Observe(ctx context.Context, e operator.Event, seen []uint64) (operator.Model, error)
	Flush(context.Context, operator.Model, operator.Plan) error
}

// Hook is the one pass, from event to flush. If it returns an error, the hook must fail: Juju then
// drops what was published and runs the hook again.
func Hook(
	ctx context.Context, e operator.Event, j Juju, m Machine,
	decide operator.Decider, now func() time.Time,
) error {
	began := now()
	model, err := observe(ctx, e, j, m)
	switch {
	case errors.Is(err, juju.ErrUnconcerned):
		slog.DebugContext(ctx, "nothing to do", "why", err)
		return nil
	case err != nil:
		return err
	}
	plan, world, err := operator.Reconcile(ctx, decide, e, model, m)
	if err != nil {
		return fmt.Errorf("cannot reconcile: %w", err)
	}
	if err := overdue(plan, now().Sub(began)); err != nil {
		return err
	}
	settled(ctx, e, plan, world, now().Sub(began))
	return j.Flush(ctx, model, plan)
}

// settled logs the last line of a hook: what it did, to which relations it publishes, and which
// status it leaves. For a quiet hook the line is at level DEBUG.
func settled(
	ctx context.Context, e operator.Event, p operator.Plan, w operator.World, took time.Duration,
) {
	level := slog.LevelDebug
	if operator.Noteworthy(p, w) {
		level = slog.LevelInfo
	}
	if log := slog.Default(); log.Enabled(ctx, level) {
		log.Log(ctx, level, "settled",
			append(operator.HookLog(e, p, w), "took", took.Round(10*time.Millisecond))...)
	}
}

// observe reads the members and the turn before it reads goal-state, so that no member is judged by
// a goal-state that is older than the member.
func observe(ctx context.Context, e operator.Event, j Juju, m Machine) (operator.Model, error) {
	seen, turn := m.Seen(ctx)
	model, err := j.Observe(ctx, e, seen)
	model.SeenTurn = turn
	return model, err
}

// leadership is how long an answer of is-leader may be relied on; Juju guarantees 30 s. A leader
// that lost the leadership and regained it within one hook could otherwise overwrite what another
// leader recorded in between, and Juju would not notice.
const leadership = 25 * time.Second

// overdue returns an error if the plan records the birth or the end of a cluster, or makes the
// authorities, and the answer of is-leader is too old for that.
func overdue(p operator.Plan, age time.Duration) error {
	if !p.Claims || age <= leadership {
		return nil
	}
	return fmt.Errorf("cannot publish as leader %s after asking who leads: the next hook or try does",
		age.Round(time.Second))
}
