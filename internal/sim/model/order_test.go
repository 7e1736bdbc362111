package model

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOrderOfFirstUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	assert.Equal(t, []string{"install", "ring-relation-created", "leader-elected", "config-changed", "start"}, w.take("thing/0"))
}

func TestOrderOfLaterUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.forget()
	_, err := w.AddUnit("thing", NewMachine)
	require.NoError(t, err)
	w.settle()
	assert.Equal(t, []string{
		"install", "ring-relation-created", "config-changed", "start",
		"ring-relation-joined thing/0", "ring-relation-changed thing/0",
	}, w.take("thing/1"))
	assert.Equal(t, []string{"ring-relation-joined thing/1", "ring-relation-changed thing/1"}, w.take("thing/0"))
}

func TestOrderOfIntegrateAndRemoveRelation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 1)
	w.deploy("b", 2)
	w.settle()
	w.forget()
	id, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	assert.Equal(t, "in:2", id)
	w.settle()
	assert.Equal(t, []string{
		"in-relation-created", "in-relation-joined b/0", "in-relation-changed b/0", "in-relation-joined b/1", "in-relation-changed b/1",
	}, w.take("a/0"))
	assert.Equal(t, []string{"out-relation-created", "out-relation-joined a/0", "out-relation-changed a/0"}, w.take("b/1"))

	w.forget()
	require.NoError(t, w.Unrelate("a:in", "b:out"))
	w.settle()
	assert.Equal(t, []string{"in-relation-departed b/0 b/0", "in-relation-departed b/1 b/1", "in-relation-broken"}, w.take("a/0"))
	assert.Equal(t, []string{"out-relation-departed a/0 a/0", "out-relation-broken"}, w.take("b/0"))
	assert.Len(t, w.Relations(), 2, "only the peer relations are left")
	id, err = w.Relate("a:in", "b:out")
	require.NoError(t, err)
	assert.Equal(t, "in:3", id, "a relation's number is never used twice")
}

func TestOrderOfRefreshAndConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.forget()
	require.NoError(t, w.Refresh("thing", newCharm(t), "new"))
	w.settle()
	assert.Equal(t, []string{"upgrade-charm", "config-changed"}, w.take("thing/0"))

	for _, times := range []int{1, 2} {
		w.forget()
		require.NoError(t, w.Configure("thing", map[string]string{"count": "7"}, nil, times))
		w.settle()
		assert.Len(t, w.take("thing/0"), times)
	}
	values, err := w.Config("thing")
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"name": "nobody", "count": int64(7)}, values)
	require.ErrorContains(t, w.Configure("thing", map[string]string{"count": "many"}, nil, 1), "count")
	require.ErrorContains(t, w.Configure("thing", nil, []string{"nothing"}, 1), `unknown option "nothing"`)
}

func TestOrderOfRemoveUnit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		series    string
		survivors []string
		listed    string
	}{
		{"2.9", []string{"ring-relation-departed a/1 a/1"}, ""},
		{"3.6", []string{"ring-relation-departed a/1 a/1"}, ""},
		{"4.0", []string{}, "a/1"},
	} {
		t.Run(tc.series, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.series)
			w.deploy("a", 2)
			w.deploy("b", 1)
			_, err := w.Relate("a:in", "b:out")
			require.NoError(t, err)
			w.settle()
			w.forget()
			require.NoError(t, w.RemoveUnit("a/1", false))
			w.settle()
			assert.Equal(t, []string{
				"in-relation-departed b/0 a/1", "in-relation-broken", "ring-relation-departed a/0 a/1", "stop", "remove",
			}, w.take("a/1"))
			assert.Equal(t, tc.survivors, w.take("a/0"))
			w.inHook("a/0", func(h *hookRun) {
				assert.Equal(t, tc.listed, h.tool("relation-list", "-r", "ring:0"))
				assert.NotContains(t, h.tool("goal-state"), "a/1")
				assert.NotEmpty(t, h.tool("relation-get", "-r", "ring:0", "-", "a/1"), "the bag outlives the unit")
			})
			// A restarted agent has forgotten the unit, and runs no hook about it.
			w.forget()
			require.NoError(t, w.Boot(0))
			w.settle()
			assert.Equal(t, []string{"start"}, w.take("a/0"))
			w.inHook("a/0", func(h *hookRun) { assert.Empty(t, h.tool("relation-list", "-r", "ring:0")) })
			name, err := w.AddUnit("a", NewMachine)
			require.NoError(t, err)
			assert.Equal(t, "a/2", name, "a unit's number is never used twice")
		})
	}
}

