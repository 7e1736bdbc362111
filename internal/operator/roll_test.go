package operator

import (
	"errors"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRefreshPreflight(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ from, to, why string }{
		"a patch":                  {"3.7.2-0123456789ab", "3.7.3-0123456789ab", ""},
		"a patch back":             {"3.7.3-0123456789ab", "3.7.2-0123456789ab", ""},
		"another build":            {"3.7.3-0123456789ab", "3.7.3-ba9876543210", ""},
		"the next minor":           {"3.7.3-0123456789ab", "3.8.0-0123456789ab", ""},
		"a minor skipped":          {"3.6.14-0123456789ab", "3.8.0-0123456789ab", "etcd 3.6.14 cannot go to 3.8.0 in one step; go up one minor version at a time"},
		"a minor back":             {"3.8.0-0123456789ab", "3.7.3-0123456789ab", "etcd 3.8.0 cannot go back to 3.7.3; refresh to a charm with etcd 3.8; 3/3 voters"},
		"ten comes after nine":     {"3.9.1-0123456789ab", "3.10.0-0123456789ab", ""},
		"a major back":             {"4.0.0-0123456789ab", "3.7.3-0123456789ab", "etcd 4.0.0 cannot go back to 3.7.3; refresh to a charm with etcd 4.0; 3/3 voters"},
		"a major":                  {"3.7.3-0123456789ab", "4.0.0-0123456789ab", "etcd 3.7.3 cannot go to 4.0.0 in one step; go up one minor version at a time"},
		"what runs is not known":   {"", "3.7.3-0123456789ab", ""},
		"what runs has no version": {"nightly", "3.7.3-0123456789ab", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := world(m)
			w.Service.Release, w.Carried, w.Installed = tc.from, tc.to, tc.to
			w.Service.Config, w.WrittenConfig = "as it was", "as it was"
			w.Kept.Snapshots = []Snapshot{{Work: upgradeID(tc.to), Why: beforeUpgrade}}
			p := Decide(Event{Kind: hooks.UpgradeCharm}, m, w)
			if tc.why == "" {
				assert.Equal(t, TakeTurn{}, p.Step)
				return
			}
			assert.Nil(t, p.Step, "what runs goes on")
			assert.Equal(t, Status{Blocked, tc.why}, p.Status)
		})
	}
}

// A release that must not replace a running server must not replace one that is down.
func TestPreflightOfAServerThatIsDown(t *testing.T) {
	t.Parallel()
	for carried, why := range map[string]string{
		"3.7.4-0123456789ab":  "",
		"3.8.0-0123456789ab":  "",
		"3.9.0-0123456789ab":  "etcd 3.7.3 cannot go to 3.9.0 in one step; go up one minor version at a time",
		"3.6.16-0123456789ab": "etcd 3.7.3 cannot go back to 3.6.16; refresh to a charm with etcd 3.7",
	} {
		m := model(3)
		w := down(world(m), 0)
		w.Service.Running, w.Service.Config, w.Local = false, "", Local{}
		w.WrittenRelease, w.Carried, w.Installed = release, carried, carried
		p := Decide(Event{Kind: hooks.Start}, m, w)
		if why == "" {
			assert.IsType(t, WriteMember{}, p.Step)
			continue
		}
		assert.Equal(t, Start{}, p.Step, "with the release that it had")
		w.Done = []Step{Start{}}
		w.Service.Running, w.Service.Config, w.Service.Release = true, w.WrittenConfig, release
		w.Local = world(m).Local
		w.Members = members(3)
		p = Decide(Event{Kind: hooks.Start}, m, w)
		assert.Nil(t, p.Step)
		assert.Equal(t, Status{Blocked, why}, p.Status)
	}
}

// due is a world of three in which our server runs with settings of old.
func due() (Model, World) {
	m := model(3)
	w := world(m)
	w.Service.Config, w.WrittenConfig = "as it was", "as it was"
	return m, w
}

// Two voters that both listen where they are not listed cannot find each other.
func TestNobodyRestartsWhileAnotherIsListedElsewhere(t *testing.T) {
	t.Parallel()
	m, w := due()
	require.Equal(t, TakeTurn{}, firstStep(m, w))
	w.Members[1].PeerURLs = []string{"https://10.9.9.9:2380"}
	w = fenced(m, w)
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "restart pending: the member list has an old address of etcd/1")
}

