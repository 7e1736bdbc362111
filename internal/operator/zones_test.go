package operator

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// Two of three voters in one zone are worth reporting if there is another zone; some clouds have
// only one.
func TestZones(t *testing.T) {
	t.Parallel()
	const shared = "too many voters in zone "
	const remedy = "; add a unit, remove one of these"
	alone := "all voters are in zone a: if it fails, so does the cluster; a cloud with several zones has Juju spread units over them"
	for name, tt := range map[string]struct {
		zones []string // of the units, in their order
		want  string
		level Level
	}{
		"one each":                      {zones: []string{"a", "b", "c"}},
		"unknown":                       {zones: []string{"", "", ""}},
		"two of three":                  {[]string{"a", "b", "a"}, shared + "a: etcd/0, etcd/2" + remedy, Active},
		"two of three, one unknown":     {zones: []string{"a", "", "a"}},
		"all in one":                    {[]string{"a", "a", "a"}, alone, ""},
		"one":                           {zones: []string{"a"}},
		"two":                           {zones: []string{"a", "a"}},
		"two and two":                   {[]string{"a", "a", "b", "b"}, shared + "a: etcd/0, etcd/1" + remedy + "; " + shared + "b: etcd/2, etcd/3" + remedy, Active},
		"two of four":                   {[]string{"a", "a", "b", "c"}, shared + "a: etcd/0, etcd/1" + remedy, Active},
		"two of five":                   {zones: []string{"a", "a", "b", "b", "c"}},
		"three of five":                 {[]string{"a", "a", "b", "a", "c"}, shared + "a: etcd/0, etcd/1, etcd/3" + remedy, Active},
		"three of five, others unknown": {zones: []string{"a", "a", "", "a", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(len(tt.zones))
			m.Zone = tt.zones[0]
			for i, zone := range tt.zones[1:] {
				unitBag := m.Cluster.Value.UnitBags[unitName(i+1)]
				unitBag.Zone = zone
				m.Cluster.Value.UnitBags[unitName(i+1)] = unitBag
			}
			r := Examine(m, world(m))
			assert.Equal(t, Sound, r.Health)
			got := slices.DeleteFunc(r.Reasons, func(r Reason) bool { return r.Kind != zoneShared && r.Kind != zoneAlone })
			assert.Equal(t, tt.want, texts(got))
			for _, reason := range got {
				assert.Equal(t, tt.level, reason.Level)
			}
		})
	}
}

// Every unit publishes its zone, so that any unit can count.
func TestZoneIsTold(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Zone = "a"
	assert.Equal(t, "a", wordOf(Decide(lookAgain, m, world(m))).Zone)
	assert.Contains(t, etcdcluster.UnitKeys(), "zone")
}
