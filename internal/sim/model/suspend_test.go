package model

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// related returns a/0 and b/0 at rest, with relation in:2 of a and out:2 of b between them.
func related(t *testing.T, series string) *world {
	t.Helper()
	w := newWorld(t, series)
	w.deploy("a", 1)
	w.deploy("b", 1)
	id, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	require.Equal(t, "in:2", id)
	w.settle()
	w.inHook("a/0", func(h *hookRun) { h.tool("relation-set", "-r", "in:2", "k=v") })
	w.forget()
	return w
}

func TestSuspendAndResume(t *testing.T) {
	t.Parallel()
	for _, series := range Series {
		t.Run(series, func(t *testing.T) {
			t.Parallel()
			w := related(t, series)
			require.NoError(t, w.Suspend("2"))
			w.settle()
			assert.Equal(t, []string{"in-relation-departed b/0 b/0", "in-relation-broken"}, w.take("a/0"))
			assert.Equal(t, []string{"out-relation-departed a/0 a/0", "out-relation-broken"}, w.take("b/0"))
			assert.True(t, w.Relations()[2].Suspended)
			w.inHook("a/0", func(h *hookRun) {
				assert.Equal(t, "[]", h.tool("relation-ids", "--format=json", "in"))
				assert.Contains(t, h.fails("relation-set", "-r", "in:2", "k=w"), "relation not found")
			})
			_, err := w.Relate("a:in", "b:out")
			require.ErrorContains(t, err, "already exists")

			w.forget()
			require.NoError(t, w.Resume("in:2"))
			w.on["a/0 in-relation-created"] = func(h *hookRun) error {
				assert.Equal(t, `["in:2"]`, h.tool("relation-ids", "--format=json", "in"), "it has its id again")
				assert.Empty(t, h.tool("relation-list", "-r", "in:2"))
				assert.Empty(t, h.tool("relation-get", "-r", "in:2", "k", "a/0"), "and nothing of what was in the bag")
				return nil
			}
			w.settle()
			assert.Equal(t, []string{"in-relation-created", "in-relation-joined b/0", "in-relation-changed b/0"}, w.take("a/0"))
			assert.Equal(t, []string{"out-relation-created", "out-relation-joined a/0", "out-relation-changed a/0"}, w.take("b/0"))
			assert.NotContains(t, w.bag("in:2", "a/0"), "k")

			require.NoError(t, w.Unrelate("a:in", "b:out"))
			w.settle()
			assert.Len(t, w.Relations(), 2)
		})
	}
}

// A unit that has not left the relation when it is resumed hears nothing at all; a suspended
// relation can be removed.
func TestSuspendForAMoment(t *testing.T) {
	t.Parallel()
	w := related(t, "4.0")
	require.NoError(t, w.Suspend("2"))
	require.NoError(t, w.Resume("2"))
	w.settle()
	assert.Empty(t, w.take(""))
	assert.Equal(t, "v", w.bag("in:2", "a/0")["k"])

	require.NoError(t, w.Suspend("2"))
	w.settle()
	require.NoError(t, w.Unrelate("a:in", "b:out"))
	assert.Len(t, w.Relations(), 2)

	require.ErrorContains(t, w.Suspend("2"), "not found")
	require.ErrorContains(t, w.Suspend("ring:0"), "peer relation")
	require.ErrorContains(t, w.Resume("x"), "invalid relation id")
}

// Juju deletes the relation before the offering side could hear broken, and its agents do not
// notice.
func TestVanish(t *testing.T) {
	t.Parallel()
	w := related(t, "4.0")
	require.NoError(t, w.Vanish("a:in", "b:out"))
	w.settle()
	assert.Equal(t, []string{"in-relation-departed b/0 b/0"}, w.take("a/0"), "broken never comes")
	assert.Equal(t, []string{"out-relation-departed a/0 a/0", "out-relation-broken"}, w.take("b/0"))
	assert.Len(t, w.Relations(), 2)
	ghost := func(h *hookRun) {
		assert.Equal(t, `["in:2"]`, h.tool("relation-ids", "--format=json", "in"))
		assert.Empty(t, h.tool("relation-list", "-r", "in:2"))
		assert.Equal(t, "ERROR relation not found", h.fails("relation-get", "-r", "in:2", "-", "a/0"))
		assert.Equal(t, "ERROR cannot read relation settings: relation not found", h.fails("relation-set", "-r", "in:2", "k=w"))
		assert.NotContains(t, h.tool("goal-state", "--format=json"), "b/0")
	}
	w.inHook("a/0", ghost)
	w.inHook("a/0", ghost)

	again, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	assert.Equal(t, "in:3", again)
	w.settle()
	require.NoError(t, w.StopAgents(0))
	require.NoError(t, w.StartAgents(0))
	w.inHook("a/0", func(h *hookRun) {
		assert.Equal(t, `["in:3"]`, h.tool("relation-ids", "--format=json", "in"), "the agent has started again")
	})
	require.ErrorContains(t, w.Vanish("a:ring", "b:out"), "has no")
}
