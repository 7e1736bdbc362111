package operator

import (
	"errors"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// split is unit etcd/0 of n voters, whose member alarm CORRUPT names. All are asked twice for their
// hash: said has one for each member; 0 means that it does not answer.
func split(n int, said ...uint32) (Model, World) {
	m := model(n)
	w := world(m)
	w.Alarms, w.Local.Ready, w.Now = []Alarm{{1, corrupt}}, false, 2_000_000
	for i := range w.Members {
		w.Members[i].Revision = int64(90 + i)
	}
	if len(said) > 0 {
		w.Hashes = [][]Hash{hashes(said...), hashes(said...)}
	}
	return m, w
}

func hashes(said ...uint32) []Hash {
	var out []Hash
	for i, hash := range said {
		if hash != 0 {
			out = append(out, Hash{MemberID: uint64(i + 1), Revision: 91, Compacted: 50, Hash: hash})
		}
	}
	return out
}

var gives = RemoveMember{ID: 1, Name: "etcd/0", Why: "data is not what the others have; it joins again"}

// A member that alarm CORRUPT names leaves and joins again if a majority of all voters without it
// has the same data.
func TestRule04CorruptDataIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		n      int
		said   []uint32
		change func(*Model, *World)
		step   Step
		says   string
	}{
		"nobody was asked":   {3, nil, nil, AskHashes{91, 1}, ""},
		"asked once":         {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Hashes = w.Hashes[:1] }, AskHashes{91, 2}, ""},
		"asked twice":        {3, []uint32{9, 7, 7}, nil, gives, ""},
		"it says nothing":    {3, []uint32{0, 7, 7}, nil, gives, ""},
		"its server is down": {3, []uint32{0, 7, 7}, func(_ *Model, w *World) { *w = down(*w, 0) }, gives, ""},
		"it ends at its start because of it": {3, []uint32{0, 7, 7}, func(_ *Model, w *World) {
			*w = crashing(*w, "found data inconsistency with peers")
		}, gives, ""},
		"three of five": {5, []uint32{9, 7, 7, 7, 8}, nil, gives, ""},

		"the others differ":         {3, []uint32{9, 7, 8}, nil, nil, "no majority agrees: run action alarm-disarm"},
		"one agrees with it":        {3, []uint32{9, 7, 9}, nil, nil, "no majority agrees"},
		"two of five":               {5, []uint32{9, 7, 7, 8, 8}, nil, nil, "no majority agrees"},
		"two of five, two silent":   {5, []uint32{9, 7, 7, 0, 0}, nil, nil, "no majority agrees"},
		"one does not answer":       {3, []uint32{9, 7, 0}, nil, nil, "no majority agrees"},
		"it and one other agree":    {3, []uint32{7, 7, 0}, nil, nil, "no majority agrees"},
		"another answer, next time": {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Hashes[1] = hashes(9, 7, 8) }, nil, "no majority agrees"},
		"another hash, next time":   {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Hashes[1] = hashes(9, 8, 8) }, nil, "no majority agrees"},
		"a learner is named": {4, []uint32{9, 7, 7, 7}, func(_ *Model, w *World) {
			w.Members[0].Learner, w.Members[0].Ready = true, false
		}, gives, ""},
		"others, next time": {5, []uint32{9, 7, 7, 7, 0}, func(_ *Model, w *World) { w.Hashes[1] = hashes(9, 7, 7, 0, 7) }, nil, "no majority agrees"},
		"other compactions": {3, []uint32{9, 7, 7}, func(_ *Model, w *World) {
			w.Hashes[0][1].Compacted, w.Hashes[1][1].Compacted = 60, 60
		}, nil, "no majority agrees"},
		"no voter, what agrees": {3, []uint32{9, 7, 0, 7}, func(_ *Model, w *World) {
			w.Members = append(w.Members, Member{ID: 4, Name: "etcd3", PeerURLs: []string{"https://10.0.0.13:2380"}, Learner: true})
		}, nil, "no majority agrees"},

		"two voters":        {2, []uint32{9, 7}, nil, nil, "juju remove-unit etcd/0, then alarm-disarm"},
		"off":               {3, []uint32{9, 7, 7}, func(m *Model, _ *World) { m.Config.AutoRepair = false }, nil, "juju remove-unit etcd/0, then alarm-disarm"},
		"no quorum remains": {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { *w = down(*w, 2) }, nil, "bring the others back"},
		"again today":       {3, []uint32{9, 7, 7}, func(m *Model, w *World) { m.Memory.Value.Healed = w.Now - 3600 }, nil, "twice in a day"},
		"the next day":      {3, []uint32{9, 7, 7}, func(m *Model, w *World) { m.Memory.Value.Healed = w.Now - healedEvery }, gives, ""},
		"memory unknown":    {3, []uint32{9, 7, 7}, func(m *Model, _ *World) { m.Memory = Unknown[Memory]("no") }, nil, ""},
		"asking fails":      {3, nil, func(_ *Model, w *World) { w.Tried = []Attempt{{AskHashes{91, 1}, errors.New("no")}} }, nil, "cannot ask voters"},

		"another is named":        {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Alarms[0].MemberID = 2 }, nil, "CORRUPT: data of etcd/1 differs"},
		"nobody is named":         {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Alarms[0].MemberID = 0 }, Disarm{Alarm{0, corrupt}}, ""},
		"nobody is named as well": {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Alarms = append(w.Alarms, Alarm{0, corrupt}) }, Disarm{Alarm{0, corrupt}}, ""},
		"one after another": {5, []uint32{9, 8, 7, 7, 7}, func(_ *Model, w *World) {
			w.Alarms = []Alarm{{2, corrupt}, {1, corrupt}}
		}, gives, ""},
		"not before its turn": {5, []uint32{9, 8, 7, 7, 7}, func(_ *Model, w *World) {
			w.Data.MemberID, w.Local.MemberID, w.Members[0].ID = 7, 7, 7
			w.Alarms = []Alarm{{7, corrupt}, {2, corrupt}}
		}, nil, "CORRUPT"},
		"it differs at its start, no alarm": {3, []uint32{9, 7, 7}, func(_ *Model, w *World) {
			*w = crashing(*w, "found data inconsistency with peers")
			w.Alarms, w.Done = nil, []Step{Start{}}
		}, nil, "etcd does not start: its data differs"},
	} {
		m, w := split(tt.n, tt.said...)
		if tt.change != nil {
			tt.change(&m, &w)
		}
		w = fenced(m, w)
		p := Decide(lookAgain, m, w)
		assert.Equal(t, tt.step, p.Step, name)
		if tt.step == nil {
			assert.Contains(t, texts(p.Reasons), tt.says, name)
		}
	}
}

