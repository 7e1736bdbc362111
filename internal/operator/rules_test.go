package operator

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// The rules that keep data safe, one test each. Some have a part that only the host can keep; that
// part is tested there (internal/juju, internal/host, internal/pki).

func firstStepOf(e Event, m Model, w World) Step { return Decide(e, m, w).Step }

func firstStep(m Model, w World) Step { return Decide(lookAgain, m, w).Step }

func TestRule01FoundedOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Model, *World)
		founds bool
	}{
		{"leader, nothing named, absent", func(*Model, *World) {}, true},
		{"not the leader", func(m *Model, _ *World) { m.Leader = Know(false) }, false},
		{"leadership unknown", func(m *Model, _ *World) { m.Leader = Unknown[bool]("is-leader failed") }, false},
		{"peer relation not visible", func(m *Model, _ *World) { m.Cluster = Unknown[Cluster]("not there yet") }, false},
		{"goal-state unknown", func(m *Model, _ *World) { m.Units = Unknown[map[string]Life]("goal-state failed") }, false},
		{"authority not committed", func(m *Model, _ *World) { m.Authority = Know[*pki.Authority](nil) }, false},
		{"authority unknown", func(m *Model, _ *World) { m.Authority = Unknown[*pki.Authority]("permission denied") }, false},
		{"address unknown", func(m *Model, _ *World) { m.PeerAddress = Unknown[Address]("no address") }, false},
		{"record names a cluster", func(m *Model, _ *World) { *m = record(*m, AppBag{ClusterID: 7}) }, false},
		{"another unit names a cluster", func(m *Model, _ *World) { m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{ClusterID: 7} }, false},
		{"recorded cluster ended properly", func(m *Model, _ *World) { *m = record(*m, AppBag{ClusterID: 7, Ended: 7}) }, true},
		{"another cluster ended", func(m *Model, _ *World) { *m = record(*m, AppBag{ClusterID: 8, Ended: 7}) }, false},
		{"somebody unreachable", func(_ *Model, w *World) { w.Reach = Unreachable }, false},
		{"somebody without quorum", func(_ *Model, w *World) { w.Reach = NoQuorum }, false},
		{"a cluster answers", func(_ *Model, w *World) { w.Reach = Healthy }, false},
		{"data is there", func(_ *Model, w *World) { w.Data = Data{State: OurData, ClusterID: 7} }, false},
		{"alien data is there", func(_ *Model, w *World) { w.Data = Data{State: AlienData, Problem: "x"} }, false},
		{"options are unusable", func(m *Model, _ *World) { m.ConfigProblem = "option port: no" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, w := fresh(2)
			test.change(&m, &w)
			step, ok := firstStep(m, w).(WriteMember)
			assert.Equal(t, test.founds, ok && step.Server.Initial.New)
		})
	}

	t.Run("authorities are made only while this unit surely leads", func(t *testing.T) {
		t.Parallel()
		m, w := fresh(1)
		m.Authority = Know[*pki.Authority](nil)
		p := Decide(lookAgain, m, w)
		require.True(t, p.NewAuthority)
		assert.True(t, p.Claims, "where Juju keeps no secrets, those that another leader made meanwhile would be written over")
		m.Authority = Know(ca1())
		w.Reach = Unreachable
		assert.False(t, Decide(lookAgain, m, w).Claims)
	})

	t.Run("tokens are unique", func(t *testing.T) {
		t.Parallel()
		seen := map[string]bool{}
		for _, change := range []func(*Model){
			func(*Model) {},
			func(m *Model) { m.UUID = "other" },
			func(m *Model) { m.Authority = Know(ca2()) },
			func(m *Model) { *m = record(*m, AppBag{Ended: 9}) },
		} {
			m, w := fresh(1)
			change(&m)
			w.TLS = certified(m)
			step, ok := firstStep(m, w).(WriteMember)
			require.True(t, ok)
			require.NotEmpty(t, step.Server.Initial.Token)
			assert.False(t, seen[step.Server.Initial.Token])
			seen[step.Server.Initial.Token] = true
		}
	})

	t.Run("a crash after founding keeps the data and publishes it", func(t *testing.T) {
		t.Parallel()
		m := record(model(1), AppBag{})
		p := Decide(lookAgain, m, world(m))
		require.Nil(t, p.Step)
		require.NotNil(t, recordOf(p))
		assert.Equal(t, uint64(clusterID), recordOf(p).ClusterID)
	})

	for units, remedy := range map[int]string{1: "found-cluster confirm=id-c1", 2: "keep one unit only"} {
		t.Run(fmt.Sprintf("a founder that was never on record and lost its data founds no second, %d units", units), func(t *testing.T) {
			t.Parallel()
			m, w := fresh(units)
			absent := w
			w = world(m)
			m.Leader = Know(false) // it lost the leadership before the commit
			for range 2 {
				p := Decide(lookAgain, m, w)
				require.Nil(t, p.Step)
				require.Nil(t, recordOf(p))
				m.Memory = Know(after(m, p))
			}
			p := Decide(lookAgain, m, absent)
			require.Nil(t, p.Step)
			m.Memory = Know(after(m, p))
			m.Leader = Know(true)
			p = Decide(lookAgain, m, absent)
			require.Nil(t, p.Step, "a second cluster")
			require.NotNil(t, recordOf(p))
			assert.True(t, p.Claims)
			assert.Equal(t, uint64(clusterID), recordOf(p).ClusterID)
			m, m.Memory = record(m, *recordOf(p)), Know(after(m, p))
			p = Decide(lookAgain, m, absent)
			assert.Nil(t, p.Step)
			assert.Equal(t, Blocked, p.Status.Level)
			assert.Contains(t, p.Status.Message, remedy)
			// As the action writes it.
			m = record(m, AppBag{Schema: etcdcluster.Schema, Ended: clusterID, Authority: ca1().Fingerprint()})
			m.Memory = Know(after(m, p))
			step, ok := firstStep(m, absent).(WriteMember)
			assert.True(t, ok && step.Server.Initial.New, "it was given up")
		})
	}

	t.Run("the last unit, without peers, records the end in its last hooks, after it stopped", func(t *testing.T) {
		t.Parallel()
		for _, last := range []hooks.Kind{hooks.Stop, hooks.Remove} { // without start there is no stop
			m := model(1)
			m.Units = Know(map[string]Life{"etcd/0": Dying})
			w := world(m)
			assert.Nil(t, firstStep(m, w), "it serves until then")
			e := Event{Kind: last}
			m.Leader = Know(false)
			p := Decide(e, m, w)
			require.Nil(t, p.Step, "it waits for the leadership, without which it cannot record the end")
			require.Error(t, p.Fail)
			m.Leader = Know(true)
			p = Decide(e, m, w)
			require.IsType(t, Stop{}, p.Step)
			w.Service = Service{Kind: MemberService}
			w.Reach, w.Members = Unreachable, nil
			p = Decide(e, m, w)
			require.Nil(t, p.Step)
			require.NoError(t, p.Fail)
			require.NotNil(t, recordOf(p))
			assert.Equal(t, uint64(clusterID), recordOf(p).Ended)
		}
	})

	t.Run("the last unit records the end while it sees its peers, once it is certain", func(t *testing.T) {
		t.Parallel()
		for _, departing := range []string{"etcd/0", "etcd/1"} {
			m := model(1)
			w := world(m)
			m.Units = Know(map[string]Life{"etcd/0": Dying, "etcd/1": Dying})
			m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {Schema: etcdcluster.Schema, Leaving: true}}
			e := Event{Kind: hooks.RelationDeparted, Endpoint: PeerEndpoint, RelationID: "cluster:0", RemoteUnit: "etcd/1", Departing: departing}
			m.Leader = Know(false)
			p := Decide(e, m, w)
			require.Nil(t, p.Step)
			require.Error(t, p.Fail, "it waits for the leadership")
			m.Leader = Know(true)
			require.IsType(t, Stop{}, Decide(e, m, w).Step)
			e.Endpoint = "proxy"
			assert.Nil(t, Decide(e, m, w).Step, "its consumers leave before")
			e.Endpoint = PeerEndpoint

			unseen := m
			unseen.Cluster = Unknown[Cluster]("no relation")
			_, stops := Decide(e, unseen, w).Step.(Stop)
			assert.False(t, stops, "nothing can be recorded")

			w.Service, w.Local = Service{Kind: MemberService}, Local{}
			w.Reach, w.Members = Unreachable, nil
			p = Decide(e, m, w)
			require.Nil(t, p.Step)
			require.NotNil(t, recordOf(p), "as a hook that died after the stop")
			assert.Equal(t, uint64(clusterID), recordOf(p).Ended)
			assert.True(t, p.Claims)

			m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {Schema: etcdcluster.Schema, Leaving: true, ClusterID: clusterID, MemberID: 2}}
			p = Decide(e, m, w)
			if record := recordOf(p); record != nil {
				assert.Zero(t, record.Ended, "the other may still serve")
			}
			if departing == m.Unit {
				assert.IsType(t, Start{}, p.Step, "it looks who is left before it leaves its peers")
				w.Tried = []Attempt{{Start{}, errors.New("no luck")}}
				require.Error(t, Decide(e, m, w).Fail)
				w.Tried = nil
			}
			w.Done = []Step{Stop{unitLeaves}} // as a voter among others, whose removal has failed since
			if record := recordOf(Decide(e, m, w)); record != nil {
				assert.Zero(t, record.Ended, "it stopped as one of several")
			}
			w.Done = []Step{Stop{lastLeaves}}
			require.NotNil(t, recordOf(Decide(e, m, w)), "it was the last when it stopped")
		}
	})

	t.Run("a record without end and without data is blocked and names the action", func(t *testing.T) {
		t.Parallel()
		m, w := fresh(1)
		m = record(m, AppBag{ClusterID: clusterID})
		p := Decide(lookAgain, m, w)
		assert.Nil(t, p.Step)
		assert.Equal(t, Blocked, p.Status.Level)
		assert.Contains(t, p.Status.Message, "found-cluster confirm=id-c1")
	})

	t.Run("a unit yields only to a quorum, and only alone", func(t *testing.T) {
		t.Parallel()
		m := model(3)
		w := world(m)
		w.Data.ClusterID, w.Local.ClusterID, w.Local.Voters = 0xbad, 0xbad, 1
		assert.IsType(t, Stop{}, firstStep(m, w))
		running := w.Service
		// The voters are not known while its server is stopped.
		w.Service, w.Local = Service{Kind: MemberService}, Local{}
		assert.IsType(t, Start{}, firstStep(m, w), "stopped by whomever: it is asked again")
		w.Done = []Step{Stop{yielding}}
		assert.IsType(t, MoveAside{}, firstStep(m, w))
		for _, reach := range []Reach{Unreachable, Absent, NoQuorum} {
			w.Reach = reach
			p := Decide(lookAgain, m, w)
			assert.Nil(t, p.Step, reach)
			assert.Equal(t, Blocked, p.Status.Level)
		}
		w.Reach, w.Service, w.Local.Voters = Healthy, running, 2
		assert.Nil(t, firstStep(m, w))
	})
}

