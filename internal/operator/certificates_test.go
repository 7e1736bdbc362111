package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A consumer's certificate is refused from the hook on in which its relation ended, on each unit that published to it:
// nothing calls the leader again once it has put the end on record.
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

// What is dropped from the list is never revoked again, so no clock alone, however wrong, drops anything.
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
		{list, 225, list},     // a clock that is slow, or what was noted by one that was fast
		{list, 300, list[1:]}, // a clock that is fast
		{list[:2], 300, list[:2]},
		{list[:1], 300, list[:1]},
		{nil, 300, nil},
	} {
		m.Cluster.Value.Record.Revoked = tc.was
		w := world(m)
		w.Period = tc.period
		assert.Equal(t, tc.want, lookAt(lookAgain, m, w).revoked(), "%v in period %d", tc.was, tc.period)
	}
}
