package operator

import (
	"fmt"
	"testing"
	"time"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	lowQuota  = 16 << 20
	highQuota = 32 << 20
)

// filled is a cluster of three whose databases are full of live keys, as etcd/0 sees it, whose
// member has the lowest ID. The quota was raised, and no member runs with it yet.
func filled() (Model, World) {
	m := model(3)
	m.Config.QuotaBytes = lowQuota
	w := world(m) // it runs with the low quota
	m.Config.QuotaBytes = highQuota
	for unit, unitBag := range m.Cluster.Value.UnitBags {
		unitBag.Quota = highQuota
		m.Cluster.Value.UnitBags[unit] = unitBag
	}
	for i := range w.Members {
		w.Members[i].Quota, w.Members[i].DBSize, w.Members[i].DBInUse, w.Members[i].Revision = lowQuota, lowQuota, lowQuota, 5000
	}
	w.Alarms = []Alarm{{2, noSpace}}
	w.Now = 1_000_000
	return m, w
}

// says sets the quota that another unit's bag names.
func says(m *Model, unit string, quota int64) {
	unitBag := m.Cluster.Value.UnitBags[unit]
	unitBag.Quota = quota
	m.Cluster.Value.UnitBags[unit] = unitBag
}

// raised makes members run with the high quota.
func raised(w *World, ids ...uint64) {
	for _, id := range ids {
		w.Members[id-1].Quota = highQuota
	}
}

// TestQuotaIsTheWayOut: while etcd takes no key, members take a higher quota in an order that every
// unit computes, and no other member restarts.
func TestQuotaIsTheWayOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*Model, *World)
		want   rollPhase
		why    string // why it is held
		status string
	}{
		{"the lowest ID", func(*Model, *World) {}, unwritten, "", ""},
		{"written", func(m *Model, w *World) { w.WrittenConfig = newView(lookAgain, *m, *w).desiredDigest }, restarting, "", ""},
		{"the lowest ID leads", func(_ *Model, w *World) {
			for i := range w.Members {
				w.Members[i].Leader = 1
			}
		}, unwritten, "", ""},
		{"another has a lower ID", func(_ *Model, w *World) {
			w.Members[0], w.Members[1] = w.Members[1], w.Members[0]
			w.Members[0].ID, w.Members[1].ID = 1, 2
			w.Data.MemberID, w.Local.MemberID = 2, 2
		}, held, "etcd/1 takes the higher quota first", "NOSPACE on etcd/0: no writes; etcd/1 restarts with a quota of 32 MiB"},
		{"the lower ones have it", func(_ *Model, w *World) {
			w.Members[0].ID, w.Data.MemberID, w.Local.MemberID = 4, 4, 4
			w.Members[1].Quota, w.Members[2].Quota = highQuota, highQuota
		}, unwritten, "", ""},
		{
			"somebody has the turn", func(_ *Model, w *World) { w.Turn.Holder = "etcd/2" }, turnless, "",
			"no writes; quota 32 MiB waits: etcd/2 has the turn",
		},
		{"it has the turn itself", func(_ *Model, w *World) { w.Turn.Holder = "etcd/0" }, turnless, "", ""},
		{"who has the turn is not known", func(_ *Model, w *World) { w.Turn = Turn{} }, turnless, "", ""},
		{
			"another is not ready", func(_ *Model, w *World) { *w = down(*w, 2) }, held, "etcd/2 is not ready",
			"quota 32 MiB waits: etcd/2 is not ready",
		},
		{"another joins", func(_ *Model, w *World) { w.Members[2].Learner = true }, held, "etcd/2 is joining", "waits: etcd/2 is joining"},
		{"another leaves", func(m *Model, _ *World) { m.Units.Value["etcd/2"] = Dying }, held, "etcd/2 is leaving", "waits: etcd/2 is leaving"},
		{"another's unit is gone", func(m *Model, _ *World) { delete(m.Units.Value, "etcd/2") }, held, "etcd/2 has no unit", ""},
		{
			"another has not heard of it", func(m *Model, _ *World) { says(m, "etcd/2", lowQuota) }, held, "etcd/2 has the old quota",
			"waits: etcd/2 has the old quota",
		},
		{
			"another's charm does not know the order", func(m *Model, _ *World) { says(m, "etcd/2", 0) }, turnless, "",
			"waits: etcd/2 cannot take it",
		},
		{"another's charm was rolled back, and its bag still has the key", func(m *Model, _ *World) {
			unitBag := m.Cluster.Value.UnitBags["etcd/2"]
			unitBag.Can = []string{"db"}
			m.Cluster.Value.UnitBags["etcd/2"] = unitBag
		}, turnless, "", "waits: etcd/2 cannot take it"},
		{"the units are not known", func(m *Model, _ *World) { m.Units = Unknown[map[string]Life]("no") }, held, "does not know the others", ""},
		{"data differs besides", func(_ *Model, w *World) { w.Alarms = append(w.Alarms, Alarm{3, corrupt}) }, turnless, "", ""},
		{"another option changes, and no quota", func(m *Model, w *World) {
			raised(w, 1, 2, 3)
			w.Members[1].DBSize, m.Config.SnapshotCount = highQuota, 5000
		}, turnless, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := filled()
			tc.change(&m, &w)
			w = fenced(m, w)
			v := newView(lookAgain, m, w)
			phase, why := v.rollPhase()
			assert.Equal(t, tc.want.String(), phase.String())
			assert.Contains(t, why.String(), tc.why)
			p := Decide(lookAgain, m, w)
			if tc.status != "" {
				require.Nil(t, p.Step)
				assert.Contains(t, p.Status.Message, tc.status)
			}
			if phase == turnless && w.Turn.Holder != "etcd/0" && len(w.Alarms) == 1 {
				assert.Nil(t, p.Step, "no turn is asked for that cannot be had")
			}
		})
	}
}

