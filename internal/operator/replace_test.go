package operator

import (
	"errors"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// newID is the ID of the cluster that replaces clusterID in the tests.
const newID = 0xd2

const restoreID = "restore-1a"

// restoreOf is a restore in that phase, from the disk of etcd/1.
func restoreOf(phase string) Operation {
	o := Operation{
		ID: restoreID, Kind: restoring, Phase: phase, Units: []string{"etcd/0", "etcd/1", "etcd/2"}, Source: "etcd/1", Snapshot: "latest",
		Token: "0f1e", Seen: 90, Began: 5, Moved: 5,
	}
	if phase == toStop || phase == toServe {
		o.Target = "d2"
	}
	return o
}

// recoverOf is a recovery in that phase, with etcd/1 as the best.
func recoverOf(phase string) Operation {
	o := restoreOf(phase)
	o.ID, o.Kind, o.Snapshot, o.Order, o.Target = "recover-1a", recovering, "", []string{"etcd/1", "etcd/0", "etcd/2"}, ""
	if phase == toServe {
		o.Target = "d2"
	}
	return o
}

// leftOut is the operation with a unit that is left out of it.
func leftOut(o Operation, unit string) Operation {
	o.Without = []string{unit}
	return o
}

// during is unit etcd/n of three with the operation on record, and its machine, on which nothing is
// left to do. Past the point of no return the record has the new cluster.
func during(o Operation, n int) (Model, World) {
	m := model(3)
	w := world(m)
	if n > 0 {
		own := m.Cluster.Value.UnitBags[unitName(n)]
		delete(m.Cluster.Value.UnitBags, unitName(n))
		own.ClusterID, own.MemberID, own.PeerURL, own.ClientURL = clusterID, 1, "https://"+address(0)+":2380", "https://"+address(0)+":2379"
		m.Cluster.Value.UnitBags["etcd/0"] = own
		m.Unit, m.Leader = unitName(n), Know(false)
		m.PeerAddress = Know(Address{Ingress: address(n), All: []string{address(n)}})
		m.ClientAddress = m.PeerAddress
		w = world(m)
		w.Data.MemberID, w.Local.MemberID = uint64(n+1), uint64(n+1)
		w.Service.PeerURL, w.Service.ClientURL = "https://"+address(n)+":2380", "https://"+address(n)+":2379"
		w.TLS = certified(m)
		w.Service.Config = newView(Event{}, m, w).desiredDigest
		w.WrittenConfig = w.Service.Config
	}
	record := m.Cluster.Value.AppBag
	record.Operation = o
	if passed(o) {
		record.ClusterID, record.Replaced = newID, []uint64{clusterID}
	}
	cluster := m.Cluster.Value
	cluster.AppBag = record
	m.Cluster = Know(cluster)
	w.Now = 9
	return m, w
}

// silent is the world of a unit whose cluster is down, and its own server too.
func silent(w World) World {
	w.Service.Running, w.Service.Enabled, w.Service.Config, w.Service.Release = false, false, "", ""
	w.Reach, w.ClusterID, w.Members, w.Local, w.Turn = Unreachable, 0, nil, Local{}, Turn{}
	w.Log = LogState{Term: 2, Index: 100, Revision: 90}
	return w
}

// saying makes the other units show that state as their part.
func saying(m Model, state, said string) Model {
	cluster := m.Cluster.Value
	for unit, unitBag := range cluster.UnitBags {
		unitBag.Part = etcdcluster.Part{ID: cluster.AppBag.Operation.ID, State: state}
		if unit == cluster.AppBag.Operation.Source {
			unitBag.Part.Said = said
		}
		unitBag.Log = LogState{Term: 2, Index: 100, Revision: 90}
		cluster.UnitBags[unit] = unitBag
	}
	return m
}

// settledPart decides, checks that no step is wanted, and returns the part that our unit then
// shows.
func settledPart(t *testing.T, m Model, w World) etcdcluster.Part {
	t.Helper()
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	word := wordOf(p)
	require.NotNil(t, word)
	return word.Part
}

// TestReplacingStepByStep is one unit's part in each phase of both kinds: what it does, and what it
// shows.
func TestReplacingStepByStep(t *testing.T) {
	t.Parallel()
	made := func(w *World) {
		w.Prepared = []Prepared{{ID: restoreID, ClusterID: newID, MemberID: 7, Revision: 1000}}
	}
	madeOfRecovery := func(w *World) { w.Prepared = []Prepared{{ID: "recover-1a", ClusterID: newID, MemberID: 7}} }
	kept := func(w *World) {
		w.Kept = Kept{Space: 1 << 40, Free: 1 << 40, Snapshots: []Snapshot{{Name: "a", Taken: 4}, {Name: "b", Taken: 7, Why: beforeRestore}}}
	}
	work := func(id string, kind WorkKind, state WorkState) func(*World) {
		return func(w *World) {
			w.Work = append(w.Work, Work{WorkRequest: WorkRequest{ID: id, Kind: kind}, State: state, Error: "the disk is full"})
		}
	}
	before := work(restoreID+"-before", TakeSnapshot, WorkDone)
	all := func(fs ...func(*World)) func(*World) {
		return func(w *World) {
			for _, f := range fs {
				f(w)
			}
		}
	}
	quiet := func(w *World) { *w = silent(*w) }
	ofNew := func(w *World) { w.Data.ClusterID, w.Data.MemberID, w.Data.Owner = newID, 7, Owner{} }
	for name, tc := range map[string]struct {
		o     Operation
		unit  int
		world func(*World)
		model func(*Model)
		step  Step // nil: no step is wanted
		part  string
		said  string
	}{
		"restore, gathering":                 {o: restoreOf(toAnswer), part: answered},
		"restore, preparing, no source":      {o: restoreOf(toPrepare), part: answered},
		"restore, preparing, a first copy":   {o: restoreOf(toPrepare), unit: 1, world: kept, step: StartWork{WorkRequest{ID: restoreID + "-before", Kind: TakeSnapshot, Why: beforeRestore, Snapshot: "a"}}},
		"restore, preparing, the copy runs":  {o: restoreOf(toPrepare), unit: 1, world: all(kept, work(restoreID+"-before", TakeSnapshot, WorkRuns)), part: answered},
		"restore, preparing, the copy is in": {o: restoreOf(toPrepare), unit: 1, world: all(kept, before), step: StartWork{WorkRequest{ID: restoreID, Kind: PrepareRestore, Snapshot: "a", Name: "etcd1", PeerURL: "https://" + address(1) + ":2380", Token: "0f1e", Seen: 90}}},
		"restore, preparing, no room": {
			o: restoreOf(toPrepare), unit: 1, world: all(kept, func(w *World) { w.Kept.Space = 1 }),
			step: StartWork{WorkRequest{ID: restoreID, Kind: PrepareRestore, Snapshot: "a", Name: "etcd1", PeerURL: "https://" + address(1) + ":2380", Token: "0f1e", Seen: 90}},
		},
		"restore, preparing, no quorum, nothing to copy": {
			o: restoreOf(toPrepare), unit: 1, world: all(kept, func(w *World) { *w = noQuorumWorld(*w) }),
			step: StartWork{WorkRequest{ID: restoreID, Kind: PrepareRestore, Snapshot: "a", Name: "etcd1", PeerURL: "https://" + address(1) + ":2380", Token: "0f1e", Seen: 90}},
		},
		"restore, preparing, no snapshot":  {o: restoreOf(toPrepare), unit: 1, part: unable, said: "there is no such snapshot here"},
		"restore, preparing, it runs":      {o: restoreOf(toPrepare), unit: 1, world: all(kept, before, work(restoreID, PrepareRestore, WorkRuns)), part: answered},
		"restore, preparing, it failed":    {o: restoreOf(toPrepare), unit: 1, world: all(kept, before, work(restoreID, PrepareRestore, WorkFailed)), part: unable, said: "the disk is full"},
		"restore, preparing, it is made":   {o: restoreOf(toPrepare), unit: 1, world: all(kept, before, work(restoreID, PrepareRestore, WorkDone), made), part: prepared, said: "d2"},
		"restore, preparing, without copy": {o: restoreOf(toPrepare), unit: 1, world: all(kept, work(restoreID, PrepareRestore, WorkDone), made), part: prepared, said: "d2 (no snapshot was taken of the replaced data)"},
		"restore, preparing, its copy's work is forgotten": {
			o: restoreOf(toPrepare), unit: 1, part: prepared, said: "d2", world: all(kept, made, func(w *World) {
				w.Kept.Snapshots = append(w.Kept.Snapshots, Snapshot{Name: "c", Taken: 8, Why: beforeRestore, Work: restoreID + "-before"})
			}),
		},
		"restore, preparing, it is gone": {o: restoreOf(toPrepare), unit: 1, world: all(kept, before, work(restoreID, PrepareRestore, WorkDone)), part: unable, said: "the prepared data is gone"},
		"restore, stopping":              {o: restoreOf(toStop), step: Stop{operationStopsUs}},
		"restore, stopping, enabled yet": {o: restoreOf(toStop), world: all(quiet, func(w *World) { w.Service.Enabled = true }), step: Stop{operationStopsUs}},
		"restore, stopped":               {o: restoreOf(toStop), world: quiet, part: stopped},
		"restore, stopped, the source":   {o: restoreOf(toStop), unit: 1, world: all(quiet, before, made), part: stopped, said: "d2"},
		"restore, stopped, it is gone":   {o: restoreOf(toStop), unit: 1, world: quiet, part: unable, said: "the prepared data is gone"},
		"restore, stopped, no data":      {o: restoreOf(toStop), world: all(quiet, func(w *World) { w.Data = Data{} }), part: stopped},
		"restore, stopped, left out": {
			o: func() Operation { o := restoreOf(toStop); o.Without = []string{"etcd/0"}; return o }(), step: Stop{operationStopsUs},
		},
		"restore, serving, the source":        {o: restoreOf(toServe), unit: 1, world: all(quiet, made), step: ServePrepared{restoreID}},
		"restore, serving, it runs yet":       {o: restoreOf(toServe), unit: 1, world: made, step: Stop{operationStopsUs}},
		"restore, serving, it is in place":    {o: restoreOf(toServe), unit: 1, world: all(quiet, ofNew), step: Start{}},
		"restore, serving, another":           {o: restoreOf(toServe), world: quiet, part: answered},
		"restore, serving, another that runs": {o: restoreOf(toServe), step: Stop{dataWasReplaced}},
		"restore, serving, another may go on": {o: restoreOf(toServe), world: all(quiet, func(w *World) { w.Reach, w.ClusterID, w.Members = Healthy, newID, members(1) }), step: MoveAside{dataWasReplaced}},
		"restore, serving, others have it": {o: restoreOf(toServe), unit: 1, world: all(quiet, made), model: func(m *Model) {
			unitBag := m.Cluster.Value.UnitBags["etcd/2"]
			unitBag.ClusterID = newID
			m.Cluster.Value.UnitBags["etcd/2"] = unitBag
		}, part: answered},
		"restore, serving, it was served once": {o: restoreOf(toServe), unit: 1, world: all(quiet, made), model: func(m *Model) { m.Memory.Value.Seen = Seen{ClusterID: newID, MemberID: 7} }, part: answered},
		"restore, cancelled": {
			o: func() Operation { o := restoreOf(toStop); o.Outcome = outcomeCancelled; return o }(), world: quiet, step: Start{},
		},
		"restore, cancelled, work runs": {
			o: func() Operation { o := restoreOf(toPrepare); o.Outcome = outcomeCancelled; return o }(), unit: 1,
			world: work(restoreID, PrepareRestore, WorkRuns), step: EndWork{restoreID, operationOver},
		},
		"restore, cancelled, it is made": {
			o: func() Operation { o := restoreOf(toStop); o.Outcome = outcomeCancelled; return o }(), unit: 1, world: made, step: DropPrepared{restoreID},
		},
		"recover, gathering":                   {o: recoverOf(toAnswer), part: answered},
		"recover, stopping":                    {o: recoverOf(toStop), world: func(w *World) { *w = noQuorumWorld(*w) }, step: Stop{operationStopsUs}},
		"recover, stopped":                     {o: recoverOf(toStop), world: quiet, part: stopped},
		"recover, stopped, its log not read":   {o: recoverOf(toStop), world: all(quiet, func(w *World) { w.Log = LogState{} }), part: answered},
		"recover, preparing, no source":        {o: recoverOf(toPrepare), world: quiet, part: stopped},
		"recover, preparing, started by hand":  {o: recoverOf(toPrepare), step: Stop{operationStopsUs}},
		"recover, preparing, the source":       {o: recoverOf(toPrepare), unit: 1, world: quiet, step: StartWork{WorkRequest{ID: "recover-1a", Kind: PrepareRecover, Name: "etcd1", PeerURL: "https://" + address(1) + ":2380", Token: "0f1e", Seen: 90}}},
		"recover, preparing, it is made":       {o: recoverOf(toPrepare), unit: 1, world: all(quiet, madeOfRecovery), part: prepared, said: "d2"},
		"recover, serving, the source":         {o: recoverOf(toServe), unit: 1, world: all(quiet, madeOfRecovery), step: ServePrepared{"recover-1a"}},
		"recover, preparing, a spoilt attempt": {o: recoverOf(toPrepare), unit: 1, world: all(quiet, work("recover-1a", PrepareRecover, WorkFailed)), part: unable, said: "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := during(tc.o, tc.unit)
			if tc.world != nil {
				tc.world(&w)
			}
			if tc.model != nil {
				tc.model(&m)
			}
			w = fenced(m, w)
			w.Schedule = newView(lookAgain, m, w).schedule() // a snapshot is kept for it since it is on record
			if tc.step != nil {
				assert.Equal(t, tc.step, Decide(lookAgain, m, w).Step)
				return
			}
			assert.Equal(t, etcdcluster.Part{ID: tc.o.ID, State: tc.part, Said: tc.said}, settledPart(t, m, w))
		})
	}
}

