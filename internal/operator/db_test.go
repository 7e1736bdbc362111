package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
)

// A consumer at db is told by the same rules as one at proxy, with a certificate of its own.
func TestDB(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Relations = consuming(m, "db:1", "proxy:2", "db:3")
	w := world(m)
	p := Decide(lookAgain, m, w)
	require.Len(t, toConsumers(p), 3)
	serials := map[string]bool{}
	for _, write := range toConsumers(p) {
		serials[write.Bag[etcd.KeyClientCert]] = true
		if write.Relation == "proxy:2" {
			continue
		}
		assert.ElementsMatch(t, etcd.Keys(), write.Bag.Keys())
		data, ok, problem := etcd.Decode(databag.Relation{ID: write.Relation, Units: map[string]databag.Bag{"etcd/0": write.Bag}}, w.Now)
		require.NoError(t, problem)
		require.True(t, ok)
		assert.Equal(t, []string{"https://10.0.0.10:2379", "https://10.0.0.11:2379", "https://10.0.0.12:2379"}, data.ClientURLs)
		assert.Equal(t, "3.7.3", data.Version)
	}
	assert.Len(t, serials, 3)
}
