package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestNamed: which cluster the application is known to have; rule 1 forbids founding another beside
// it.
func TestNamed(t *testing.T) {
	t.Parallel()
	words := func(of ...UnitBag) map[string]UnitBag {
		out := map[string]UnitBag{}
		for i, unitBag := range of {
			out[unitName(i+1)] = unitBag
		}
		return out
	}
	one, two := UnitBag{ClusterID: 1}, UnitBag{ClusterID: 2}
	stopped := UnitBag{ClusterID: 2, Stopped: true}
	for name, tt := range map[string]struct {
		record AppBag
		words  map[string]UnitBag
		want   uint64
	}{
		"nobody names one":                   {words: words(UnitBag{})},
		"the record":                         {record: AppBag{ClusterID: 1}, want: 1},
		"a unit":                             {words: words(two), want: 2},
		"the record goes before a unit":      {record: AppBag{ClusterID: 1}, words: words(two), want: 1},
		"one that ended":                     {record: AppBag{ClusterID: 1, Ended: 1}, words: words(one)},
		"a unit, after one ended":            {record: AppBag{ClusterID: 1, Ended: 1}, words: words(two), want: 2},
		"founded again":                      {record: AppBag{ClusterID: 2, Ended: 1}, want: 2},
		"a unit that has stopped for good":   {words: words(stopped)},
		"one that stopped, one that did not": {words: words(stopped, one), want: 1},
		"two: all units choose alike":        {words: words(two, one), want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Model{Cluster: Know(Cluster{AppBag: tt.record, UnitBags: tt.words})}
			assert.Equal(t, tt.want, newView(Event{}, m, World{}).named())
		})
	}
}
