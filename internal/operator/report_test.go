package operator

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// healthyCluster is a cluster of n units as etcd/0 sees it, with nothing to report.
func healthyCluster(n int) (Model, World) {
	m := model(n)
	w := world(m)
	for i := range w.Members {
		w.Members[i].RTT = time.Duration(i+1) * 1230 * time.Microsecond
		w.Members[i].StorageVersion = "3.7.0"
		w.Members[i].CertRemaining = 365*day - time.Hour
	}
	leaf := Leaf{Present: true, Remaining: 364*day + 5*time.Hour}
	w.TLS.Peer, w.TLS.Server, w.TLS.Admin = leaf, leaf, leaf
	return m, w
}

// healthyProxy is a proxy unit with n members upstream, all of them within reach.
func healthyProxy(n int) (Model, World) {
	m := Model{
		Unit: "etcd-proxy/0", App: "etcd-proxy", Config: config(),
		ClientAddress: Know(Address{Ingress: "10.0.0.50"}),
		Relations:     related(Model{}, upstreamEndpoint, upstreamRelation("etcd0=http://10.0.0.10:2380")),
	}
	m.Config.Role = RoleProxy
	w := World{Service: Service{Kind: ProxyService, Enabled: true, Running: true}, Proxy: ProxyFiles{CertRemaining: 364 * day, CertLife: 455 * day}}
	for i := range n {
		w.Upstream = append(w.Upstream, UpstreamProbe{
			Name: fmt.Sprintf("etcd%d", i), PeerURL: "https://" + address(i) + ":2380", ClientURL: "https://" + address(i) + ":2379",
			Answers: true, RTT: 2 * time.Millisecond, Version: "3.7.3", CertRemaining: 365 * day, Reads: true,
		})
	}
	return m, w
}

func upstreamRelation(members string) databag.Relation {
	return databag.Relation{
		ID: "upstream:4", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{"etcd/0": {"cluster": members}},
	}
}

// withoutQuorum is w as a member sees it that has lost the others.
func withoutQuorum(w World) World {
	w.Reach = NoQuorum
	for n := range w.Members {
		if n == 0 {
			w.Members[0].Ready, w.Members[0].Leader = false, 0
			continue
		}
		w = down(w, n)
	}
	return w
}

func TestExamineFiguresOfAHealthyCluster(t *testing.T) {
	t.Parallel()
	r := Examine(healthyCluster(3))
	assert.Equal(t, Sound, r.Health)
	assert.Empty(t, r.Reasons)
	assert.Equal(t, []int{3, 3, 3, 0, 2, 1}, []int{r.Voters, r.Reachable, r.Ready, r.Learners, r.Quorum, r.Margin})
	assert.Equal(t, "etcd/2", r.Leader)
	assert.Equal(t, []uint64{3}, r.Leaders)
	assert.Equal(t, []string{"3.7.3"}, r.Versions)
	assert.EqualValues(t, clusterID, r.ClusterID)
	assert.Equal(t, 364*day+5*time.Hour, r.Certificate, "the shortest of all")
	require.Len(t, r.Members, 3)
	assert.Equal(t, []string{"etcd/0", "etcd/1", "etcd/2"}, []string{r.Members[0].Unit, r.Members[1].Unit, r.Members[2].Unit})
	assert.Equal(t, []string{asVoter, asVoter, asLeader}, []string{r.Members[0].Role, r.Members[1].Role, r.Members[2].Role})
	assert.Equal(t, 1, r.Members[0].Use())
}

func TestExamineNamesAnUnstartedMemberByItsPeerURL(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	w.Members[1] = Member{ID: 2, PeerURLs: w.Members[1].PeerURLs, Learner: true}
	r := Examine(m, w)
	assert.Equal(t, "etcd/1", r.Members[1].Unit)
	assert.Equal(t, asUnstarted, r.Members[1].Role)
	assert.Empty(t, r.MembersWithoutUnit)
	assert.Empty(t, r.UnitsWithoutMember)
	assert.Equal(t, []int{2, 2, 1}, []int{r.Voters, r.Quorum, r.Learners})
}

func TestExamineSortsUnitsAsPeopleCount(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(11)
	r := Examine(m, w)
	assert.Equal(t, "etcd/10", r.Members[10].Label)
	assert.Equal(t, "etcd/2", r.Members[2].Label)
}

func TestExamineJudgesOnlyMembersSeenBeforeTheUnits(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	m = gone(m, 2)
	assert.Equal(t, []string{"etcd/2"}, Examine(m, w).MembersWithoutUnit)
	m.Seen = m.Seen[:2]
	assert.Empty(t, Examine(m, w).MembersWithoutUnit, "it may have joined since")
}

