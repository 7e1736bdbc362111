package operator

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
)

// A consumer at db is told by the same rules as one at proxy, with its own certificate.
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

// TestCredentialsAreTheRelationsOwn: relations of different endpoints may have the same number, and
// some have ended before. No bag has another relation's certificate.
func TestCredentialsAreTheRelationsOwn(t *testing.T) {
	t.Parallel()
	m := model(3)
	var ids []string
	for n := range 6 {
		ids = append(ids, fmt.Sprintf("proxy:%d", n), fmt.Sprintf("db:%d", n))
	}
	m.Relations = consuming(m, ids...)
	revoked := []Ended{{RelationID: "db:1", Generation: 1, Period: 230}, {RelationID: "proxy:2", Generation: 1, Period: 230}}
	m = record(m, AppBag{Schema: m.Cluster.Value.AppBag.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: revoked})
	w := world(m)
	w.TLS.Revoked = RevokedDigest(revoked)
	for _, e := range []Event{lookAgain, {Kind: hooks.RelationCreated, Endpoint: "db", RelationID: "db:2"}} {
		p := Decide(e, m, w)
		require.Nil(t, p.Step)
		bags, keys := map[string]databag.Bag{}, map[string]string{}
		for _, write := range toConsumers(p) {
			bags[write.Relation] = write.Bag
		}
		require.Len(t, bags, len(ids))
		for id, bag := range bags {
			block, _ := pem.Decode([]byte(bag["client_cert"]))
			require.NotNil(t, block, id)
			cert, err := x509.ParseCertificate(block.Bytes)
			require.NoError(t, err)
			assert.Equal(t, id, cert.Subject.CommonName)
			assert.Empty(t, keys[bag["client_key"]], "%s has the key of another", id)
			keys[bag["client_key"]] = id
			_, err = tls.X509KeyPair([]byte(bag["client_cert"]), []byte(bag["client_key"]))
			assert.NoError(t, err, id)
		}
	}
}

// TestWhatALaterCharmRemembersStays: a charm that is rolled back does not know an endpoint. It
// neither forgets what was published there nor takes the relations for gone. When it is refreshed
// again, those that ended meanwhile are revoked.
func TestWhatALaterCharmRemembersStays(t *testing.T) {
	t.Parallel()
	m := model(1)
	m.Relations = consuming(m, "proxy:1")
	m.Memory = Know(Memory{Bags: map[string]string{"later:3": "told", "proxy:9": "told"}})
	ended := Ended{RelationID: "proxy:9", Generation: 1, Period: 230}
	w := world(m)
	w.TLS.Revoked = RevokedDigest([]Ended{ended})
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, "told", after(m, p).Bags["later:3"])
	require.NotNil(t, recordOf(p))
	assert.Equal(t, []Ended{ended}, recordOf(p).Revoked)

	// What a later charm has revoked stays on the list that this one writes.
	revoked := []Ended{{RelationID: "later:4", Generation: 2, Period: 230}}
	m = record(m, AppBag{Schema: m.Cluster.Value.AppBag.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: revoked})
	w.TLS.Revoked = RevokedDigest(append(revoked, ended))
	p = Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	require.NotNil(t, recordOf(p))
	assert.Equal(t, append(revoked, ended), recordOf(p).Revoked)
}