// TestOneOrderForBoth: if somebody disarms the alarm by hand, a unit can take the turn again,
// perhaps just as another restarts without it. So the unit that has the turn keeps to the same
// order, as long as the alarm would soon be raised again.
func TestOneOrderForBoth(t *testing.T) {
	t.Parallel()
	m, w := filled()
	w.Alarms = nil
	phase, _ := newView(lookAgain, m, w).rollPhase()
	assert.Equal(t, turnless, phase, "it takes the turn, which can be had")
	w.Turn.Holder, w.Done = "etcd/0", []Step{TakeTurn{}}
	phase, _ = newView(lookAgain, m, w).rollPhase()
	assert.Equal(t, unwritten, phase, "also as the raft leader, which went last else")

	m, w = filled()
	w.Alarms = nil
	w.Members[0].ID, w.Data.MemberID, w.Local.MemberID = 9, 9, 9
	w.Turn.Holder, w.Done = "etcd/0", []Step{TakeTurn{}}
	phase, why := newView(lookAgain, m, w).rollPhase()
	assert.Equal(t, held, phase, "with the turn")
	assert.Contains(t, why.String(), "etcd/1 takes the higher quota first")
	assert.Equal(t, ReleaseTurn{}, Decide(lookAgain, m, w).Step)
	// It need not know the other unit's new quota, because that unit knows its own.
	says(&m, "etcd/1", lowQuota)
	phase, _ = newView(lookAgain, m, w).rollPhase()
	assert.Equal(t, held, phase)
	says(&m, "etcd/1", 0)
	phase, _ = newView(lookAgain, m, w).rollPhase()
	assert.Equal(t, unwritten, phase, "beside a charm that never restarts without the turn, nobody does")

	m, w = filled()
	_, result, err := Defragment(nil, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "other maintenance is running: etcd/0 restarts")
	w.Alarms = nil
	_, result, err = Defragment(nil, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "other maintenance is running: etcd/0 restarts", "nor with the turn")
	for i := range w.Members {
		w.Members[i].DBSize = lowQuota / 2
	}
	steps, _, err := Defragment(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, TakeTurn{}, steps[0])
}

// TestLeavingAFullDatabase: a unit that leaves goes first, and its member runs while it is removed:
// that takes no voter down.
func TestLeavingAFullDatabase(t *testing.T) {
	t.Parallel()
	departs := Event{Kind: hooks.RelationDeparted, Departing: "etcd/0"}
	remove := RemoveMember{ID: 1, Name: "etcd/0", Why: unitLeaves}
	m, w := filled()
	m.Units.Value["etcd/0"] = Dying
	assert.Equal(t, remove, Decide(departs, m, w).Step)

	held := w
	held.Turn.Holder = "etcd/1"
	assert.Equal(t, TakeTurn{}, Decide(departs, m, held).Step, "who has the turn counts on all")
	held.Tried = []Attempt{{TakeTurn{}, fmt.Errorf("it is held by etcd/1")}}
	p := Decide(departs, m, held)
	require.Nil(t, p.Step)
	require.ErrorContains(t, p.Fail, "it is held by etcd/1")

	bad := down(w, 1)
	p = Decide(departs, m, bad)
	require.Nil(t, p.Step)
	require.ErrorContains(t, p.Fail, "cannot leave: 1 of 3 voters would be ready, 2 needed")

	w.Alarms, w.Turn.Holder, w.Done = nil, "etcd/0", []Step{TakeTurn{}}
	assert.Equal(t, remove, Decide(departs, m, w).Step, "with the turn too, while another may restart without")
	for i := range w.Members {
		w.Members[i].DBSize = lowQuota / 2
	}
	assert.Equal(t, Stop{unitLeaves}, Decide(departs, m, w).Step)
}