func TestRule02UnreachableIsNotAbsent(t *testing.T) {
	t.Parallel()
	for _, reach := range []Reach{Unreachable, NoQuorum} {
		t.Run(reach.String(), func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := world(m)
			w.Reach, w.Local.Ready = reach, false
			w = down(down(w, 1), 2)
			p := Decide(lookAgain, m, w)
			assert.Nil(t, p.Step, "a member that waits does nothing")
			assert.Empty(t, toConsumers(p))

			w = wiped(w)
			w.Reach = reach
			p = Decide(lookAgain, m, w)
			assert.Nil(t, p.Step, "a joiner that waits does nothing")
			assert.Equal(t, Waiting, p.Status.Level)
			said := map[Reach]string{Unreachable: "no member of cluster c1 answers here", NoQuorum: "no quorum: "}[reach]
			assert.True(t, strings.HasPrefix(p.Status.Message, said), p.Status.Message)

			m = gone(m, 2)
			w = world(m)
			w.Reach = reach
			w.Members = members(3)
			_, removes := firstStep(m, w).(RemoveMember)
			assert.False(t, removes)
		})
	}
}

func TestRule03LearnersFirst(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := wiped(world(m))
	w.Members = w.Members[1:]
	require.Equal(t, AddLearner{"https://10.0.0.10:2380"}, firstStep(m, w))

	w.Members = append(w.Members, Member{ID: 9, PeerURLs: []string{"https://10.0.0.10:2380"}, Learner: true})
	step, ok := firstStep(m, w).(WriteMember)
	require.True(t, ok)
	assert.False(t, step.Server.Initial.New)
	assert.Equal(t, "etcd0=https://10.0.0.10:2380,etcd1=https://10.0.0.11:2380,etcd2=https://10.0.0.12:2380", step.Server.Initial.Cluster)
	w.WrittenConfig, w.WrittenInitial = step.Server.Digest(), step.Server.Initial
	require.IsType(t, Start{}, firstStep(m, w))

	w = wiped(world(m))
	w.Members = w.Members[1:]
	unrecorded := record(m, AppBag{})
	unrecorded.Leader = Know(false)
	assert.Nil(t, firstStep(unrecorded, w), "what units name and the record does not may yet yield")

	w = world(m)
	w.Members[0].Learner = true
	w.Local.Ready = false
	assert.Equal(t, Promote{1}, firstStep(m, w), "a learner that serves is promoted")
	w.Local.Live = false
	assert.Equal(t, AwaitReady{Learner: true}, firstStep(m, w), "one that does not is waited for")
}