// until steps a unit until it has run a hook.
func (w *world) until(unit, hook string) {
	w.t.Helper()
	for !slices.Contains(w.take(unit), hook) {
		_, ran, err := w.Step(w.t.Context(), unit, w)
		require.NoError(w.t, err)
		require.True(w.t, ran, "%s never runs %s", unit, hook)
	}
}

// An agent finishes what it has begun, also for a unit that is removed.
func TestOrderOfEarlyRemoval(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		last string
		want []string
	}{
		{"install", []string{"remove"}},
		{"ring-relation-created", []string{"remove"}},
		{"config-changed", []string{"remove"}},
		{"start", []string{"stop", "remove"}},
		{"ring-relation-joined thing/0", []string{"ring-relation-changed thing/0", "ring-relation-departed thing/0 thing/1", "stop", "remove"}},
	} {
		t.Run(tc.last, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "3.6")
			w.deploy("thing", 2)
			w.until("thing/0", "start")
			w.until("thing/1", tc.last)
			require.NoError(t, w.RemoveUnit("thing/1", false))
			w.forget()
			w.settle()
			assert.Equal(t, tc.want, w.take("thing/1"))
		})
	}
}

// An install hook that was killed is not run again for a unit that is removed; any other hook is.
func TestRemovalAfterKill(t *testing.T) {
	t.Parallel()
	for hook, want := range map[string][]string{"install": {}, "config-changed": {"config-changed", "remove"}} {
		w := newWorld(t, "3.6")
		w.deploy("thing", 1)
		w.on[hook] = func(h *hookRun) error {
			_, _ = h.Run(h.ctx, nil, "is-leader")
			return nil
		}
		if hook == "config-changed" {
			w.until("thing/0", "leader-elected")
		}
		w.SetCrash(Crash{Call: 1})
		w.until("thing/0", hook)
		require.NoError(t, w.RemoveUnit("thing/0", false))
		w.forget()
		w.settle()
		assert.Equal(t, want, w.take("thing/0"))
	}
}

// New relations are entered, and the leadership is taken up, before a refresh. A change while
// config-changed runs gets another config-changed.
func TestOrderOfManyChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "3.6")
	w.deploy("a", 2)
	w.deploy("b", 1)
	w.settle()
	w.forget()
	require.NoError(t, w.Refresh("a", newCharm(t), "new"))
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	require.NoError(t, w.SetLeader("a", "a/1"))
	w.on["a/1 config-changed"] = func(*hookRun) error {
		delete(w.on, "a/1 config-changed")
		return w.Configure("a", map[string]string{"name": "x"}, nil, 1)
	}
	w.settle()
	assert.Equal(t, []string{
		"in-relation-created", "leader-elected", "upgrade-charm", "config-changed", "config-changed", "in-relation-joined b/0", "in-relation-changed b/0",
	}, w.take("a/1"))
}

func TestLeaverWritesWakeSurvivors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	w.forget()
	write := func(h *hookRun) error {
		h.tool("relation-set", "-r", "ring:0", "leaving="+h.Hook.Name())
		return nil
	}
	w.on["thing/1 ring-relation-departed"], w.on["thing/1 stop"] = write, write
	states := []string{}
	w.on["thing/0 ring-relation-changed"] = func(h *hookRun) error {
		states = append(states, h.tool("relation-get", "leaving"))
		return nil
	}
	require.NoError(t, w.RemoveUnit("thing/1", false))
	w.settle()
	assert.Equal(t, []string{"ring-relation-departed", "stop"}, states)
}

func TestRemoveApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "3.6")
	w.deploy("a", 2)
	w.deploy("b", 1)
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	w.settle()
	w.forget()
	require.NoError(t, w.RemoveApplication("a", false))
	w.settle()
	assert.Contains(t, w.take("a/0"), "in-relation-departed b/0 a/0", "the leaver is the one that departs")
	assert.Contains(t, w.take("a/0"), "remove")
	assert.Equal(t, []string{"out-relation-departed a/0 a/0", "out-relation-departed a/1 a/1", "out-relation-broken"}, w.take("b/0"))
	assert.NotContains(t, w.Status().Applications, "a")
	w.deploy("a", 1)
	w.settle()
}

func TestLeadership(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 3)
	w.settle()
	w.forget()
	require.NoError(t, w.SetLeader("thing", "thing/2"))
	w.settle()
	assert.Equal(t, []string{"thing/2 leader-elected"}, w.take(""))

	w.forget()
	w.on["thing/2 stop"] = func(h *hookRun) error {
		assert.Equal(t, "True", h.tool("is-leader"), "a leaving leader leads to its end")
		h.tool("relation-set", "-r", "ring:0", "--app", "last=word")
		return nil
	}
	require.NoError(t, w.RemoveUnit("thing/2", false))
	w.settle()
	assert.Contains(t, w.take("thing/0"), "leader-elected")
	assert.Equal(t, "word", w.bag("ring:0", "thing")["last"])

	require.NoError(t, w.PowerOff(0))
	leader, err := w.Leader("thing")
	require.NoError(t, err)
	assert.Equal(t, "thing/1", leader)
}

// A unit that loses the leadership during leader-elected, and gets it back, runs leader-elected
// again.
func TestLeadershipComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "3.6")
	w.deploy("thing", 2)
	w.settle()
	w.forget()
	w.on["thing/1 leader-elected"] = func(*hookRun) error {
		delete(w.on, "thing/1 leader-elected")
		require.NoError(t, w.SetLeader("thing", "thing/0"))
		return w.SetLeader("thing", "thing/1")
	}
	require.NoError(t, w.SetLeader("thing", "thing/1"))
	w.settle()
	assert.Equal(t, []string{"leader-elected", "leader-elected"}, w.take("thing/1"))
}

func TestForcedRemovalRunsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	w.forget()
	require.NoError(t, w.PowerOff(1))
	require.NoError(t, w.RemoveUnit("thing/1", true))
	w.settle()
	assert.Empty(t, w.take("thing/1"))
	require.NoError(t, w.Boot(1))
	w.settle()
	assert.Empty(t, w.take("thing/1"), "a ghost runs no hook")
}

func TestPowerOffIsSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	w.forget()
	require.NoError(t, w.PowerOff(1))
	require.NoError(t, w.Configure("thing", map[string]string{"name": "x"}, nil, 1))
	w.settle()
	assert.Empty(t, w.take("thing/1"))
	assert.Equal(t, "lost", w.Status().Applications["thing"].Units["thing/1"].Agent.Current)
	require.NoError(t, w.Boot(1))
	w.settle()
	assert.Equal(t, []string{"config-changed", "start"}, w.take("thing/1"))
}

func TestUnitsOnOneMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 1)
	require.NoError(t, w.Deploy("b", newCharm(t), "", nil))
	_, err := w.AddUnit("b", 0)
	require.NoError(t, err)
	_, err = w.AddUnit("b", 5)
	require.ErrorContains(t, err, "machine 5 not found")
	busy := 0
	w.on["install"] = func(*hookRun) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, u := range w.units {
			if u.running {
				busy++
			}
		}
		return nil
	}
	require.NoError(t, w.Settle(t.Context(), w, 4))
	assert.Equal(t, 2, busy, "one hook at a time on a machine")
	a, err := w.Unit("a/0")
	require.NoError(t, err)
	b, err := w.Unit("b/0")
	require.NoError(t, err)
	assert.Equal(t, a.Address, b.Address)
}

func TestSeedGivesTheSameOrder(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) []string {
		w := newWorld(t, "4.0")
		m, err := New(Options{Seed: seed})
		require.NoError(t, err)
		w.Model = m
		w.deploy("thing", 4)
		w.settle()
		return w.take("")
	}
	first := run(7)
	assert.Equal(t, first, run(7))
	assert.NotEqual(t, first, run(8))
}
