package host

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Any client with a consumer's certificate may switch authentication on. The charm is then root and
// goes on working. Every member shows it at once, a learner too, and etcdctl on the unit can switch
// it off.
func TestAuthenticationSwitchedOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.add(t), f.add(t), f.add(t)
	a.found()
	b.join()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin, err := a.access(f.authority).dial(a.url(f.config.Port))
	require.NoError(t, err)
	defer ignoreClose(admin)
	before := a.raftIndex()
	assert.False(t, a.look().Auth)
	assert.Equal(t, before, a.raftIndex(), "a look puts nothing into the log")

	allow(ctx, t, admin.Client, "proxy:3", "mine/")
	for _, u := range []*unit{a, b} {
		assert.True(t, u.look().Auth, u.unitName)
	}
	learner := c.learn().Data.MemberID
	c.eventually("a learner says so", func(w operator.World) bool { return w.Auth })
	c.do(operator.Promote{ID: learner}, operator.AwaitReady{})
	b.do(operator.TakeTurn{}, operator.Restart{}, operator.AwaitReady{}, operator.ReleaseTurn{})
	own := a.look().Data.MemberID
	a.do(operator.Defrag{ID: own}, operator.Compact{Revision: 1}, operator.Disarm{Alarm: operator.Alarm{Kind: "NOSPACE", MemberID: own}})
	c.do(operator.Stop{Why: "the unit leaves"})
	a.do(operator.RemoveMember{ID: learner})

	_, err = admin.AuthDisable(ctx)
	require.NoError(t, err)
	assert.False(t, a.look().Auth)
}