// TestReplacingAdvances is the leader's part in each phase.
func TestReplacingAdvances(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o       Operation
		others  string
		said    string
		model   func(*Model)
		world   func(*World)
		phase   string
		outcome string
	}{
		"restore, one has not answered": {o: restoreOf(toAnswer), others: "", phase: toAnswer},
		"restore, all have answered":    {o: restoreOf(toAnswer), others: answered, phase: toPrepare},
		"restore, it is being prepared": {o: restoreOf(toPrepare), others: answered, phase: toPrepare},
		"restore, it is prepared":       {o: restoreOf(toPrepare), others: prepared, said: "d2 (none)", phase: toStop},
		"restore, it is prepared, and one that joined since has not answered": {
			o: restoreOf(toPrepare), others: prepared, said: "d2", phase: toPrepare, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/2"]
				unitBag.Part = etcdcluster.Part{}
				m.Cluster.Value.UnitBags["etcd/2"] = unitBag
			},
		},
		"restore, it cannot be prepared": {o: restoreOf(toPrepare), others: unable, said: "too short", phase: toPrepare, outcome: "nothing is changed: too short"},
		"restore, prepared of nothing":   {o: restoreOf(toPrepare), others: prepared, said: "x", phase: toPrepare, outcome: "nothing is changed: the prepared data is not of a new cluster"},
		"restore, prepared of the same":  {o: restoreOf(toPrepare), others: prepared, said: "c1", phase: toPrepare, outcome: "nothing is changed: the prepared data is not of a new cluster"},
		"restore, we have not stopped":   {o: restoreOf(toStop), others: stopped, phase: toStop},
		"restore, another has not stopped": {
			o: restoreOf(toStop), others: answered, world: func(w *World) { *w = silent(*w) }, phase: toStop,
		},
		"restore, all have stopped": {o: restoreOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w) }, phase: toServe},
		"restore, the prepared data is gone when all have stopped": {
			o: restoreOf(toStop), others: unable, said: "gone", world: func(w *World) { *w = silent(*w) }, phase: toStop, outcome: "nothing is changed: gone",
		},
		"restore, its source has gone": {
			o: restoreOf(toStop), others: stopped, model: func(m *Model) { delete(m.Units.Value, "etcd/1"); delete(m.Cluster.Value.UnitBags, "etcd/1") },
			phase: toStop, outcome: "its source, etcd/1, has gone",
		},
		"restore, its source leaves": {
			o: restoreOf(toPrepare), others: prepared, said: "d2", model: func(m *Model) { m.Units.Value["etcd/1"] = Dying }, phase: toPrepare, outcome: "its source, etcd/1, has gone",
		},
		"restore, one leaves and runs yet": {
			o: restoreOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w) }, phase: toStop, model: func(m *Model) {
				m.Units.Value["etcd/2"] = Dying
				m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{Schema: 2, ClusterID: clusterID, Leaving: true}
			},
		},
		"restore, one leaves and has stopped": {
			o: restoreOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w) }, phase: toServe, model: func(m *Model) {
				m.Units.Value["etcd/2"] = Dying
				m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{Schema: 2, ClusterID: clusterID, Leaving: true, Stopped: true}
			},
		},
		"restore, goal-state is not believed": {
			o: restoreOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w) },
			model: func(m *Model) { m.Units = Unknown[map[string]Life]("failed") }, phase: toStop,
		},
		"restore, its source leaves, and serves on meanwhile": {
			o: restoreOf(toStop), others: stopped, said: "d2", model: func(m *Model) { m.Units.Value["etcd/1"] = Dying },
			world: func(w *World) { *w = silent(*w) },
			phase: toStop, outcome: "its source, etcd/1, has gone",
		},
		"restore, served before its source went": {
			o: restoreOf(toServe), others: finished, phase: toServe, outcome: "its source, etcd/1, has gone",
			model: func(m *Model) { delete(m.Units.Value, "etcd/1"); delete(m.Cluster.Value.UnitBags, "etcd/1") },
			world: func(w *World) { *w = silent(*w) },
		},
		"restore, others serve, we do not": {o: restoreOf(toServe), others: finished, world: func(w *World) { *w = silent(*w) }, phase: toServe},
		"restore, one left out": {
			o: func() Operation { o := restoreOf(toAnswer); o.Without = []string{"etcd/2"}; return o }(), others: answered,
			model: func(m *Model) { m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{} }, phase: toPrepare,
		},
		"restore, one joined the old cluster meanwhile": {
			o: func() Operation { o := restoreOf(toAnswer); o.Units = []string{"etcd/0", "etcd/1"}; return o }(), others: answered,
			model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/2"]
				unitBag.Part = etcdcluster.Part{}
				m.Cluster.Value.UnitBags["etcd/2"] = unitBag
			}, phase: toAnswer,
		},
		"restore, a charm that was rolled back": {
			o: restoreOf(toAnswer), others: answered, phase: toAnswer, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/2"]
				unitBag.Can = []string{"db", "rolling-restart"}
				m.Cluster.Value.UnitBags["etcd/2"] = unitBag
			},
		},
		"restore, of data that is there": {
			o: func() Operation {
				o := restoreOf(toAnswer)
				o.Snapshot, o.Target = dataDir, "d2"
				return o
			}(), others: answered, phase: toStop,
		},
		"restore, from nothing": {
			o: restoreOf(toAnswer), others: answered, model: func(m *Model) { m.Cluster.Value.AppBag.ClusterID = 0 }, phase: toPrepare,
		},
		"recover, all have answered": {o: recoverOf(toAnswer), others: answered, phase: toStop, world: func(w *World) { *w = noQuorumWorld(*w) }},
		"recover, all have answered, and a quorum answers again": {
			o: recoverOf(toAnswer), others: answered, phase: toAnswer, outcome: "nothing is changed: a quorum answers",
		},
		"recover, all have stopped": {o: recoverOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w) }, phase: toPrepare},
		"recover, another is ahead": {
			o: recoverOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w); w.Log.Index = 101 },
			phase: toStop, outcome: "nothing is changed: the order changed: etcd/0, etcd/1, etcd/2",
		},
		"recover, another is ahead of one that was left out": {
			o: leftOut(recoverOf(toStop), "etcd/2"), others: stopped, world: func(w *World) { *w = silent(*w); w.Log.Index = 101 },
			phase: toStop, outcome: "nothing is changed: the order changed: etcd/0, etcd/1",
		},
		"recover, one left out before it answered": {
			o: leftOut(recoverOf(toStop), "etcd/2"), others: stopped, world: func(w *World) { *w = silent(*w) }, phase: toPrepare,
			model: func(m *Model) { m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{} },
		},
		"recover, one left meanwhile": {
			o: recoverOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w) }, phase: toPrepare,
			model: func(m *Model) { delete(m.Units.Value, "etcd/2"); delete(m.Cluster.Value.UnitBags, "etcd/2") },
		},
		"recover, it is prepared": {o: recoverOf(toPrepare), others: stopped, said: "d2", world: func(w *World) { *w = silent(*w) }, phase: toServe, model: func(m *Model) {
			unitBag := m.Cluster.Value.UnitBags["etcd/1"]
			unitBag.Part.State = prepared
			m.Cluster.Value.UnitBags["etcd/1"] = unitBag
		}},
		"recover, all have stopped, and a quorum answers again": {
			o: recoverOf(toStop), others: stopped, world: func(w *World) { *w = silent(*w); w.Reach, w.ClusterID = Healthy, clusterID },
			phase: toStop, outcome: "nothing is changed: a quorum answers",
		},
		"recover, it is prepared, and a quorum answers again": {
			o: recoverOf(toPrepare), others: stopped, said: "d2", phase: toPrepare, outcome: "nothing is changed: a quorum answers",
			world: func(w *World) { *w = silent(*w); w.Reach, w.ClusterID = Healthy, clusterID }, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/1"]
				unitBag.Part.State = prepared
				m.Cluster.Value.UnitBags["etcd/1"] = unitBag
			},
		},
		"recover, all serve what was recovered, with a quorum": {
			o: recoverOf(toServe), others: finished, phase: toServe, outcome: outcomeDone,
			world: func(w *World) { w.ClusterID, w.Data.ClusterID = newID, newID },
			model: func(m *Model) { m.Cluster.Value.AppBag.ClusterID = newID },
		},
		"recover, it is prepared and one runs": {o: recoverOf(toPrepare), others: prepared, said: "d2", phase: toPrepare},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := during(tc.o, 0)
			if tc.others != "" {
				m = saying(m, tc.others, tc.said)
			}
			if tc.model != nil {
				tc.model(&m)
			}
			if tc.world != nil {
				tc.world(&w)
			}
			v := newView(lookAgain, m, w)
			is := v.advanced()
			assert.Equal(t, tc.phase, is.Phase)
			assert.Equal(t, tc.outcome, is.Outcome)
			if is.Phase == toServe && tc.o.Phase != toServe {
				assert.Equal(t, uint64(newID), is.NewCluster())
				record := recordOf(moved(t, m, w))
				require.NotNil(t, record)
				assert.Equal(t, toServe, record.Operation.Phase)
				assert.Equal(t, uint64(newID), record.ClusterID, "in one write")
				assert.Equal(t, []uint64{clusterID}, record.Replaced)
				assert.True(t, moved(t, m, w).Claims, "only while it is certain that this unit leads")
			}
		})
	}
}