func TestExamineWithoutGoalStateAccusesNobody(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	m.Units = Unknown[map[string]Life]("goal-state failed")
	r := Examine(m, w)
	assert.Empty(t, append(r.MembersWithoutUnit, r.UnitsWithoutMember...))
	assertReason(t, r, shown{Degraded, Waiting, "units unknown: goal-state failed; until then: members without a unit are not removed"})
}

func TestExamineDyingUnitNeedsNoMember(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	m.Units.Value["etcd/2"] = Dying
	w.Members = w.Members[:2]
	w.Members[0].Leader, w.Members[1].Leader = 1, 1
	assert.Empty(t, Examine(m, w).UnitsWithoutMember)
}

func TestExamineStates(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	assert.Empty(t, Examine(m, w).States)
	m.Relations = consuming(m, "proxy:3")
	assert.Equal(t, []string{"proxy.connected"}, Examine(m, w).States)
	m, w = healthyProxy(3)
	assert.Equal(t, []string{"upstream.available", "upstream.connected"}, Examine(m, w).States)
	m.Relations = related(m, upstreamEndpoint)
	assert.Empty(t, Examine(m, w).States)
}

func TestUse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		member Member
		want   int
	}{
		{"half", Member{Answers: true, DBSize: 1 << 30, Quota: 2 << 30}, 50},
		{"over", Member{Answers: true, DBSize: 3 << 30, Quota: 2 << 30}, 150},
		{"no overflow", Member{Answers: true, DBSize: math.MaxInt64, Quota: math.MaxInt64}, 100},
		{"silent", Member{DBSize: 1, Quota: 2}, -1},
		{"no quota", Member{Answers: true, DBSize: 1}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, MemberReport{Member: tc.member}.Use())
		})
	}
}

// TestExamineAnyWorld looks at worlds that make no sense: nothing panics, the figures agree with
// each other and with the verdict, the table keeps its width, action-set accepts the keys, and
// there is a status line.
func TestExamineAnyWorld(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, w := anyModel(t), anyWorld(t)
		r := Examine(m, w)
		require.LessOrEqual(t, r.Ready, r.Reachable)
		require.Contains(t, []Verdict{Sound, Degraded, Unhealthy}, r.Health)
		require.Equal(t, r.Health == Sound, len(r.healthReasons()) == 0)
		if r.Role == RoleMember {
			require.Len(t, r.Members, len(w.Members))
			require.Equal(t, len(r.Members), r.Voters+r.Learners)
			require.LessOrEqual(t, r.Reachable, r.Voters)
			require.True(t, w.Reach == Healthy || r.Health == Unhealthy)
			require.True(t, r.Voters > 0 || r.Health == Unhealthy)
			if r.Voters > 0 {
				require.Equal(t, r.Ready < r.Quorum, r.Margin < 0)
				if needed := strings.TrimPrefix(r.survival(), "no quorum, "); needed != r.survival() {
					require.Equal(t, fmt.Sprintf("%d more needed", -r.Margin), needed)
				}
				require.True(t, r.Margin >= 0 || r.Leader == "", "nobody leads without a quorum")
				require.True(t, r.Margin >= 0 || r.Health == Unhealthy)
			}
		} else {
			require.True(t, r.Reachable > 0 || r.Health == Unhealthy)
		}
		for line := range strings.Lines(r.Table()) {
			require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), tableWidth, line)
		}
		checkValues(t, r.Values())
		s := StatusOf(r)
		require.NotEmpty(t, s.Message)
		require.NotContains(t, s.Message, "\n")
		for _, action := range []Action{Health, ListMembers, AlarmList} {
			_, result, err := action(nil, m, w)
			require.NoError(t, err)
			checkValues(t, result.Values)
		}
		_, result, err := CheckRemoval(map[string]any{"unit": "etcd/1"}, m, w)
		require.NoError(t, err)
		checkValues(t, result.Values)
	})
}

func anyModel(t *rapid.T) Model {
	m := model(rapid.IntRange(1, 5).Draw(t, "units"))
	if rapid.Bool().Draw(t, "proxy") {
		m.Config.Role = RoleProxy
		m.Relations = related(m, upstreamEndpoint, upstreamRelation(rapid.String().Draw(t, "cluster")))
	}
	if rapid.Bool().Draw(t, "unknown") {
		m.Units, m.Cluster = Unknown[map[string]Life]("no"), Unknown[Cluster]("no")
	}
	m.ConfigProblem = rapid.SampledFrom([]string{"", "", "option port: no"}).Draw(t, "problem")
	m.App = rapid.SampledFrom([]string{"etcd", "e"}).Draw(t, "app")
	return m
}

