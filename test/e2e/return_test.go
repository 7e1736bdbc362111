//go:build e2e

package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newAddress gives m1 another address while it is off: it comes back as the same member, and all are told. It has missed
// so much that the leader sends it a snapshot, which goes to the address that etcd lists.
func newAddress(t *testing.T, w world) {
	unit, n := "etcd/1", 1
	id := w.memberID(t, 0, unit)
	old, err := w.Unit(unit)
	require.NoError(t, err)
	var there string
	w.writing(t, w.behindProxy(t), func() {
		w.powerOff(t, n)
		w.writeMuch(t)
		there, err = w.Readdress(n)
		require.NoError(t, err)
		require.NotEqual(t, old.Address, there)
		w.bootAt(t, n, there)
		require.NoError(t, w.Boot(n))
		w.settled(t, "etcd")
		w.settled(t, "local")
	})
	for m := range 3 {
		line := w.sh(t, m, "etcdctl member list -w simple | grep etcd1")
		assert.Equal(t, fmt.Sprintf("%s, started, etcd1, https://%[2]s:2380, https://%[2]s:2379, false", id, there), line)
		assert.Equal(t, three, w.voters(t, m))
		bag, err := w.Bag(w.relation(t), fmt.Sprintf("etcd/%d", m))
		require.NoError(t, err)
		assert.Contains(t, bag["cluster"], "etcd1=https://"+there+":2380")
		for key, value := range bag {
			assert.NotContains(t, value, old.Address+":", "bag of etcd/%d, key %s", m, key)
		}
	}
	config := w.sh(t, proxyMachine, "cat /etc/etcd-charm/local-0/proxy.yaml")
	assert.Contains(t, config, "https://"+there+":2379")
	assert.NotContains(t, config, old.Address+":")
	w.sh(t, n, "journalctl -q -b -u "+service(unit)+" | grep 'received and saved database snapshot'")
	// Its siblings check that the address they see is in its certificate: the member leads only if they let it in.
	assert.Equal(t, "OK", w.sh(t, n, "etcdctl --endpoints https://"+there+":2379 put moved here"))
	w.sh(t, 0, "etcdctl endpoint health --cluster")
	leads := w.machine(t, w.leader(t))
	if leads != n {
		w.sh(t, leads, "etcdctl move-leader "+id)
	}
	w.eventually(t, n, patience, "etcdctl --command-timeout 5s put moved again")
	assert.Equal(t, unit, w.leader(t))
	block, _ := pem.Decode([]byte(w.sh(t, n, "cat /etc/etcd-charm/"+dashed(unit)+"/tls/peer.crt")))
	require.NotNil(t, block)
	leaf, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	assert.NoError(t, leaf.VerifyHostname(there))
	assert.Error(t, leaf.VerifyHostname(old.Address))
	assert.Equal(t, "healthy", w.health(t, unit)["health"])
}

func twoUnits(t *testing.T, w world) {
	require.NoError(t, w.RemoveUnit("etcd/2", false))
	w.settled(t, "etcd")
	assert.Equal(t, []string{"etcd0", "etcd1"}, w.voters(t, 0))
	assert.Equal(t, []string{"etcd0", "etcd1"}, w.voters(t, 1))
	p := w.show(t, 2, "etcd/2")
	assert.NotEqual(t, "active", p["ActiveState"])
	assert.NotEqual(t, "enabled", p["UnitFileState"])
	assert.Equal(t, "not-found", p["LoadState"])
	assert.Empty(t, w.sh(t, 2, "find /etc/etcd-charm /opt/etcd-charm -path '*/etcd-2/*' 2>/dev/null || true"), "keys and releases go")
	assert.NotEmpty(t, w.sh(t, 2, "find /var/lib/etcd-charm -name db -path '*data*'"), "nothing is deleted")
	w.settled(t, "local")
	w.writeThroughProxy(t, 0, "smaller")
	bag, err := w.Bag(w.relation(t), "etcd/0")
	require.NoError(t, err)
	assert.NotContains(t, bag["cluster"], "etcd2=")
	other, err := w.Bag(w.relation(t), "etcd/1")
	require.NoError(t, err)
	assert.Equal(t, bag["cluster"], other["cluster"], "the same from every unit")
}

// ghost removes a unit whose machine is off. When it boots, systemd starts what was enabled: it must stay out.
func ghost(t *testing.T, w world) {
	added, err := w.AddUnit("etcd", 2)
	require.NoError(t, err)
	w.settled(t, "etcd")
	want := w.voters(t, 0)
	require.Len(t, want, 3)
	id := w.clusterID(t, 0)

	w.writing(t, w.members(t), func() {
		w.powerOff(t, 2)
		require.NoError(t, w.RemoveUnit(added, true))
		for range 2 { // in the first round one of them takes the member out, perhaps after the other has looked
			for _, unit := range w.Units("etcd") {
				require.NoError(t, w.UpdateStatus(unit))
			}
			w.settled(t, "etcd")
		}
		assert.Equal(t, []string{"etcd0", "etcd1"}, w.voters(t, 0))
		members := w.sh(t, 0, "etcdctl member list")

		if _, err := w.do(t.Context(), "boot", name(2)); err != nil {
			// To systemd the machine is still starting while its server asks to be let in, which has no end.
			require.ErrorContains(t, err, "did not come up")
		}
		// The members refuse its certificate, so nobody tells it that it was removed: it asks for votes, and never serves.
		w.eventually(t, 2, patience, "journalctl -q -b -u "+service(added)+" | grep -q 'is starting a new election'")
		for _, unit := range w.Units("etcd") {
			require.NoError(t, w.UpdateStatus(unit))
		}
		w.settled(t, "etcd")
		assert.Equal(t, members, w.sh(t, 0, "etcdctl member list"))
		assert.Equal(t, members, w.sh(t, 1, "etcdctl member list"))
		assert.Equal(t, id, w.clusterID(t, 1))
	})
	assert.NotEqual(t, "active", w.show(t, 2, added)["ActiveState"])
	w.sh(t, 2, "systemctl disable --now "+service(added)) // as the administrator of a machine that lives on has to
	assert.NotEmpty(t, w.sh(t, 2, "find /var/lib/etcd-charm/"+dashed(added)+" -name db"), "nothing is deleted")
	for _, unit := range w.Units("etcd") {
		assert.Equal(t, "healthy", w.health(t, unit)["health"])
	}
}