// TestNothingMovesWhileTheClusterIsStopped: nothing restarts, joins or is removed, and no leave is
// held.
func TestNothingMovesWhileTheClusterIsStopped(t *testing.T) {
	t.Parallel()
	for _, o := range []Operation{restoreOf(toStop), recoverOf(toStop), recoverOf(toPrepare)} {
		m, w := during(o, 0)
		w = silent(w)
		assert.Nil(t, Decide(lookAgain, m, w).Step, o.Phase)
		assert.Equal(t, Waiting, Decide(lookAgain, m, w).Status.Level)
		assert.Contains(t, Decide(lookAgain, m, w).Status.Message, o.ID+" has stopped the cluster")

		newcomer := wiped(w)
		m.Cluster.Value.AppBag.Operation.Units = []string{"etcd/1", "etcd/2"}
		p := Decide(lookAgain, m, newcomer)
		assert.Nil(t, p.Step)
		m.Units.Value["etcd/7"] = Alive

		m, w = during(o, 0)
		for _, kind := range []hooks.Kind{hooks.RelationDeparted, hooks.Stop} {
			e := Event{Kind: kind, Departing: "etcd/0", Endpoint: PeerEndpoint, RelationID: "cluster:0"}
			require.Equal(t, Stop{operationStopsUs}, Decide(e, m, w).Step)
			p := Decide(e, m, silent(w))
			assert.Nil(t, p.Step)
			assert.NoError(t, p.Fail, kind)
		}
	}
	m, w := during(restoreOf(toPrepare), 0)
	cluster := m.Cluster.Value
	cluster.AppBag.Operation.Units = []string{"etcd/1", "etcd/2"}
	m.Cluster = Know(cluster)
	p := Decide(lookAgain, m, wiped(w))
	assert.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "waiting to join: restore-1a is in progress")

	m.Units.Value["etcd/1"] = Dying
	assert.NotContains(t, Decide(lookAgain, m, wiped(w)).Status.Message, "waiting to join: restore-1a is in progress", "it cannot come to its end")

	m, w = fresh(1)
	cluster = m.Cluster.Value
	cluster.AppBag.Operation = restoreOf(toPrepare)
	cluster.AppBag.Operation.Units, cluster.AppBag.Operation.Source = []string{"etcd/0"}, "etcd/0"
	m.Cluster = Know(cluster)
	w.Kept = Kept{Snapshots: []Snapshot{{Name: "a", Taken: 4}}}
	assert.IsType(t, StartWork{}, Decide(lookAgain, m, w).Step, "it founds nothing, and prepares")
}