func anyWorld(t *rapid.T) World {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "etcd0", "etcd1", "etcd\t\n", "3.7.3", "3.6.14"}))
	id := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 4))
	span := rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) })
	urls := rapid.SliceOfN(rapid.OneOf(text, rapid.Just("https://10.0.0.11:2380")), 0, 3)
	member := rapid.Custom(func(t *rapid.T) Member {
		return Member{
			ID: id.Draw(t, "id"), Name: text.Draw(t, "name"), PeerURLs: urls.Draw(t, "peer"), ClientURLs: urls.Draw(t, "client"),
			Learner: rapid.Bool().Draw(t, "learner"), Answers: rapid.Bool().Draw(t, "answers"), Ready: rapid.Bool().Draw(t, "ready"),
			Version: text.Draw(t, "version"), StorageVersion: text.Draw(t, "storage"), Leader: id.Draw(t, "leader"),
			DBSize: rapid.Int64().Draw(t, "db"), DBInUse: rapid.Int64().Draw(t, "use"), Quota: rapid.Int64().Draw(t, "quota"),
			Term: id.Draw(t, "term"), Index: id.Draw(t, "index"), Applied: id.Draw(t, "applied"),
			Errors: rapid.SliceOfN(text, 0, 5).Draw(t, "errors"), RTT: span.Draw(t, "rtt"), CertRemaining: span.Draw(t, "cert"),
		}
	})
	alarm := rapid.Custom(func(t *rapid.T) Alarm {
		return Alarm{id.Draw(t, "member"), rapid.OneOf(text, rapid.SampledFrom([]string{"NOSPACE", "CORRUPT"})).Draw(t, "kind")}
	})
	probe := rapid.Custom(func(t *rapid.T) UpstreamProbe {
		return UpstreamProbe{
			text.Draw(t, "name"), text.Draw(t, "peer"), text.Draw(t, "client"), rapid.Bool().Draw(t, "answers"),
			span.Draw(t, "rtt"), text.Draw(t, "version"), span.Draw(t, "cert"), rapid.Bool().Draw(t, "reads"),
			rapid.SliceOfN(text, 0, 2).Draw(t, "alarms"), text.Draw(t, "error"),
		}
	})
	through := rapid.Custom(func(t *rapid.T) ProxyRead { return ProxyRead{text.Draw(t, "at"), text.Draw(t, "error")} })
	leaf := rapid.Custom(func(t *rapid.T) Leaf {
		return Leaf{Present: rapid.Bool().Draw(t, "present"), Problem: text.Draw(t, "problem"), Remaining: span.Draw(t, "remaining")}
	})
	return World{
		Reach:     rapid.SampledFrom([]Reach{Unreachable, Absent, NoQuorum, Healthy}).Draw(t, "reach"),
		ClusterID: rapid.SampledFrom([]uint64{0, clusterID, 7}).Draw(t, "cluster"),
		Members:   rapid.SliceOfN(member, 0, 6).Draw(t, "members"),
		Alarms:    rapid.SliceOfN(alarm, 0, 4).Draw(t, "alarms"),
		Upstream:  rapid.SliceOfN(probe, 0, 4).Draw(t, "upstream"),
		Through:   rapid.SliceOfN(through, 0, 2).Draw(t, "through"),
		TLS:       TLS{Peer: leaf.Draw(t, "peer"), Server: leaf.Draw(t, "server"), Admin: leaf.Draw(t, "admin")},
		Data:      Data{State: rapid.SampledFrom([]DataState{NoData, OurData, AlienData}).Draw(t, "data"), MemberID: id.Draw(t, "own")},
		Service:   Service{Kind: MemberService, Running: rapid.Bool().Draw(t, "runs"), Failing: rapid.Bool().Draw(t, "fails"), Log: text.Draw(t, "log")},
	}
}

func TestCrashesAreTold(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	assert.NotContains(t, Summary(Examine(m, w)), "by itself")
	w.Service.Crashes = 2
	r := Examine(m, w)
	assert.Equal(t, Sound, r.Health, "it was started again, and serves")
	assert.Contains(t, Summary(r), "; the service ended by itself 2 times and was started again")
	assert.Equal(t, "the service ended by itself 2 times and was started again", texts(r.notes()))
}

func TestMemoryIsTold(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	assert.NotContains(t, Examine(m, w).Values(), "memory")
	w.Service.Memory = 70 << 20
	assert.Equal(t, "73400320", Examine(m, w).Values()["memory"])
	assert.Contains(t, Examine(m, w).Table(), "memory   70 MiB here\n")
	w.Service.Crashes, w.Service.Starved = 2, true
	r := Examine(m, w)
	assert.Equal(t, Degraded, r.Health)
	assert.Equal(t, "memory ran out here 2 times, etcd was started again; give the machine more memory", texts(r.healthReasons()))
	assert.Empty(t, r.notes(), "said once")
}

func TestLearnersDoNotSayWhoLeads(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	w = down(down(w, 1), 2)
	w.Reach, w.Members[0].Learner = NoQuorum, true
	assert.Empty(t, Examine(m, w).Leader, "who led when it last heard is gone")
}
