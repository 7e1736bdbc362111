package operator

import (
	"slices"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// operating is a model of three units with a rolling restart of all on record in that phase.
func operating(phase string, change ...func(*Operation)) Model {
	m := model(3)
	o := Operation{ID: "restart-1a", Kind: rollingRestart, Phase: phase, Units: []string{"etcd/0", "etcd/1", "etcd/2"}, Began: 5, Moved: 5}
	for _, c := range change {
		c(&o)
	}
	cluster := m.Cluster.Value
	cluster.AppBag.Operation = o
	m.Cluster = Know(cluster)
	return m
}

// shows makes a unit's bag show how far it is with the operation.
func shows(m Model, unit, state string) Model {
	cluster := m.Cluster.Value
	unitBag := cluster.UnitBags[unit]
	unitBag.Part = etcdcluster.Part{ID: cluster.AppBag.Operation.ID, State: state}
	cluster.UnitBags[unit] = unitBag
	return m
}

// TestOperationAdvances is the leader's part: it moves the phase once all participants have come
// that far.
func TestOperationAdvances(t *testing.T) {
	t.Parallel()
	restarted := func(w *World) { w.Service.Restart, w.WrittenRestart = "restart-1a", "restart-1a" }
	for name, tc := range map[string]struct {
		phase   string
		change  func(*Operation)
		model   func(*Model)
		world   func(*World)
		others  string // what etcd/1 and etcd/2 show
		second  string // what etcd/2 shows instead
		want    string
		outcome string
	}{
		"nobody has answered":          {phase: toAnswer, want: toAnswer},
		"one has not":                  {phase: toAnswer, others: answered, second: "-", want: toAnswer},
		"all have":                     {phase: toAnswer, others: answered, want: toRestart},
		"one that is left out has not": {phase: toAnswer, others: answered, second: "-", change: func(o *Operation) { o.Without = []string{"etcd/2"} }, want: toRestart},
		"one that is gone has not": {
			phase: toAnswer, others: answered, second: "-", model: func(m *Model) { delete(m.Units.Value, "etcd/2") }, want: toRestart,
		},
		"one that leaves has not": {
			phase: toAnswer, others: answered, second: "-", model: func(m *Model) { m.Units.Value["etcd/2"] = Dying }, want: toRestart,
		},
		"goal-state is not believed": {
			phase: toAnswer, others: answered, model: func(m *Model) { m.Units = Unknown[map[string]Life]("failed") }, want: toAnswer,
		},
		"one's charm was rolled back, and its bag says what it said": {
			phase: toAnswer, others: answered, want: toAnswer, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/1"]
				unitBag.Can = []string{"db", "proxy"}
				m.Cluster.Value.UnitBags["etcd/1"] = unitBag
			},
		},
		"one shows its part in another operation": {
			phase: toAnswer, others: answered, want: toAnswer, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/1"]
				unitBag.Part.ID = "restart-0f"
				m.Cluster.Value.UnitBags["etcd/1"] = unitBag
			},
		},
		"all have restarted but us": {phase: toRestart, others: finished, want: toRestart},
		"all have restarted":        {phase: toRestart, others: finished, world: restarted, want: toRestart, outcome: outcomeDone},
		"we have and are not ready": {
			phase: toRestart, others: finished, want: toRestart,
			world: func(w *World) { restarted(w); w.Local.Ready = false },
		},
		"one has only answered": {phase: toRestart, others: finished, second: answered, world: restarted, want: toRestart},
		"nobody is left": {
			phase: toRestart, change: func(o *Operation) { o.Units = []string{"etcd/7"} }, want: toRestart, outcome: outcomeDeserted,
		},
		"it is over":                  {phase: toRestart, others: finished, world: restarted, change: func(o *Operation) { o.Outcome = outcomeCancelled }, want: toRestart, outcome: outcomeCancelled},
		"its kind is a later charm's": {phase: toAnswer, others: answered, change: func(o *Operation) { o.Kind = "adopt" }, want: toAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := operating(tc.phase, func(o *Operation) {
				if tc.change != nil {
					tc.change(o)
				}
			})
			if tc.others != "" {
				m = shows(shows(m, "etcd/1", tc.others), "etcd/2", tc.others)
			}
			if tc.second == "-" {
				m = shows(m, "etcd/2", "")
				m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{Schema: 2, Can: can(), ClusterID: clusterID, MemberID: 3}
			} else if tc.second != "" {
				m = shows(m, "etcd/2", tc.second)
			}
			if tc.model != nil {
				tc.model(&m)
			}
			w := world(m)
			if tc.world != nil {
				tc.world(&w)
			}
			w.Now = 9
			v := newView(lookAgain, m, w)
			was, is := m.Cluster.Value.AppBag.Operation, v.advanced()
			assert.Equal(t, tc.want, is.Phase)
			assert.Equal(t, tc.outcome, is.Outcome)
			if is.Phase != was.Phase || is.Outcome != was.Outcome {
				assert.Equal(t, int64(9), is.Moved)
			} else {
				assert.Equal(t, was, is)
			}
		})
	}
}