// TestStoppedStaysSoWhileNothingIsKnown: a unit that does not know the record does not know why its
// server was stopped.
func TestStoppedStaysSoWhileNothingIsKnown(t *testing.T) {
	t.Parallel()
	m, w := during(recoverOf(toPrepare), 0)
	w = silent(w)
	m.Cluster, m.Units = Unknown[Cluster]("goal-state failed"), Unknown[map[string]Life]("goal-state failed")
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, texts(p.Reasons), "etcd is not started")
	w.Service.Enabled = true // it ended by itself
	assert.Equal(t, Start{}, Decide(lookAgain, m, w).Step)
}

// TestReplacedDataIsNobodys: because of data of a replaced cluster nothing is founded, recorded,
// asked or given way to.
func TestReplacedDataIsNobodys(t *testing.T) {
	t.Parallel()
	m, w := during(restoreOf(toServe), 0)
	cluster := m.Cluster.Value
	cluster.AppBag.Operation.Outcome = outcomeDone
	cluster.AppBag.Ended = cluster.AppBag.ClusterID // the new one has ended in order
	m.Cluster = Know(cluster)
	v := newView(lookAgain, m, silent(w))
	assert.Zero(t, v.named(), "the words of others name it")
	assert.False(t, NewSurvey(m, Data{}, "", nil).anybody)
	p := Decide(lookAgain, m, fenced(m, silent(w)))
	assert.Nil(t, p.Step, "nothing is started, nothing is recorded")
	assert.Nil(t, recordOf(p))
	m.Memory.Value.Unrecorded = clusterID
	assert.Zero(t, newView(lookAgain, m, wiped(silent(w))).named())
	survey := NewSurvey(m, w.Data, "https://127.0.0.1:2379", nil)
	assert.False(t, survey.Add(Answer{URL: "https://127.0.0.1:2379", ClusterID: clusterID, MemberID: 1, Linear: members(3)}))
	assert.NotEqual(t, Healthy, survey.Find(true, true).Reach)

	e := Event{Kind: hooks.Stop}
	running := silent(w)
	running.Service.Running = true
	p = Decide(e, m, running)
	assert.Equal(t, Stop{"the application has another cluster"}, p.Step)
	p = Decide(e, m, silent(w))
	assert.NoError(t, p.Fail)
	assert.Nil(t, recordOf(p), "its end is not that of the application's cluster")
}

