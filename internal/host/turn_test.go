package host

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func TestTurn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.add(t), f.add(t), f.add(t)
	a.found()
	b.look()
	c.look()

	// Two at once: one has it.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var errB, errC error
	parallel(
		func() { errB = b.Do(ctx, operator.TakeTurn{}) },
		func() { errC = c.Do(ctx, operator.TakeTurn{}) },
	)
	require.NotEqual(t, errB == nil, errC == nil, "%v, %v", errB, errC)
	holder, loser, refused := b, c, errC
	if errB != nil {
		holder, loser, refused = c, b, errB
	}
	require.ErrorContains(t, refused, "held by "+holder.unitName)
	assert.Equal(t, operator.Turn{Known: true, Holder: holder.unitName}, a.look().Turn)

	// The turn expires by itself; taking it again extends it, and giving back another unit's turn
	// does nothing.
	cl, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer cl.Close()
	lease := func() (clientv3.LeaseID, int64) {
		kv, err := cl.Get(t.Context(), turnKey)
		require.NoError(t, err)
		require.Len(t, kv.Kvs, 1)
		left, err := cl.TimeToLive(t.Context(), clientv3.LeaseID(kv.Kvs[0].Lease))
		require.NoError(t, err)
		assert.Equal(t, int64(turnSeconds), left.GrantedTTL)
		return left.ID, left.TTL
	}
	id, _ := lease()
	began := time.Now()
	holder.do(operator.TakeTurn{})
	loser.do(operator.ReleaseTurn{})
	same, left := lease()
	assert.Equal(t, id, same)
	assert.GreaterOrEqual(t, left, int64(turnSeconds-time.Since(began).Seconds())-1)

	// When it is given back while another unit waits, it changes hands.
	took := make(chan error, 1)
	go func() { took <- loser.Do(t.Context(), operator.TakeTurn{}) }()
	holder.do(operator.ReleaseTurn{}, operator.ReleaseTurn{})
	require.NoError(t, <-took)
	assert.Equal(t, loser.unitName, a.look().Turn.Holder)
	leases, err := cl.Leases(t.Context())
	require.NoError(t, err)
	assert.Len(t, leases.Leases, 1, "no lease is left behind")
}

// TestASquattedTurn: nothing that a client with a certificate can write into etcd stops a roll for
// good.
func TestASquattedTurn(t *testing.T) {
	t.Parallel()
	a := newFleet(t).add(t)
	a.found()
	cl, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer cl.Close()
	lease, err := cl.Grant(t.Context(), 1_000_000)
	require.NoError(t, err)

	// pass is one hook: it looks before Juju is asked, then decides and does steps until none is
	// left. It keeps what the unit remembers.
	remembered := operator.Memory{}
	pass := func() operator.Plan {
		_, seen := a.Seen(t.Context())
		m := a.model()
		m.SeenTurn, m.Memory = seen, operator.Know(remembered)
		w, err := a.Observe(t.Context(), m)
		require.NoError(t, err)
		p := operator.Decide(operator.Event{}, m, w)
		for p.Step != nil {
			switch p.Step.(type) {
			case operator.BreakTurn, operator.ReleaseTurn:
				require.NoError(t, a.Do(t.Context(), p.Step))
				w, err = a.Observe(t.Context(), m)
				require.NoError(t, err)
			default: // the fleet lacks addresses as Juju gives them; the other steps do not matter here
				w.Tried = append(w.Tried, operator.Attempt{Step: p.Step, Err: context.Canceled})
			}
			p = operator.Decide(operator.Event{}, m, w)
		}
		if p.Memory != nil {
			remembered = *p.Memory
		}
		return p
	}
	for name, tt := range map[string]struct {
		value string
		opts  []clientv3.OpOption
		hooks int // that it outlives
	}{
		"by hand":             {value: "etcd/99", hooks: 1},
		"by hand, and empty":  {value: "", hooks: 1},
		"with another lease":  {value: "etcd/99", opts: []clientv3.OpOption{clientv3.WithLease(lease.ID)}, hooks: 1},
		"by hand, in our own": {value: a.unitName, hooks: 0},
	} {
		_, err = cl.Put(t.Context(), turnKey, tt.value, tt.opts...)
		require.NoError(t, err)
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		require.Error(t, a.Do(short, operator.TakeTurn{}), name)
		cancel()
		for range tt.hooks {
			pass()
			assert.NotEmpty(t, a.look().Turn.Holder, name)
		}
		pass()
		assert.Equal(t, operator.Turn{Known: true}, a.look().Turn, name)
		a.do(operator.TakeTurn{})
		for range 3 {
			held := a.look().Turn
			require.NoError(t, a.Do(t.Context(), operator.BreakTurn{Turn: operator.Turn{Known: true, Holder: "etcd/99"}}))
			require.NoError(t, a.Do(t.Context(), operator.BreakTurn{Turn: operator.Turn{Known: true, Holder: held.Holder, Unleased: true}}))
			assert.Equal(t, operator.Turn{Known: true, Holder: a.unitName}, a.look().Turn, "another turn than was seen")
		}
		a.do(operator.ReleaseTurn{})
	}
}

// slowKV is a KV whose reads are answered just before something else happens.
type slowKV struct {
	clientv3.KV
	then func()
}

func (s slowKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := s.KV.Get(ctx, key, opts...)
	s.then()
	return resp, err
}

// TestTurnIsTakenByOne: a unit that saw the turn free does not take it from a unit that was
// quicker.
func TestTurnIsTakenByOne(t *testing.T) {
	t.Parallel()
	a := newFleet(t).add(t)
	a.found()
	other, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer other.Close()
	slow, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer slow.Close()
	slow.KV = slowKV{slow.KV, func() {
		_, err := other.Put(t.Context(), turnKey, "etcd/7")
		require.NoError(t, err)
	}}
	holder, err := a.tryTurn(t.Context(), slow.Client)
	require.NoError(t, err)
	assert.Equal(t, "etcd/7", holder)
	kept, err := other.Get(t.Context(), turnKey)
	require.NoError(t, err)
	require.Len(t, kept.Kvs, 1)
	assert.Equal(t, "etcd/7", string(kept.Kvs[0].Value))
	leases, err := other.Leases(t.Context())
	require.NoError(t, err)
	assert.Empty(t, leases.Leases, "no lease is left behind")
}
