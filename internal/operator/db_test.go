package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
)

// A consumer at db is told by the same rules as one at proxy, with a certificate of its own; once revoked, the string stays:
// readers in the field render nonsense without it.
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

	m.Memory = Know(after(m, p))
	m = record(m, Record{
		Schema: m.Cluster.Value.Record.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(),
		Revoked: []Ended{{RelationID: "db:1", Generation: 1, Period: 230}},
	})
	w.TLS.Revoked = RevokedDigest(m.Cluster.Value.Record.Revoked)
	p = Decide(lookAgain, m, w)
	require.Len(t, toConsumers(p), 1)
	assert.Equal(t, []string{etcd.KeyConnectionString, etcd.KeyVersion}, toConsumers(p)[0].Bag.Keys())
	assert.Contains(t, p.Status.Message, "db:1 is revoked")
}