// The raft leader goes last of the members that stay. A unit that leaves never restarts, and may
// need the leader's new address to leave.
func TestTheRaftLeaderWaitsForNobodyWhoLeaves(t *testing.T) {
	t.Parallel()
	m, w := due()
	for i := range w.Members {
		w.Members[i].Leader = 1
	}
	unitBag := m.Cluster.Value.UnitBags["etcd/1"]
	unitBag.Running = newView(lookAgain, m, w).desired.Generation()
	m.Cluster.Value.UnitBags["etcd/1"] = unitBag
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "as raft leader this member goes last, after etcd/2")
	m.Units.Value["etcd/2"] = Dying
	assert.Equal(t, TakeTurn{}, firstStep(m, w))
}

// The phases of a roll, in order; a later one is reached only if no earlier one holds.
func TestRollPhase(t *testing.T) {
	t.Parallel()
	turn := func(w *World) { w.Turn.Holder, w.Done = "etcd/0", []Step{TakeTurn{}} }
	for _, tc := range []struct {
		name   string
		change func(*Model, *World)
		want   rollPhase
		why    string
	}{
		{"does not run", func(_ *Model, w *World) { w.Service.Running = false }, notRolling, ""},
		{"no quorum", func(_ *Model, w *World) { w.Reach = NoQuorum }, notRolling, ""},
		{"another cluster answers", func(_ *Model, w *World) { w.ClusterID = 7 }, notRolling, ""},
		{"a learner", func(_ *Model, w *World) { w.Members[0].Learner = true }, notRolling, ""},
		{"not listed", func(_ *Model, w *World) { w.Members = w.Members[1:] }, notRolling, ""},
		{"leaves", func(m *Model, _ *World) { m.Units.Value["etcd/0"] = Dying }, notRolling, ""},
		{"a proxy", func(_ *Model, w *World) { w.Service.Kind, w.Data = ProxyService, Data{} }, notRolling, ""},
		{"runs with what it should", func(m *Model, w *World) { *w = world(*m) }, applied, ""},
		{"its address is not known", func(m *Model, _ *World) { m.PeerAddress = Unknown[Address]("no answer") }, applied, ""},
		{"its options cannot be used", func(m *Model, _ *World) { m.ConfigProblem = "option port: no" }, applied, ""},
		{"a minor skipped", func(_ *Model, w *World) { w.Service.Release = "3.5.9-0123456789ab" }, noUpgrade, "go up one minor version at a time"},
		{"another is not ready", func(_ *Model, w *World) { *w = down(*w, 1) }, held, "etcd/1 is not ready"},
		{"another joins", func(_ *Model, w *World) { w.Members[2].Learner = true }, held, "etcd/2 is joining"},
		{"others were not found", func(_ *Model, w *World) {
			turn(w)
			w.Tried = []Attempt{{AwaitListed{1}, errors.New("not there")}}
		}, unfound, ""},
		{"nobody has the turn", func(*Model, *World) {}, turnless, ""},
		{"another has the turn", func(_ *Model, w *World) { w.Turn.Holder = "etcd/1" }, turnless, ""},
		{"an earlier hook took the turn", func(_ *Model, w *World) { w.Turn.Holder = "etcd/0" }, turnless, ""},
		{"moves", func(_ *Model, w *World) {
			turn(w)
			w.Service.PeerURL = "https://10.9.9.9:2380"
		}, finding, ""},
		{"moves, and found the others", func(_ *Model, w *World) {
			turn(w)
			w.Service.PeerURL = "https://10.9.9.9:2380"
			w.Done = append(w.Done, AwaitListed{1})
		}, unwritten, ""},
		{"has the turn", func(_ *Model, w *World) { turn(w) }, unwritten, ""},
		{"has written", func(m *Model, w *World) {
			turn(w)
			w.WrittenConfig = newView(lookAgain, *m, *w).desiredDigest
		}, restarting, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := due()
			tc.change(&m, &w)
			phase, why := newView(lookAgain, m, w).rollPhase()
			assert.Equal(t, tc.want.String(), phase.String())
			assert.Contains(t, why.String(), tc.why)
			assert.Equal(t, tc.why == "", why.none())
		})
	}
}
