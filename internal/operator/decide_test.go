package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestNamed is which cluster the application is known to have: rule 1 founds none beside it.
func TestNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		record Record
		words  map[string]Word
		want   uint64
	}{
		"nobody names one":                 {words: map[string]Word{"etcd/1": {}}},
		"the record":                       {record: Record{ClusterID: 1}, want: 1},
		"a unit":                           {words: map[string]Word{"etcd/1": {ClusterID: 2}}, want: 2},
		"the record goes before a unit":    {record: Record{ClusterID: 1}, words: map[string]Word{"etcd/1": {ClusterID: 2}}, want: 1},
		"one that ended":                   {record: Record{ClusterID: 1, Ended: 1}, words: map[string]Word{"etcd/1": {ClusterID: 1}}},
		"a unit, after one ended":          {record: Record{ClusterID: 1, Ended: 1}, words: map[string]Word{"etcd/1": {ClusterID: 2}}, want: 2},
		"founded again":                    {record: Record{ClusterID: 2, Ended: 1}, want: 2},
		"a unit that has stopped for good": {words: map[string]Word{"etcd/1": {ClusterID: 2, Stopped: true}}},
		"one that stopped and one that did not": {
			words: map[string]Word{"etcd/1": {ClusterID: 2, Stopped: true}, "etcd/2": {ClusterID: 3}}, want: 3,
		},
		"two, of which all units choose alike": {words: map[string]Word{"etcd/2": {ClusterID: 2}, "etcd/1": {ClusterID: 3}}, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Model{Cluster: Know(Cluster{Record: tt.record, Words: tt.words})}
			assert.Equal(t, tt.want, lookAt(Event{}, m, World{}).named())
		})
	}
}
