package operator

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// words are steps as an operator reads them.
func words(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.String())
	}
	return out
}

func TestDefragment(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3) // etcd/2 leads
	for i := range w.Members {
		w.Members[i].Leader = 2
	}
	steps, result, err := Defragment(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.Equal(t, []string{
		"take the turn", "wait for all voters to be ready",
		"defragment member 1 (etcd/0)", "wait for member 1 to be ready",
		"defragment member 3 (etcd/2)", "wait for member 3 to be ready",
		"defragment member 2 (etcd/1)", "wait for member 2 to be ready",
		"give the turn back",
	}, words(steps), "one at a time, the raft leader last")

	after := w
	after.Members = members(3)
	after.Members[0].DBSize = 20 << 20
	after = down(after, 2)
	result = result.Finish(after)
	assert.Empty(t, result.Failed)
	assert.Equal(t, map[string]any{
		"etcd0": map[string]any{"before": "25165824", "after": "20971520", "freed": "4194304"},
		"etcd1": map[string]any{"before": "25165824", "after": "25165824", "freed": "0"},
		"etcd2": map[string]any{"before": "25165824"},
	}, result.Values["members"])
	assert.Equal(t, "4194304", result.Values["freed"])
	assert.Regexp(t, `etcd/0 +24 MiB +20 MiB +4 MiB`, result.Text)

	steps, result, err = Defragment(map[string]any{"unit": "etcd/1"}, m, w)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"take the turn", "wait for all voters to be ready", "defragment member 2 (etcd/1)", "wait for member 2 to be ready", "give the turn back",
	}, words(steps))
	assert.Len(t, result.Finish(after).Values["members"], 1)

	_, _, err = Defragment(map[string]any{"unit": 1}, m, w)
	require.ErrorContains(t, err, `cannot use parameter "unit"`)
	_, result, err = Defragment(map[string]any{"unit": "etcd/9"}, m, w)
	require.NoError(t, err)
	assert.Equal(t, "nothing is defragmented: etcd/9 has no voter", result.Failed)
}

