package charm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// answers are the outputs of the hook tools. A tool that is not listed does not exist.
var answers = map[string]string{
	"config-get": `{"role": "member"}`, "is-leader": "true", "state-get": "{}", "goal-state": `{"units": {"etcd/0": {"status": "active"}}}`,
	"relation-ids": "[]", "secret-get": "", "action-get": "{}",
	"network-get": `{"bind-addresses":[{"addresses":[{"address":"127.0.200.1"}]}],"ingress-addresses":["127.0.200.1"]}`,
	"juju-log":    "", "status-set": "", "action-set": "", "action-fail": "", "action-log": "",
}

// fakeTools answers as the hook tools do.
type fakeTools struct {
	calls []string
	says  map[string]string
}

func (f *fakeTools) Has(tool string) bool { return tool != "secret-get" }

func (f *fakeTools) Run(_ context.Context, _ []byte, tool string, args ...string) ([]byte, error) {
	f.calls = append(f.calls, tool+" "+strings.Join(args, " "))
	if answer, ok := f.says[tool]; ok {
		return []byte(answer), nil
	}
	answer, ok := answers[tool]
	if !ok {
		panic("no such tool: " + tool)
	}
	return []byte(answer), nil
}

func (f *fakeTools) called(tool string) []string {
	return slices.DeleteFunc(slices.Clone(f.calls), func(call string) bool { return !strings.HasPrefix(call, tool+" ") })
}

// fakeMachine has nothing on it; look, if set, is called by Observe.
type fakeMachine struct{ look func() error }

func (fakeMachine) Seen(context.Context) ([]uint64, operator.Turn) { return nil, operator.Turn{} }

func (m fakeMachine) Observe(context.Context, operator.Model) (operator.World, error) {
	if m.look != nil {
		return operator.World{}, m.look()
	}
	return operator.World{}, nil
}

func (fakeMachine) Do(_ context.Context, s operator.Step) error {
	panic("an empty machine wants no step: " + s.String())
}

func newCharm(f *fakeTools, m Machine) Charm {
	var out bytes.Buffer
	env := map[string]string{"JUJU_UNIT_NAME": "etcd/0", "JUJU_VERSION": "4.0.15"}
	return Charm{
		Tools: f, Find: f, Env: func(key string) string { return env[key] }, Hostname: "no.such.host",
		Log: slog.New(juju.NewLogHandler(f, &out)), Machine: m, Now: time.Now,
	}
}

func TestBrokenCharmPublishesNothing(t *testing.T) {
	t.Parallel()
	broken := fakeMachine{look: func() error { panic("index out of range") }}
	f := &fakeTools{}
	c := newCharm(f, broken)
	require.ErrorContains(t, c.Run(t.Context(), "hooks/config-changed"), "internal error: index out of range")
	assert.Empty(t, f.called("status-set"))
	require.Len(t, f.called("juju-log"), 1)
	assert.Contains(t, f.called("juju-log")[0], "ERROR -- panic cause=")
	assert.Contains(t, f.called("juju-log")[0], "charm_test.go", "the stack")

	f = &fakeTools{}
	c = newCharm(f, broken)
	require.Error(t, c.Run(t.Context(), "actions/health"))
	assert.Equal(t, []string{"action-fail -- internal error: index out of range"}, f.called("action-fail"))
}

func TestBlindCharmFails(t *testing.T) {
	t.Parallel()
	blind := fakeMachine{look: func() error { return errors.New("input/output error") }}
	f := &fakeTools{}
	c := newCharm(f, blind)
	require.ErrorContains(t, c.Run(t.Context(), "hooks/start"), "input/output error")
	assert.Empty(t, f.called("status-set"))

	f = &fakeTools{}
	c = newCharm(f, blind)
	require.Error(t, c.Run(t.Context(), "actions/health"))
	assert.Len(t, f.called("action-fail"), 1)
}

func TestEndedHookFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &fakeTools{}
	c := newCharm(f, fakeMachine{})
	require.ErrorIs(t, c.Run(ctx, "hooks/start"), context.Canceled)
	assert.Empty(t, f.called("status-set"), "Juju calls the hook again")
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	const late = leadership + time.Second
	require.NoError(t, overdue(operator.Plan{}, late), "nothing to record")
	require.NoError(t, overdue(operator.Plan{Bags: make([]operator.BagWrite, 1)}, late), "the same cluster")
	require.NoError(t, overdue(operator.Plan{Claims: true}, leadership))
	require.ErrorContains(t, overdue(operator.Plan{Claims: true}, late), "26s after asking who leads")
}

// TestActionRecordsNoEndTooLate: an action that gives a cluster up relies on is-leader as a hook
// does.
func TestActionRecordsNoEndTooLate(t *testing.T) {
	t.Parallel()
	for took, failed := range map[time.Duration][]string{
		leadership:               {},
		leadership + time.Second: {"action-fail -- cannot publish as leader 26s after asking who leads: the next hook or try does"},
	} {
		f := &fakeTools{says: map[string]string{
			"action-get": `{"confirm": "c1"}`, "relation-ids": `["cluster:0"]`, "relation-get": `{"schema": "2", "cluster-id": "c1"}`, "relation-set": "",
		}}
		now := time.Unix(0, 0)
		c := newCharm(f, fakeMachine{look: func() error { now = now.Add(took); return nil }})
		c.Now = func() time.Time { return now }
		require.NoError(t, c.Run(t.Context(), "actions/found-cluster"))
		assert.Equal(t, failed, f.called("action-fail"), took)
		assert.Equal(t, len(failed) == 0, len(f.called("relation-set")) == 1, took)
		assert.Equal(t, len(failed) == 0, len(f.called("action-set")) == 1, took)
	}
}

