package operator

import (
	"errors"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const joinsAt = "https://10.0.0.10:2380"

// joining is unit etcd/0 that has no member yet, beside two voters.
func joining() (Model, World) {
	m := model(3)
	w := wiped(world(m))
	w.Members = w.Members[1:]
	return m, w
}

// If a member's minor version is too far from ours, it panics at our first entry, or we at its
// data. Then no member joins, and one that is listed already does not start.
func TestNobodyJoinsAStrangeVersion(t *testing.T) {
	t.Parallel()
	ours := strings.Split(release, "-")[0]
	require.Equal(t, "3.7.3", ours)
	for theirs, may := range map[string]bool{
		"3.7.0": true, "3.7.99": true, "3.6.11": true, "3.6.0-rc.1": true,
		"3.5.35": false, "3.4.23": false, "3.8.0": false, "4.7.3": false, "2.7.0": false, "nonsense": false,
	} {
		for _, other := range []string{"3.7.3", "3.6.16"} {
			m, w := joining()
			w.Members[0].Version, w.Members[1].Version = theirs, other
			p := Decide(lookAgain, m, w)
			if may {
				assert.Equal(t, AddLearner{joinsAt}, p.Step, theirs)
			} else {
				assert.Nil(t, p.Step, theirs)
				assert.Equal(t, Blocked, p.Status.Level, theirs)
				assert.Contains(t, p.Status.Message, "cannot join: etcd/1 runs etcd "+theirs+", this charm has 3.7.3", theirs)
			}
			w.Members = append(w.Members, Member{ID: 9, PeerURLs: []string{joinsAt}, Learner: true})
			_, starts := firstStep(m, w).(WriteMember)
			assert.Equal(t, may, starts, "%s: who is listed starts, or does not", theirs)
		}
	}
}

// The version of a member that does not answer is not known: no member is added. One that is listed
// already starts, because the silent member may be waiting for it.
func TestNobodyJoinsAnUnknownVersion(t *testing.T) {
	t.Parallel()
	m, w := joining()
	w.Members[0].Version = ""
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Waiting, p.Status.Level)
	assert.Contains(t, texts(p.Reasons), "waiting to join: etcd/1 does not report its version")
	w.Members = append(w.Members, Member{ID: 9, PeerURLs: []string{joinsAt}, Learner: true})
	assert.IsType(t, WriteMember{}, firstStep(m, w))

	m, w = joining()
	p = Decide(lookAgain, m, down(w, 1))
	assert.NotContains(t, kindsOf(p), joinAwaitsVersion, "a member that is down is waited for anyhow")
	assert.Nil(t, firstStep(m, down(w, 1)))
}

// One learner at a time: a second one waits within its hook, and joins in that same hook.
func TestOneLearnerAtATime(t *testing.T) {
	t.Parallel()
	for name, learner := range map[string]Member{
		"listed":  {ID: 9, PeerURLs: []string{"https://10.0.0.12:2380"}, Learner: true},
		"silent":  {ID: 9, Name: "etcd2", PeerURLs: []string{"https://10.0.0.12:2380"}, Learner: true},
		"serving": {ID: 9, Name: "etcd2", PeerURLs: []string{"https://10.0.0.12:2380"}, Learner: true, Answers: true, Version: "3.7.3"},
	} {
		m, w := joining()
		w.Members = []Member{w.Members[0], learner}
		assert.Equal(t, AwaitLearner{9}, firstStep(m, w), name)
		w.Done = []Step{AwaitLearner{9}}
		w.Members[1].Learner, w.Members[1].Answers, w.Members[1].Ready, w.Members[1].Version = false, true, true, "3.7.3"
		assert.Equal(t, AddLearner{joinsAt}, firstStep(m, w), name)

		w.Members[1] = learner
		w.Tried = []Attempt{{AwaitLearner{9}, errors.New("no")}}
		p := Decide(lookAgain, m, w)
		assert.Nil(t, p.Step, "%s: it is no more than waited for", name)
		assert.Contains(t, texts(p.Reasons), "waiting to join: etcd/2 joins first", name)
	}
}

// etcd's own limit on learners is never set: each member checks it with its own value when it
// applies the entry.
func TestNoSettingAllowsMoreLearners(t *testing.T) {
	t.Parallel()
	m := model(3)
	v := newView(lookAgain, m, world(m))
	s := *v.desired
	s.Initial = Initial{New: true, Token: "t", Cluster: "c"}
	for _, line := range s.Env() {
		assert.NotContains(t, strings.ToUpper(strings.ReplaceAll(line, "-", "_")), "MAX_LEARNERS")
	}
}

// kindsOf are the kinds of a plan's reasons.
func kindsOf(p Plan) []Kind {
	var out []Kind
	for _, r := range p.Reasons {
		out = append(out, r.Kind)
	}
	return out
}

// lagging is unit etcd/0 whose member is a learner that serves and does not catch up; this hook has
// waited for it without success.
func lagging(was Learning) (Model, World) {
	m := model(3)
	w := world(m)
	w.Members[0].Learner, w.Members[0].Ready, w.Local.Ready = true, false, false
	w.Local.Applied, w.Data.Bytes = 40, 1<<20
	w.Tried = []Attempt{{Promote{1}, errors.New("it has not caught up with the leader")}}
	m.Memory.Value.Learning = was
	return m, w
}

