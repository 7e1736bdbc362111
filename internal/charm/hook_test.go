package charm

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// fakeModel is a Juju with a model, that notes what is published.
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

// A clock that is read at the start of the hook and before the flush says how old the answer of is-leader is.
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
