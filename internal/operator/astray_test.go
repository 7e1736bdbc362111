package operator

import (
	"errors"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAstray: what the charm can mend it mends before anything else. What it cannot mend is
// reported, with what to do, and the rest goes on.
func TestAstray(t *testing.T) {
	t.Parallel()
	const key = "/etc/etcd-charm/etcd-0/tls/server.key"
	m := model(3)
	w := world(m)
	w.Members[1].Ready = false
	w.Astray = []Astray{{Path: key, Problem: "has mode 0666, not 0600"}, {Path: "/etc/etcd-charm", Problem: "is missing"}}
	want := Mend{key + ", which has mode 0666, not 0600, and 1 more"}
	assert.Equal(t, want, firstStep(m, w))
	assert.Nil(t, Decide(Event{Kind: hooks.Stop}, m, w).Step, "a unit that leaves takes it away")

	w.Tried = []Attempt{{want, errors.New("operation not permitted")}}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, key+" has mode 0666")

	w.Astray = []Astray{
		{Path: "/etc", Problem: "does not let user etcd-charm in", Remedy: "chmod o+x /etc"},
		{Path: "/usr/local/bin/etcdctl", Problem: "is not the charm's", Remedy: "take it away", Note: true},
	}
	p = Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "/etc does not let user etcd-charm in; chmod o+x /etc")

	w.Astray = w.Astray[1:]
	p = Decide(lookAgain, m, w)
	assert.Equal(t, Active, p.Status.Level)
	assert.NotContains(t, p.Status.Message, "etcdctl")
	assert.Contains(t, texts(p.Reasons), "/usr/local/bin/etcdctl is not the charm's; take it away")
}

// TestEnabled: a service that somebody disabled is enabled again, unless it has to be off.
func TestEnabled(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	require.Nil(t, firstStep(m, w))
	w.Service.Enabled = false
	assert.Equal(t, Start{}, firstStep(m, w))
	assert.NotEqual(t, Start{}, Decide(Event{Kind: hooks.Remove}, m, w).Step)

	stopped := w
	stopped.Service.Running = false
	stopped.Data.ClusterID = 0xbad // another cluster is on record: it yields
	stopped.Done = []Step{Stop{yielding}}
	assert.NotEqual(t, Start{}, firstStep(m, stopped))

	m.Config.Role = RoleProxy
	m.Relations = related(m, upstreamEndpoint)
	w = World{Carried: release, Installed: release, Service: Service{Kind: ProxyService}}
	assert.Nil(t, firstStep(m, w), "a proxy without a provider is off")
}

// TestUnseen: if the disk does not answer, nothing is known of the machine, so nothing is done and
// nothing is published.
func TestUnseen(t *testing.T) {
	t.Parallel()
	for _, m := range []Model{model(1), model(3)} {
		w := World{Mute: "/srv/etcd"}
		p := Decide(lookAgain, m, w)
		require.NoError(t, p.Fail)
		assert.Equal(t, Status{Blocked, "/srv/etcd does not answer; repair or unmount it"}, p.Status)
		assert.Equal(t, Plan{Status: p.Status, Reasons: p.Reasons}, p)
		require.Error(t, Decide(Event{Kind: hooks.Stop}, m, w).Fail, "a unit that leaves is held")
		require.ErrorContains(t, w.Unseen(), "/srv/etcd")
		require.Error(t, Decide(Event{Kind: hooks.RelationDeparted, Departing: m.Unit}, m, w).Fail)
		m.Units.Value[m.Unit] = Dying
		require.NoError(t, Decide(lookAgain, m, w).Fail, "another hook holds nobody")
	}
	assert.NoError(t, World{}.Unseen())
}
