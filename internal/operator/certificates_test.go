package operator

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// A consumer's certificate is refused from the hook on in which its relation ended, on each unit
// that published to it: no later hook calls the leader once the end is on record.
func TestEndedRelationIsRevokedAtOnce(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Memory.Value.Bags["proxy:1"], m.Memory.Value.Bags["proxy:2"] = "d1", "d2"
	m.Relations = consuming(m, "proxy:2")
	ended := []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}
	for _, leads := range []bool{true, false} {
		m.Leader = Know(leads)
		step, ok := Decide(lookAgain, m, world(m)).Step.(WriteTLS)
		require.True(t, ok)
		assert.Equal(t, &Revoked{ModelUUID: "model-uuid", Relations: ended}, step.Revoked)
		assert.False(t, step.Peer || step.Server || step.Admin || step.Trust)

		w := world(m)
		w.TLS.Revoked = RevokedDigest(ended)
		plan := Decide(lookAgain, m, w)
		assert.Nil(t, plan.Step)
		assert.Equal(t, leads, recordOf(plan) != nil && recordOf(plan).Revoked[0] == ended[0], "the leader records it")
	}
	m.Relations = noConsumers("relation-ids failed")
	assert.Nil(t, Decide(lookAgain, m, world(m)).Step, "what is not known has not ended")
}

// The record never outgrows what units can read: the relations that ended first are dropped, and
// all units report that long before.
func TestRevokedHasABound(t *testing.T) {
	t.Parallel()
	m := model(3)
	said := func(n int) []Reason {
		m.Cluster.Value.AppBag.Revoked = make([]Ended, n)
		for i := range n {
			m.Cluster.Value.AppBag.Revoked[i] = Ended{RelationID: "proxy:" + strconv.Itoa(i), Generation: 1, Period: 230}
		}
		m.Cluster.Value.AppBag.Revoked[n-1].Period = 229
		return slices.DeleteFunc(Examine(m, world(m)).Reasons, func(r Reason) bool { return r.Kind != revokedMany })
	}
	assert.Empty(t, said(manyRevoked-1))
	assert.Len(t, said(manyRevoked), 1)
	assert.Equal(t,
		"30000 ended relations of at most 30000: connecting is slow; remove no more",
		said(etcdcluster.MaxRevoked)[0].String())

	m.Memory.Value.Bags = map[string]string{"proxy:2147483647": "sum"}
	w := world(m)
	w.Period = 230
	got := newView(lookAgain, m, w).revoked()
	require.Len(t, got, etcdcluster.MaxRevoked)
	assert.Equal(t, Ended{RelationID: "proxy:2147483647", Generation: 1, Period: 230}, got[len(got)-1])
	assert.NotContains(t, got, Ended{RelationID: "proxy:29999", Generation: 1, Period: 229}, "it ends first")
	for i := range got {
		got[i] = Ended{RelationID: "proxy:2147483647", Generation: 2147483647, Period: 32500}
	}
	_, err := etcdcluster.DecodeApp("cluster:0", "etcd", etcdcluster.EncodeApp(AppBag{Schema: etcdcluster.Schema, Revoked: got}))
	require.NoError(t, err)
}

// A relation that is dropped from the list is never revoked again. So no single clock, however
// wrong, drops one.
func TestRevokedOutlastsAWrongClock(t *testing.T) {
	t.Parallel()
	m := model(3)
	list := []Ended{{RelationID: "proxy:1", Generation: 1, Period: 220}, {RelationID: "proxy:2", Generation: 1, Period: 225}, {RelationID: "proxy:3", Generation: 1, Period: 230}}
	for _, tc := range []struct {
		was    []Ended
		period int64
		want   []Ended
	}{
		{list, 230, list[1:]},
		{list, 229, list[1:]},
		{list, 225, list},     // a slow clock, or an entry from a fast one
		{list, 300, list[1:]}, // a fast clock
		{list[:2], 300, list[:2]},
		{list[:1], 300, list[:1]},
		{nil, 300, nil},
	} {
		m.Cluster.Value.AppBag.Revoked = tc.was
		w := world(m)
		w.Period = tc.period
		assert.Equal(t, tc.want, newView(lookAgain, m, w).revoked(), "%v in period %d", tc.was, tc.period)
	}
}
