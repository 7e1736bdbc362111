package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// What a proxy waits for, and what stops it, is reported in the words of the relation's own
// package, in the status and in health.
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

// TestProvidersThatMislead: a provider's address that leads back to this machine is not dialled,
// and is reported.
func TestProvidersThatMislead(t *testing.T) {
	t.Parallel()
	const good = "etcd0=http://10.0.0.10:2380"
	for name, tt := range map[string]struct {
		ingress, cluster, urls string
		want                   []UpstreamMember
		said                   string
	}{
		"none":         {"10.0.0.50", good, "", []UpstreamMember{{Name: "etcd0", PeerURL: "http://10.0.0.10:2380"}}, ""},
		"our own":      {"10.0.0.50", good + ",etcd1=http://127.0.0.1:2379", "", []UpstreamMember{{Name: "etcd0", PeerURL: "http://10.0.0.10:2380"}}, "http://127.0.0.1:2379, this machine's own"},
		"loopback":     {"10.0.0.50", good + ",etcd1=http://localhost:2380", "", []UpstreamMember{{Name: "etcd0", PeerURL: "http://10.0.0.10:2380"}}, "http://localhost:2380, a loopback address"},
		"link-local":   {"10.0.0.50", good + ",etcd1=http://169.254.169.254:80", "", []UpstreamMember{{Name: "etcd0", PeerURL: "http://10.0.0.10:2380"}}, ", a link-local address"},
		"one URL":      {"10.0.0.50", "etcd0=http://127.0.0.1:2380", "http://10.0.0.10:2379", []UpstreamMember{{ClientURL: "http://10.0.0.10:2379"}}, ""},
		"nothing good": {"10.0.0.50", "etcd0=http://127.0.0.1:2380", "", nil, "http://127.0.0.1:2380, a loopback address"},
		"we are all on one machine": {
			"127.0.3.1", "etcd0=http://127.0.3.2:2380,etcd1=http://127.0.3.1:2379", "",
			[]UpstreamMember{{Name: "etcd0", PeerURL: "http://127.0.3.2:2380"}},
			"http://127.0.3.1:2379, this machine's own",
		},
		"the other loopback address": {
			"127.0.0.1", "etcd0=http://127.0.3.2:2380,etcd1=http://[::1]:2379", "",
			[]UpstreamMember{{Name: "etcd0", PeerURL: "http://127.0.3.2:2380"}},
			"http://[::1]:2379, this machine's own",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyProxy(1)
			m.ClientAddress = Know(Address{Ingress: tt.ingress})
			bag := databag.Bag{"cluster": tt.cluster}
			if tt.urls != "" {
				bag["client_urls"], bag["schema"] = tt.urls, "1"
			}
			rel := upstreamRelation("")
			rel.Units = map[string]databag.Bag{"etcd/0": bag}
			m.Relations = related(m, upstreamEndpoint, rel)
			p := Decide(lookAgain, m, w)
			if tt.want == nil {
				assert.Nil(t, p.Step, "the proxy goes on with what it has")
			} else if assert.IsType(t, WriteProxy{}, p.Step) {
				assert.Equal(t, tt.want, p.Step.(WriteProxy).Upstream.Members)
			}
			report := Examine(m, w)
			if tt.said == "" {
				assert.NotContains(t, report.Table(), "not dialled")
				return
			}
			assert.Contains(t, report.Table(), "upstream:4 names ")
			assert.Contains(t, report.Table(), tt.said)
			assert.Equal(t, Degraded, report.Health)
		})
	}
}