func TestRule04NoAmnesia(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := wiped(world(m))
	require.Equal(t, RemoveMember{ID: 1, Name: "etcd/0", Why: "its data is gone; it joins as a new member"}, firstStep(m, w))
	// Without a quorum among the others it waits; it never starts.
	w = down(w, 1)
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Waiting, p.Status.Level)
	// The settings on disk do not start it either: once there is data, they found and join nothing.
	w = world(m)
	w.WrittenInitial = Initial{New: true, Token: "t", Cluster: "etcd0=u"}
	assert.Equal(t, SpendInitial{}, firstStep(m, w))
	// They do not even while other settings are to be written, and the learner does not become a
	// voter before.
	w.WrittenConfig = "other"
	w.Members[0].Learner = true
	assert.Equal(t, SpendInitial{}, firstStep(m, w))
	w.Tried = []Attempt{{SpendInitial{}, errors.New("disk is full")}}
	assert.Nil(t, firstStep(m, w))
}

func TestRule05OneAtATime(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	m.Config.SnapshotCount = 5000
	require.IsType(t, TakeTurn{}, firstStep(m, w), "the turn comes first")

	held := w
	held.Turn.Holder = "etcd/1"
	require.IsType(t, TakeTurn{}, firstStep(m, held))
	held.Tried = []Attempt{{TakeTurn{}, errors.New("etcd/1 has the turn")}}
	p := Decide(lookAgain, m, held)
	assert.Nil(t, p.Step, "another's turn: nothing is stopped")
	assert.Equal(t, Waiting, p.Status.Level)

	mine := w
	mine.Turn.Holder = "etcd/0"
	require.IsType(t, TakeTurn{}, firstStep(m, mine), "one that an earlier hook left behind may run out in this one")
	mine.Done = []Step{TakeTurn{}}
	require.IsType(t, WriteMember{}, firstStep(m, mine))
	v := newView(Event{}, m, mine)
	mine.WrittenConfig = v.desiredDigest
	require.IsType(t, Restart{}, firstStep(m, mine))

	moves := mine
	moves.Service.PeerURL = "https://10.0.0.99:2380"
	require.Equal(t, AwaitListed{ID: 1}, firstStep(m, moves), "who moves must find the others, who do not find it")
	moves.Done = append(moves.Done, AwaitListed{ID: 1})
	require.IsType(t, Restart{}, firstStep(m, moves))
	moves.Done, moves.Tried = mine.Done, []Attempt{{AwaitListed{ID: 1}, errors.New("not where they are listed: etcd1")}}
	require.IsType(t, RevertMember{}, firstStep(m, moves), "the machine may start again at any time")
	moves.WrittenConfig = moves.Service.Config
	require.IsType(t, ReleaseTurn{}, firstStep(m, moves))
	moves.Turn.Holder = ""
	p = Decide(lookAgain, m, moves)
	assert.Nil(t, p.Step, "the turn is not taken again and again")
	assert.Contains(t, p.Status.Message, "not where they are listed: etcd1")
	moves.Service.PeerURL = mine.Service.PeerURL
	assert.Nil(t, firstStep(m, moves), "nothing goes down without the turn, whatever was tried")

	written, unread := mine, down(mine, 1)
	unread.Service.Config = ""
	assert.IsType(t, ReleaseTurn{}, firstStep(m, unread), "what cannot be read is not written")
	mine.WrittenConfig = mine.Service.Config
	for _, n := range []int{1, 2} {
		assert.IsType(t, RevertMember{}, firstStep(m, down(written, n)))
		assert.IsType(t, ReleaseTurn{}, firstStep(m, down(mine, n)), "the turn alone is not enough: every voter must be ready")
		p := Decide(lookAgain, m, down(w, n))
		assert.Nil(t, p.Step)
		assert.Contains(t, p.Status.Message, unitName(n)+" is not ready")
	}
	joining := mine
	joining.Members = append(members(3), Member{ID: 9, PeerURLs: []string{"https://10.0.0.99:2380"}, Learner: true})
	assert.IsType(t, ReleaseTurn{}, firstStep(m, joining), "not while a member joins")

	done := written
	done.Service.Config = done.WrittenConfig
	assert.IsType(t, ReleaseTurn{}, firstStep(m, done))
	done.Local.Ready = false
	assert.IsType(t, AwaitReady{}, firstStep(m, done), "the turn is kept until the member is ready")

	leads := mine
	leads.Members = members(3)
	for i := range leads.Members {
		leads.Members[i].Leader = 1
	}
	require.IsType(t, ReleaseTurn{}, firstStep(m, leads), "those before it need the turn")
	leads.Turn.Holder = ""
	p = Decide(lookAgain, m, leads)
	assert.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "goes last")
	for u, unitBag := range m.Cluster.Value.UnitBags {
		unitBag.Running = v.desired.Generation()
		m.Cluster.Value.UnitBags[u] = unitBag
	}
	leads.Turn.Holder, leads.WrittenConfig = "etcd/0", v.desiredDigest
	assert.IsType(t, Restart{}, firstStep(m, leads), "when the others are through, the leader goes")
}