// moved is what the leader publishes as it moves an operation. It asks for a hook first: Juju runs
// no hook on a unit for what that unit wrote, and the leader may be the only unit left.
func moved(t *testing.T, m Model, w World) Plan {
	t.Helper()
	p := Decide(lookAgain, m, w)
	again, ok := p.Step.(StartWork)
	require.True(t, ok, "%v", p.Step)
	require.Equal(t, LookAgain, again.Request.Kind)
	w.Work = append(w.Work, Work{WorkRequest: again.Request, State: WorkDone})
	unasked := w
	unasked.Tried = []Attempt{{again, errors.New("no luck")}}
	assert.NotNil(t, recordOf(Decide(lookAgain, m, unasked)), "update-status comes by itself")
	w.Done = append(w.Done, again)
	p = Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	return p
}

// TestDataDirBecomesTheCluster: the unit whose data will be the cluster's neither gives way before
// nor stops.
func TestDataDirBecomesTheCluster(t *testing.T) {
	t.Parallel()
	o := restoreOf(toStop)
	o.Snapshot, o.Source = dataDir, "etcd/0"
	m, w := during(o, 0)
	w.Data.ClusterID, w.Reach, w.ClusterID = newID, Healthy, clusterID
	w.Service.Running, w.Service.Enabled, w.Local = false, false, Local{}
	part := settledPart(t, m, w)
	assert.Equal(t, stopped, part.State)
	m = saying(m, stopped, "")
	w.Reach, w.ClusterID, w.Members = Unreachable, 0, nil
	m.Cluster.Value.AppBag.Replaced = []uint64{newID, 0xe3}
	record := recordOf(moved(t, m, fenced(m, w)))
	require.NotNil(t, record)
	assert.Equal(t, uint64(newID), record.ClusterID)
	assert.Equal(t, []uint64{0xe3, clusterID}, record.Replaced, "it is replaced no longer")
}

