package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestRank: raft's own rule, and the logs that never count.
func TestRank(t *testing.T) {
	t.Parallel()
	log := func(term, index uint64) LogState {
		return LogState{Term: term, Index: index, Revision: int64(2000 - index)}
	}
	torn := func(s LogState) LogState { s.Torn = true; return s }
	learner := func(s LogState) LogState { s.Learner = true; return s }
	for name, tc := range map[string]struct {
		logs  map[string]LogState
		of    map[string]uint64 // of another cluster
		first []string
		want  []string
	}{
		"by term, not by index":           {logs: map[string]LogState{"etcd/0": log(2, 900), "etcd/1": log(3, 10)}, want: []string{"etcd/1", "etcd/0"}},
		"by index, not by revision":       {logs: map[string]LogState{"etcd/0": log(3, 9), "etcd/1": log(3, 10)}, want: []string{"etcd/1", "etcd/0"}},
		"equals by number":                {logs: map[string]LogState{"etcd/10": log(3, 9), "etcd/2": log(3, 9)}, want: []string{"etcd/2", "etcd/10"}},
		"equals as they were confirmed":   {logs: map[string]LogState{"etcd/0": log(3, 9), "etcd/2": log(3, 9)}, first: []string{"etcd/2"}, want: []string{"etcd/2", "etcd/0"}},
		"what is better as it is":         {logs: map[string]LogState{"etcd/0": log(3, 9), "etcd/2": log(3, 8)}, first: []string{"etcd/2"}, want: []string{"etcd/0", "etcd/2"}},
		"a damaged log after a whole one": {logs: map[string]LogState{"etcd/0": torn(log(4, 99)), "etcd/1": log(3, 10)}, want: []string{"etcd/1", "etcd/0"}},
		"a damaged log alone":             {logs: map[string]LogState{"etcd/0": torn(log(4, 99))}, want: []string{"etcd/0"}},
		"a learner after any voter":       {logs: map[string]LogState{"etcd/0": learner(log(4, 99)), "etcd/1": torn(log(3, 10))}, want: []string{"etcd/1", "etcd/0"}},
		"a learner alone":                 {logs: map[string]LogState{"etcd/0": learner(log(4, 99))}, want: []string{"etcd/0"}},
		"another cluster":                 {logs: map[string]LogState{"etcd/0": log(9, 99), "etcd/1": log(3, 10)}, of: map[string]uint64{"etcd/0": 0xee}, want: []string{"etcd/1"}},
		"what was not read":               {logs: map[string]LogState{"etcd/0": {}, "etcd/1": log(3, 10)}, want: []string{"etcd/1"}},
		"nobody":                          {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var survivors []Survivor
			for unit, log := range tc.logs {
				s := Survivor{unit, clusterID, log}
				if id := tc.of[unit]; id != 0 {
					s.ClusterID = id
				}
				survivors = append(survivors, s)
			}
			var got []string
			for _, s := range Rank(survivors, clusterID, tc.first) {
				got = append(got, s.Unit)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}
