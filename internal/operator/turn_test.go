package operator

import (
	"errors"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASquattedTurnIsBrokenInTheSecondHook(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		turn      Turn
		seen      string // the holder before goal-state was read; "" is as now
		unknown   bool   // what goal-state says
		abandoned string
	}{
		"put by hand":                         {turn: Turn{Holder: "etcd/99", Unleased: true}, abandoned: "turn of etcd/99 has no lease"},
		"put by hand in a unit's name":        {turn: Turn{Holder: "etcd/1", Unleased: true}, abandoned: "turn of etcd/1 has no lease"},
		"put by hand in our own name":         {turn: Turn{Holder: "etcd/0", Unleased: true}, abandoned: "turn of etcd/0 has no lease"},
		"put by hand, goal-state unknown":     {turn: Turn{Holder: "etcd/99", Unleased: true}, unknown: true, abandoned: "turn of etcd/99 has no lease"},
		"text without end":                    {turn: Turn{Holder: strings.Repeat("x\n", 1<<20), Unleased: true}, abandoned: "turn of x x x x x x x x… has no lease"},
		"with the lease of somebody":          {turn: Turn{Holder: "etcd/99"}, abandoned: "turn holder etcd/99 is not a unit"},
		"of a unit":                           {turn: Turn{Holder: "etcd/1"}},
		"of nobody":                           {},
		"of a unit newer than goal-state":     {turn: Turn{Holder: "etcd/99"}, seen: "etcd/1"},
		"of a unit, and goal-state is unsure": {turn: Turn{Holder: "etcd/1"}, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := world(m)
			tc.turn.Known = true
			w.Turn, m.SeenTurn = tc.turn, tc.turn
			if tc.seen != "" {
				m.SeenTurn.Holder = tc.seen
			}
			if tc.unknown {
				m.Units = Unknown[map[string]Life]("test")
			}
			own := tc.turn.Holder == m.Unit // it is given back at once: that deletes it
			p := Decide(lookAgain, m, w)
			if own {
				require.Equal(t, ReleaseTurn{}, p.Step)
				return
			}
			require.Nil(t, p.Step, "not at first sight")
			if tc.abandoned == "" {
				assert.Empty(t, after(m, p).AbandonedTurn)
				m.Memory.Value.AbandonedTurn = "x"
				p = Decide(lookAgain, m, w)
				assert.Nil(t, p.Step)
				assert.Empty(t, after(m, p).AbandonedTurn)
				return
			}
			assert.Contains(t, texts(p.Reasons), tc.abandoned+", all wait for it; etcdctl del etcd-charm/turn")
			assert.Less(t, len(after(m, p).AbandonedTurn), 100)
			report := Examine(m, w)
			assert.Equal(t, Degraded, report.Health)

			m.Memory.Value.AbandonedTurn = after(m, p).AbandonedTurn
			assert.Equal(t, BreakTurn{tc.turn}, firstStep(m, w))
			assert.LessOrEqual(t, len(BreakTurn{tc.turn}.String()), 100)
			other := w
			other.Turn.Holder += "1"
			m.SeenTurn.Holder += "1"
			assert.Nil(t, firstStep(m, other), "each is looked at twice")
			unsure := w
			unsure.Turn = Turn{}
			assert.Equal(t, m.Memory.Value.AbandonedTurn, after(m, Decide(lookAgain, m, unsure)).AbandonedTurn, "what cannot be seen may be there still")
			corrupted := w
			corrupted.Alarms = []Alarm{{2, corrupt}}
			assert.Nil(t, firstStep(m, corrupted), "etcd takes no delete then")
		})
	}
}

// A unit that needs the turn reports what it waits for, and does not wait half a minute for it.
func TestWhoNeedsASquattedTurnNamesIt(t *testing.T) {
	t.Parallel()
	const remedy = "turn of etcd/99 has no lease, all wait for it; etcdctl del etcd-charm/turn"
	m, w := due()
	w.Turn = Turn{Known: true, Holder: "etcd/99", Unleased: true}
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, Status{Waiting, remedy}, p.Status)
	assert.LessOrEqual(t, len(p.Status.Message), 80)

	leaves := Event{Kind: hooks.RelationDeparted, Departing: m.Unit}
	p = Decide(leaves, m, w)
	require.Nil(t, p.Step)
	require.NoError(t, p.Fail, "a hook that fails remembers nothing")
	assert.NotEmpty(t, after(m, p).AbandonedTurn)
	assert.Contains(t, p.Status.Message, remedy)
	stops := Event{Kind: hooks.Stop}
	require.Equal(t, TakeTurn{}, firstStepOf(stops, m, w), "it remembers nothing, and waits instead")
	waited := w
	waited.Tried = []Attempt{{TakeTurn{}, errors.New("held by etcd/99")}}
	require.Equal(t, BreakTurn{w.Turn}, firstStepOf(stops, m, waited))
	waited.Tried = append(waited.Tried, Attempt{BreakTurn{w.Turn}, errors.New("no answer")})
	p = Decide(stops, m, waited)
	require.ErrorContains(t, p.Fail, remedy)
	m.Memory.Value.AbandonedTurn = after(m, Decide(leaves, m, w)).AbandonedTurn
	assert.IsType(t, BreakTurn{}, firstStepOf(Event{Kind: hooks.Stop}, m, w))

	_, why := inTurn(m, w, []Step{Defrag{}})
	assert.Equal(t, remedy, why.String())
	m.Memory.Value.AbandonedTurn = ""
	gone := gone(m, 2)
	p = Decide(lookAgain, gone, w)
	assert.Contains(t, p.Status.Message, "turn of etcd/99 has no lease")
}
