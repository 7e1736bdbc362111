package operator

import (
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
)

// A server that cannot start, for instance because its port is taken, is started once in a hook;
// then the status gives the reason.
func TestVainStartSaysWhy(t *testing.T) {
	t.Parallel()
	const why = "listen tcp 10.0.0.10:2379: bind: cannot assign requested"
	for name, fixture := range map[string]func() (Model, World){
		"a first start": func() (Model, World) {
			m, w := fresh(1)
			s := *newView(Event{}, m, w).desired
			plan := Decide(lookAgain, m, w)
			s.Initial = plan.Step.(WriteMember).Server.Initial
			w.WrittenConfig, w.WrittenInitial = s.Digest(), s.Initial
			return m, w
		},
		"a later one": func() (Model, World) {
			m := model(3)
			return m, down(world(m), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := fixture()
			w.Service = Service{Kind: MemberService, Enabled: true, Failing: true, Release: release, Log: why}
			w.Local = Local{}
			assert.Equal(t, Start{}, Decide(lookAgain, m, w).Step)
			w.Done = []Step{Start{}}
			plan := Decide(lookAgain, m, w)
			assert.Nil(t, plan.Step)
			assert.Equal(t, Waiting, plan.Status.Level)
			assert.Contains(t, plan.Status.Message, why[:50], "a long line is cut")
		})
	}
}

// Without a quorum, readiness depends on others. Only a server that has just been started is waited
// for, because the others may be starting too.
func TestNobodyWaitsAloneForAQuorum(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := down(down(world(m), 1), 2)
	w.Reach, w.Local.Ready, w.Members[0].Ready = NoQuorum, false, false
	assert.Nil(t, Decide(lookAgain, m, w).Step)
	assert.Equal(t, AwaitReady{}, Decide(Event{Kind: hooks.Start}, m, w).Step, "after a boot")
	w.Done = []Step{Start{}}
	assert.Equal(t, AwaitReady{}, Decide(lookAgain, m, w).Step, "after a start")
	w.Done, w.Reach = nil, Healthy
	assert.Equal(t, AwaitReady{}, Decide(lookAgain, m, w).Step, "with a quorum")
}