func TestRule06QuorumFirst(t *testing.T) {
	t.Parallel()
	leaving := func(m Model) Model {
		units := map[string]Life{}
		for u, life := range m.Units.Value {
			units[u] = life
		}
		units["etcd/0"] = Dying
		m.Units = Know(units)
		return m
	}
	tests := []struct {
		name  string
		units int
		down  []int
		want  Step
		fails string
	}{
		{"three ready: stop, then remove", 3, nil, Stop{"the unit leaves"}, ""},
		{"two: the membership goes while both run", 2, nil, RemoveMember{ID: 1, Name: "etcd/0", Why: "the unit leaves"}, ""},
		{"three, one down: refused", 3, []int{1}, nil, "2 needed"},
		{"two, the other down: refused", 2, []int{1}, nil, "1 needed"},
		{"five, one down: stop", 5, []int{1}, Stop{"the unit leaves"}, ""},
		{"four, one down: removed while it runs", 4, []int{1}, RemoveMember{ID: 1, Name: "etcd/0", Why: "the unit leaves"}, ""},
		{"five, two down: refused", 5, []int{1, 2}, nil, "3 needed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := leaving(model(test.units))
			w := world(m)
			w.Turn.Holder, w.Done = "etcd/0", []Step{TakeTurn{}}
			for _, n := range test.down {
				w = down(w, n)
			}
			if test.fails != "" {
				require.IsType(t, ReleaseTurn{}, firstStep(m, w), "what it waits for may wait for the turn")
				w.Turn.Holder = ""
			}
			p := Decide(Event{Kind: hooks.Stop}, m, w)
			assert.Equal(t, test.want, p.Step)
			if test.fails == "" {
				return
			}
			require.Error(t, p.Fail)
			other := Decide(lookAgain, m, w)
			require.NoError(t, other.Fail, "only the departure's own hooks hold the unit")
			assert.NotNil(t, wordOf(other))
			assert.Equal(t, Blocked, other.Status.Level)
			assert.Contains(t, p.Fail.Error(), test.fails)
		})
	}

	t.Run("who is held serves again, and takes the dead out", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(3))
		w := down(world(m), 1)
		w.Service, w.Local, w.Reach = Service{Kind: MemberService}, Local{}, NoQuorum
		assert.IsType(t, Start{}, firstStep(m, w))
		m = gone(m, 1)
		w = down(world(m), 1)
		w.Members = down(World{Members: members(3)}, 1).Members
		m.Units.Value["etcd/2"] = Dying
		assert.IsType(t, RemoveMember{}, firstStep(m, w))
		m.Leader = Know(false)
		assert.IsType(t, RemoveMember{}, firstStep(m, w), "it does not wait for the leader, who may be held and know less")
		w.Members[0].Answers, w.Members[0].Ready = false, false
		assert.IsType(t, RemoveMember{}, firstStep(m, w), "nobody finds it where it is listed, and yet it is ready")
		w.Local.Ready = false
		assert.Nil(t, firstStep(m, w), "that would would cost the quorum")
	})

	t.Run("who is held starts nothing while it cannot tell whether the cluster has ended", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(1))
		m.Units, m.Cluster = Unknown[map[string]Life]("goal-state failed"), Unknown[Cluster]("goal-state failed")
		w := world(m)
		w.Service, w.Local, w.Reach, w.Members = Service{Kind: MemberService}, Local{}, Unreachable, nil
		p := Decide(Event{Kind: hooks.Remove}, m, w)
		assert.Nil(t, p.Step)
		require.ErrorContains(t, p.Fail, "goal-state")
	})

	t.Run("who is held tells where it listens by now", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(2))
		m.Config.ManagementPort = 2580
		w := world(m)
		w.Members = members(1)
		require.NotContains(t, w.Members[0].PeerURLs[0], "2580")
		assert.Equal(t, UpdateMember{1, "https://10.0.0.10:2580"}, firstStep(m, w), "its machine restarted in the middle of a roll")
		w.Members[0].PeerURLs[0] = "https://10.0.0.10:2580"
		assert.Nil(t, firstStep(m, w))
	})

	t.Run("a recorded end is the end, whoever came meanwhile", func(t *testing.T) {
		t.Parallel()
		m := record(leaving(model(2)), AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Ended: clusterID})
		w := world(m)
		w.Service, w.Local, w.Members, w.Reach = Service{Kind: MemberService}, Local{}, nil, Unreachable
		p := Decide(Event{Kind: hooks.Remove}, m, w)
		assert.Nil(t, p.Step)
		require.NoError(t, p.Fail)
	})

	t.Run("a founder that leaves before it was recorded puts its cluster on record for who joins", func(t *testing.T) {
		t.Parallel()
		m := record(leaving(model(2)), AppBag{})
		w := world(m)
		w.Members = members(1)
		p := Decide(lookAgain, m, w)
		require.NoError(t, p.Fail)
		require.NotNil(t, recordOf(p))
		assert.Equal(t, uint64(clusterID), recordOf(p).ClusterID)
		m = record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: 7, Ended: 7, Authority: ca1().Fingerprint()})
		m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{ClusterID: clusterID, Leaving: true, Stopped: true}
		w.Service, w.Local, w.Members, w.Reach = Service{Kind: MemberService}, Local{}, nil, Unreachable
		w.Tried = []Attempt{{Start{}, errors.New("no")}}
		assert.Nil(t, recordOf(Decide(lookAgain, m, w)), "but not what it has stopped: that may have ended before another")
	})

	t.Run("a founder whose cluster nobody was told of leaves, though another unit stays", func(t *testing.T) {
		t.Parallel()
		stop := Event{Kind: hooks.Stop}
		m := record(leaving(model(2)), AppBag{})
		w := world(m)
		w.Members = members(1)
		require.IsType(t, Stop{}, firstStepOf(stop, m, w))
		require.IsType(t, Stop{}, firstStepOf(Event{Kind: hooks.Remove}, m, w), "it never ran start, so there is no stop")
		m.Leader.Value = false
		require.Error(t, Decide(stop, m, w).Fail, "whoever leads may put it on record")
		m.Leader.Value = true
		require.Error(t, Decide(stop, record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID}), w).Fail, "who comes looks for it")
		w.Reach, w.Members, w.Local.Voters = Unreachable, nil, 1
		assert.IsType(t, Stop{}, firstStepOf(stop, m, w), "others may be in another such cluster, and its own server tells that it is alone")
		w.Local.Voters = 2
		require.Error(t, Decide(stop, m, w).Fail)
	})

	t.Run("a founder that had to yield goes last and leaves the record alone", func(t *testing.T) {
		t.Parallel()
		m := record(leaving(model(1)), AppBag{Schema: etcdcluster.Schema, ClusterID: 7})
		w := world(m)
		w.Service, w.Local, w.Members, w.Reach = Service{Kind: MemberService}, Local{}, nil, Unreachable
		p := Decide(Event{Kind: hooks.Stop}, m, w)
		require.NoError(t, p.Fail)
		require.Nil(t, p.Step)
		if recordOf(p) != nil {
			assert.Equal(t, uint64(7), recordOf(p).ClusterID)
			assert.Zero(t, recordOf(p).Ended)
		}
	})

	t.Run("another cluster does not know whether our member left ours", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(2))
		w := world(m)
		w.Members = members(2)[1:]
		require.IsType(t, Stop{}, firstStepOf(Event{Kind: hooks.Stop}, m, w), "in ours, who is not listed has left")
		other := w.Data.ClusterID + 1
		w.ClusterID, m.Leader.Value = other, false
		m.Cluster.Value.AppBag = AppBag{}
		m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{Schema: etcdcluster.Schema, ClusterID: other}
		p := Decide(Event{Kind: hooks.Stop}, m, w)
		assert.Nil(t, p.Step)
		require.Error(t, p.Fail)
	})

	t.Run("a voter newer than goal-state is no reason to end", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(1))
		w := world(m)
		w.Members = members(2)
		w.Turn.Holder = "etcd/0"
		w.Reach = NoQuorum
		p := Decide(Event{Kind: hooks.Stop}, m, w)
		assert.Nil(t, p.Step)
		require.Error(t, p.Fail)
		m.Seen = []uint64{1, 2}
		assert.IsType(t, Stop{}, firstStepOf(Event{Kind: hooks.Stop}, m, w), "one that was there and has no unit is dead")
	})

	t.Run("who took itself out knows it, though nobody is left to ask", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(2))
		w := world(m)
		w.Done = []Step{RemoveMember{ID: 1, Name: "etcd/0", Why: "the unit leaves"}}
		w.Service, w.Local, w.Members, w.Reach = Service{Kind: MemberService}, Local{}, nil, Unreachable
		assert.IsType(t, MoveAside{}, firstStep(m, w))
		w.Done = []Step{RemoveMember{ID: 2, Name: "etcd/1", Why: "its unit is gone"}}
		assert.IsType(t, Start{}, firstStep(m, w))
	})

	t.Run("who has left keeps no data by which it would seem to be held", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(3))
		w := world(m)
		w.Members = members(3)[1:]
		require.IsType(t, Stop{}, firstStep(m, w))
		w.Service = Service{Kind: MemberService}
		require.IsType(t, MoveAside{}, firstStep(m, w))
		w.Data, w.Reach, w.Members = Data{}, Unreachable, nil
		p := Decide(Event{Kind: hooks.Remove}, m, w)
		assert.Nil(t, p.Step)
		require.NoError(t, p.Fail)
		assert.True(t, wordOf(p).Stopped)
	})

	t.Run("the dead go before a new one comes, and only if their unit is gone", func(t *testing.T) {
		t.Parallel()
		m := model(4)
		w := wiped(world(m))
		w.Members = w.Members[1:]
		w = down(w, 2)
		p := Decide(lookAgain, m, w)
		require.Nil(t, p.Step, "a hook that waited for the dead would wait in vain")
		assert.Contains(t, p.Status.Message, "juju remove-unit --force etcd/2")
		assert.Equal(t, AwaitPeer{}, firstStep(gone(m, 2), w), "one whose unit is gone is about to be taken out")
		w.Turn.Holder = "etcd/2"
		assert.Equal(t, AwaitPeer{}, firstStep(m, w), "one that restarts by our hand will be back")
		w.Tried = []Attempt{{AwaitPeer{}, errors.New("no")}}
		p = Decide(lookAgain, m, w)
		require.Nil(t, p.Step)
		assert.Contains(t, p.Status.Message, "juju remove-unit --force etcd/2")

		m = gone(model(3), 2)
		w = world(m)
		w.Members = members(3)
		w = fenced(m, w)
		assert.Equal(t, RemoveMember{ID: 3, Name: "etcd/2", Why: "its unit is gone"}, firstStep(m, down(w, 2)))
		m.Seen = []uint64{1, 2}
		assert.Nil(t, firstStep(m, down(w, 2)), "a member that came after goal-state was read is not judged by it")
		m.Seen = []uint64{1, 2, 3}
		m.Leader = Know(false)
		assert.IsType(t, RemoveMember{}, firstStep(m, down(w, 2)), "the first ready voter does it: the leader may have no member yet")
		w.Members[0], w.Members[1] = w.Members[1], w.Members[0]
		assert.Nil(t, firstStep(m, down(w, 2)), "nobody else does")
		m = model(3)
		assert.Nil(t, firstStep(m, down(world(m), 2)), "a time-out is not death")
		w = world(m)
		w.Members[0].Name = "etcd9"
		assert.Nil(t, firstStep(m, w), "our own member bears a former unit's name until it has started")
	})

	t.Run("a removal that would costs the quorum waits", func(t *testing.T) {
		t.Parallel()
		m := gone(model(3), 2)
		w := world(m)
		w.Members = members(3)
		w = fenced(m, w)
		p := Decide(lookAgain, m, down(w, 1))
		assert.Nil(t, p.Step)
		assert.Contains(t, p.Status.Message, "would cost the quorum")
	})

	t.Run("an unstarted member of an unknown owner stays while a unit is unaccounted for", func(t *testing.T) {
		t.Parallel()
		m := model(3)
		w := world(m)
		w.Members = append(members(2), Member{ID: 3, PeerURLs: []string{"https://10.9.9.9:2380"}, Learner: true})
		w = fenced(m, w)
		m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{}
		assert.Nil(t, firstStep(m, w))
		m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{PeerURL: "https://10.9.9.9:2999"}
		assert.Nil(t, firstStep(m, w), "its word is from before the port changed")
		m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{PeerURL: "https://10.0.0.12:2999"}
		assert.IsType(t, RemoveMember{}, firstStep(m, w), "at whatever port, it is at another address")
		joined := w
		joined.Members = append(members(3), Member{ID: 4, PeerURLs: []string{"https://10.9.9.9:2380"}, Learner: true})
		m.Seen = []uint64{1, 2, 3, 4}
		assert.IsType(t, RemoveMember{}, firstStep(m, joined), "which does not matter once it has a member")
		m.Seen = []uint64{1, 2, 3}
		m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{PeerURL: "https://10.0.0.12:2380"}
		assert.IsType(t, RemoveMember{}, firstStep(m, w))
	})

	t.Run("no removal of the last voter while others are to come", func(t *testing.T) {
		t.Parallel()
		m := leaving(model(2))
		w := world(m)
		w.Members = members(1)
		p := Decide(Event{Kind: hooks.Stop}, m, w)
		assert.Nil(t, p.Step)
		require.Error(t, p.Fail)
	})
}

