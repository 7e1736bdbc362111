package operator

import (
	"errors"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// The last hooks stop and disable the service whatever state it is in: a server that never got its
// port has written no data, and would take the port when the machine boots next.
func TestLastHooksEndTheService(t *testing.T) {
	t.Parallel()
	for name, service := range map[string]Service{
		"enabled":              {Kind: MemberService, Enabled: true},
		"started again, fails": {Kind: MemberService, Failing: true},
		"never enabled, runs":  {Kind: MemberService, Running: true},
		"a proxy that fails":   {Kind: ProxyService, Failing: true},
	} {
		for _, data := range []Data{{}, {State: AlienData, Problem: "garbage"}} {
			for _, kind := range []hooks.Kind{hooks.Stop, hooks.Remove} {
				m := model(2)
				w := wiped(world(m))
				w.Service, w.Data = service, data
				assert.IsType(t, Stop{}, Decide(Event{Kind: kind}, m, w).Step, "%s, data %v, %s", name, data.State, kind)
				w.Service = Service{Kind: service.Kind}
				_, again := Decide(Event{Kind: kind}, m, w).Step.(Stop)
				assert.False(t, again, "%s, data %v, %s", name, data.State, kind)
			}
		}
	}
	m := record(model(1), AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Ended: clusterID})
	w := world(m)
	w.Service = Service{Kind: MemberService, Failing: true}
	w.Reach, w.Members, w.Local = Unreachable, nil, Local{}
	assert.IsType(t, Stop{}, Decide(Event{Kind: hooks.Remove}, m, w).Step, "with the data of a cluster that has ended")
}

// The hook remove takes away what the unit installed, keys above all, and keeps the data.
func TestRemoveUninstalls(t *testing.T) {
	t.Parallel()
	remove := Event{Kind: hooks.Remove}
	for name, change := range map[string]func(*Model, *World){
		"member that has left": func(_ *Model, w *World) { *w = wiped(*w) },
		"proxy": func(m *Model, w *World) {
			*w = wiped(*w)
			m.Config.Role, w.Service.Kind = RoleProxy, ProxyService
			m.Units, m.Cluster = Unknown[map[string]Life]("proxy"), Unknown[Cluster]("proxy")
		},
		"last of a cluster that has ended": func(m *Model, w *World) {
			*m = record(*m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Ended: clusterID})
			w.Service, w.Reach, w.Members, w.Local = Service{Kind: MemberService}, Unreachable, nil, Local{}
		},
		"with options that cannot be used": func(m *Model, w *World) { *w, m.ConfigProblem = wiped(*w), "option port: no" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(1)
			w := world(m)
			change(&m, &w)
			w.Leftovers = true
			assert.Equal(t, Uninstall{}, Decide(remove, m, w).Step)
			assert.Nil(t, Decide(Event{Kind: hooks.Stop}, m, w).Step, "what is needed to leave is needed until then")

			failed := w
			failed.Tried = []Attempt{{Uninstall{}, errors.New("read-only file system")}}
			p := Decide(remove, m, failed)
			require.ErrorContains(t, p.Fail, "read-only file system", "Juju must not take for removed what has left its keys")
			w.Leftovers = false
			p = Decide(remove, m, w)
			assert.Nil(t, p.Step)
			assert.NoError(t, p.Fail)
		})
	}
}

// A unit whose leave must wait keeps everything. If the end of the cluster has yet to be recorded,
// the data stays in place.
func TestRemoveWaits(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := down(down(world(m), 1), 2)
	w.Reach, w.Leftovers = NoQuorum, true
	p := Decide(Event{Kind: hooks.Remove}, m, w)
	assert.Nil(t, p.Step)
	require.Error(t, p.Fail)

	m = model(1)
	w = world(m)
	w.Service, w.Reach, w.Members, w.Local, w.Leftovers = Service{Kind: MemberService}, Unreachable, nil, Local{}, true
	p = Decide(Event{Kind: hooks.Remove}, m, w)
	require.Equal(t, Uninstall{KeepData: true}, p.Step)
	w.Leftovers = false
	p = Decide(Event{Kind: hooks.Remove}, m, w)
	require.NotNil(t, recordOf(p))
	assert.Equal(t, uint64(clusterID), recordOf(p).Ended)
}