// TestAlarmIsTakenBack: any unit that sees room in every database disarms the alarm, but not before
// the quota is raised everywhere.
func TestAlarmIsTakenBack(t *testing.T) {
	t.Parallel()
	settled := func(auto bool) (Model, World) {
		m, w := filled()
		m.Config.AutoFreeSpace = auto
		m.Leader = Know(false)
		raised(&w, 1, 2, 3)
		v := newView(lookAgain, m, w)
		w.Service.Config, w.WrittenConfig = v.desiredDigest, v.desiredDigest
		return m, w
	}
	for _, auto := range []bool{true, false} {
		m, w := settled(auto)
		w.Alarms = []Alarm{{1, noSpace}, {9, noSpace}}
		p := Decide(lookAgain, m, w)
		assert.Equal(t, Disarm{Alarm{1, noSpace}}, p.Step)
		w.Alarms = w.Alarms[1:]
		assert.Equal(t, Disarm{Alarm{9, noSpace}}, Decide(lookAgain, m, w).Step, "of a member that is gone too")
		w.Alarms = nil
		assert.Nil(t, Decide(lookAgain, m, w).Step)
	}
	for name, change := range map[string]func(*Model, *World){
		"one runs with the low quota":       func(_ *Model, w *World) { w.Members[2].Quota = lowQuota },
		"one has not enough room":           func(_ *Model, w *World) { w.Members[2].DBSize = highQuota*9/10 + 1 },
		"the largest request would not fit": func(m *Model, _ *World) { m.Config.MaxRequestBytes = 17 << 20 },
		"data differs":                      func(_ *Model, w *World) { w.Alarms = append(w.Alarms, Alarm{3, corrupt}) },
	} {
		m, w := settled(true)
		change(&m, &w)
		p := Decide(lookAgain, m, w)
		assert.NotEqual(t, Disarm{Alarm{2, noSpace}}, p.Step, name)
		assert.Contains(t, texts(p.Reasons), "NOSPACE on etcd/1", name)
	}
	m, w := settled(true)
	w = down(w, 2)
	assert.Equal(t, Disarm{Alarm{2, noSpace}}, Decide(lookAgain, m, w).Step, "the living have room")
	w.Alarms = nil
	assert.Contains(t, texts(Decide(lookAgain, m, w).Reasons), "no answer here from etcd/2", "and the dead is named")
}

// history is a cluster of three whose databases are full of history, as the leader sees it.
func history() (Model, World) {
	m := model(3)
	m.Config.QuotaBytes = lowQuota
	m.Config.CompactionMode, m.Config.CompactionRetention = "revision", "100"
	for unit := range m.Cluster.Value.UnitBags {
		says(&m, unit, lowQuota)
	}
	w := world(m) // etcd/2 is the raft leader
	for i := range w.Members {
		w.Members[i].Quota, w.Members[i].DBSize, w.Members[i].DBInUse, w.Members[i].Revision = lowQuota, lowQuota, lowQuota/4, 5000
	}
	w.Alarms = []Alarm{{2, noSpace}}
	w.Now, w.Began = 1_000_000, 1_000_000
	return m, w
}

// TestSpaceIsFreed: one step after another, the raft leader last, until there is room.
func TestSpaceIsFreed(t *testing.T) {
	t.Parallel()
	m, w := history()
	var did []string
	for range 10 {
		p := Decide(lookAgain, m, w)
		if p.Step == nil {
			require.NotNil(t, p.Memory)
			assert.Equal(t, w.Now, p.Memory.Freed)
			break
		}
		did = append(did, p.Step.String())
		w.Done = append(w.Done, p.Step)
		switch step := p.Step.(type) {
		case Defrag:
			w.Members[step.ID-1].DBSize = w.Members[step.ID-1].DBInUse
		case Disarm:
			w.Alarms = nil
		}
	}
	assert.Equal(t, []string{
		"compact to revision 4900", "defragment member 1 (etcd/0)", "defragment member 2 (etcd/1)", "defragment member 3 (etcd/2)",
		"disarm alarm NOSPACE of member 2",
	}, did)
}

