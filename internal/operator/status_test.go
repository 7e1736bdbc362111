package operator

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestStatusOfMembers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		units  int
		change func(*Model, *World)
		level  Level
		want   string
	}{
		{"three", 3, nil, Active, "3/3 voters, 3.7.3"},
		{"five", 5, nil, Active, "5/5 voters, 3.7.3"},
		{"one", 1, nil, Active, "1/1 voters, 3.7.3; survives no failure"},
		{"two", 2, nil, Active, "2/2 voters, 3.7.3; survives no failure"},
		{"four", 4, nil, Active, "4/4 voters, 3.7.3; survives 1 failure, as 3 would"},
		{"six", 6, nil, Active, "6/6 voters, 3.7.3; survives 2 failures, as 5 would"},
		{"one of three is out", 3, func(_ *Model, w *World) {
			*w = down(*w, 1)
		}, Active, "no answer here from etcd/1; 2/3 voters, no failure tolerance left"},
		{"one of five is out", 5, func(_ *Model, w *World) {
			*w = down(*w, 1)
		}, Active, "no answer here from etcd/1; 4/5 voters, survives 1 more failure"},
		{"four and one learner", 5, func(_ *Model, w *World) {
			w.Members[1].Learner = true
		}, Active, "still a learner: etcd/1; 4/4 voters, survives 1 failure, as 3 would"},
		{"no quorum", 3, func(_ *Model, w *World) {
			*w = withoutQuorum(*w)
		}, Waiting, "no quorum: 0 of 3 voters ready, 2 needed; bring them back; if gone: run recover; 2 more in health"},
		{"no space", 3, func(_ *Model, w *World) {
			w.Alarms = []Alarm{{2, "NOSPACE"}}
			w.Members[1].DBSize, w.Members[1].DBInUse = 2<<30, 1<<30
		}, Waiting, "NOSPACE on etcd/1: no writes; space is being freed; 1 more in health"},
		{"no space, and freeing is off", 3, func(m *Model, w *World) {
			m.Config.AutoFreeSpace, w.Alarms = false, []Alarm{{2, "NOSPACE"}}
			w.Members[1].DBSize = 2 << 30
		}, Blocked, "NOSPACE on etcd/1: no writes; raise quota_backend_bytes or free space; 1 more in health"},
		{"mixed versions", 3, func(_ *Model, w *World) {
			w.Members[2].Version = "3.6.14"
		}, Active, "3/3 voters, 3.6.14 and 3.7.3"},
		{"long lists are cut", 9, func(m *Model, w *World) {
			for i := range 4 {
				*w = down(*w, i+1)
			}
			w.Members[0].Ready, w.Members[5].Learner, w.Members[0].Leader = false, true, 7
			m.Units.Value["etcd/9"] = Alive
			w.Members[0].CertRemaining, w.TLS.Peer.Remaining, w.Members[5].Version = time.Hour, time.Hour, "3.6.14"
			w.Members[6].Version = "3.5.30"
		}, Waiting, "no quorum: 3 of 8 voters ready, 5 needed; bring them back; if gone: run recover; 6 more in health"},
		{"unknown quota", 1, func(_ *Model, w *World) {
			w.Members[0].Quota = 0
		}, Active, "1/1 voters, 3.7.3; survives no failure"},
		{"unreachable", 3, func(_ *Model, w *World) {
			*w = World{Reach: Unreachable}
		}, Waiting, "no member of cluster c1 answers here; bring the machines back"},
		{"not founded", 1, func(m *Model, w *World) {
			*m, *w = fresh(1)
			w.TLS = TLS{}
		}, Waiting, "no cluster has been founded yet"},
		{"lost", 1, func(m *Model, w *World) {
			*m, *w = lostCluster()
		}, Blocked, "the cluster is lost; run action found-cluster confirm=id-c1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyCluster(tc.units)
			if tc.change != nil {
				tc.change(&m, &w)
			}
			assert.Equal(t, Status{tc.level, tc.want}, StatusOf(Examine(m, w)))
		})
	}
}

