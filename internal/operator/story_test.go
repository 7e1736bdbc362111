package operator

import (
	"errors"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
)

// The log of a step says what it changes, if there is a before and an after.
func TestStepLog(t *testing.T) {
	t.Parallel()
	w := World{
		Installed: "3.6.1-sa-pb-c",
		Members:   []Member{{ID: 1, Name: "etcd0"}, {ID: 2, Name: "etcd1", PeerURLs: []string{"https://10.0.0.2:2380"}}, {ID: 3, Learner: true}},
		Service:   Service{Release: "3.6.1-sa-pb-c", Settings: []string{"ETCD_NAME=etcd0", "ETCD_HEARTBEAT_INTERVAL=100", "CHARM_CONFIG=a"}},
	}
	next := Server{Name: "etcd0", Config: Config{HeartbeatMillis: 200}}
	for name, tc := range map[string]struct {
		step Step
		want string
	}{
		"a release":         {Install{"3.7.3-sb-pb-d"}, "release 3.6.1-sa-pb-c → 3.7.3-sb-pb-d"},
		"a learner comes":   {AddLearner{"https://10.0.0.3:2380"}, "members 3 → 4"},
		"it gets a vote":    {Promote{3}, "voters 2 → 3"},
		"a voter goes":      {RemoveMember{ID: 2}, "voters 2 → 1"},
		"a learner goes":    {RemoveMember{ID: 3}, "members 3 → 2"},
		"another address":   {UpdateMember{2, "https://10.0.0.9:2380"}, "peer URL https://10.0.0.2:2380 → https://10.0.0.9:2380"},
		"the same address":  {UpdateMember{2, "https://10.0.0.2:2380"}, ""},
		"a restart":         {Restart{}, ""},
		"what says it all":  {TakeTurn{}, ""},
		"settings, a value": {WriteMember{next}, "heartbeat_interval 100 → 200"},
	} {
		got := change(tc.step, w)
		if _, settings := tc.step.(WriteMember); settings {
			assert.Contains(t, got, tc.want, name)
			assert.NotContains(t, got, "name etcd0", "the same")
			assert.NotContains(t, strings.ToUpper(got), ConfigVar)
			continue
		}
		assert.Equal(t, tc.want, got, name)
	}
	assert.Empty(t, change(WriteMember{next}, World{}), "of a first start nothing is known before")
	w.WrittenRelease = "3.7.3-sb-pb-d"
	assert.Equal(t, "release 3.6.1-sa-pb-c → 3.7.3-sb-pb-d", change(Restart{}, w))
	assert.Empty(t, change(Install{"x"}, World{}), "the first one")
	assert.Equal(t, []any{"do", "take the turn"}, StepLog(TakeTurn{}, w), "no empty change")
	assert.Equal(t, []any{"do", "promote learner 3", "change", "voters 2 → 3"}, StepLog(Promote{3}, w))
	long := settingsChange([]string{"ETCD_NAME=" + strings.Repeat("x", 500)}, []string{"ETCD_NAME=y"})
	assert.Less(t, len(long), 100)
}

func TestHookLog(t *testing.T) {
	t.Parallel()
	e := Event{Kind: hooks.RelationChanged, Endpoint: "cluster", RemoteUnit: "etcd/1", RemoteApp: "etcd"}
	well := Plan{Status: Status{Active, "3/3 voters"}}
	busy := World{progress: progress{Done: []Step{Start{}, Promote{1}}, Tried: []Attempt{{TakeTurn{}, errors.New("no")}}}}
	assert.False(t, Noteworthy(well, World{}), "a quiet hook")
	assert.True(t, Noteworthy(well, busy))
	assert.True(t, Noteworthy(Plan{Reasons: []Reason{because(stepFailed, "start service", "no")}}, World{}), "not as it should be")
	well.Bags = []BagWrite{{Relation: "proxy:2"}, {Relation: "cluster:0"}, {Relation: "cluster:0", App: true}}
	assert.True(t, Noteworthy(well, World{}))
	assert.Equal(t, []any{
		"hook", "cluster-relation-changed", "of", "etcd/1", "steps", 2, "failed", 1, "tells", "proxy:2,cluster:0",
		"status", "active: 3/3 voters",
	}, HookLog(e, well, busy))
	assert.Equal(t, []any{"hook", "update-status"}, HookLog(Event{Kind: hooks.UpdateStatus}, Plan{}, World{}))
	for range 10 {
		well.Bags = append(well.Bags, BagWrite{Relation: strings.Repeat("x", len(well.Bags))})
	}
	assert.Contains(t, HookLog(e, well, World{}), "proxy:2,cluster:0,xxx,xxxx,xxxxx and 7 more")
}
