package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A half-done roll shows in health: which member runs which server, and which server the charm has.
func TestHealthTellsServersApart(t *testing.T) {
	t.Parallel()
	m, w := refreshed(buildA, otherServer)
	assert.Equal(t, "aaaaaaaaaaaa", newView(lookAgain, m, w).word().Server)
	says := func(unit, id string) {
		unitBag := m.Cluster.Value.UnitBags[unit]
		unitBag.Server = id
		m.Cluster.Value.UnitBags[unit] = unitBag
	}
	says("etcd/0", "cccccccccccc") // what its bag says counts less than what it runs
	says("etcd/1", "bbbbbbbbbbbb")
	r := Examine(m, w)
	table := r.Table()
	assert.Contains(t, table, "servers  aaaaaaaaaaaa on etcd/0; bbbbbbbbbbbb on etcd/1; not known for etcd/2\n")
	assert.Contains(t, table, "charm    has server bbbbbbbbbbbb, proxy aaaaaaaaaaaa\n")
	values := r.Values()
	assert.Equal(t, "bbbbbbbbbbbb", values["charm-server"])
	assert.Equal(t, "aaaaaaaaaaaa", values["charm-proxy"])
	members := values["members"].(map[string]any)
	assert.Equal(t, "aaaaaaaaaaaa", members["etcd0"].(map[string]any)["server"])
	assert.Equal(t, "bbbbbbbbbbbb", members["etcd1"].(map[string]any)["server"])
	assert.NotContains(t, members["etcd2"], "server")

	says("etcd/2", "aaaaaaaaaaaa")
	assert.Contains(t, Examine(m, down(w, 1)).Table(), "servers  aaaaaaaaaaaa on etcd/0, etcd/2; not known for etcd/1\n", "one that is silent may have ended")

	m, w = healthyProxy(1)
	w.Service.Release, w.Carried = buildA, otherProxy
	r = Examine(m, w)
	assert.Contains(t, r.Table(), "proxy    aaaaaaaaaaaa\ncharm    has server aaaaaaaaaaaa, proxy bbbbbbbbbbbb\n")
	assert.Equal(t, "aaaaaaaaaaaa", r.Values()["proxy"])
	assert.Equal(t, "bbbbbbbbbbbb", r.Values()["charm-proxy"])
}