// TestSourceLeavesPastTheEnd: no other unit has the new data, so the source's leave waits until
// others have it.
func TestSourceLeavesPastTheEnd(t *testing.T) {
	t.Parallel()
	m, w := during(restoreOf(toServe), 1)
	w = silent(w)
	w.Prepared = []Prepared{{ID: restoreID, ClusterID: newID, MemberID: 7}}
	e := Event{Kind: hooks.Stop}
	assert.Equal(t, ServePrepared{restoreID}, Decide(e, m, w).Step)
	w.Prepared, w.Data.ClusterID, w.Data.MemberID = nil, newID, 7
	assert.Equal(t, Start{}, Decide(e, m, w).Step)
}

// TestLatestSnapshot: the clocks of the leader and of the source need not agree, and a clock may go
// back. A snapshot of a state that a restore was about to replace is restored only by name:
// otherwise a second attempt at the restore would bring that state back.
func TestLatestSnapshot(t *testing.T) {
	t.Parallel()
	snapshot := func(name string, taken int64) Snapshot { return Snapshot{Name: name, Taken: taken} }
	bad, before := snapshot("bad", 3), snapshot("before", 3)
	bad.Error, before.Why = "it was cut off", beforeRestore
	for name, tc := range map[string]struct {
		have   []Snapshot
		before int64
		want   string
	}{
		"none":                    {},
		"the last":                {have: []Snapshot{snapshot("a", 1), snapshot("b", 2)}, want: "b"},
		"a clock went back":       {have: []Snapshot{snapshot("a", 4), snapshot("b", 2)}, want: "b"},
		"the leader's is behind":  {have: []Snapshot{snapshot("a", 1), snapshot("b", 100)}, want: "b"},
		"before a time":           {have: []Snapshot{snapshot("a", 1), snapshot("b", 3)}, before: 3, want: "a"},
		"one that failed":         {have: []Snapshot{snapshot("a", 1), bad}, want: "a"},
		"of another restore":      {have: []Snapshot{snapshot("a", 1), before}, want: "a"},
		"there is no other":       {have: []Snapshot{before}},
		"of another, before then": {have: []Snapshot{snapshot("a", 1), before}, before: 9, want: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := restoreOf(toPrepare)
			o.Before = tc.before
			m, w := during(o, 1)
			w.Kept.Snapshots = tc.have
			v := newView(Event{}, m, w)
			assert.Equal(t, tc.want, v.snapshotOf(o))
			assert.Equal(t, tc.want, v.keptAs(dataRequest{snapshot: latest, before: tc.before}).Name)
		})
	}
}