// A learner that is no further than at the update-status before is replaced: it has no vote, so
// this costs no quorum.
func TestALearnerWithoutProgressIsReplaced(t *testing.T) {
	t.Parallel()
	noted := Learning{MemberID: 1, Applied: 40, Bytes: 1 << 20}
	replaced := RemoveMember{ID: 1, Name: "etcd/0", Why: "the learner makes no progress; it joins again"}
	other := Event{Kind: hooks.ConfigChanged}
	for name, tt := range map[string]struct {
		event  Event
		was    Learning
		change func(*Model, *World)
		step   Step
		notes  Learning
	}{
		"first seen":             {lookAgain, Learning{}, nil, nil, noted},
		"seen in another hook":   {other, Learning{}, nil, nil, Learning{}},
		"no further":             {lookAgain, noted, nil, replaced, noted},
		"no further, other hook": {other, noted, nil, nil, noted},
		"applied more":           {lookAgain, Learning{MemberID: 1, Applied: 39, Bytes: 1 << 20}, nil, nil, noted},
		"received more":          {lookAgain, Learning{MemberID: 1, Applied: 40, Bytes: 1}, nil, nil, noted},
		"another member":         {lookAgain, Learning{MemberID: 7, Applied: 40, Bytes: 1 << 20}, nil, nil, noted},
		"no quorum":              {lookAgain, noted, func(_ *Model, w *World) { w.Reach = NoQuorum }, nil, noted},
		"not waited for yet":     {lookAgain, noted, func(_ *Model, w *World) { w.Tried = nil }, Promote{1}, noted},
		"it votes by now": {lookAgain, Learning{MemberID: 1, Replaced: 2}, func(_ *Model, w *World) {
			w.Members[0].Learner, w.Members[0].Ready, w.Local.Ready = false, true, true
		}, nil, Learning{}},
		"memory unknown": {lookAgain, noted, func(m *Model, _ *World) { m.Memory = Unknown[Memory]("no") }, nil, Learning{}},
	} {
		m, w := lagging(tt.was)
		if tt.change != nil {
			tt.change(&m, &w)
		}
		p := Decide(tt.event, m, w)
		assert.Equal(t, tt.step, p.Step, name)
		if tt.step == nil {
			assert.Equal(t, tt.notes, after(m, p).Learning, name)
		}
	}
}

// A learner is replaced three times in a row, then an operator has to look. One that then makes
// progress by itself needs no operator.
func TestALearnerIsReplacedThreeTimes(t *testing.T) {
	t.Parallel()
	for times, want := range map[int]bool{0: true, 1: true, 2: true, 3: false} {
		m, w := lagging(Learning{1, 40, 1 << 20, times})
		p := Decide(lookAgain, m, w)
		removal, replaces := p.Step.(RemoveMember)
		assert.Equal(t, want, replaces, times)
		if !replaces {
			assert.Equal(t, Blocked, p.Status.Level)
			assert.Contains(t, p.Status.Message, "cannot catch up after 3 tries")
			assert.Equal(t, 4, after(m, p).Learning.Replaced)
			continue
		}
		// After the removal its data is moved aside, and it joins.
		w.Done, w.Members = []Step{removal}, w.Members[1:]
		p = Decide(lookAgain, m, w)
		assert.IsType(t, Stop{}, p.Step)
		w.Done, w.Service = append(w.Done, p.Step), Service{Kind: MemberService}
		assert.IsType(t, MoveAside{}, firstStep(m, w))
		w.Done, w.Data = append(w.Done, MoveAside{}), Data{}
		assert.Equal(t, AddLearner{joinsAt}, firstStep(m, w))
		w.Tried = append(w.Tried, Attempt{AddLearner{joinsAt}, errors.New("no")})
		assert.Equal(t, Learning{Replaced: times + 1}, after(m, Decide(lookAgain, m, w)).Learning, "whatever comes of it")
	}
	m, w := lagging(Learning{1, 40, 1 << 20, 4})
	assert.Equal(t, Blocked, Decide(Event{Kind: hooks.ConfigChanged}, m, w).Status.Level, "in every hook")
	w.Local.Applied = 41
	assert.Equal(t, Learning{1, 41, 1 << 20, 3}, after(m, Decide(lookAgain, m, w)).Learning, "it goes on")
	w.Tried = nil
	assert.Equal(t, Promote{1}, firstStep(m, w))
}

// A learner that never started makes no progress either. It is replaced unless its log names a
// cause that joining again would not change.
func TestALearnerThatNeverStartsIsReplaced(t *testing.T) {
	t.Parallel()
	start := func(log string) (Model, World) {
		m, w := joining()
		w.Members = append(w.Members, Member{ID: 9, PeerURLs: []string{joinsAt}, Learner: true})
		s := newView(lookAgain, m, w)
		w.Service = Service{Kind: MemberService, Enabled: true, Failing: true, Log: log}
		w.WrittenConfig, w.WrittenInitial = s.desiredDigest, Initial{Cluster: initialCluster(w.Members, 9, "etcd0")}
		w.Done = []Step{Start{}}
		return m, w
	}
	m, w := start("cannot get cluster response from peers")
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	require.Equal(t, Learning{MemberID: 9}, after(m, p).Learning)
	m.Memory = Know(after(m, p))
	assert.Equal(t, RemoveMember{ID: 9, Name: "etcd/0", Why: noProgress}, firstStep(m, w))

	m, w = start("write: no space left on device")
	m.Memory.Value.Learning = Learning{MemberID: 9}
	assert.Nil(t, firstStep(m, w))
}