func TestHookWithoutUnitFails(t *testing.T) {
	t.Parallel()
	c := newCharm(&fakeTools{}, fakeMachine{})
	c.Env = func(string) string { return "" }
	require.ErrorContains(t, c.Run(t.Context(), "hooks/start"), "JUJU_UNIT_NAME")
}

// upkeepMachine is the voter of a cluster of one that is ready; it records the steps and fails the
// one that fail names.
type upkeepMachine struct {
	fakeMachine
	fail  string
	steps []string
}

func (m *upkeepMachine) Do(_ context.Context, s operator.Step) error {
	m.steps = append(m.steps, s.String())
	if m.fail != "" && strings.HasPrefix(s.String(), m.fail) {
		return errors.New("no luck")
	}
	return nil
}

func TestActionsGiveTheTurnBack(t *testing.T) {
	t.Parallel()
	steps := []operator.Step{operator.TakeTurn{}, operator.Compact{Revision: 7}, operator.ReleaseTurn{}}
	for fail, want := range map[string][]string{
		"":              {"take the turn", "compact to revision 7", "give the turn back"},
		"compact":       {"take the turn", "compact to revision 7", "give the turn back"},
		"take the turn": {"take the turn"},
	} {
		f, m := &fakeTools{}, &upkeepMachine{fail: fail}
		c := newCharm(f, m)
		err := c.steps(t.Context(), steps, operator.World{})
		assert.Equal(t, want, m.steps, fail)
		assert.Equal(t, fail == "", err == nil)
		if fail != "" {
			require.ErrorContains(t, err, "cannot "+fail)
		}
		assert.Contains(t, f.called("action-log"), "action-log -- take the turn", "progress is shown")
	}
}

// fullMachine has a member whose database is full: taking the turn is the first write to it, and
// raises the alarm.
type fullMachine struct {
	upkeepMachine
	alarms []operator.Alarm
}

func (m *fullMachine) Observe(context.Context, operator.Model) (operator.World, error) {
	return operator.World{
		Service: operator.Service{Kind: operator.MemberService, Running: true}, Reach: operator.Healthy, Turn: operator.Turn{Known: true}, Alarms: m.alarms,
		Members: []operator.Member{{ID: 1, Name: "etcd0", Answers: true, Ready: true, Leader: 1, Revision: 5000}},
	}, nil
}

func (m *fullMachine) Do(ctx context.Context, s operator.Step) error {
	if s == operator.Step(operator.TakeTurn{}) {
		m.alarms = []operator.Alarm{{MemberID: 1, Kind: "NOSPACE"}}
	}
	return m.upkeepMachine.Do(ctx, s)
}

// TestActionsSetTheStatus: an action has looked at everything, so it replaces a status that is no
// longer true. An action with unusable parameters has not looked.
func TestActionsSetTheStatus(t *testing.T) {
	t.Parallel()
	full := []operator.Alarm{{MemberID: 1, Kind: "NOSPACE"}}
	for name, tc := range map[string]struct {
		action, params string
		alarms         []operator.Alarm
		want           string // how the status begins; "" is not set
	}{
		"a report":                {"health", `{}`, nil, "waiting peers unknown: "},
		"a report of bad news":    {"health", `{}`, full, "waiting NOSPACE on etcd/0"},
		"a refusal":               {"found-cluster", `{"confirm": "id-c1"}`, full, "waiting NOSPACE on etcd/0"},
		"an alarm is gone":        {"alarm-disarm", `{}`, full, "waiting peers unknown: "},
		"parameters of no use":    {"compact", `{"keep": "all"}`, full, ""},
		"an action of no meaning": {"frob", `{}`, full, ""},
	} {
		f := &fakeTools{says: map[string]string{"action-get": tc.params}}
		c := newCharm(f, &curable{alarms: tc.alarms})
		require.NoError(t, c.Run(t.Context(), "actions/"+tc.action))
		set := f.called("status-set")
		if tc.want == "" {
			assert.Empty(t, set, name)
			continue
		}
		require.Len(t, set, 1, name)
		assert.True(t, strings.HasPrefix(set[0], "status-set -- "+tc.want), "%s: %s", name, set[0])
	}
}

// curable is a fullMachine whose alarm goes when it is disarmed.
type curable fullMachine

func (m *curable) Seen(ctx context.Context) ([]uint64, operator.Turn) { return m.fakeMachine.Seen(ctx) }

func (m *curable) Observe(ctx context.Context, model operator.Model) (operator.World, error) {
	return (*fullMachine)(m).Observe(ctx, model)
}

func (m *curable) Do(_ context.Context, s operator.Step) error {
	if _, ok := s.(operator.Disarm); ok {
		m.alarms = nil
	}
	return nil
}

func TestAlarmComesUpWithTheTurn(t *testing.T) {
	t.Parallel()
	for leader, want := range map[string]struct {
		steps  []string
		failed []string
	}{
		"true":  {[]string{"take the turn", "compact to revision 4000"}, []string{}},
		"false": {[]string{"take the turn"}, []string{"action-fail -- while alarm NOSPACE is raised this runs on the leader only; juju run etcd/leader …"}},
	} {
		f, m := &fakeTools{says: map[string]string{"is-leader": leader}}, &fullMachine{upkeepMachine: upkeepMachine{fail: "take the turn"}}
		c := newCharm(f, m)
		require.NoError(t, c.Run(t.Context(), "actions/compact"))
		assert.Equal(t, want.steps, m.steps)
		assert.Equal(t, want.failed, f.called("action-fail"))
	}
}