func TestRule07NothingIsDeleted(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.Members = members(3)[1:]
	require.IsType(t, Stop{}, firstStep(m, w))
	w.Service = Service{Kind: MemberService}
	require.Equal(t, MoveAside{"etcd does not list it any more"}, firstStep(m, w))
	w = world(m)
	w.Data = Data{State: AlienData, Problem: "holds a file README"}
	w.Local = Local{}
	assert.Equal(t, AwaitReady{Learner: true}, firstStep(m, w), "a first start is waited for")
	w.Service = Service{}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "holds a file README")
}

func TestRule08OnlyTruthsArePublished(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Relations = consuming(m, "proxy:1", "proxy:2")
	w := world(m)
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	require.Len(t, toConsumers(p), 2)
	const full = "etcd0=https://10.0.0.10:2380,etcd1=https://10.0.0.11:2380,etcd2=https://10.0.0.12:2380"
	assert.Equal(t, full, toConsumers(p)[0].Bag["cluster"])
	assert.Equal(t, "https://10.0.0.10:2379,https://10.0.0.11:2379,https://10.0.0.12:2379", toConsumers(p)[0].Bag["client_urls"])

	t.Run("the same from every unit", func(t *testing.T) {
		t.Parallel()
		other := m
		other.Unit = "etcd/1"
		other.Leader = Know(false)
		unitBags := map[string]UnitBag{"etcd/0": {PeerURL: "https://10.0.0.10:2380"}, "etcd/2": {PeerURL: "https://10.0.0.12:2380"}}
		other.Cluster = Know(Cluster{RelationID: "cluster:0", AppBag: m.Cluster.Value.AppBag, UnitBags: unitBags})
		other.PeerAddress = Know(Address{Ingress: address(1), All: []string{address(1)}})
		other.ClientAddress = other.PeerAddress
		w2 := world(other)
		w2.Data.MemberID, w2.Local.MemberID = 2, 2
		w2 = fenced(other, w2)
		assert.Equal(t, toConsumers(p), toConsumers(Decide(lookAgain, other, w2)))
	})
	t.Run("started voters only", func(t *testing.T) {
		t.Parallel()
		waits, learns := Member{ID: 3, PeerURLs: []string{"https://10.0.0.12:2380"}, Learner: true}, members(3)[2]
		learns.Learner = true
		for name, third := range map[string]Member{"a learner that waits for its server": waits, "a learner that serves": learns} {
			w := world(m)
			w.Members = append(members(2), third)
			plan := Decide(lookAgain, m, w)
			require.Len(t, toConsumers(plan), 2, name)
			for _, pub := range toConsumers(plan) {
				assert.NotContains(t, pub.Bag["cluster"], "10.0.0.12", name)
				assert.NotContains(t, pub.Bag["client_urls"], "https://10.0.0.12:2379", name)
				assert.NotContains(t, pub.Bag["cluster"], ",=", name)
			}
		}
	})
	t.Run("nothing while nothing is known for sure", func(t *testing.T) {
		t.Parallel()
		for _, reach := range []Reach{Absent, Unreachable, NoQuorum} {
			w := world(m)
			w.Reach = reach
			assert.Empty(t, toConsumers(Decide(lookAgain, m, w)), reach)
		}
		w := world(m)
		unrecorded := record(m, AppBag{})
		unrecorded.Leader = Know(false)
		assert.Empty(t, toConsumers(Decide(lookAgain, unrecorded, w)), "a cluster that is not on record may have to yield")
		w.Members = nil
		assert.Empty(t, toConsumers(Decide(lookAgain, m, w)), "never an empty string")
	})
	t.Run("never a revoked certificate", func(t *testing.T) {
		t.Parallel()
		for _, leads := range []bool{true, false} {
			ended := []Ended{{RelationID: "proxy:1", Generation: 1, Period: 229}, {RelationID: "proxy:1", Generation: 2, Period: 230}}
			listed := record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: ended})
			listed.Leader, listed.Memory = Know(leads), Know(after(m, p))
			w := w
			w.TLS.Revoked = RevokedDigest(ended)
			plan := Decide(lookAgain, listed, w)
			require.Nil(t, plan.Step)
			require.Len(t, toConsumers(plan), 1, "the other goes on")
			told := toConsumers(plan)[0]
			third, err := ca1().Credentials(m.UUID, "proxy:1", 3, w.Period)
			require.NoError(t, err)
			assert.Equal(t, third.Cert, told.Bag["client_cert"], "the next generation")
			assert.NotEqual(t, toConsumers(p)[0].Bag["client_cert"], told.Bag["client_cert"])
			assert.Equal(t, Active, plan.Status.Level)
			listed.Memory = Know(after(listed, plan))
			assert.Empty(t, toConsumers(Decide(lookAgain, listed, w)), "once")
		}
	})
	t.Run("on every change and only then", func(t *testing.T) {
		t.Parallel()
		again := m
		again.Memory = Know(after(m, p))
		assert.Empty(t, toConsumers(Decide(lookAgain, again, w)))
		for name, change := range map[string]func(*Model, *World){
			"membership": func(_ *Model, w *World) { w.Members = members(2) },
			"address": func(_ *Model, w *World) {
				w.Members = members(3)
				w.Members[1].ClientURLs = []string{"https://10.1.1.1:2379"}
			},
			"authority": func(m *Model, w *World) { m.Authority = Know(ca2()); *w = world(*m) },
			"period":    func(_ *Model, w *World) { w.Period++ },
		} {
			m2, w2 := again, w
			change(&m2, &w2)
			assert.Len(t, toConsumers(Decide(lookAgain, m2, fenced(m2, w2))), 2, name)
		}
	})
}