// TestRolledBackWhileServing: a unit whose charm does not know the operation on record, or its
// phase, neither starts data that was replaced nor founds a cluster. It serves the new data if it
// has it already.
func TestRolledBackWhileServing(t *testing.T) {
	t.Parallel()
	for kind, phase := range map[string]string{restoring: "copying", recovering: "copying", "split": toServe} {
		for n := range 3 {
			for name, tc := range map[string]struct {
				change func(*World)
				want   Step
			}{
				"its server runs":  {func(*World) {}, Stop{dataWasReplaced}},
				"it has stopped":   {func(w *World) { w.Service.Running, w.Service.Enabled, w.Local = false, false, Local{} }, nil},
				"its data is gone": {func(w *World) { *w = wiped(*w) }, nil},
				"it has the prepared data": {func(w *World) {
					*w = wiped(*w)
					w.Prepared = []Prepared{{ID: restoreID, ClusterID: newID, MemberID: 7}}
				}, ServePrepared{restoreID}},
			} {
				o := restoreOf(toServe)
				m, w := during(o, n)
				o.Kind, o.Phase = kind, phase
				m.Cluster.Value.AppBag.Operation = o
				w = silent(w)
				w.Service.Running = true
				tc.change(&w)
				w = fenced(m, w)
				p := Decide(lookAgain, m, w)
				assert.Equal(t, tc.want, p.Step, "%s in %s on etcd/%d, %s: %s", kind, phase, n, name, texts(p.Reasons))
				if p.record != nil {
					assert.Equal(t, uint64(newID), p.record.ClusterID)
				}
			}
		}
	}
}

// TestWhoWasRolledBackIsNamed: whoever waits for a unit that was rolled back reads that its charm
// is why.
func TestWhoWasRolledBackIsNamed(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{toAnswer, toPrepare, toStop, toServe} {
		m, w := during(restoreOf(phase), 0)
		assert.NotContains(t, texts(Decide(lookAgain, m, w).Reasons), "does not know")
		unitBag := m.Cluster.Value.UnitBags["etcd/1"]
		unitBag.Can = nil
		m.Cluster.Value.UnitBags["etcd/1"] = unitBag
		_, result, err := ShowOperation(nil, m, w)
		require.NoError(t, err)
		assert.Contains(t, result.Text, "etcd/1  its charm does not know restore\n", phase)
		_, health, err := Health(nil, m, w)
		require.NoError(t, err)
		assert.Contains(t, health.Text, "the charm of etcd/1 does not know restore", phase)
	}
}