// The alarm is disarmed before the data is moved aside: only the data says that the alarm was our
// member's.
func TestAnAlarmThatIsLeftBehindIsTakenBack(t *testing.T) {
	t.Parallel()
	m, w := split(3)
	w.Members = w.Members[1:]
	assert.Equal(t, Disarm{Alarm{1, corrupt}}, firstStep(m, w))
	w.Tried = []Attempt{{Disarm{Alarm{1, corrupt}}, errors.New("no")}}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step, "the data stays until the alarm is gone")
	w.Tried, w.Alarms = nil, nil
	assert.IsType(t, Stop{}, firstStep(m, w))

	m, w = split(3)
	w.Members = w.Members[1:]
	w.Alarms[0].MemberID = 2
	assert.IsType(t, Stop{}, firstStep(m, w), "another's stays")
	w.Alarms[0].MemberID, m.Config.AutoRepair = 1, false
	assert.IsType(t, Stop{}, firstStep(m, w), "an administrator's is left to the administrator")
}

// The leader disarms an alarm that names no member once a majority of all voters agrees.
func TestAnAlarmThatNamesNoMemberIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		n      int
		said   []uint32
		change func(*Model, *World)
		step   Step
		says   string
	}{
		"not asked":               {3, nil, nil, AskHashes{90, 1}, ""},
		"asked once":              {3, []uint32{9, 7, 7}, func(_ *Model, w *World) { w.Hashes = w.Hashes[:1] }, AskHashes{90, 2}, ""},
		"one differs":             {3, []uint32{9, 7, 7}, nil, Disarm{Alarm{0, corrupt}}, "etcd soon names the others"},
		"none differs":            {3, []uint32{7, 7, 7}, nil, Disarm{Alarm{0, corrupt}}, ""},
		"one is silent":           {3, []uint32{7, 7, 0}, nil, Disarm{Alarm{0, corrupt}}, ""},
		"without auto_repair too": {3, []uint32{9, 7, 7}, func(m *Model, _ *World) { m.Config.AutoRepair = false }, Disarm{Alarm{0, corrupt}}, ""},
		"all differ":              {3, []uint32{9, 7, 8}, nil, nil, "CORRUPT: members' data differs; no majority agrees: run action alarm-disarm"},
		"two of five":             {5, []uint32{7, 7, 8, 9, 10}, nil, nil, "no majority agrees"},
		"of two":                  {2, []uint32{9, 7}, nil, nil, "no majority agrees"},
		"of two that agree":       {2, []uint32{7, 7}, nil, Disarm{Alarm{0, corrupt}}, ""},
		"another answer":          {3, []uint32{7, 7, 8}, func(_ *Model, w *World) { w.Hashes[1] = hashes(7, 9, 8) }, nil, "no majority agrees"},
		"cleared lately": {3, []uint32{9, 7, 7}, func(m *Model, w *World) {
			m.Memory.Value.Cleared = w.Now - clearsEvery + 1
		}, nil, "CORRUPT: data of etcd/0 differs; juju remove-unit etcd/0"},
		"cleared before": {3, []uint32{9, 7, 7}, func(m *Model, w *World) {
			m.Memory.Value.Cleared = w.Now - clearsEvery
		}, Disarm{Alarm{0, corrupt}}, ""},
		"cleared lately, none differs": {3, []uint32{0, 7, 7}, func(m *Model, w *World) {
			m.Memory.Value.Cleared = w.Now - 1
		}, Disarm{Alarm{0, corrupt}}, ""},
		"not by another unit": {3, []uint32{7, 7, 7}, func(m *Model, _ *World) { m.Leader = Know(false) }, nil, "etcd soon names the others"},
		"named as well": {3, []uint32{9, 7, 7}, func(_ *Model, w *World) {
			w.Alarms = append(w.Alarms, Alarm{2, corrupt})
		}, Disarm{Alarm{0, corrupt}}, "CORRUPT: data of etcd/1 differs"},
	} {
		m, w := split(tt.n, tt.said...)
		if tt.said == nil {
			w.Hashes = nil
		}
		w.Alarms = []Alarm{{0, corrupt}}
		if tt.change != nil {
			tt.change(&m, &w)
		}
		w = fenced(m, w)
		p := Decide(lookAgain, m, w)
		assert.Equal(t, tt.step, p.Step, name)
		assert.Contains(t, texts(append(Examine(m, w).Reasons, p.Reasons...)), tt.says, name)
		if tt.step == Step(Disarm{Alarm{0, corrupt}}) {
			w.Done, w.Alarms, w.Local.Ready = append(w.Done, tt.step), nil, true
			assert.Equal(t, w.Now, after(m, Decide(lookAgain, m, w)).Cleared, "%s: it is remembered", name)
		}
	}
}