func TestRule09TrustOverlaps(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	t.Run("a due leaf is swapped with no restart", func(t *testing.T) {
		t.Parallel()
		w := w
		w.TLS.Peer.Due, w.TLS.Server.Due = true, true
		step, ok := firstStep(m, w).(WriteTLS)
		require.True(t, ok)
		assert.True(t, step.Peer && step.Server && !step.Trust && !step.Admin)
		w.TLS = world(m).TLS
		assert.Nil(t, firstStep(m, w), "and nothing follows")
	})
	t.Run("a new trust bundle rolls", func(t *testing.T) {
		t.Parallel()
		m := m
		m.Authority = Know(overlapping())
		step, ok := firstStep(m, w).(WriteTLS)
		require.True(t, ok)
		assert.True(t, step.Trust)
		w := w
		w.TLS.Trust = overlapping().Trust()
		assert.IsType(t, TakeTurn{}, firstStep(m, w))
	})
	t.Run("leaves name every address, in any order", func(t *testing.T) {
		t.Parallel()
		m := m
		m.ClientAddress = Know(Address{Ingress: "192.168.1.9", All: []string{"192.168.1.9", "fd00::9", "Node.example"}})
		step, ok := firstStep(m, w).(WriteTLS)
		require.True(t, ok)
		assert.Equal(t, []string{"10.0.0.10", "127.0.0.1", "192.168.1.9", "::1", "fd00::9", "localhost", "node.example"}, step.ServerSANs)
		assert.Equal(t, []string{"10.0.0.10", "127.0.0.1", "192.168.1.9", "::1", "fd00::9"}, step.PeerSANs, "names would be looked up")
		w := w
		w.TLS = certified(m)
		slices.Reverse(w.TLS.Peer.SANs)
		slices.Reverse(w.TLS.Server.SANs)
		_, again := firstStep(m, w).(WriteTLS)
		assert.False(t, again)
	})
}