func TestStatusOfProxies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*Model, *World)
		want   Status
	}{
		{"all answer", nil, Status{Active, "proxy on 127.0.0.1:2379, 3/3 members reachable, 3.7.3, cert 364d"}},
		{"a socket too", func(m *Model, _ *World) {
			m.Config.SocketGroup = "users"
		}, Status{Active, "proxy on 127.0.0.1:2379 and a socket, 3/3 members reachable, 3.7.3, cert 364d"}},
		{"more than fits", func(m *Model, w *World) {
			m.Config.SocketGroup, w.Upstream[0].Version = "users", "3.6.11"
		}, Status{Active, "proxy on 127.0.0.1:2379 and a socket, 3/3 members reachable, 3.6.11 and 3.7.3"}},
		{"a socket alone", func(m *Model, _ *World) {
			m.Config.Port, m.Config.SocketGroup = 0, "users"
		}, Status{Active, "proxy on a socket, 3/3 members reachable, 3.7.3, cert 364d"}},
		{"no quorum", func(_ *Model, w *World) {
			unread(w)
			w.Upstream[1].Answers, w.Upstream[2].Answers = false, false
		}, Status{Waiting, "no quorum upstream: 1/3 members answer, none reads or writes; juju status etcd"}},
		{"one is silent", func(_ *Model, w *World) {
			w.Upstream[1].Answers = false
		}, Status{Active, "no answer here from etcd1; 2/3 members reachable"}},
		{"all are silent", func(_ *Model, w *World) {
			w.Upstream = []UpstreamProbe{{Name: "etcd0"}}
		}, Status{Waiting, "no member of upstream answers here: etcd0"}},
		{"no relation", func(m *Model, w *World) {
			m.Relations, w.Upstream = related(*m, upstreamEndpoint), nil
		}, Status{Blocked, "needs a cluster; juju integrate etcd-proxy:upstream <etcd application>:proxy"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyProxy(3)
			if tc.change != nil {
				tc.change(&m, &w)
			}
			assert.Equal(t, tc.want, StatusOf(Examine(m, w)))
		})
	}
}

// TestLine: the worst level first, then in the catalogue's order; as many reasons as fit, and the
// number of the others.
func TestLine(t *testing.T) {
	t.Parallel()
	const core = "2/3 voters, no failure tolerance left"
	silent, orphan := because(memberSilent, "etcd/2"), because(memberWithoutUnit, "etcd9")
	stopped, invalid := because(etcdStopped, "etcd/0"), because(optionInvalid, "port", "no")
	for name, tc := range map[string]struct {
		reasons []Reason
		level   Level
		want    string
	}{
		"nothing":                     {nil, Active, ""},
		"kept out of the line":        {[]Reason{because(turnHeld, "etcd/1")}, Active, ""},
		"nobody has to act":           {[]Reason{orphan, silent}, Active, "no answer here from etcd/2; " + core + "; 1 more in health"},
		"the worst is not said first": {[]Reason{silent, stopped, invalid}, Blocked, "option port: no; " + core + "; etcd does not run here; 1 more in health"},
		"the same of several":         {[]Reason{silent, because(memberSilent, "etcd/10"), silent}, Active, "no answer here from etcd/2, etcd/10; " + core},
		"as the unit itself has it":   {[]Reason{silent.at("etcd/2")}, Waiting, "no answer here from etcd/2; " + core},
		"what is unhealthy says it":   {[]Reason{because(clusterSilent, "c1")}, Waiting, "no member of cluster c1 answers here; bring the machines back"},
		"what work waits for":         {[]Reason{because(leaderUnknown, "a", "no answer"), because(leaderUnknown, "b", "no answer")}, Waiting, "leader unknown: no answer; " + core},
		"of many the first":           {[]Reason{because(alarmNospace, "etcd/0"), because(alarmNospace, "etcd/1"), because(alarmNospace, "etcd/20"), because(alarmNospace, "etcd/21")}, Blocked, "NOSPACE on etcd/0 and 3 more: no writes; raise quota_backend_bytes or free space"},
		"a problem is not cut short":  {[]Reason{because(dataAlien, "etcd/0", strings.Repeat("x", 200))}, Blocked, "data directory: " + strings.Repeat("x", 51) + "…; see health"},
		"a command that is too long":  {[]Reason{because(alarmCorrupt, "etcd/0"), because(alarmCorrupt, "etcd/1")}, Blocked, "CORRUPT: data of etcd/0, etcd/1 differs; see health"},
		"what was told is one line":   {[]Reason{because(memberErrors, "etcd/1", "a\nb\x1b[1m")}, Active, "etcd/1 reports: a b [1m; " + core},
		"nothing is filled in twice":  {[]Reason{because(memberErrors, "{errors}", "{member}")}, Active, "{errors} reports: {member}; " + core},
		"a detail that is not given":  {[]Reason{because(memberErrors, "etcd/1")}, Active, "etcd/1 reports: {errors}; " + core},
		"a leave says what holds it":  {[]Reason{because(leaving, "etcd/0"), because(peersUnknown, "a", "no answer")}, Waiting, "peers unknown: no answer; " + core + "; leaving"},
		"a later kind of a worse level": {
			[]Reason{because(noQuorum, "c1", "1", "3", "2"), because(portTaken, "port", "a", "etcd")},
			Blocked,
			"option port: a is taken; juju config etcd port=…; 1 more in health",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reasons := inOrder(tc.reasons)
			assert.Equal(t, tc.level, levelOf(reasons))
			assert.Equal(t, tc.want, line(reasons, core))
		})
	}
}