// TestAFailedRoundIsARound: a step that took too long goes on in the member, and the next hook does
// not begin it again.
func TestAFailedRoundIsARound(t *testing.T) {
	t.Parallel()
	m, w := history()
	w.Tried = []Attempt{{Compact{4900}, fmt.Errorf("it takes too long")}}
	for i := range w.Members {
		w.Tried = append(w.Tried, Attempt{Defrag{uint64(i + 1), unitName(i)}, fmt.Errorf("it takes too long")})
	}
	v := newView(lookAgain, m, w)
	w.Service.Config, w.WrittenConfig = v.desiredDigest, v.desiredDigest
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, w.Now, after(m, p).Freed)
}

// TestWhenNoSpaceIsFreed: what keeps a round from beginning, and what is reported meanwhile.
func TestWhenNoSpaceIsFreed(t *testing.T) {
	t.Parallel()
	const live = "NOSPACE on etcd/1: no writes; 16 MiB of 16 MiB live: raise quota or delete"
	inUse := func(w *World) {
		for i := range w.Members {
			w.Members[i].DBInUse = lowQuota
		}
	}
	for name, tc := range map[string]struct {
		change func(*Model, *World)
		want   Step
		status string
	}{
		"another leads":         {func(m *Model, _ *World) { m.Leader = Know(false) }, nil, "space is being freed"},
		"it is off":             {func(m *Model, _ *World) { m.Config.AutoFreeSpace = false }, nil, "raise quota_backend_bytes or free space"},
		"a round was just made": {func(m *Model, w *World) { m.Memory.Value.Freed = w.Now - 599 }, nil, "space is being freed"},
		"a round was made":      {func(m *Model, w *World) { m.Memory.Value.Freed = w.Now - 600 }, Compact{4900}, ""},
		"a clock went back":     {func(m *Model, w *World) { m.Memory.Value.Freed = w.Now + 1 }, Compact{4900}, ""},
		"no alarm":              {func(_ *Model, w *World) { w.Alarms = nil }, nil, ""},
		"a member restarts":     {func(_ *Model, w *World) { w.Turn.Holder = "etcd/1" }, nil, "freeing waits: etcd/1 has the turn"},
		"a member joins":        {func(_ *Model, w *World) { w.Members[2].Learner = true }, nil, "freeing waits: etcd/2 is joining"},
		"another has heard of a higher quota": {
			func(m *Model, _ *World) { says(m, "etcd/1", highQuota) }, nil,
			"freeing waits: etcd/1 takes another quota",
		},
		"a member of an earlier charm":  {func(m *Model, _ *World) { says(m, "etcd/1", 0) }, Compact{4900}, ""},
		"a member is dead":              {func(_ *Model, w *World) { *w = down(*w, 2) }, Compact{4900}, ""},
		"a member is dead, and history": {func(_ *Model, w *World) { *w = down(*w, 2); w.Done = []Step{Compact{4900}} }, nil, "freeing waits: etcd/2 is not ready"},
		"compacting fails": {
			func(_ *Model, w *World) { w.Tried = []Attempt{{Compact{4900}, fmt.Errorf("no")}} },
			Defrag{1, "etcd/0"},
			"",
		},
		"live data": {func(_ *Model, w *World) { inUse(w); w.Done = []Step{Compact{4900}} }, nil, live},
		"all history is kept": {
			func(m *Model, w *World) { inUse(w); m.Config.CompactionRetention = "0" }, nil,
			"16 MiB of 16 MiB kept: compact or raise quota",
		},
		"it would free less than a tenth": {func(_ *Model, w *World) {
			for i := range w.Members {
				w.Members[i].DBInUse = lowQuota*9/10 + 1
			}
			w.Done = []Step{Compact{4900}}
		}, nil, "14 MiB of 16 MiB live"},
		"the pass is too old": {func(_ *Model, w *World) { w.Began = w.Now - 61 }, nil, "space is being freed"},
		"it is too large": {func(m *Model, w *World) {
			m.Config.QuotaBytes = 10 << 30
			for i := range w.Members {
				w.Members[i].Quota, w.Members[i].DBSize = 10<<30, 10<<30
				says(m, unitName(i), 10<<30)
			}
		}, nil, "too large for a hook: run compact and defrag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := history()
			delete(m.Cluster.Value.UnitBags, "etcd/0")
			tc.change(&m, &w)
			delete(m.Cluster.Value.UnitBags, "etcd/0")
			v := newView(lookAgain, m, w)
			w.Service.Config, w.WrittenConfig = v.desiredDigest, v.desiredDigest
			p := Decide(lookAgain, m, w)
			assert.Equal(t, tc.want, p.Step)
			if tc.want == nil {
				assert.Contains(t, p.Status.Message, tc.status)
			}
		})
	}
}

