package operator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// TestReasons has a row for each reason that a member's report can give: the verdict, the level and
// the words.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*Model, *World)
		want   shown
	}{
		{"lost", func(m *Model, w *World) {
			*m, *w = lostCluster()
		}, shown{health: Unhealthy, level: Blocked, text: "the cluster is lost; run action found-cluster confirm=id-c1"}},
		{"absent", func(m *Model, w *World) {
			*m, *w = fresh(1)
		}, shown{health: Unhealthy, level: Waiting, text: "no cluster has been founded yet"}},
		{"unreachable", func(_ *Model, w *World) {
			w.Reach, w.Members, w.ClusterID = Unreachable, nil, 0
		}, shown{health: Unhealthy, level: Waiting, text: "no member of cluster c1 answers here"}},
		{"empty list", func(_ *Model, w *World) {
			w.Members = nil
		}, shown{health: Unhealthy, level: Waiting, text: "the cluster answers with an empty member list"}},
		{"no quorum", func(_ *Model, w *World) {
			*w = withoutQuorum(*w)
		}, shown{health: Unhealthy, level: Waiting, text: "no quorum: 0 of 3 voters ready, 2 needed"}},
		{"quorum lost as we look", func(_ *Model, w *World) {
			*w = down(down(*w, 1), 2)
		}, shown{health: Unhealthy, level: Waiting, text: "no quorum: 1 of 3 voters ready, 2 needed"}},
		{"a later charm's bag", func(m *Model, _ *World) {
			m.Cluster = Unknown[Cluster]("relation cluster:0: bag of etcd/1: schema 3 is newer than this charm's")
			m.Cluster.Stuck = TooNew
		}, shown{health: Degraded, level: Blocked, text: "peers unknown: relation cluster:0: bag of etcd/1: " +
			"schema 3 is newer than this charm's; juju refresh etcd"}},
		{"an earlier charm's bag", func(m *Model, _ *World) {
			m.Cluster = Unknown[Cluster]("relation cluster:0: bag of etcd/1: schema 1 is of a charm that was never released")
			m.Cluster.Stuck = TooOld
		}, shown{health: Degraded, level: Blocked, text: "peers unknown: relation cluster:0: bag of etcd/1: " +
			"schema 1 is of a charm that was never released; deploy the application again"}},
		{"our member waits alone", func(_ *Model, w *World) {
			w.Reach, w.Members = NoQuorum, nil
		}, shown{health: Unhealthy, level: Waiting, text: "no quorum: etcd waits for other members"}},
		{"another cluster answers", func(_ *Model, w *World) {
			w.ClusterID = 0xbad
		}, shown{health: Unhealthy, level: Blocked, text: "cluster bad answers, c1 is recorded"}},
		{"no space", func(_ *Model, w *World) {
			w.Alarms = []Alarm{{2, "NOSPACE"}, {1, "NOSPACE"}}
			w.Members[1].DBSize, w.Members[1].DBInUse = 2<<30, 2<<30
		}, shown{health: Unhealthy, level: Blocked, text: "NOSPACE on etcd/0, etcd/1: no writes; 2 GiB of 2 GiB live: raise quota or delete"}},
		{"authentication is on", func(_ *Model, w *World) {
			w.Auth = true
		}, shown{health: Degraded, level: Blocked, text: "auth is on: clients without a user are refused; as root: etcdctl auth disable"}},
		{"corrupt, to be repaired", func(_ *Model, w *World) {
			w.Alarms = []Alarm{{3, "CORRUPT"}}
		}, shown{health: Unhealthy, level: Waiting, text: "CORRUPT: data of etcd/2 differs; it joins again if the others agree"}},
		{"corrupt", func(m *Model, w *World) {
			w.Alarms, m.Config.AutoRepair = []Alarm{{3, "CORRUPT"}}, false
		}, shown{health: Unhealthy, level: Blocked, text: "CORRUPT: data of etcd/2 differs; juju remove-unit etcd/2, then alarm-disarm"}},
		{"corrupt, its unit gone", func(_ *Model, w *World) {
			w.Alarms = []Alarm{{0xff, "CORRUPT"}}
		}, shown{health: Unhealthy, level: Blocked, text: "CORRUPT: data of ff differs; run action alarm-disarm"}},
		{"an alarm of later", func(_ *Model, w *World) {
			w.Alarms = []Alarm{{0xff, "SLOW"}}
		}, shown{health: Degraded, level: Active, text: "SLOW alarm on ff"}},
		{"silent voter", func(_ *Model, w *World) {
			*w = down(*w, 2)
			w.Members[0].Leader, w.Members[1].Leader = 1, 1
		}, shown{health: Degraded, level: Active, text: "no answer here from etcd/2"}},
		{"our voter is silent", func(_ *Model, w *World) {
			*w = down(*w, 0)
		}, shown{health: Degraded, level: Waiting, text: "no answer here from etcd/0"}},
		{"voter that is not ready", func(_ *Model, w *World) {
			w.Members[1].Ready = false
		}, shown{health: Degraded, level: Active, text: "answers but is not ready: etcd/1"}},
		{"learner", func(_ *Model, w *World) {
			w.Members[0].Learner = true
		}, shown{health: Degraded, level: Waiting, text: "still a learner: etcd/0"}},
		{"no leader", func(_ *Model, w *World) {
			for i := range w.Members {
				w.Members[i].Leader = 0
			}
		}, shown{health: Unhealthy, level: Waiting, text: "no member knows a leader"}},
		{"leaders differ", func(_ *Model, w *World) {
			w.Members[0].Leader, w.Members[0].Term, w.Members[1].Leader = 1, 1, 0
		}, shown{health: Degraded, level: Active, text: "members disagree on who leads: nobody, etcd/0, etcd/2; terms 1 to 2"}},
		{"nearly full", func(_ *Model, w *World) {
			w.Members[1].DBSize = w.Members[1].Quota * 82 / 100
		}, shown{health: Degraded, level: Active, text: "database above 80 % of its quota: etcd/1"}},
		{"lagging", func(_ *Model, w *World) {
			w.Members[0].Index = 5101
			w.Members[0].Applied, w.Members[2].Applied = 5101, 101
		}, shown{health: Degraded, level: Active, text: "more than 5000 entries behind: etcd/1"}},
		{"another's certificate", func(_ *Model, w *World) {
			w.Members[2].CertRemaining = 29 * day
		}, shown{health: Degraded, level: Active, text: "server certificate expires within 30 days: etcd/2"}},
		{"our certificate", func(_ *Model, w *World) {
			w.TLS.Server.Remaining, w.TLS.Peer.Remaining = 29*day, 30*time.Hour
		}, shown{health: Degraded, level: Active, text: "certificates here expire within 30 days: peer (30h), server (29d)"}},
		{"broken certificate", func(_ *Model, w *World) {
			w.TLS.Admin.Problem = "the key does not match"
		}, shown{health: Degraded, level: Active, text: "admin certificate here: the key does not match"}},
		{"errors", func(_ *Model, w *World) {
			w.Members[1].Errors = []string{"etcdserver: too many requests", "b", "c", "d", "e"}
		}, shown{health: Degraded, level: Active, text: "etcd/1 reports: etcdserver: too many requests, b, c and 2 more"}},
		{"versions", func(_ *Model, w *World) {
			w.Members[1].Version, w.Members[2].Version = "3.6.14", "3.10.0"
		}, shown{health: Degraded, level: "", text: "members run different versions: 3.6.14, 3.7.3, 3.10.0"}},
		{"member without a unit", func(m *Model, _ *World) {
			*m = gone(*m, 1)
		}, shown{health: Degraded, level: Active, text: "member without a unit: etcd/1"}},
		{"member of a stranger", func(_ *Model, w *World) {
			w.Members[1].Name, w.Members[1].PeerURLs = "db7", []string{"https://192.0.2.1:2380"}
		}, shown{health: Degraded, level: Active, text: "member without a unit: db7"}},
		{"unit without a member", func(m *Model, _ *World) {
			m.Units.Value["etcd/3"] = Alive
		}, shown{health: Degraded, level: Active, text: "unit without a member: etcd/3"}},
		{"our unit has no member", func(_ *Model, w *World) {
			w.Members, w.Data = w.Members[1:], Data{}
		}, shown{health: Degraded, level: Waiting, text: "unit without a member: etcd/0"}},
		{"option", func(m *Model, _ *World) {
			m.ConfigProblem = "option port: 0 is not between 1 and 65535"
		}, shown{health: Degraded, level: Blocked, text: "option port: 0 is not between 1 and 65535"}},
		{"failing", func(_ *Model, w *World) {
			w.Service.Failing, w.Service.Log = true, "disk\nfull"
		}, shown{health: Degraded, level: Waiting, text: "etcd keeps failing: disk full"}},
		{"stopped", func(_ *Model, w *World) {
			w.Service.Running = false
		}, shown{health: Degraded, level: Waiting, text: "etcd does not run here"}},
		{"our server went astray", func(_ *Model, w *World) {
			w.Local.ClusterID = 0xbad
		}, shown{health: Degraded, level: Waiting, text: "etcd here belongs to another cluster, bad"}},
		{"alien data", func(_ *Model, w *World) {
			w.Data = Data{State: AlienData, Problem: "a file named notes"}
		}, shown{health: Degraded, level: Blocked, text: "data directory: a file named notes; move it away, then: juju resolved etcd/0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyCluster(3)
			tc.change(&m, &w)
			assertReason(t, Examine(m, w), tc.want)
		})
	}
}

