package model

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeerRelationIsInvisibleInInstall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.on["install"] = func(h *hookRun) error {
		assert.Equal(t, "[]", h.tool("relation-ids", "--format=json", "ring"))
		assert.Contains(t, h.fails("relation-set", "-r", "ring:0", "a=b"), "relation not found")
		return nil
	}
	w.on["ring-relation-created"] = func(h *hookRun) error {
		assert.Equal(t, `["ring:0"]`, h.tool("relation-ids", "--format=json", "ring"))
		assert.Empty(t, h.tool("relation-list"))
		return nil
	}
	w.deploy("thing", 2)
	w.settle()
	assert.Len(t, w.take(""), 13)
}

func TestRelationGetBeforeJoined(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	_, err := w.AddUnit("thing", NewMachine)
	require.NoError(t, err)
	checked := 0
	w.on["thing/1 ring-relation-created"] = func(h *hookRun) error {
		checked++
		assert.Empty(t, h.tool("relation-list", "-r", "ring:0"))
		assert.Equal(t, "10.0.0.10", h.tool("relation-get", "-r", "ring:0", "private-address", "thing/0"))
		assert.Equal(t, "ERROR relation unit not found", h.fails("relation-get", "-r", "ring:0", "-", "thing/7"))
		assert.Equal(t, "ERROR permission denied", h.fails("relation-get", "-r", "ring:0", "-", "other/0"))
		return nil
	}
	w.settle()
	assert.Equal(t, 1, checked)
}

func TestRelationListIsOfTheHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "3.6")
	lists := map[string]string{}
	for _, hook := range []string{"ring-relation-joined", "ring-relation-departed"} {
		w.on["thing/0 "+hook] = func(h *hookRun) error {
			lists[hook] = h.tool("relation-list")
			assert.NotEmpty(t, h.tool("relation-get", "private-address"), "the remote unit's bag answers in %s", hook)
			return nil
		}
	}
	w.deploy("thing", 2)
	w.settle()
	require.NoError(t, w.RemoveUnit("thing/1", false))
	w.settle()
	assert.Equal(t, map[string]string{"ring-relation-joined": "thing/1", "ring-relation-departed": ""}, lists)
}

func TestAppBagPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 2)
	w.deploy("b", 1)
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	w.settle()
	w.inHook("a/0", func(h *hookRun) {
		h.tool("relation-set", "-r", "ring:0", "--app", "k=peer")
		h.tool("relation-set", "-r", "in:2", "--app", "k=remote")
	})
	w.inHook("a/1", func(h *hookRun) {
		assert.Equal(t, "ERROR cannot write relation settings", h.fails("relation-set", "-r", "ring:0", "--app", "k=x"))
		assert.Equal(t, "peer", h.tool("relation-get", "-r", "ring:0", "--app", "k", "a"))
		assert.Equal(t, "ERROR permission denied", h.fails("relation-get", "-r", "in:2", "--app", "k", "a"))
	})
	w.inHook("b/0", func(h *hookRun) {
		assert.Equal(t, "remote", h.tool("relation-get", "-r", "in:2", "--app", "k", "a/1"))
	})
}

func TestAppBagChangeTellsAllButThePeerLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 2)
	w.deploy("b", 1)
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	w.settle()
	w.forget()
	w.on["a/1 ring-relation-changed"] = func(h *hookRun) error {
		assert.Empty(t, h.Hook.RemoteUnit)
		assert.Equal(t, "peer", h.tool("relation-get", "k"), "the application's bag is meant")
		return nil
	}
	w.inHook("a/0", func(h *hookRun) {
		h.tool("relation-set", "-r", "ring:0", "--app", "k=peer")
		h.tool("relation-set", "-r", "in:2", "--app", "k=remote")
	})
	assert.Equal(t, []string{"update-status"}, w.take("a/0"))
	assert.Equal(t, []string{"ring-relation-changed"}, w.take("a/1"))
	assert.Equal(t, []string{"out-relation-changed"}, w.take("b/0"))
}

func TestChangesFoldAndEqualWritesAreSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	require.NoError(t, w.PowerOff(1))
	for _, v := range []string{"v=1", "v=2"} {
		w.inHook("thing/0", func(h *hookRun) { h.tool("relation-set", "-r", "ring:0", v) })
	}
	w.forget()
	require.NoError(t, w.Boot(1))
	w.settle()
	assert.Equal(t, []string{"start", "ring-relation-changed thing/0"}, w.take("thing/1"))
	w.forget()
	w.inHook("thing/0", func(h *hookRun) { h.tool("relation-set", "-r", "ring:0", "v=2") })
	assert.Empty(t, w.take("thing/1"))
}