func TestCompactHistory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		params map[string]any
		steps  []string
		failed string
		text   string
		err    string
	}{
		"the last thousand":  {nil, []string{"take the turn", "compact to revision 4000", "give the turn back"}, "", "", ""},
		"kept by Juju":       {map[string]any{"keep": 1000.0}, []string{"take the turn", "compact to revision 4000", "give the turn back"}, "", "", ""},
		"keep none":          {map[string]any{"keep": 0}, []string{"take the turn", "compact to revision 5000", "give the turn back"}, "", "", ""},
		"keep more":          {map[string]any{"keep": 5000}, nil, "", "nothing to compact: the current revision is 5000, and the last 5000 are kept;\nkeep=0 drops all history\n", ""},
		"to a revision":      {map[string]any{"revision": 7.0, "keep": 1000.0}, []string{"take the turn", "compact to revision 7", "give the turn back"}, "", "", ""},
		"to the future":      {map[string]any{"revision": 5001}, nil, "nothing is compacted: revision 5001 does not exist yet, the current one is 5000", "", ""},
		"no revision":        {map[string]any{"revision": 0}, nil, "", "", `cannot use parameter "revision"`},
		"half a revision":    {map[string]any{"revision": 1.5}, nil, "", "", `cannot use parameter "revision"`},
		"a revision in text": {map[string]any{"revision": "all"}, nil, "", "", `cannot use parameter "revision"`},
		"less than nothing":  {map[string]any{"keep": -1}, nil, "", "", `cannot use parameter "keep"`},
		"an empty keep":      {map[string]any{"keep": nil}, nil, "", "", `cannot use parameter "keep"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyCluster(3)
			for i := range w.Members {
				w.Members[i].Revision = 5000 - int64(i)
			}
			steps, result, err := CompactHistory(tc.params, m, w)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.steps, words(steps))
			assert.Equal(t, tc.failed, result.Failed)
			if len(steps) == 0 {
				assert.Equal(t, tc.text, result.Text)
				return
			}
			none := result.Finish(w)
			if revision, _ := none.Values["revision"].(string); revision == "5000" {
				assert.Contains(t, none.Text, "nothing was freed: the databases hold live data only;\nraise quota_backend_bytes or delete keys")
			} else {
				assert.Contains(t, none.Text, "nothing was freed; keep=0 drops all history")
			}
			w.Members = members(3)
			w.Members[1].DBInUse = 1 << 20
			out := result.Finish(w)
			assert.Equal(t, "5000", out.Values["current-revision"])
			// etcd accepts a compaction to a revision that is gone already; what the action says is
			// true anyway.
			assert.True(t, strings.HasPrefix(out.Text, fmt.Sprintf("revisions before %s are gone", out.Values["revision"])), out.Text)
			assert.Equal(t, map[string]any{"before": "20971520", "after": "1048576", "freed": "19922944"},
				out.Values["members"].(map[string]any)["etcd1"])
		})
	}
}

func TestAlarmDisarm(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	steps, result, err := AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, steps)
	assert.Equal(t, Result{Text: "no alarm\n", Values: map[string]any{"count": "0"}}, result)

	// A member that is gone leaves its alarm behind, whatever it is.
	w.Alarms = []Alarm{{2, "NOSPACE"}, {9, "CORRUPT"}}
	steps, result, err = AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.Equal(t, []Step{Disarm{w.Alarms[0]}, Disarm{w.Alarms[1]}}, steps, "no turn can be taken while NOSPACE is raised")
	after := w
	after.Alarms = nil
	out := result.Finish(after)
	assert.Empty(t, out.Failed)
	assert.Equal(t, map[string]any{
		"etcd1": map[string]any{"alarm": "NOSPACE", "now": "disarmed"}, "member-9": map[string]any{"alarm": "CORRUPT", "now": "disarmed"},
	}, out.Values["alarms"])
	after.Alarms = w.Alarms[:1]
	out = result.Finish(after)
	assert.Equal(t, "NOSPACE alarm on etcd/1", out.Failed)
	assert.Regexp(t, `etcd/1 +NOSPACE +raised`, out.Text)

	full := w
	full.Members = members(3)
	full.Members[2].DBSize = full.Members[2].Quota
	_, result, err = AlarmDisarm(nil, m, full)
	require.NoError(t, err)
	assert.Equal(t, "nothing is disarmed: the database of etcd/2 takes 2 GiB of a quota of 2 GiB; raise quota_backend_bytes, or run compact and defrag, or delete keys",
		result.Failed)

	w.Alarms = []Alarm{{2, "CORRUPT"}}
	steps, result, err = AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, steps)
	assert.Contains(t, result.Failed, "nothing is disarmed: the data of etcd/1 cannot be trusted")
	assert.Contains(t, result.Failed, "juju remove-unit etcd/1, then alarm-disarm again, then juju add-unit etcd")

	// etcd names no member if it cannot tell whose data is wrong.
	w.Alarms = []Alarm{{0, "CORRUPT"}}
	steps, result, err = AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, steps)
	assert.Contains(t, result.Failed, "etcd does not say whose is bad")
	w.Members = members(1)
	steps, _, err = AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, []Step{Disarm{w.Alarms[0]}}, steps, "there is no other to differ from")
}

// TestAlarmListLeavesOutNone: alarms of members that are gone, or that name none, are listed too.
func TestAlarmListLeavesOutNone(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	w.Alarms = []Alarm{{2, noSpace}, {9, corrupt}, {0, corrupt}}
	_, result, err := AlarmList(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"count":  "3",
		"alarms": map[string]any{"etcd1": noSpace, "member-9": corrupt, "member-0": corrupt},
	}, result.Values)
	assert.Regexp(t, `9 +CORRUPT +data of 9 differs`, result.Text)
	assert.Regexp(t, `unknown member +CORRUPT +members' data differs`, result.Text)
}

func TestMaintenanceRefused(t *testing.T) {
	t.Parallel()
	spacious := []Alarm{{2, noSpace}}
	for name, tc := range map[string]struct {
		change func(*Model, *World)
		defrag string
		others string
	}{
		"another has the turn": {
			func(_ *Model, w *World) { w.Turn.Holder = "etcd/1" },
			"other maintenance is running: etcd/1 restarts", "other maintenance is running: etcd/1 restarts",
		},
		"our own turn is left over": {func(_ *Model, w *World) { w.Turn.Holder = "etcd/0" }, "", ""},
		"who has the turn is not known": {
			func(_ *Model, w *World) { w.Turn = Turn{} }, "turn to restart unknown", "turn to restart unknown",
		},
		"a voter is down": {func(_ *Model, w *World) { *w = down(*w, 1) }, "nothing is defragmented: etcd/1 is not ready", ""},
		"a voter is not ready": {
			func(_ *Model, w *World) { w.Members[2].Ready = false }, "nothing is defragmented: etcd/2 is not ready", "",
		},
		"a learner is not ready": {func(_ *Model, w *World) { w.Members[2].Learner, w.Members[2].Ready = true, false }, "", ""},
		"no quorum":              {func(_ *Model, w *World) { *w = withoutQuorum(*w) }, "no quorum", "no quorum"},
		"full, on the leader":    {func(*Model, *World) {}, "", ""},
		"full, elsewhere":        {func(m *Model, _ *World) { m.Leader = Know(false) }, "", ""},
		"corrupt":                {func(*Model, *World) {}, "while alarm CORRUPT is raised nothing is changed", ""},
		"a proxy": {
			func(m *Model, w *World) { *m, *w = healthyProxy(1) }, "etcd-proxy/0 is a proxy", "etcd-proxy/0 is a proxy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for action, want := range map[string]string{"defrag": tc.defrag, "compact": tc.others, "alarm-disarm": tc.others} {
				m, w := healthyCluster(3)
				for i := range w.Members {
					w.Members[i].Revision = 5000
				}
				w.Alarms = []Alarm{{9, "SLOW"}}
				switch name {
				case "corrupt":
					w.Alarms = []Alarm{{9, corrupt}}
				case "full, on the leader":
					w.Alarms = spacious
				case "full, elsewhere":
					w.Alarms, want = spacious, "while alarm NOSPACE is raised this runs on the leader only; juju run etcd/leader"
				}
				if name == "corrupt" && action == "compact" {
					want = tc.defrag
				}
				tc.change(&m, &w)
				steps, result, err := Actions[action](nil, m, w)
				require.NoError(t, err)
				if want == "" {
					assert.Empty(t, result.Failed, action)
					assert.NotEmpty(t, steps, action)
					assert.Equal(t, name != "full, on the leader" && name != "corrupt", steps[0] == Step(TakeTurn{}), action)
					continue
				}
				assert.Empty(t, steps, action)
				assert.Contains(t, result.Failed, want, action)
			}
		})
	}
}

