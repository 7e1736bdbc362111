package model

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeAll writes with every tool that waits for the commit.
func writeAll(h *hookRun) {
	h.tool("relation-set", "-r", "ring:0", "mine=1")
	h.tool("relation-set", "-r", "ring:0", "--app", "ours=1")
	h.tool("state-set", "kept=1")
	h.tool("open-port", "80")
	h.tool("secret-add", "--label", "s", "value=v")
}

func TestCommitOnlyOnSuccess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		fail bool
	}{{"exit 0 keeps all", false}, {"exit 1 drops all", true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "4.0")
			w.deploy("thing", 1)
			w.settle()
			w.on["update-status"] = func(h *hookRun) error {
				writeAll(h)
				h.tool("status-set", "active", "told at once")
				h.tool("application-version-set", "1.2")
				if tc.fail {
					return errors.New("no")
				}
				return nil
			}
			require.NoError(t, w.UpdateStatus("thing/0"))
			err := w.Settle(t.Context(), w, 1)
			want := map[bool]int{false: 1, true: 0}[tc.fail]
			if tc.fail {
				require.ErrorIs(t, err, ErrInError)
				require.ErrorContains(t, err, `thing/0 ("update-status")`)
			} else {
				require.NoError(t, err)
			}
			got := []int{0, 0, 0, 0, 0}
			got[0] = btoi(w.bag("ring:0", "thing/0")["mine"] == "1")
			got[1] = btoi(w.bag("ring:0", "thing")["ours"] == "1")
			got[2] = btoi(w.units["thing/0"].state["kept"] == "1")
			got[3] = btoi(w.units["thing/0"].ports["80/tcp"])
			got[4] = len(w.secrets)
			assert.Equal(t, []int{want, want, want, want, want}, got)
			assert.Equal(t, "told at once", w.units["thing/0"].workload.Message)
			assert.Equal(t, "1.2", w.Status().Applications["thing"].Version)
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestHookReadsItsOwnPendingWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.inHook("thing/0", func(h *hookRun) {
		writeAll(h)
		assert.Equal(t, "1", h.tool("relation-get", "-r", "ring:0", "mine", "thing/0"))
		assert.Equal(t, "1", h.tool("relation-get", "-r", "ring:0", "--app", "ours", "thing"))
		assert.Equal(t, "1", h.tool("state-get", "kept"))
		assert.Empty(t, h.tool("opened-ports"), "ports alone are shown as they were before the hook")
		assert.Equal(t, "v", h.tool("secret-get", "--label", "s", "--", "value"))
		h.tool("relation-set", "-r", "ring:0", "mine=")
		h.tool("state-delete", "kept")
		assert.Empty(t, h.tool("relation-get", "-r", "ring:0", "mine", "thing/0"))
		assert.Empty(t, h.tool("state-get", "kept"))
		assert.Empty(t, w.bag("ring:0", "thing/0")["mine"], "nothing is committed yet")
	})
	assert.NotContains(t, w.bag("ring:0", "thing/0"), "mine")
	assert.Equal(t, "1", w.bag("ring:0", "thing")["ours"])
	w.inHook("thing/0", func(h *hookRun) {
		h.tool("close-port", "80/tcp")
		assert.Equal(t, "80/tcp", h.tool("opened-ports"))
	})
	w.inHook("thing/0", func(h *hookRun) { assert.Empty(t, h.tool("opened-ports")) })
}

func TestLostLeadershipFailsTheWholeCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	tries := 0
	w.on["thing/0 update-status"] = func(h *hookRun) error {
		if tries++; tries > 1 {
			assert.Equal(t, "ERROR cannot write relation settings", h.fails("relation-set", "-r", "ring:0", "--app", "ours=2"))
			return nil
		}
		writeAll(h)
		return w.SetLeader("thing", "thing/1")
	}
	require.NoError(t, w.UpdateStatus("thing/0"))
	w.settle()
	assert.Equal(t, 2, tries, "the hook is retried")
	assert.NotContains(t, w.bag("ring:0", "thing/0"), "mine")
	assert.NotContains(t, w.bag("ring:0", "thing"), "ours")
	assert.Empty(t, w.units["thing/0"].state)
}