// TestNothingStopsBeforeAllHaveAnswered: an operation that is on record but not answered by all
// changes nothing.
func TestNothingStopsBeforeAllHaveAnswered(t *testing.T) {
	t.Parallel()
	m := operating(toAnswer)
	w := world(m)
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	require.NotNil(t, wordOf(p))
	assert.Equal(t, etcdcluster.Part{ID: "restart-1a", State: answered}, wordOf(p).Part)
	assert.Contains(t, p.Status.Message, "restart-1a: no answer from 2 units yet; if dead: operation without=etcd/1,etcd/2")
}

// TestOperationRestartsOnce goes through one unit's part.
func TestOperationRestartsOnce(t *testing.T) {
	t.Parallel()
	m := shows(shows(operating(toRestart), "etcd/1", answered), "etcd/2", answered)
	before := model(3)
	w := world(before)
	p := Decide(lookAgain, m, w)
	require.Equal(t, TakeTurn{}, p.Step)
	w.Turn.Holder, w.Done = "etcd/0", []Step{TakeTurn{}}
	p = Decide(lookAgain, m, w)
	require.IsType(t, WriteMember{}, p.Step)
	server := p.Step.(WriteMember).Server
	assert.Equal(t, "restart-1a", server.Restart)
	w.WrittenConfig, w.WrittenRestart = server.Digest(), "restart-1a"
	require.Equal(t, Restart{}, Decide(lookAgain, m, w).Step)
	w.Service.Config, w.Service.Restart = w.WrittenConfig, w.WrittenRestart
	require.Equal(t, ReleaseTurn{}, Decide(lookAgain, m, w).Step)
	w.Turn.Holder = ""
	p = Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, etcdcluster.Part{ID: "restart-1a", State: finished}, wordOf(p).Part)

	// No member restarts again when it is over, when another unit leads, or when the record is
	// unknown.
	for name, change := range map[string]func(*Model){
		"done":      func(m *Model) { m.Cluster.Value.AppBag.Operation.Outcome = outcomeDone },
		"cancelled": func(m *Model) { m.Cluster.Value.AppBag.Operation.Outcome = outcomeCancelled },
		"forgotten": func(m *Model) { m.Cluster.Value.AppBag.Operation = Operation{} },
		"unknown":   func(m *Model) { m.Cluster = Unknown[Cluster]("failed") },
		"left out":  func(m *Model) { m.Cluster.Value.AppBag.Operation.Without = []string{"etcd/0"} },
	} {
		m := shows(shows(operating(toRestart), "etcd/1", answered), "etcd/2", answered)
		change(&m)
		assert.Nil(t, Decide(lookAgain, m, w).Step, name)
	}
}

// TestRaftLeaderRestartsLastInAnOperation: the others restart with the same settings, so the
// settings alone would not hold the leader back.
func TestRaftLeaderRestartsLastInAnOperation(t *testing.T) {
	t.Parallel()
	m := shows(shows(operating(toRestart), "etcd/1", finished), "etcd/2", answered)
	w := world(model(3))
	for i := range w.Members {
		w.Members[i].Leader = 1
	}
	for unit, unitBag := range m.Cluster.Value.UnitBags {
		unitBag.Running = newView(lookAgain, m, w).desired.Generation()
		m.Cluster.Value.UnitBags[unit] = unitBag
	}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "as raft leader this member goes last, after etcd/2")
	assert.Equal(t, TakeTurn{}, Decide(lookAgain, shows(m, "etcd/2", finished), w).Step)
}

// TestCancelledWithTheTurn: settings that were written for an operation that is then cancelled are
// reverted.
func TestCancelledWithTheTurn(t *testing.T) {
	t.Parallel()
	m := operating(toRestart, func(o *Operation) { o.Outcome = outcomeCancelled })
	w := world(model(3))
	w.Turn.Holder, w.Done = "etcd/0", []Step{TakeTurn{}}
	w.WrittenConfig, w.WrittenRestart = "another", "restart-1a"
	assert.Equal(t, RevertMember{}, Decide(lookAgain, m, w).Step)
}

