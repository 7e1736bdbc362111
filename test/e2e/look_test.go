//go:build e2e

package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// voters are the members that etcd itself lists as started and voting, sorted by name. It asks on
// machine n with the etcdctl in its PATH and no flag but one for the output.
func (w world) voters(t *testing.T, n int) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(w.sh(t, n, "etcdctl member list -w simple")) {
		f := strings.Split(strings.TrimSpace(line), ", ") // id, status, name, peer URLs, client URLs, is learner
		require.Len(t, f, 6, line)
		if f[1] == "started" && f[5] == "false" {
			names = append(names, f[2])
		}
	}
	slices.Sort(names)
	return names
}

func (w world) show(t *testing.T, n int, unit string) map[string]string {
	t.Helper()
	p := map[string]string{}
	for line := range strings.Lines(w.sh(t, n, "systemctl show "+service(unit))) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[k] = v
	}
	return p
}

func service(unit string) string { return "etcd-charm-" + dashed(unit) + ".service" }

func dashed(unit string) string { return strings.ReplaceAll(unit, "/", "-") }

// machine is the machine of a unit.
func (w world) machine(t *testing.T, unit string) int {
	t.Helper()
	info, err := w.Unit(unit)
	require.NoError(t, err)
	return info.Machine
}

// message is a unit's status line.
func (w world) message(unit string) string {
	app, _, _ := strings.Cut(unit, "/")
	return w.Status().Applications[app].Units[unit].Workload.Message
}

// health is the report of the action health, which fails when the cluster is unhealthy but still
// reports.
func (w world) health(t *testing.T, unit string) map[string]any {
	t.Helper()
	res, _, err := w.RunAction(t.Context(), unit, "health", nil, w.agent)
	require.NoError(t, err)
	require.NotEmpty(t, res.Results["health"], res.Message)
	if res.Results["health"] == "unhealthy" {
		require.Equal(t, "failed", res.Status)
	} else {
		require.Equal(t, "completed", res.Status, res.Message)
	}
	return res.Results
}

// memberID is the ID of a unit's member, as machine n's etcdctl lists it.
func (w world) memberID(t *testing.T, n int, unit string) string {
	t.Helper()
	member := strings.ReplaceAll(unit, "/", "")
	return w.sh(t, n, "etcdctl member list -w simple | grep ', "+member+",' | cut -d, -f1")
}

// clusterID is the ID of the cluster of machine n's member.
func (w world) clusterID(t *testing.T, n int) string {
	t.Helper()
	return w.sh(t, n, "etcdctl member list -w fields | grep ClusterID")
}

// relation is the ID of the one relation between the two applications.
func (w world) relation(t *testing.T) string {
	t.Helper()
	for _, r := range w.Relations() {
		if r.Interface == "etcd-proxy" {
			return strconv.Itoa(r.ID)
		}
	}
	require.Fail(t, "the relation is gone")
	return ""
}