func TestRule10KeysStayHome(t *testing.T) {
	t.Parallel()
	const secret = "deadbeef"
	authority := ca1()
	up := Upstream{Cert: "c", Key: secret}
	_, err := authority.Credentials("uuid", "proxy:1", 1, 230) // it remembers what it derived
	require.NoError(t, err)
	shown := strings.ToLower(fmt.Sprint(authority.Encode()))
	assert.GreaterOrEqual(t, len(slices.DeleteFunc(slices.Clone(leaks()), func(l string) bool { return !strings.Contains(shown, l) })), 3, "what is looked for would be found")
	bag := BagWrite{Relation: "proxy:1", Bag: databag.Bag{"client_key": secret}}
	write := SecretWrite{Label: "a", Content: map[string]string{"k": secret}}
	told := ConsumerData{Credentials: must(authority.Credentials("uuid", "proxy:1", 1, 230))}
	told.Credentials.Key += secret
	m := Model{Authority: Know(authority), Relations: related(Model{}, upstreamEndpoint, databag.Relation{Units: map[string]databag.Bag{"etcd/0": {"client_key": secret}}})}
	for _, v := range []any{
		authority, &authority, *authority, authority.Peer, authority.Client.Key, up, &up,
		[]Upstream{up},
		map[string]*pki.Authority{"x": authority},
		WriteTLS{Authority: authority},
		&WriteTLS{Authority: authority},
		WriteProxy{up},
		&WriteProxy{up},
		m, &m,
		Plan{Step: WriteTLS{Authority: authority}},
		Plan{Step: WriteProxy{up}},
		[]Step{WriteProxy{up}},
		bag, &bag, write, &write, told,
		Plan{Bags: []BagWrite{bag}, Secrets: []SecretWrite{write}},
		&Plan{Bags: []BagWrite{bag}, Secrets: []SecretWrite{write}},
		Result{Bags: []BagWrite{bag}},
	} {
		for _, verb := range []string{"%v", "%+v", "%s", "%#v", "%q", "%x", "%X", "%d", "%o"} {
			assertHidden(t, fmt.Sprintf(verb, v), "%T with %s", v, verb)
		}
		assertHidden(t, fmt.Errorf("cannot do: %w", fmt.Errorf("%v", v)).Error(), "%T in an error", v)
		encoded, _ := json.Marshal(v) // a bag cannot be JSON: that is an error, not a leak
		assertHidden(t, string(encoded), "%T in JSON", v)
		assertHidden(t, asYAML(v), "%T in YAML", v)
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("step", "value", v)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("step", "value", v)
		assertHidden(t, text.String(), "%T in a text log", v)
		assertHidden(t, structured.String(), "%T in a JSON log", v)
	}
	for _, line := range (Server{Config: config()}).Env() {
		assert.NotContains(t, line, "PRIVATE")
	}
}