func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		params map[string]any
		model  func(*Model)
		world  func(*World)
		units  []string
		failed string
	}{
		"all":        {units: []string{"etcd/0", "etcd/1", "etcd/2"}},
		"from":       {params: map[string]any{"from": "etcd/1"}, units: []string{"etcd/1", "etcd/2"}},
		"without":    {params: map[string]any{"without": "etcd/1"}, units: []string{"etcd/0", "etcd/1", "etcd/2"}},
		"of no unit": {params: map[string]any{"from": "etcd/7"}, failed: "nothing restarts: etcd/7 is not a unit of etcd, which has etcd/0, etcd/1, etcd/2"},
		"without all": {
			params: map[string]any{"without": "etcd/0,etcd/1,etcd/2"}, failed: "nothing restarts: no unit would take part",
		},
		"not on the leader": {
			model:  func(m *Model) { m.Leader = Know(false) },
			failed: "nothing restarts: only the leader manages operations, and this unit is not known to be the leader; juju run etcd/leader …",
		},
		"a unit of an older charm": {
			model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/1"]
				unitBag.Can = []string{"db"}
				m.Cluster.Value.UnitBags["etcd/1"] = unitBag
			},
			failed: "nothing restarts: the charm of etcd/1 does not know rolling-restart; refresh it, or leave it out: without=etcd/1",
		},
		"a unit that never announced itself": {
			model: func(m *Model) { m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{} },
			units: []string{"etcd/0", "etcd/1"},
		},
		"another goes on": {
			model:  func(m *Model) { *m = operating(toAnswer) },
			failed: "nothing restarts: operation restart-1a is in progress; operation cancel=restart-1a cancels it",
		},
		"another is over": {
			model: func(m *Model) { *m = operating(toAnswer, func(o *Operation) { o.Outcome = outcomeDone }) },
			units: []string{"etcd/0", "etcd/1", "etcd/2"},
		},
		"a member is down": {
			world:  func(w *World) { w.Members[2].Answers, w.Members[2].Ready = false, false },
			failed: "nothing restarts: etcd/2 is not ready",
		},
		"no quorum": {
			world:  func(w *World) { *w = noQuorumWorld(*w) },
			failed: "nothing restarts: no quorum",
		},
		"an alarm": {
			world:  func(w *World) { w.Alarms = []Alarm{{2, noSpace}} },
			failed: "nothing restarts: while alarm NOSPACE is raised nothing is changed",
		},
		"a unit of an older charm that is not meant": {
			params: map[string]any{"from": "etcd/2"}, units: []string{"etcd/2"},
			model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/1"]
				unitBag.Can = []string{"db"}
				m.Cluster.Value.UnitBags["etcd/1"] = unitBag
			},
		},
		"one that a later charm keeps": {
			model:  func(m *Model) { *m = operating(toAnswer, later) },
			failed: "nothing restarts: restore-1a needs a newer charm: restore; juju refresh etcd",
		},
		"goal-state is not believed": {
			model:  func(m *Model) { m.Units = Unknown[map[string]Life]("goal-state failed") },
			failed: "units unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			if tc.model != nil {
				tc.model(&m)
			}
			w := world(m)
			if tc.world != nil {
				tc.world(&w)
			}
			w.Now = 1796774400
			steps, result, err := RollingRestart(tc.params, m, w)
			require.NoError(t, err)
			assert.Empty(t, steps)
			if tc.failed != "" {
				assert.Contains(t, result.Failed, tc.failed)
				assert.Empty(t, result.Bags)
				return
			}
			require.Empty(t, result.Failed)
			require.Len(t, result.Bags, 1)
			record, err := etcdcluster.DecodeApp("cluster:0", "etcd", result.Bags[0].Bag)
			require.NoError(t, err)
			assert.Equal(t, tc.units, record.Operation.Units)
			assert.Equal(t, toAnswer, record.Operation.Phase)
			assert.Contains(t, result.Text, record.Operation.ID)
			assert.False(t, slices.Contains(record.Operation.Without, "etcd/0"))
		})
	}
}

// later makes the operation one of a kind that this charm does not know.
func later(o *Operation) { o.ID, o.Kind, o.Phase = "restore-1a", "restore", "copying" }

// TestOperationOfALaterCharm: after a rollback, or on a unit that was left out, no unit ends or
// changes what only a later charm can carry out, because it may be past its point of no return.
func TestOperationOfALaterCharm(t *testing.T) {
	t.Parallel()
	newPhase := func(o *Operation) { o.Phase = "pausing" }
	for name, change := range map[string]func(*Operation){"another kind": later, "another phase": newPhase} {
		m := operating(toAnswer, change)
		id, w := m.Cluster.Value.AppBag.Operation.ID, world(m)
		for _, params := range []map[string]any{{"cancel": id}, {"without": "etcd/2"}} {
			_, result, err := ShowOperation(params, m, w)
			require.NoError(t, err)
			assert.Contains(t, result.Failed, "nothing is changed: "+id+" needs a newer charm: ", name)
			assert.Empty(t, result.Bags, name)
		}
		_, result, err := ShowOperation(nil, m, w)
		require.NoError(t, err)
		assert.Contains(t, result.Text, id)
		p := Decide(lookAgain, m, w)
		assert.Nil(t, p.Step, name)
		assert.Contains(t, p.Status.Message, id+" needs a newer charm: ", name)
		assert.NotContains(t, p.Status.Message, "etcd/1", name)
		assert.LessOrEqual(t, len(p.Status.Message), 80, name)
		for _, bag := range p.Bags {
			assert.False(t, bag.App, "%s: the record stays", name)
		}
	}
}