// TestHistoryByTime: units remember the revisions of the past with their times, and compact to the
// newest that is old enough.
func TestHistoryByTime(t *testing.T) {
	t.Parallel()
	m, w := history()
	m.Config.CompactionMode, m.Config.CompactionRetention = "periodic", (8 * time.Hour).String()
	alarms := w.Alarms
	w.Alarms = nil
	v := newView(lookAgain, m, w)
	w.Service.Config, w.WrittenConfig = v.desiredDigest, v.desiredDigest
	begun, wrote := w.Now, 0
	for hook := range 200 { // one in five minutes
		w.Now = begun + int64(hook)*300
		for i := range w.Members {
			w.Members[i].Revision = 5000 + int64(hook)
		}
		p := Decide(lookAgain, m, w)
		require.Nil(t, p.Step)
		if after := after(m, p); len(after.Revisions) == 0 || after.Revisions[len(after.Revisions)-1].At == w.Now {
			wrote++
			m.Memory.Value = after
		}
	}
	assert.LessOrEqual(t, wrote, 21, "one in 48 minutes, not one a hook")
	assert.LessOrEqual(t, len(m.Memory.Value.Revisions), 12)
	w.Alarms, w.Began = alarms, w.Now
	to := Decide(lookAgain, m, w).Step.(Compact).Revision
	old := 5199 - 8*12 // eight hours of twelve hooks
	assert.LessOrEqual(t, to, int64(old))
	assert.Greater(t, to, int64(old-20), "and not much older")

	m.Config.CompactionRetention = "0"
	v = newView(lookAgain, m, w)
	w.Service.Config, w.WrittenConfig = v.desiredDigest, v.desiredDigest
	assert.IsType(t, Defrag{}, Decide(lookAgain, m, w).Step, "nothing is compacted where all is kept")
}

// TestHistoryOfAnotherTime: samples of another cluster, or from a clock that was or is wrong, do
// not give up history that must be kept.
func TestHistoryOfAnotherTime(t *testing.T) {
	t.Parallel()
	const hours, keep, day = 3600, 8, 24
	for name, change := range map[string]func(m *Model, w *World, look func(hours int64)){
		"another cluster, which is further": func(m *Model, w *World, look func(int64)) {
			for range 4 {
				look(1)
			}
			m.Cluster.Value.AppBag.ClusterID, w.ClusterID, w.Data.ClusterID, w.Local.ClusterID = 99, 99, 99, 99
		},
		"another cluster, which is not as far": func(_ *Model, w *World, _ func(int64)) {
			for i := range w.Members {
				w.Members[i].Revision = 2
			}
		},
		"the clock is ahead":     func(_ *Model, w *World, _ func(int64)) { w.Now += 400 * day * hours },
		"the clock was ahead":    func(_ *Model, w *World, look func(int64)) { look(day); w.Now -= day * hours },
		"the clock was behind":   func(_ *Model, w *World, look func(int64)) { look(-2 * day); w.Now += 2 * day * hours },
		"the clock was not set":  func(_ *Model, w *World, look func(int64)) { was := w.Now; look(-was/hours + 1); w.Now = was },
		"it is too soon, indeed": func(*Model, *World, func(int64)) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := history()
			m.Config.CompactionMode, m.Config.CompactionRetention = "periodic", (keep * time.Hour).String()
			w.Now = 1_800_000_000
			alarms := w.Alarms
			w.Alarms = nil
			v := newView(lookAgain, m, w)
			w.Service.Config, w.WrittenConfig = v.desiredDigest, v.desiredDigest
			look := func(by int64) {
				w.Now += by * hours
				for i := range w.Members {
					w.Members[i].Revision++
				}
				p := Decide(lookAgain, m, w)
				require.Nil(t, p.Step)
				m.Memory.Value = after(m, p)
			}
			for range keep - 2 {
				look(1)
			}
			change(&m, &w, look)
			w.Alarms, w.Began = alarms, w.Now
			p := Decide(lookAgain, m, w)
			assert.IsType(t, Defrag{}, p.Step, "nothing is compacted")
		})
	}
}
