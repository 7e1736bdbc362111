//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// others are the units of etcd on machines other than n.
func (w world) others(t *testing.T, n int) []string {
	t.Helper()
	var units []string
	for _, unit := range w.Units("etcd") {
		if w.machine(t, unit) != n {
			units = append(units, unit)
		}
	}
	require.Len(t, units, 2)
	return units
}

// unreachable checks that a member that no other reaches is reported and named, and that nothing is
// done about it: unreachable is not absent.
func (w world) unreachable(t *testing.T, n int) {
	t.Helper()
	lost := fmt.Sprintf("etcd/%d", n)
	for _, unit := range w.others(t, n) {
		require.NoError(t, w.UpdateStatus(unit))
	}
	w.settle(t)
	for _, unit := range w.others(t, n) {
		assert.Contains(t, w.message(unit), "2/3 voters, no failure tolerance left")
		assert.Contains(t, w.message(unit), "no answer here from "+lost)
		assert.Equal(t, three, w.voters(t, w.machine(t, unit)))
		report := w.health(t, unit)
		assert.Equal(t, "degraded", report["health"])
		assert.Contains(t, report["reasons"], "no answer here from "+lost)
	}
}

// machineCut cuts the machine of the member that serves a client behind the proxy off the network.
// Juju still hears of it, as if the members had a network of their own.
func machineCut(t *testing.T, w world) {
	id := w.clusterID(t, 0)
	n := w.blackhole(t, "cut off", func(n int) {
		_, err := w.do(t.Context(), "cut", name(n))
		require.NoError(t, err)
	})
	unit := fmt.Sprintf("etcd/%d", n)
	pid := w.show(t, n, unit)["MainPID"]
	w.unreachable(t, n)

	// The isolated member serves no client, founds nothing and keeps waiting.
	require.NoError(t, w.UpdateStatus(unit))
	w.settle(t)
	assert.Contains(t, w.message(unit), "no quorum")
	assert.Equal(t, "unhealthy", w.health(t, unit)["health"])
	_, err := w.run(t.Context(), n, nil, "etcdctl", "--command-timeout", "1s", "put", "alone", "yes")
	assert.Error(t, err)
	p := w.show(t, n, unit)
	assert.Equal(t, pid, p["MainPID"])
	assert.Equal(t, "active", p["ActiveState"])

	_, err = w.do(t.Context(), "heal", name(n))
	require.NoError(t, err)
	w.eventually(t, n, patience, "curl -sf http://127.0.0.1:2381/readyz")
	w.settled(t, "etcd")
	for m := range 3 {
		assert.Equal(t, three, w.voters(t, m))
		assert.Equal(t, id, w.clusterID(t, m))
	}
	assert.Equal(t, pid, w.show(t, n, unit)["MainPID"])
	assert.Equal(t, "healthy", w.health(t, unit)["health"])
	w.writeThroughProxy(t, 0, "healed")
}

// powerOff powers off a machine. It cuts the machine off first, because a machine without power
// sends nothing: the kernel must not close the connections of processes that are killed.
func (w world) powerOff(t *testing.T, n int) {
	t.Helper()
	for _, verb := range []string{"cut", "kill"} {
		_, err := w.do(t.Context(), verb, name(n))
		require.NoError(t, err)
	}
	require.NoError(t, w.PowerOff(n))
}

// machineKilled powers off the machine of the member that serves a client behind the proxy. Then it
// boots, and systemd starts the member before Juju's agent runs the one hook of a reboot.
func machineKilled(t *testing.T, w world) {
	n := w.blackhole(t, "powered off", func(n int) { w.powerOff(t, n) })
	unit, left := fmt.Sprintf("etcd/%d", n), w.machine(t, w.others(t, n)[0])
	w.eventually(t, left, patience, "etcdctl --command-timeout 5s put during outage")
	w.writeThroughProxy(t, left, "outage")
	w.unreachable(t, n)

	_, err := w.do(t.Context(), "boot", name(n))
	require.NoError(t, err)
	w.eventually(t, n, patience, "curl -sf http://127.0.0.1:2381/readyz")
	before := len(w.Records(unit))
	require.NoError(t, w.Boot(n))
	w.settled(t, "etcd")
	records := w.Records(unit)
	require.Greater(t, len(records), before)
	assert.Equal(t, "start", records[before].Hook)
	assert.Equal(t, three, w.voters(t, n))
	assert.Equal(t, "outage", w.sh(t, n, "etcdctl get --print-value-only during"))
	assert.Equal(t, "0", w.show(t, n, unit)["NRestarts"])
	assert.Equal(t, "healthy", w.health(t, unit)["health"])
}