// TestStatusOfAUnitThatLeaves: the status is about the leave only; it says that the unit leaves,
// unless something holds it.
func TestStatusOfAUnitThatLeaves(t *testing.T) {
	t.Parallel()
	leaves := Event{Kind: hooks.ConfigChanged}
	m := model(3)
	w := world(m)
	m.Units.Value[m.Unit] = Dying
	w.Members, w.Service, w.Data, w.Local = w.Members[1:], Service{}, Data{}, Local{}
	assert.Equal(t, Status{Maintenance, "leaving"}, Decide(leaves, m, w).Status, "that it has no member any more is no news")

	m.PeerAddress = Unknown[Address]("no answer")
	assert.Equal(t, Status{Waiting, "address for peers unknown: no answer; leaving"}, Decide(leaves, m, w).Status)

	m = model(3)
	w = down(down(world(m), 1), 2)
	m.Units.Value[m.Unit] = Dying
	p := Decide(leaves, m, w)
	require.NoError(t, p.Fail)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.False(t, slices.ContainsFunc(p.Reasons, func(r Reason) bool { return r.Kind == leaving }))
}

// TestStatusIsNotToldTwice: a reason that only follows from another that is shown is left out of
// the line, but not of health.
func TestStatusIsNotToldTwice(t *testing.T) {
	t.Parallel()
	m, w := fresh(1)
	m.Authority = Know[*pki.Authority](nil)
	p := Decide(lookAgain, m, w)
	assert.Equal(t, Status{Waiting, "made the certificate authorities; the next hook founds the cluster"}, p.Status)
	assert.Contains(t, texts(p.Reasons), "no cluster has been founded yet")
	m.Cluster, w.Reach = Unknown[Cluster]("not visible"), Unreachable
	assert.Equal(t, Status{Waiting, "peers unknown: not visible"}, Decide(lookAgain, m, w).Status)
}

func TestReasonsNameOnlyActionsThatExist(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`run action ([a-z-]+)|(alarm-disarm|compact|defrag|found-cluster)`)
	found := 0
	for _, e := range catalogue {
		for _, match := range named.FindAllStringSubmatch(e.text+" "+e.remedy, -1) {
			assert.Contains(t, Actions, cmp.Or(match[1], match[2]), e.name)
			found++
		}
	}
	assert.NotZero(t, found)
	assert.Contains(t, Actions, "health") // line
}