func TestSettingsAreSeenAsOfTheLastHookThatToldOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	got := ""
	read := func(h *hookRun) { got = h.tool("relation-get", "-r", "ring:0", "v", "thing/0") }
	w.inHook("thing/0", func(h *hookRun) { h.tool("relation-set", "-r", "ring:0", "v=old") })
	w.inHook("thing/1", read)
	assert.Equal(t, "old", got)

	// The new value is committed, but thing/1 has not had its changed hook yet.
	w.on["thing/1 config-changed"] = func(h *hookRun) error {
		read(h)
		return nil
	}
	w.on["thing/0 update-status"] = func(h *hookRun) error {
		h.tool("relation-set", "-r", "ring:0", "v=new")
		return nil
	}
	require.NoError(t, w.UpdateStatus("thing/0"))
	_, ok, err := w.Step(t.Context(), "thing/0", w)
	require.True(t, ok)
	require.NoError(t, err)
	require.NoError(t, w.Configure("thing", map[string]string{"name": "x"}, nil, 1))
	_, _, err = w.Step(t.Context(), "thing/1", w)
	require.NoError(t, err)
	assert.Equal(t, "old", got)
	w.settle()
	w.inHook("thing/1", read)
	assert.Equal(t, "new", got)
}

func TestBrokenRelationAnswersInItsOwnHookAlone(t *testing.T) {
	t.Parallel()
	for series, listed := range map[string]string{"2.9": "in:2", "3.6": "", "4.0": ""} {
		w := newWorld(t, series)
		w.deploy("a", 1)
		w.deploy("b", 1)
		_, err := w.Relate("a:in", "b:out")
		require.NoError(t, err)
		w.settle()
		w.on["a/0 in-relation-departed"] = func(h *hookRun) error {
			assert.Equal(t, "in:2", h.tool("relation-ids", "in"), series)
			return nil
		}
		w.on["a/0 in-relation-broken"] = func(h *hookRun) error {
			assert.Equal(t, listed, h.tool("relation-ids", "in"), series)
			assert.Equal(t, "b", h.tool("relation-list", "--app"), series)
			return nil
		}
		w.forget()
		require.NoError(t, w.Unrelate("a", "b:out"))
		w.settle()
		assert.Equal(t, []string{"in-relation-departed b/0 b/0", "in-relation-broken"}, w.take("a/0"))
		w.inHook("a/0", func(h *hookRun) { assert.Empty(t, h.tool("relation-ids", "in"), series) })
	}
}

// A unit that is removed runs its -broken hook too, while the relation lives on.
func TestRelationThatLivesOnIsListedInBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 2)
	w.deploy("b", 1)
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	w.settle()
	w.on["a/1 in-relation-broken"] = func(h *hookRun) error {
		assert.Equal(t, "in:2", h.tool("relation-ids", "in"))
		return nil
	}
	w.forget()
	require.NoError(t, w.RemoveUnit("a/1", false))
	w.settle()
	assert.Contains(t, w.take("a/1"), "in-relation-broken")
}

func TestPeerBagOutlivesTheLastUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.inHook("thing/0", func(h *hookRun) { h.tool("relation-set", "-r", "ring:0", "--app", "k=v") })
	require.NoError(t, w.RemoveUnit("thing/0", false))
	w.settle()
	assert.Empty(t, w.Units(""))
	_, err := w.AddUnit("thing", NewMachine)
	require.NoError(t, err)
	w.settle()
	w.inHook("thing/1", func(h *hookRun) {
		assert.Equal(t, "v", h.tool("relation-get", "-r", "ring:0", "--app", "k", "thing"))
		assert.Equal(t, "10.0.0.10", h.tool("relation-get", "-r", "ring:0", "private-address", "thing/0"))
	})
}

func TestRelateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 0)
	w.deploy("b", 0)
	for _, tc := range []struct{ a, b, want string }{
		{"a", "b", "ambiguous"},
		{"a:in", "b:in", "no relations found"},
		{"a:nothing", "b", `no "nothing" relation`},
		{"a", "c", `application "c" not found`},
	} {
		_, err := w.Relate(tc.a, tc.b)
		assert.ErrorContains(t, err, tc.want)
	}
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	_, err = w.Relate("b:out", "a:in")
	assert.ErrorContains(t, err, "already exists")
}

func TestGoalState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 3)
	w.deploy("b", 1)
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	w.settle()
	w.inHook("b/0", func(h *hookRun) { h.tool("status-set", "active") })
	w.on["a/1 stop"] = func(h *hookRun) error {
		assert.JSONEq(t, `{
			"units": {
				"a/0": {"status": "waiting", "since": "2026-11-01 12:00:00Z"},
				"a/1": {"status": "dying", "since": "2026-11-01 12:00:00Z"},
				"a/2": {"status": "waiting", "since": "2026-11-01 12:00:00Z"}
			},
			"relations": {"in": {
				"b": {"status": "joined", "since": "2026-11-01 12:00:00Z"},
				"b/0": {"status": "active", "since": "2026-11-01 12:00:00Z"}
			}}
		}`, h.tool("goal-state", "--format=json"))
		return nil
	}
	require.NoError(t, w.RemoveUnit("a/1", false))
	w.settle()
	w.inHook("a/0", func(h *hookRun) { assert.NotContains(t, h.tool("goal-state"), "a/1") })
}
