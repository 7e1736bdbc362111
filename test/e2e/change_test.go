//go:build e2e

package e2e

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// server is what systemd reports of a member's service.
type server struct {
	unit, pid, program string
	// stopped is when it was last told to end, ready when it was ready after that. Both count from
	// the host's boot, which the machines share.
	stopped, ready time.Duration
}

// servers are the services of all members of etcd, which must be active and must not have been
// restarted by systemd itself.
func (w world) servers(t *testing.T) []server {
	t.Helper()
	var all []server
	for _, unit := range w.Units("etcd") {
		n := w.machine(t, unit)
		p := w.show(t, n, unit)
		require.Equal(t, "active", p["ActiveState"], unit)
		assert.Equal(t, "0", p["NRestarts"], "%s ended by itself", unit)
		all = append(all, server{
			unit: unit, pid: p["MainPID"], program: w.sh(t, n, "readlink /proc/"+p["MainPID"]+"/exe"),
			stopped: monotonic(t, p["ActiveExitTimestampMonotonic"]), ready: monotonic(t, p["ActiveEnterTimestampMonotonic"]),
		})
	}
	return all
}

// monotonic reads a timestamp of systemd's; 0 means that it has not happened.
func monotonic(t *testing.T, value string) time.Duration {
	t.Helper()
	us, err := strconv.ParseInt(value, 10, 64)
	require.NoError(t, err)
	return time.Duration(us) * time.Microsecond
}

// rolls makes a change while users write. By systemd's own times it checks that each member was
// restarted once, that the next was stopped only when the last was ready, and that the raft leader
// went last.
func (w world) rolls(t *testing.T, change func()) []server {
	t.Helper()
	before, leader := w.servers(t), w.leader(t)
	w.writing(t, w.members(t), func() {
		change()
		w.settled(t, "etcd")
	})
	after := w.servers(t)
	require.Len(t, after, len(before))
	for i, s := range after {
		assert.NotEqual(t, before[i].pid, s.pid, "%s runs on", s.unit)
	}
	slices.SortFunc(after, func(a, b server) int { return cmp.Compare(a.stopped, b.stopped) })
	for i, s := range after {
		assert.Less(t, s.stopped, s.ready, s.unit)
		if i > 0 {
			assert.Less(t, after[i-1].ready, s.stopped, "%s was stopped before %s was ready", s.unit, after[i-1].unit)
		}
		t.Logf("%s was away for %v", s.unit, (s.ready - s.stopped).Round(time.Millisecond))
	}
	assert.Equal(t, leader, after[len(after)-1].unit, "the raft leader goes last")
	return after
}

// configRoll changes two settings, which rolls the members, and reverts the one that makes etcd
// listen only on its own address.
func configRoll(t *testing.T, w world) {
	listens := func(unit string) string {
		return w.sh(t, w.machine(t, unit), "ss -Hltn '( sport = :2379 or sport = :2380 )' | awk '{print $4}' | sort | xargs")
	}
	everywhere := map[string]string{}
	for _, unit := range w.Units("etcd") {
		everywhere[unit] = listens(unit)
	}
	w.rolls(t, func() {
		require.NoError(t, w.Configure("etcd", map[string]string{"snapshot_count": "1000", "bind_to_all_interfaces": "false"}, nil, 2))
	})
	for _, unit := range w.Units("etcd") {
		info, err := w.Unit(unit)
		require.NoError(t, err)
		assert.Equal(t, "ETCD_SNAPSHOT_COUNT=1000",
			w.sh(t, info.Machine, "tr '\\0' '\\n' </proc/"+w.show(t, info.Machine, unit)["MainPID"]+"/environ | grep SNAPSHOT_COUNT"))
		assert.ElementsMatch(t, []string{"127.0.0.1:2379", "127.0.0.1:2380", info.Address + ":2379", info.Address + ":2380"}, strings.Fields(listens(unit)), unit)
	}
	w.rolls(t, func() { require.NoError(t, w.Configure("etcd", nil, []string{"bind_to_all_interfaces"}, 2)) })
	for _, unit := range w.Units("etcd") {
		assert.Equal(t, everywhere[unit], listens(unit), unit)
	}
}

// refresh replaces etcd's binary on each unit in turn, and then goes back to the first.
func refresh(t *testing.T, w world) {
	programs := func(all []server) map[string]string {
		out := map[string]string{}
		for _, s := range all {
			out[s.unit] = s.program
			assert.True(t, strings.HasPrefix(s.program, "/opt/etcd-charm/"+dashed(s.unit)+"/"), s.program)
		}
		return out
	}
	first := programs(w.servers(t))
	second := programs(w.rolls(t, func() { require.NoError(t, w.Refresh("etcd", w.charms[1], w.charms[1].Path)) }))
	for unit, program := range first {
		assert.NotEqual(t, program, second[unit])
	}
	back := programs(w.rolls(t, func() { require.NoError(t, w.Refresh("etcd", w.charms[0], w.charms[0].Path)) }))
	assert.Equal(t, first, back)
	for _, unit := range w.Units("etcd") {
		w.homes(t, w.machine(t, unit), unit)
	}
}

// serverKilled kills etcd's process on the leader's machine: systemd starts it again, without a
// hook.
func serverKilled(t *testing.T, w world) {
	unit := w.leader(t)
	n := w.machine(t, unit)
	w.writing(t, w.members(t), func() {
		before := w.show(t, n, unit)["MainPID"]
		w.sh(t, n, "kill -KILL "+before)
		w.eventually(t, n, patience, "test $(systemctl show --value -p MainPID "+service(unit)+") -ne 0 && systemctl is-active -q "+service(unit))
		p := w.show(t, n, unit)
		assert.NotEqual(t, before, p["MainPID"])
		assert.Equal(t, "1", p["NRestarts"])
		require.NoError(t, w.UpdateStatus(unit))
		w.settled(t, "etcd")
	})
	assert.Contains(t, w.message(unit), "ended by itself once and was started again")
	assert.Contains(t, w.health(t, unit)["health"], "healthy")
	p := w.show(t, n, unit)
	assert.Equal(t, "1", p["NRestarts"], "nothing more happened")
}
