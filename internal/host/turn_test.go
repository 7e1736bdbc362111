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

	// It ends by itself; taking it again prolongs it, giving back another's does nothing.
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
	holder.do(operator.TakeTurn{})
	loser.do(operator.ReleaseTurn{})
	same, left := lease()
	assert.Equal(t, id, same)
	assert.Greater(t, left, int64(turnSeconds-5))

	// Given back while the other waits, it changes hands.
	took := make(chan error, 1)
	go func() { took <- loser.Do(t.Context(), operator.TakeTurn{}) }()
	holder.do(operator.ReleaseTurn{}, operator.ReleaseTurn{})
	require.NoError(t, <-took)
	assert.Equal(t, loser.unitName, a.look().Turn.Holder)
	leases, err := cl.Leases(t.Context())
	require.NoError(t, err)
	assert.Len(t, leases.Leases, 1, "no lease is left behind")
}