// TestUpdateStatusAskedMeanwhile: juju-exec that asks for a hook while one runs waits for it, and
// then runs its own.
func TestUpdateStatusAskedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	runs := 0
	w.on["thing/0 update-status"] = func(*hookRun) error {
		if runs++; runs == 1 {
			return w.UpdateStatus("thing/0")
		}
		return nil
	}
	require.NoError(t, w.UpdateStatus("thing/0"))
	w.settle()
	assert.Equal(t, 2, runs)
}

func TestLostLeadershipSparesWhoWroteNothingAsLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	w.inHook("thing/0", func(h *hookRun) {
		h.tool("relation-set", "-r", "ring:0", "mine=1")
		require.NoError(t, w.SetLeader("thing", "thing/1"))
	})
	assert.Equal(t, "1", w.bag("ring:0", "thing/0")["mine"])
}

func TestFailedHookIsRetriedWhileOthersRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	broken := true
	w.on["thing/0 config-changed"] = func(*hookRun) error {
		if broken {
			return errHook("broken")
		}
		return nil
	}
	err := w.Settle(t.Context(), w, 1)
	require.ErrorIs(t, err, ErrInError)
	assert.Contains(t, w.take("thing/1"), "start")
	assert.NotContains(t, w.take("thing/0"), "start")
	assert.Equal(t, MaxRetries+1, strings.Count(strings.Join(w.take("thing/0"), " "), "config-changed"))
	st := w.Status().Applications["thing"].Units["thing/0"]
	assert.Equal(t, "error", st.Workload.Current)
	assert.Equal(t, `hook failed: "config-changed"`, st.Workload.Message)

	broken = false
	require.NoError(t, w.Resolved("thing/0", false))
	w.settle()
	assert.Contains(t, w.take("thing/0"), "start")
	require.ErrorContains(t, w.Resolved("thing/0", false), "not in an error state")
}

func TestResolvedNoRetrySkipsTheHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.on["install"] = func(*hookRun) error { return errHook("never") }
	require.ErrorIs(t, w.Settle(t.Context(), w, 1), ErrInError)
	require.NoError(t, w.Resolved("thing/0", true))
	w.settle()
	assert.Contains(t, w.take("thing/0"), "start")
}

func TestCrashKillsTheHookAtACall(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		after bool
		want  string
	}{{false, "maintenance one"}, {true, "maintenance two"}} {
		w := newWorld(t, "4.0")
		w.deploy("thing", 1)
		w.settle()
		w.forget()
		runs := 0
		var seen string
		w.on["update-status"] = func(h *hookRun) error {
			if runs++; runs == 2 {
				s := w.Status().Applications["thing"].Units["thing/0"].Workload
				seen = s.Current + " " + s.Message
				return nil
			}
			h.tool("relation-set", "-r", "ring:0", "mine=1")
			h.tool("status-set", "maintenance", "one")
			_, err := h.Run(h.ctx, nil, "status-set", "maintenance", "two")
			require.ErrorIs(t, err, ErrCrashed)
			return err
		}
		w.SetCrash(Crash{Call: 3, After: tc.after})
		require.NoError(t, w.UpdateStatus("thing/0"))
		w.settle()
		assert.Equal(t, 2, runs, "a killed hook is queued again and is no error")
		assert.Equal(t, tc.want, seen)
		assert.NotContains(t, w.bag("ring:0", "thing/0"), "mine")
		rs := w.Records("thing/0")
		assert.Equal(t, ResultKilled, rs[len(rs)-2].Result)
	}
}

func TestMissingHookIsAQuietSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	nothing := RunnerFunc(func(context.Context, *Context) (Outcome, error) { return Outcome{Missing: true}, nil })
	require.NoError(t, w.Settle(t.Context(), nothing, 1))
	assert.Len(t, w.Records("thing/0"), 5)
	assert.Equal(t, ResultMissing, w.Records("")[0].Result)
}

func TestRecordsCountCallsAndBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.inHook("thing/0", func(h *hookRun) {
		h.tool("relation-set", "-r", "ring:0", "key=value")
		h.tool("state-set", "ab=cde")
		h.tool("is-leader")
	})
	rs := w.Records("thing/0")
	r := rs[len(rs)-1]
	assert.Equal(t, 3, r.Calls)
	assert.Equal(t, []string{"relation-set", "state-set", "is-leader"}, r.Tools)
	assert.Equal(t, 13, r.Bytes)
	assert.Equal(t, ResultDone, r.Result)
}

func TestEndedHookMayCallNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	var old *Context
	w.inHook("thing/0", func(h *hookRun) { old = h.Context })
	_, err := old.Call(Request{Tool: "is-leader"})
	require.Error(t, err)
	_, err = w.Context(old.ID)
	require.ErrorContains(t, err, "unknown context id")
}

func TestActions(t *testing.T) {
	t.Parallel()
	type want struct {
		status, message string
		results         map[string]any
		committed       bool
	}
	for _, tc := range []struct {
		name   string
		params map[string]any
		do     func(h *hookRun) error
		want   want
	}{
		{
			"defaults are filled in, results are nested", nil,
			func(h *hookRun) error {
				h.tool("action-set", "a.b="+h.tool("action-get", "who"), "c=x=y")
				return nil
			},
			want{"completed", "", map[string]any{"a": map[string]any{"b": "world"}, "c": "x=y", "return-code": 0}, true},
		},
		{
			"exit 1 commits nothing", nil, func(*hookRun) error { return errors.New("no") },
			want{"failed", "exit status 1", map[string]any{"return-code": 1, "stderr": "no"}, false},
		},
		{
			"action-fail commits", nil,
			func(h *hookRun) error {
				h.tool("action-fail", "--", "- why")
				return nil
			},
			want{"failed", "- why", map[string]any{"return-code": 0}, true},
		},
		{
			"nested params",
			map[string]any{"deep": map[string]any{"x": "y"}},
			func(h *hookRun) error {
				h.tool("action-set", "got="+h.tool("action-get", "deep.x"))
				return nil
			},
			want{"completed", "", map[string]any{"got": "y", "return-code": 0}, true},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "4.0")
			w.deploy("thing", 1)
			w.settle()
			w.on["greet"] = func(h *hookRun) error {
				h.tool("state-set", "done=1")
				return tc.do(h)
			}
			res, _, err := w.RunAction(t.Context(), "thing/0", "greet", tc.params, w)
			require.NoError(t, err)
			assert.Equal(t, tc.want.status, res.Status)
			assert.Equal(t, tc.want.message, res.Message)
			assert.Equal(t, tc.want.results, res.Results)
			assert.Equal(t, tc.want.committed, w.units["thing/0"].state["done"] == "1")
			assert.Equal(t, "waiting", w.Status().Applications["thing"].Units["thing/0"].Workload.Current, "an action never errors the unit")
		})
	}
}

func TestActionsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	for name, tc := range map[string]struct {
		unit, action string
		params       map[string]any
		want         string
	}{
		"unknown action":   {"thing/0", "nothing", nil, "action not defined"},
		"unknown unit":     {"thing/9", "greet", nil, `unit "thing/9" not found`},
		"wrong type":       {"thing/0", "greet", map[string]any{"times": "three"}, "validation failed"},
		"number is no str": {"thing/0", "greet", map[string]any{"who": 3}, "validation failed"},
	} {
		_, _, err := w.RunAction(t.Context(), tc.unit, tc.action, tc.params, w)
		assert.ErrorContains(t, err, tc.want, name)
	}
}
