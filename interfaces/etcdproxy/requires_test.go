package etcdproxy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// The case in which the old requires side left its flags set: its handler for departed never ran.
func TestStatesFollowTheBags(t *testing.T) {
	t.Parallel()
	rel := upstream(nil)
	states := func() []string { return etcdproxy.States(rel.Endpoint, etcdproxy.NewRequires(rel, now).State) }
	waiting := func() string { return etcdproxy.NewRequires(rel, now).Waiting() }

	assert.Empty(t, states(), "created: nobody has joined")
	assert.Equal(t, "waiting for a unit of etcd", waiting())

	rel.Units = map[string]databag.Bag{"etcd/0": {}}
	assert.Equal(t, []string{"upstream.connected"}, states(), "joined")
	assert.Equal(t, "waiting for etcd to publish its cluster", waiting())

	rel.Units["etcd/0"] = databag.Bag{"cluster": clusterTLS}
	assert.Equal(t, []string{"upstream.available", "upstream.connected"}, states())
	assert.Equal(t, "waiting for etcd to publish client credentials", waiting())

	rel.Units["etcd/0"] = bagOf(clusterTLS, mint(t))
	all := []string{"upstream.available", "upstream.connected", "upstream.tls.available"}
	assert.Equal(t, all, states())
	assert.Empty(t, waiting())

	rel.Units["etcd/1"] = rel.Units["etcd/0"]
	delete(rel.Units, "etcd/0")
	assert.Equal(t, all, states(), "one unit of two departed")

	delete(rel.Units, "etcd/1")
	assert.Empty(t, states(), "the last unit departed")
	assert.Empty(t, etcdproxy.NewRequires(rel, now).Data)

	rel = databag.Relation{Endpoint: "upstream"}
	assert.Empty(t, states(), "broken")
}

func TestPlainClusterWaitsForNothing(t *testing.T) {
	t.Parallel()
	r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": {"cluster": clusterPlain}}), now)
	assert.Empty(t, r.Waiting())
	assert.Empty(t, r.Problem)
	assert.Equal(t, []string{"upstream.available", "upstream.connected"}, etcdproxy.States("upstream", r.State))
}

func TestStates(t *testing.T) {
	t.Parallel()
	full := etcdproxy.State{Connected: true, Available: true, TLSAvailable: true}
	assert.Equal(t, []string{"u.available", "u.connected", "u.tls.available"}, etcdproxy.States("u", etcdproxy.State{}, full),
		"one relation of two is enough")
	assert.Equal(t, []string{"u.available", "u.connected"},
		etcdproxy.States("u", etcdproxy.State{Connected: true}, etcdproxy.State{Connected: true, Available: true}))
	assert.Empty(t, etcdproxy.States("u"))
	assert.Empty(t, etcdproxy.States("u", etcdproxy.State{}))
}
