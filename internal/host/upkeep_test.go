package host

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestRestartDefragments: a member that restarts anyway frees what its database does not use.
func TestRestartDefragments(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	cl, err := u.access(nil).dial(u.word.ClientURL)
	require.NoError(t, err)
	defer ignoreClose(cl)
	value := string(bytes.Repeat([]byte("x"), 1<<20))
	for range 120 {
		_, err := cl.Put(t.Context(), "fruit", value)
		require.NoError(t, err)
	}
	u.do(operator.Compact{Revision: u.look().Members[0].Revision})
	free := u.eventually("a database that is mostly free", func(w operator.World) bool {
		return len(w.Members) == 1 && w.Members[0].DBSize-w.Members[0].DBInUse > 100<<20
	})
	u.do(operator.Restart{})
	u.awaitReady(t, nil)
	small := u.eventually("a member that serves", func(w operator.World) bool { return w.Local.Ready && w.Reach == operator.Healthy })
	assert.Less(t, small.Members[0].DBSize, free.Members[0].DBSize/4)
	got, err := cl.Get(t.Context(), "fruit")
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
}

// TestUpkeep fills a database to its quota and makes room again, by the steps in the order that the
// status names.
func TestUpkeep(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.config.QuotaBytes = 16 << 20
	a, b := f.add(t), f.add(t)
	a.found()
	b.join()

	cl, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer ignoreClose(cl)
	value := string(bytes.Repeat([]byte("x"), 1<<20))
	for range 32 {
		if _, err = cl.Put(t.Context(), "fruit", value); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, rpctypes.ErrNoSpace)
	full := a.eventually("the alarm", func(w operator.World) bool { return len(w.Alarms) > 0 })
	assert.Equal(t, "NOSPACE", full.Alarms[0].Kind)
	current := full.Members[0].Revision
	assert.Greater(t, current, int64(1)) // how many puts fit, and how far behind a follower is, varies
	require.ErrorContains(t, a.Do(t.Context(), operator.TakeTurn{}), "space exceeded", "no turn can be taken by writing")

	require.ErrorContains(t, a.Do(t.Context(), operator.Compact{Revision: current + 1000}), "future revision")
	a.do(operator.Compact{Revision: current})
	for _, m := range a.look().Members {
		assert.Less(t, m.DBInUse, int64(4<<20), "what was freed is seen by the next look")
	}
	a.do(operator.Compact{Revision: current})
	_, err = cl.Get(t.Context(), "fruit", clientv3.WithRev(current-1))
	require.ErrorIs(t, err, rpctypes.ErrCompacted)
	for _, m := range full.Members {
		a.do(operator.Defrag{ID: m.ID, Name: "x"}, operator.AwaitPeer{ID: m.ID})
	}
	for _, m := range a.look().Members {
		assert.Less(t, m.DBSize, int64(4<<20))
	}
	require.ErrorContains(t, a.Do(t.Context(), operator.Defrag{ID: 12345}), "did not answer when last asked")

	for _, alarm := range a.look().Alarms {
		a.do(operator.Disarm{Alarm: alarm}, operator.Disarm{Alarm: alarm})
	}
	assert.Empty(t, a.look().Alarms)
	_, err = cl.Put(t.Context(), "fruit", "apple")
	require.NoError(t, err)

	// etcd takes no member to mean all of them.
	require.Error(t, a.Do(t.Context(), operator.Disarm{Alarm: operator.Alarm{Kind: "NOSPACE"}}))
	require.Error(t, a.Do(t.Context(), operator.Disarm{Alarm: operator.Alarm{MemberID: 1, Kind: "FIRE"}}))
	assert.NoError(t, errors.Join(a.Do(t.Context(), operator.TakeTurn{}), a.Do(t.Context(), operator.ReleaseTurn{})))
}

// TestUpkeepEndsInTheHook: a hook whose time ends during upkeep remembers nothing of it, and the
// next hook begins again.
func TestUpkeepEndsInTheHook(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	for _, step := range []operator.Step{operator.Defrag{ID: 1}, operator.Compact{Revision: 1}} {
		assert.LessOrEqual(t, waitOf(ctx, step), 30*time.Second)
		assert.Equal(t, upkeepWait, waitOf(t.Context(), step))
	}
	assert.Equal(t, maxWait, waitOf(ctx, operator.Start{}))
}
