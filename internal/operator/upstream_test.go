package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// What a proxy waits for, and what keeps it from going on, is said in the words of the relation's own package, in the status
// as in the health report.
func TestProxyWaitsInTheWordsOfTheInterface(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		units map[string]databag.Bag
		want  Status
	}{
		"nobody":      {nil, Status{Waiting, "waiting for a unit of etcd"}},
		"nothing":     {map[string]databag.Bag{"etcd/0": {}}, Status{Waiting, "waiting for etcd to publish its cluster"}},
		"no key":      {map[string]databag.Bag{"etcd/0": {"cluster": "etcd0=https://10.0.0.10:2380"}}, Status{Waiting, "waiting for etcd to publish client credentials"}},
		"broken":      {map[string]databag.Bag{"etcd/0": {"cluster": "etcd0"}}, Status{Blocked, "unit etcd/0: cluster: piece 1 has no URL"}},
		"without TLS": {map[string]databag.Bag{"etcd/0": {"cluster": "etcd0=http://10.0.0.10:2380"}}, Status{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyProxy(0)
			rel := upstreamRelation("")
			rel.Units = tt.units
			m.Relations = related(m, upstreamEndpoint, rel)
			p := Decide(lookAgain, m, w)
			if tt.want == (Status{}) {
				assert.IsType(t, WriteProxy{}, p.Step)
				return
			}
			assert.Nil(t, p.Step)
			assert.Equal(t, tt.want.Level, p.Status.Level)
			assert.Contains(t, p.Status.Message, tt.want.Message)
			assert.Contains(t, Examine(m, w).Table(), tt.want.Message)
		})
	}
}
