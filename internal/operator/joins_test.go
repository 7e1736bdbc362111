package operator

import (
	"errors"
	"strings"
	"testing"

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

// A member of a minor version that is too far from ours dies of our first entry, or we of its data: nobody joins then, nor starts
// who is listed already.
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
				assert.Contains(t, p.Status.Message, "cannot join: etcd/1 runs etcd "+theirs+", here is 3.7.3", theirs)
			}
			w.Members = append(w.Members, Member{ID: 9, PeerURLs: []string{joinsAt}, Learner: true})
			_, starts := firstStep(m, w).(WriteMember)
			assert.Equal(t, may, starts, "%s: who is listed starts, or does not", theirs)
		}
	}
}

// What a member runs that does not tell is not known: nobody is added. Who is listed already may be what it waits for.
func TestNobodyJoinsAnUnknownVersion(t *testing.T) {
	t.Parallel()
	m, w := joining()
	w.Members[0].Version = ""
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Waiting, p.Status.Level)
	assert.Contains(t, texts(p.Reasons), "waiting to join: etcd/1 does not tell its version")
	w.Members = append(w.Members, Member{ID: 9, PeerURLs: []string{joinsAt}, Learner: true})
	assert.IsType(t, WriteMember{}, firstStep(m, w))

	m, w = joining()
	p = Decide(lookAgain, m, down(w, 1))
	assert.NotContains(t, kindsOf(p), joinAwaitsVersion, "whoever is down is waited for anyhow")
	assert.Nil(t, firstStep(m, down(w, 1)))
}

// One learner at a time: whoever comes second waits within its hook, and joins in that very hook.
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

// etcd's limit of one learner is never set: each member checks it with its own value as it applies the entry.
func TestNoSettingAllowsMoreLearners(t *testing.T) {
	t.Parallel()
	m := model(3)
	l := lookAt(lookAgain, m, world(m))
	s := *l.should
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