// unread has no member of upstream answer a linearizable read.
func unread(w *World) {
	for i := range w.Upstream {
		w.Upstream[i].Reads, w.Upstream[i].Error = false, "cannot read through the quorum"
	}
}

// TestProxyReadProvesQuorum: a read that was answered at the proxy's own address proves a quorum,
// whatever the members answered when they were asked one by one.
func TestProxyReadProvesQuorum(t *testing.T) {
	t.Parallel()
	m, w := healthyProxy(3)
	unread(&w)
	w.Through = []ProxyRead{{At: "http://127.0.0.1:2379"}}
	assert.Equal(t, Sound, Examine(m, w).Health)
}

// TestProxyReasons has a row for each reason that a proxy's report can give.
func TestProxyReasons(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*Model, *World)
		want   shown
	}{
		{"no relation", func(m *Model, w *World) {
			m.Relations, w.Upstream = related(*m, upstreamEndpoint), nil
		}, shown{health: Unhealthy, level: Blocked, text: "needs a cluster; juju integrate etcd-proxy:upstream <etcd application>:proxy"}},
		{"nothing told", func(m *Model, w *World) {
			m.Relations, w.Upstream = related(*m, upstreamEndpoint, upstreamRelation("")), nil
		}, shown{health: Unhealthy, level: Waiting, text: "no member of upstream is known yet"}},
		{"cluster to come", func(m *Model, _ *World) {
			m.Relations = related(*m, upstreamEndpoint, upstreamRelation(""))
		}, shown{health: Degraded, level: Waiting, text: "waiting for etcd to publish its cluster (upstream:4)"}},
		{"broken bag", func(m *Model, _ *World) {
			m.Relations = related(*m, upstreamEndpoint, upstreamRelation("etcd0"))
		}, shown{health: Degraded, level: Blocked, text: "unit etcd/0: cluster:"}},
		{"nobody answers", func(_ *Model, w *World) {
			w.Upstream[0].Answers, w.Upstream[1].Answers, w.Upstream[2].Answers = false, false, false
		}, shown{health: Unhealthy, level: Waiting, text: "no member of upstream answers here: etcd0, etcd1, etcd2"}},
		{"our certificate due", func(_ *Model, w *World) {
			w.Proxy.CertRemaining = 30*day - time.Hour
		}, shown{health: Degraded, level: Active, text: "client certificate of etcd-proxy/0 expires soon (29d); see the status of etcd"}},
		{"our certificate over", func(_ *Model, w *World) {
			w.Proxy.CertRemaining = -time.Second
		}, shown{health: Degraded, level: Active, text: "client certificate of etcd-proxy/0 expires soon (expired)"}},
		{"a short-lived certificate due", func(_ *Model, w *World) {
			w.Proxy.CertRemaining, w.Proxy.CertLife = 2*day, 7*day
		}, shown{health: Degraded, level: Active, text: "client certificate of etcd-proxy/0 expires soon (2d); see the status of etcd"}},
		{"no quorum, though one answers", func(_ *Model, w *World) {
			unread(w)
			w.Upstream[1].Answers, w.Upstream[2].Answers = false, false
		}, shown{health: Unhealthy, level: Waiting, text: "no quorum upstream: 1/3 members answer, none reads or writes; juju status etcd"}},
		{"no quorum, though all answer, and nothing through the proxy", func(_ *Model, w *World) {
			unread(w)
			w.Through = []ProxyRead{{"http://127.0.0.1:2379", "deadline exceeded"}}
		}, shown{health: Unhealthy, level: Waiting, text: "no quorum upstream: 3/3 members answer"}},
		{"nothing through the proxy", func(_ *Model, w *World) {
			w.Through = []ProxyRead{{"http://127.0.0.1:2379", "deadline exceeded"}, {"unix:///run/x/etcd.sock?group=g", ""}}
		}, shown{health: Unhealthy, level: Waiting, text: "the proxy at 127.0.0.1:2379 fails: deadline exceeded"}},
		{"nothing through the socket", func(_ *Model, w *World) {
			w.Through = []ProxyRead{{"http://127.0.0.1:2379", ""}, {"unix:///run/x/etcd.sock?group=g", "no such file"}}
		}, shown{health: Unhealthy, level: Waiting, text: "the proxy at /run/x/etcd.sock fails: no such file"}},
		{"no space upstream", func(_ *Model, w *World) {
			w.Upstream[0].Alarms, w.Upstream[1].Alarms = []string{"NOSPACE"}, []string{"NOSPACE"}
		}, shown{health: Unhealthy, level: Waiting, text: "alarm NOSPACE upstream: no writes; juju status etcd"}},
		{"the port is another's", func(_ *Model, w *World) {
			w.Service.Running, w.Service.Failing = false, true
			w.Service.Log = "cannot listen for clients: listen tcp 127.0.0.1:2379: bind: address already in use"
		}, shown{health: Degraded, level: Blocked, text: "option port: 127.0.0.1:2379 is taken; juju config etcd-proxy port=…"}},
		{"one is silent", func(_ *Model, w *World) {
			w.Upstream[1].Answers = false
		}, shown{health: Degraded, level: Active, text: "no answer here from etcd1"}},
		{"failing", func(_ *Model, w *World) {
			w.Service.Failing, w.Service.Log = true, "address in use"
		}, shown{health: Unhealthy, level: Waiting, text: "the proxy keeps failing: address in use"}},
		{"stopped", func(_ *Model, w *World) {
			w.Service.Running = false
		}, shown{health: Unhealthy, level: Waiting, text: "the proxy does not run"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyProxy(3)
			tc.change(&m, &w)
			assertReason(t, Examine(m, w), tc.want)
		})
	}
}

