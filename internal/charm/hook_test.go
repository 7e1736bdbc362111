package charm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// fakeModel is a Juju with a model that records what is published.
type fakeModel struct {
	model   operator.Model
	flushed []operator.Plan
}

func (f *fakeModel) Observe(context.Context, operator.Event, []uint64) (operator.Model, error) {
	return f.model, nil
}

func (f *fakeModel) Flush(_ context.Context, _ operator.Model, p operator.Plan) error {
	f.flushed = append(f.flushed, p)
	return nil
}

// The clock, read at the start of the hook and before the flush, shows how old the answer of
// is-leader is.
func TestHookRecordsNoClusterTooLate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		took time.Duration
		why  string
	}{
		"in time":  {leadership, ""},
		"too late": {leadership + time.Second, "26s after asking who leads"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decide := func(operator.Event, operator.Model, operator.World) operator.Plan {
				return operator.Plan{Claims: true}
			}
			now := time.Unix(0, 0)
			j := &fakeModel{}
			m := fakeMachine{look: func() error { now = now.Add(test.took); return nil }}
			err := Hook(t.Context(), operator.Event{}, j, m, decide, func() time.Time { return now })
			if test.why == "" {
				require.NoError(t, err)
				assert.Equal(t, []operator.Plan{{Claims: true}}, j.flushed)
				return
			}
			require.ErrorContains(t, err, test.why)
			assert.Empty(t, j.flushed)
		})
	}
}

// order records the calls in their order.
type order struct {
	calls []string
	seen  []uint64
	fail  error // of the flush
}

func (o *order) Seen(context.Context) ([]uint64, operator.Turn) {
	o.calls = append(o.calls, "members and turn")
	return []uint64{7}, operator.Turn{Known: true, Holder: "etcd/1"}
}

// A Juju and a machine that share one order; both have a method Observe.
type (
	jujuInOrder    struct{ *order }
	machineInOrder struct{ *order }
)

func (j jujuInOrder) Observe(_ context.Context, _ operator.Event, seen []uint64) (operator.Model, error) {
	j.calls = append(j.calls, "Juju")
	j.seen = seen
	return operator.Model{}, nil
}

func (j jujuInOrder) Flush(context.Context, operator.Model, operator.Plan) error {
	j.calls = append(j.calls, "flush")
	return j.fail
}

func (m machineInOrder) Observe(context.Context, operator.Model) (operator.World, error) {
	m.calls = append(m.calls, "machine")
	return operator.World{}, nil
}

func (m machineInOrder) Do(context.Context, operator.Step) error {
	m.calls = append(m.calls, "step")
	return nil
}

// The members and the turn are read before Juju is asked, so that no member is judged by a
// goal-state older than itself. Publishing comes after the last step. If Juju refuses what is
// published the hook fails, because only then is it called again.
func TestHookKeepsTheOrder(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{"well": nil, "Juju takes nothing": errors.New("relation-set: no such relation")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &order{fail: fail}
			var turn operator.Turn
			decide := func(_ operator.Event, m operator.Model, w operator.World) operator.Plan {
				turn = m.SeenTurn
				if len(w.Done) == 0 {
					return operator.Plan{Step: operator.Start{}}
				}
				return operator.Plan{}
			}
			err := Hook(t.Context(), operator.Event{}, jujuInOrder{o}, machineInOrder{o}, decide, time.Now)
			require.ErrorIs(t, err, fail)
			assert.Equal(t, []string{"members and turn", "Juju", "machine", "step", "machine", "flush"}, o.calls)
			assert.Equal(t, []uint64{7}, o.seen)
			assert.Equal(t, operator.Turn{Known: true, Holder: "etcd/1"}, turn)
		})
	}
}
