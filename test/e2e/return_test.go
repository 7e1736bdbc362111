//go:build e2e

package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// newAddress gives m1 another address while it is off: it comes back as the same member, and all
// learn the address. It has missed so much that the leader sends it a snapshot, to the address that
// etcd lists.
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
		w.bootAt(t, n, unit, there)
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
	// Its peers check that the address they see is in its certificate: it can lead only if they
	// accept it.
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

// takenOut removes a member from the cluster while its machine is off. When the machine boots,
// systemd alone keeps the member down, until a hook of its unit makes it join again.
func takenOut(t *testing.T, w world) {
	unit, n := "etcd/2", 2
	w.powerOff(t, n)
	w.eventually(t, 0, patience, "etcdctl member remove "+w.memberID(t, 0, unit))
	_, err := w.do(t.Context(), "boot", name(n))
	require.NoError(t, err)
	w.held(t, n, unit, operator.HeldUnlisted)
	w.sh(t, n, "systemctl daemon-reload; systemctl start "+service(unit)) // nor does a start by hand get past it
	w.held(t, n, unit, operator.HeldUnlisted)
	require.NoError(t, w.Boot(n))
	w.settled(t, "etcd")
	assert.Equal(t, three, w.voters(t, n))
	assert.Equal(t, "healthy", w.health(t, unit)["health"])
	assert.Equal(t, "success", w.show(t, n, unit)["Result"])

	// After a power cut of all machines the cluster recovers without any hook.
	for m := range 3 {
		w.powerOff(t, m)
	}
	var boots sync.WaitGroup // to systemd a machine is still starting while its member waits for a quorum
	for m := range 3 {
		boots.Go(func() {
			if _, err := w.do(t.Context(), "boot", name(m)); err != nil {
				assert.ErrorContains(t, err, "did not come up")
			}
		})
	}
	boots.Wait()
	for m := range 3 {
		w.eventually(t, m, patience, "etcdctl --command-timeout 5s endpoint health")
	}
	for m := range 3 {
		require.NoError(t, w.Boot(m))
	}
	w.settled(t, "etcd")
}

// held waits until the gate of a unit's service has kept it down, and checks that nothing else has
// happened.
func (w world) held(t *testing.T, n int, unit string, why operator.Hold) {
	t.Helper()
	w.eventually(t, n, patience, "journalctl -q -b -u "+service(unit)+" | grep -q 'next hook of its unit: "+why.String()+"'")
	w.eventually(t, n, patience, "systemctl show "+service(unit)+" | grep -q '^Result=exec-condition'")
	p := w.show(t, n, unit)
	assert.Equal(t, "inactive", p["ActiveState"])
	assert.Equal(t, "0", p["MainPID"])
	assert.Equal(t, "0", p["NRestarts"])
	assert.Contains(t, p["ExecCondition"], fmt.Sprintf("status=%d }", why.Code()))
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

// ghost removes a unit whose machine is off. When it boots, systemd starts what was enabled: the
// member must stay out.
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

		_, err := w.do(t.Context(), "boot", name(2))
		require.NoError(t, err, "to systemd nothing is still starting")
		// The members refuse its certificate, so none tells it that it was removed; the refusal is
		// enough for its gate.
		w.held(t, 2, added, operator.HeldRefused)
		for _, unit := range w.Units("etcd") {
			require.NoError(t, w.UpdateStatus(unit))
		}
		w.settled(t, "etcd")
		assert.Equal(t, members, w.sh(t, 0, "etcdctl member list"))
		assert.Equal(t, members, w.sh(t, 1, "etcdctl member list"))
		assert.Equal(t, id, w.clusterID(t, 1))
	})
	assert.NotEqual(t, "active", w.show(t, 2, added)["ActiveState"])
	w.sh(t, 2, "systemctl disable --now "+service(added)) // as an administrator of a machine that lives on has to
	assert.NotEmpty(t, w.sh(t, 2, "find /var/lib/etcd-charm/"+dashed(added)+" -name db"), "nothing is deleted")
	for _, unit := range w.Units("etcd") {
		assert.Equal(t, "healthy", w.health(t, unit)["health"])
	}
}
