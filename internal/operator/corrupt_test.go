package operator

import (
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With alarm CORRUPT etcd takes no key, and its own check calls no member ready.
func TestCorruptDataIsReplaced(t *testing.T) {
	t.Parallel()
	leaves := Event{Kind: hooks.RelationDeparted, Departing: "etcd/0"}
	start := func(bad uint64) (Model, World) {
		m := model(3)
		w := world(m)
		m.Config.AutoRepair = false
		w.Alarms, w.Local.Ready = []Alarm{{bad, corrupt}}, false
		return m, w
	}

	m, w := start(1)
	w.Service.Config, w.WrittenConfig = "as it was", "as it was"
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step, "nothing is waited for, nothing restarts")
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "CORRUPT: data of etcd/0 differs; juju remove-unit etcd/0, then alarm-disarm")

	m, w = start(1)
	assert.Equal(t, RemoveMember{ID: 1, Name: "etcd/0", Why: unitLeaves}, Decide(leaves, m, w).Step, "without the turn, while it runs")
	m, w = start(0)
	assert.Equal(t, RemoveMember{ID: 1, Name: "etcd/0", Why: unitLeaves}, Decide(leaves, m, w).Step, "nobody knows whose data is bad")

	m, w = start(9)
	w.Turn.Holder = "etcd/1"
	steps, result, err := AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.Equal(t, []Step{Disarm{w.Alarms[0]}}, steps, "a turn that cannot be given back holds nobody")

	for bad, why := range map[uint64]string{
		2: "cannot leave: CORRUPT alarm on etcd/1",
		9: "cannot leave: CORRUPT alarm on 9; run action alarm-disarm on the leader",
	} {
		m, w = start(bad)
		p = Decide(leaves, m, w)
		assert.Nil(t, p.Step)
		require.ErrorContains(t, p.Fail, why, "the good data stays")
	}
	m, w = start(1)
	w = down(w, 1)
	p = Decide(leaves, m, w)
	assert.Nil(t, p.Step)
	require.ErrorContains(t, p.Fail, "1 of 3 voters would be ready", "not at the price of the quorum")
}