// TestOperationIDs: an operation that begins in the same second in which another was cancelled has
// another ID.
func TestOperationIDs(t *testing.T) {
	t.Parallel()
	begin := func(m Model) string {
		_, result, err := RollingRestart(nil, m, world(m))
		require.NoError(t, err)
		require.Empty(t, result.Failed)
		return result.Values["operation"].(string)
	}
	first := begin(model(3))
	m := operating(toAnswer, func(o *Operation) { o.ID, o.Outcome = first, outcomeCancelled })
	assert.NotEqual(t, first, begin(m))
	assert.Equal(t, first, begin(model(3)))
}

// noQuorumWorld is w in which only our own server answers.
func noQuorumWorld(w World) World {
	w.Reach = NoQuorum
	for i := range w.Members {
		w.Members[i].Ready = false
		w.Members[i].Answers = i == 0
	}
	w.Local.Ready = false
	return w
}

func TestShowOperation(t *testing.T) {
	t.Parallel()
	m := shows(operating(toAnswer), "etcd/1", answered)
	w := world(m)
	w.Now = 65
	_, result, err := ShowOperation(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, `rolling-restart restart-1a: gathering since 1970-01-01T00:00:05Z

UNIT    PART
etcd/0  ready
etcd/1  ready
etcd/2  -
`, result.Text)
	assert.Equal(t, "etcd/2", result.Values["waits-for"])

	_, result, err = ShowOperation(map[string]any{"without": "etcd/2"}, m, w)
	require.NoError(t, err)
	require.Empty(t, result.Failed)
	require.Len(t, result.Bags, 1)
	assert.Contains(t, result.Text, "etcd/2  left out")

	_, result, err = ShowOperation(map[string]any{"cancel": "restart-1a"}, m, w)
	require.NoError(t, err)
	require.Len(t, result.Bags, 1)
	record, err := etcdcluster.DecodeApp("cluster:0", "etcd", result.Bags[0].Bag)
	require.NoError(t, err)
	assert.Equal(t, outcomeCancelled, record.Operation.Outcome)
	assert.Equal(t, "rolling-restart restart-1a: cancelled at 1970-01-01T00:01:05Z\n", result.Text)
	assert.Empty(t, m.Cluster.Value.AppBag.Operation.Outcome, "the model is not changed")

	for name, tc := range map[string]struct {
		params map[string]any
		model  Model
		failed string
	}{
		"cancel of another":   {map[string]any{"cancel": "restart-2b"}, m, "nothing is changed: the operation in progress is restart-1a"},
		"cancel of none":      {map[string]any{"cancel": "restart-2b"}, model(3), "nothing is changed: no operation is in progress"},
		"without no unit":     {map[string]any{"without": "etcd/9"}, m, "nothing is changed: etcd/9 is not a unit of restart-1a"},
		"not on the leader":   {map[string]any{"cancel": "restart-1a"}, func() Model { m := operating(toAnswer); m.Leader = Know(false); return m }(), "only the leader manages operations"},
		"the peers not known": {nil, func() Model { m := model(3); m.Cluster = Unknown[Cluster]("failed"); return m }(), "peers unknown: failed"},
	} {
		_, result, err := ShowOperation(tc.params, tc.model, world(model(3)))
		require.NoError(t, err, name)
		assert.Contains(t, result.Failed, tc.failed, name)
		assert.Empty(t, result.Bags, name)
	}
	_, result, err = ShowOperation(nil, model(3), world(model(3)))
	require.NoError(t, err)
	assert.Equal(t, "there has been no operation\n", result.Text)
}

// TestLeaverTakesNoPart: a unit leaves as usual while the cluster goes on serving.
func TestLeaverTakesNoPart(t *testing.T) {
	t.Parallel()
	m := shows(shows(operating(toRestart), "etcd/1", answered), "etcd/2", answered)
	w := world(model(3))
	e := Event{Kind: hooks.RelationDeparted, Departing: "etcd/0"}
	p := Decide(e, m, w)
	require.Equal(t, TakeTurn{}, p.Step)
	v := newView(e, m, w)
	assert.Zero(t, v.part())
	assert.Empty(t, v.restartMark(), "it does not restart for it")
}