// The leader disarms the alarm of a member whose unit died or left.
func TestTheAlarmOfAMemberThatIsGoneIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Model, *World)
		want   Step
	}{
		"gone":              {func(*Model, *World) {}, Disarm{Alarm{9, corrupt}}},
		"listed":            {func(_ *Model, w *World) { w.Alarms[0].MemberID = 2 }, nil},
		"of nobody":         {func(_ *Model, w *World) { w.Alarms[0].MemberID = 0 }, AskHashes{90, 1}},
		"off":               {func(m *Model, _ *World) { m.Config.AutoRepair = false }, nil},
		"another leads":     {func(m *Model, _ *World) { m.Leader = Know(false) }, nil},
		"who leads unknown": {func(m *Model, _ *World) { m.Leader = Unknown[bool]("no") }, nil},
		"no quorum":         {func(_ *Model, w *World) { w.Reach = NoQuorum }, nil},
	} {
		m, w := split(3)
		w.Alarms[0].MemberID = 9
		tt.change(&m, &w)
		assert.Equal(t, tt.want, firstStep(m, w), name)
	}
}

// No member joins while the data that it would be sent may be the bad data.
func TestNobodyJoinsUnderCorrupt(t *testing.T) {
	t.Parallel()
	m, w := joining()
	w.Alarms = []Alarm{{2, corrupt}}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, texts(p.Reasons), "waiting to join: CORRUPT alarm on etcd/1")
	w.Alarms[0].Kind = noSpace
	assert.Equal(t, AddLearner{joinsAt}, firstStep(m, w))
}

// It is remembered that data was given up, so that it happens once a day at most.
func TestCorruptDataIsGivenUpOnceADay(t *testing.T) {
	t.Parallel()
	m, w := split(3, 9, 7, 7)
	w.Members, w.Done = w.Members[1:], []Step{gives}
	w.Tried = []Attempt{{Disarm{w.Alarms[0]}, errors.New("no")}}
	assert.Equal(t, w.Now, after(m, Decide(lookAgain, m, w)).Healed)
}

// Other units report that the data is being replaced; units that do not replace it report what to
// do.
func TestWhatIsSaidOfCorruptData(t *testing.T) {
	t.Parallel()
	m, w := split(3)
	w.Alarms[0].MemberID = 2
	p := Decide(Event{Kind: hooks.ConfigChanged}, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, Waiting, p.Status.Level)
	assert.True(t, strings.HasPrefix(p.Status.Message, "CORRUPT: data of etcd/1 differs; it joins again if the others agree"), p.Status.Message)
	m.Config.AutoRepair = false
	assert.Equal(t, Blocked, Decide(lookAgain, m, w).Status.Level)
}