// TestAlarmBetweenLookAndTurn: taking the turn is the write that raises NOSPACE. Actions and the
// pass then say and do what they would have if they had seen the alarm first.
func TestAlarmBetweenLookAndTurn(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]Action{"compact": CompactHistory, "defrag": Defragment} {
		m, w := healthyCluster(3)
		for i := range w.Members {
			w.Members[i].Revision = 5000
		}
		before, _, err := act(nil, m, w)
		require.NoError(t, err)
		require.Equal(t, Step(TakeTurn{}), before[0], name)
		_, _, ok := Redecide(act, nil, m, w)
		assert.False(t, ok, "%s: nothing has changed, so its error stands", name)

		w.Alarms = []Alarm{{2, noSpace}}
		steps, result, ok := Redecide(act, nil, m, w)
		assert.True(t, ok, name)
		assert.Empty(t, result.Failed, name)
		assert.NotContains(t, words(steps), "take the turn", "%s: the leader does without", name)
		assert.Subset(t, words(before), words(steps), name)

		m.Leader = Know(false)
		steps, result, ok = Redecide(act, nil, m, w)
		assert.True(t, ok, name)
		assert.Empty(t, steps, name)
		assert.Contains(t, result.Failed, "while alarm NOSPACE is raised this runs on the leader only", name)
		w.Alarms, w.Turn.Holder = nil, "etcd/1"
		_, result, _ = Redecide(act, nil, m, w)
		assert.Contains(t, result.Failed, "other maintenance is running: etcd/1 restarts", name)
	}

	m := model(3)
	w := world(m)
	m.Config.SnapshotCount = 5000
	require.Equal(t, Step(TakeTurn{}), Decide(lookAgain, m, w).Step)
	w.Tried = []Attempt{{TakeTurn{}, errors.New("cannot take the turn: mvcc: database space exceeded")}}
	w.Alarms = []Alarm{{2, noSpace}}
	for i := range w.Members {
		w.Members[i].DBSize, w.Members[i].DBInUse = 2<<30, 2<<30
	}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "NOSPACE on etcd/1: no writes; 2 GiB of 2 GiB live: raise quota or delete")
	assert.NotContains(t, p.Status.Message, "mvcc")
}