// asYAML is v in YAML. A bag makes the encoder panic or fail; that is not a leak.
func asYAML(v any) (text string) {
	defer func() { _ = recover() }()
	encoded, _ := yaml.Marshal(v)
	return string(encoded)
}

// assertHidden checks that a text has neither the secret eight letters nor the private keys of ca1,
// in any notation of fmt.
func assertHidden(t *testing.T, text, format string, args ...any) {
	t.Helper()
	for _, leak := range leaks() {
		assert.NotContainsf(t, strings.ToLower(text), leak, format, args...)
	}
}

var leaks = sync.OnceValue(func() []string {
	found := []string{"deadbeef", "6465616462656566", "zgvhzgjlzwy=", "100 101 97 100", "144 145 141 144"}
	for _, ca := range []pki.CA{ca1().Peer, ca1().Client} {
		block, _ := pem.Decode(ca.Key.PEM())
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			panic(err)
		}
		scalar, err := key.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			panic(err)
		}
		number := new(big.Int).SetBytes(scalar)
		found = append(found, "private key", hex.EncodeToString(scalar[:8]), number.String(), number.Text(8),
			strings.Trim(fmt.Sprintf("%d", scalar[:8]), "[]"), strings.Trim(fmt.Sprintf("%o", scalar[:8]), "[]"),
			strings.Trim(fmt.Sprintf("%#v", scalar[:8]), "[]byte{}"), strings.ToLower(base64.StdEncoding.EncodeToString(block.Bytes)[70:110]))
	}
	return found
})

func TestRule11PublishLast(t *testing.T) {
	t.Parallel()
	// While a step is wanted nothing is published: the change outside Juju comes first.
	m := model(3)
	m.Relations = consuming(m, "proxy:1")
	w := world(m)
	w.Service.Running = false
	p := Decide(lookAgain, m, w)
	require.NotNil(t, p.Step)
	assert.Nil(t, recordOf(p))
	assert.Nil(t, wordOf(p))
	assert.Empty(t, toConsumers(p))
	assert.Nil(t, p.Memory)
	// The bag is never the only record: with an empty bag the same is found on disk and in etcd.
	m = record(m, AppBag{})
	for u := range m.Cluster.Value.UnitBags {
		m.Cluster.Value.UnitBags[u] = UnitBag{}
	}
	p = Decide(lookAgain, m, world(m))
	require.Nil(t, p.Step)
	assert.Equal(t, uint64(clusterID), recordOf(p).ClusterID)
	assert.Len(t, toConsumers(p), 1)
}

func TestStepsPrintNoSecretsAndAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range []Step{
		Install{"r"},
		WriteTLS{Peer: true},
		WriteMember{Server{Name: "etcd0"}},
		WriteProxy{},
		Start{},
		Restart{},
		Stop{"w"},
		MoveAside{"w"},
		Claim{Owner{"m", "u"}},
		AddLearner{"u"},
		Promote{1},
		RemoveMember{ID: 1, Name: "n", Why: "w"},
		UpdateMember{1, "u"},
		AwaitReady{},
		AwaitReady{true},
		AwaitPeer{},
		AwaitPeer{1},
		AwaitListed{1},
		AwaitLearner{1},
		TakeTurn{},
		ReleaseTurn{},
	} {
		assert.False(t, seen[s.String()], s.String())
		assert.NotEmpty(t, strings.TrimSpace(s.String()))
		seen[s.String()] = true
	}
}