func TestProxyIsHealthyWhenAllAnswer(t *testing.T) {
	t.Parallel()
	m, w := healthyProxy(3)
	w.Proxy.CertRemaining, w.Proxy.CertLife = 23*time.Hour, 24*time.Hour
	assert.Empty(t, Examine(m, w).Reasons, "this provider's certificates live a day")

	r := Examine(healthyProxy(3))
	assert.Equal(t, Sound, r.Health)
	assert.Equal(t, 3, r.Reachable)
	assert.Equal(t, []string{"127.0.0.1:2379"}, r.Listen)
}

func TestProxyKeepsToItsOwnLoopbackAddress(t *testing.T) {
	t.Parallel()
	m, w := healthyProxy(1)
	m.ClientAddress = Know(Address{Ingress: "127.0.3.1"})
	assert.Equal(t, []string{"127.0.3.1:2379"}, Examine(m, w).Listen)
}

// shown is a reason as it is shown.
type shown struct {
	health Verdict
	level  Level
	text   string // its beginning
}

// assertReason finds the wanted reason by the beginning of its text, and compares verdict, order
// and status with it.
func assertReason(t *testing.T, r Report, want shown) {
	t.Helper()
	found := false
	for i, got := range r.Reasons {
		if strings.HasPrefix(got.String(), want.text) {
			found = true
			assert.Equal(t, want.health, got.Health(), "verdict of %q", got)
			assert.Equal(t, want.level, got.Level, "level of %q", got)
		}
		if i > 0 {
			assert.GreaterOrEqual(t, rank(got.Level), rank(r.Reasons[i-1].Level), "the worst comes first")
		}
	}
	assert.True(t, found, "no reason %q in %v", want.text, r.Reasons)
	if want.health == Unhealthy {
		assert.Equal(t, Unhealthy, r.Health)
	} else {
		assert.NotEqual(t, Sound, r.Health)
	}
	if want.level == Blocked {
		assert.Equal(t, Blocked, StatusOf(r).Level)
	}
}

// lostCluster is a new unit that finds a record of a cluster, and nothing of that cluster itself.
func lostCluster() (Model, World) {
	m, w := fresh(1)
	return record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint()}), func() World {
		w.Reach = Unreachable
		return w
	}()
}
