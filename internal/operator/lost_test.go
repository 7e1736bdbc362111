package operator

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the status says of a cluster that may be lost, and what the action does on that unit, follow
// from one judgement.
func TestStatusNamesFoundClusterWhereItFounds(t *testing.T) {
	t.Parallel()
	two := func(m *Model) { m.Units.Value["etcd/1"] = Alive }
	for name, tc := range map[string]struct {
		change func(*Model, *World)
		status string // "" is not compared
		founds bool
	}{
		"the only unit, which leads": {func(*Model, *World) {}, "the cluster is lost; run action found-cluster confirm=id-c1", true},
		"the only unit, which does not lead yet": {
			func(m *Model, _ *World) { m.Leader = Know(false) }, "cluster c1 is lost; once this unit leads, it can found another", false,
		},
		"two fresh units": {
			func(m *Model, _ *World) { two(m) }, "no known unit holds cluster c1; if it is lost: keep one unit only; 1 more in health", false,
		},
		"two fresh units, the other leads": {func(m *Model, _ *World) {
			two(m)
			m.Leader = Know(false)
		}, "no known unit holds cluster c1; if it is lost: keep one unit only; 1 more in health", false},
		"another that leaves": {func(m *Model, _ *World) { m.Units.Value["etcd/1"] = Dying }, "", false},
		"another that is about to serve it": {func(m *Model, _ *World) {
			two(m)
			o := restoreOf(toServe)
			o.Target = hexID(clusterID)
			m.Cluster.Value.AppBag.Operation = o
		}, "no member of cluster c1 answers here; bring the machines back; 1 more in health", false},
		"another that holds its data": {func(m *Model, _ *World) {
			two(m)
			m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {ClusterID: clusterID}}
		}, "no member of cluster c1 answers here; bring the machines back", false},
		"only another that leaves names it": {func(m *Model, _ *World) {
			m.Units.Value["etcd/1"] = Dying
			m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {ClusterID: clusterID}}
			*m = record(*m, AppBag{})
		}, "no member of cluster c1 answers here; bring the machines back", false},
		"our server answers": {func(_ *Model, w *World) { w.Local.Live = true }, "", false},
		"members are listed": {func(_ *Model, w *World) { w.Members = members(1) }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := lostCluster()
			tc.change(&m, &w)
			_, result, err := FoundCluster(map[string]any{"confirm": "c1"}, m, w)
			require.NoError(t, err)
			require.Equal(t, tc.founds, result.Failed == "", result.Failed)
			status := Decide(lookAgain, m, w).Status.Message
			if tc.status != "" {
				assert.Equal(t, tc.status, status)
			}
			_, health, err := Health(nil, m, w)
			require.NoError(t, err)
			for _, text := range []string{status, health.Text, StatusOf(Examine(m, w)).Message} {
				assert.Equal(t, tc.founds, strings.Contains(text, "found-cluster"), text)
			}
		})
	}
}
