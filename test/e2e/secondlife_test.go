//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestSecondLife plays what can happen to a cluster's data as one story: systemd's timer takes
// snapshots, a majority is lost, the rest goes on, and lost members come back and join.
func TestSecondLife(t *testing.T) {
	w := emptyWorld(t, 3)
	first := w.charms[0]
	require.NoError(t, w.Deploy("etcd", first, first.Path, map[string]string{"snapshot_interval": "1m"}))
	w.addUnits(t, "etcd", 3)
	for _, part := range []struct {
		name string
		run  func(*testing.T, world)
	}{
		{"timer", timer},
		{"snapshot by action", snapshotByAction},
		{"majority lost", majorityLost},
		{"who returns", whoReturns},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			return // the rest would only fail for the same reason
		}
	}
}

// act runs an action that must succeed.
func (w world) act(t *testing.T, unit, action string, params map[string]any) map[string]any {
	t.Helper()
	res, _, err := w.RunAction(t.Context(), unit, action, params, w.agent)
	require.NoError(t, err)
	require.Equal(t, "completed", res.Status, "%s on %s: %s %v", action, unit, res.Message, res.Results)
	return res.Results
}

// timer waits until systemd alone has made each unit take a snapshot, which then asks for a hook.
func timer(t *testing.T, w world) {
	for n := range 3 {
		unit := fmt.Sprintf("etcd/%d", n)
		name := "etcd-charm-" + dashed(unit) + "-snapshot"
		w.sh(t, n, "systemctl is-enabled "+name+".timer && systemctl is-active "+name+".timer")
		w.eventually(t, n, patience, "ls /var/lib/etcd-charm/"+dashed(unit)+"/snapshots/*.db.zst")
		require.Eventually(t, func() bool { return w.agent.hooksAsked(unit) > 0 }, patience, 200*time.Millisecond, "no hook was asked for")
		w.eventually(t, n, patience, "systemctl show "+name+".service | grep -x ActiveState=inactive")
		assert.Equal(t, "Result=success", w.sh(t, n, "systemctl show -p Result "+name+".service"))
		assert.Equal(t, "700 root:root", w.sh(t, n, "stat -c '%a %U:%G' /var/lib/etcd-charm/"+dashed(unit)+"/snapshots"))
		assert.Equal(t, "600 root:root", w.sh(t, n, "stat -c '%a %U:%G' /var/lib/etcd-charm/"+dashed(unit)+"/snapshots/* | sort -u"))
	}
	w.settled(t, "etcd")
	for n := range 3 {
		list := w.act(t, fmt.Sprintf("etcd/%d", n), "list-snapshots", nil)
		assert.NotEqual(t, "0", list["count"], list)
		assert.Empty(t, w.sh(t, n, "systemctl --failed --no-legend --plain"))
	}
}

// snapshotByAction takes a snapshot in a transient service, with all that systemd is told of it.
func snapshotByAction(t *testing.T, w world) {
	asked := w.agent.hooksAsked("etcd/1")
	made := w.act(t, "etcd/1", "snapshot", map[string]any{"to": "/var/tmp/copy.db"})
	assert.Equal(t, "done", made["state"], made)
	assert.Contains(t, w.sh(t, 1, "etcdutl snapshot status /var/tmp/copy.db"), ", ")
	require.Eventually(t, func() bool { return w.agent.hooksAsked("etcd/1") > asked }, patience, 200*time.Millisecond, "no hook was asked for")
	w.eventually(t, 1, patience, "! systemctl list-units --all --plain --no-legend 'etcd-charm-*-work-*' | grep .")
	drilled := w.act(t, "etcd/1", "drill", nil)
	assert.Equal(t, "done", drilled["state"], drilled)
}

// majorityLost switches two of three machines off for good, and makes the third go on with what it
// has.
func majorityLost(t *testing.T, w world) {
	w.sh(t, 0, "etcdctl put kept yes")
	lost := w.clusterID(t, 0)
	w.powerOff(t, 1)
	w.powerOff(t, 2)
	const left = "etcd/0"
	require.NoError(t, w.UpdateStatus(left))
	w.settle(t)
	assert.Contains(t, w.message(left), "no quorum")
	shown := w.act(t, left, "recover", map[string]any{"dry-run": true, "without": "etcd/1,etcd/2"})
	t.Log(shown["command"])
	params := map[string]any{}
	for _, word := range strings.Fields(fmt.Sprint(shown["command"])) {
		if key, value, ok := strings.Cut(word, "="); ok {
			params[key] = value
		}
	}
	w.act(t, left, "recover", params)
	require.NoError(t, w.UpdateStatus(left))
	w.settled(t, "etcd")
	assert.Equal(t, []string{"etcd0"}, w.voters(t, 0))
	assert.Equal(t, "yes", w.sh(t, 0, "etcdctl get --print-value-only kept"))
	assert.NotEqual(t, lost, w.clusterID(t, 0))
	assert.Equal(t, "OK", w.sh(t, 0, "etcdctl put after recovery"))
	assert.Empty(t, w.sh(t, 0, "systemctl --failed --no-legend --plain"))
}

// whoReturns boots the lost machines one after the other. systemd alone keeps each member down,
// because its cluster was replaced meanwhile. Then its hooks make it join, and its data lies aside.
func whoReturns(t *testing.T, w world) {
	for voters, n := range []int{2, 1} {
		unit := fmt.Sprintf("etcd/%d", n)
		_, err := w.do(t.Context(), "boot", name(n))
		require.NoError(t, err, "to systemd nothing is still starting")
		w.held(t, n, unit, operator.HeldElsewhere)
		require.NoError(t, w.Boot(n))
		w.settled(t, "etcd")
		assert.Len(t, w.voters(t, 0), voters+2)
		assert.Equal(t, "recovery", w.sh(t, n, "etcdctl get --print-value-only after"))
		assert.Equal(t, "yes", w.sh(t, n, "etcdctl get --print-value-only kept"))
		assert.NotEmpty(t, w.sh(t, n, "ls -d /var/lib/etcd-charm/"+dashed(unit)+"/data.*"), "nothing is deleted")
	}
	assert.Equal(t, three, w.voters(t, 0))
	for _, unit := range w.Units("etcd") {
		assert.Equal(t, "healthy", w.health(t, unit)["health"])
	}
}
