package operator

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// gap is something that a hook may not be able to learn.
type gap struct {
	name  string
	hide  func(*Model, *World)
	words []string // one of them is said
}

// gaps are everything that a hook may not be able to learn: each Known field of the model, the
// options, and those parts of the world that have a value for it.
func gaps() []gap {
	var out []gap
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Model]()) {
		// Without the memory the consumers are unknown too: see juju.Observe.
		if !strings.HasPrefix(f.Type.Name(), "Known[") || f.Name == "Memory" {
			continue
		}
		why := "tool-of-" + f.Name + " failed"
		out = append(out, gap{f.Name, func(m *Model, _ *World) {
			v := reflect.New(f.Type).Elem()
			v.FieldByName("Why").SetString(why)
			reflect.ValueOf(m).Elem().Field(i).Set(v)
		}, []string{why}})
	}
	for _, at := range Endpoints() {
		if at.Read == Peers {
			continue
		}
		why := "relation-ids of " + at.Name + " failed"
		out = append(out, gap{at.Name, func(m *Model, _ *World) {
			m.Relations = maps.Clone(m.Relations)
			m.Relations[at.Name] = Unknown[[]databag.Relation](why)
			if at.Encode != nil {
				m.Deserted = nil
			}
		}, []string{why}})
	}
	const problem = "option port: none"
	return append(
		out,
		gap{"ConfigProblem", func(m *Model, _ *World) { m.ConfigProblem = problem }, []string{problem}},
		gap{"Config", func(m *Model, _ *World) { m.Config, m.ConfigProblem = Config{}, problem }, []string{problem}},
		gap{"Turn", func(_ *Model, w *World) { w.Turn = Turn{} }, []string{"turn to restart unknown"}},
		gap{"Unreachable", func(_ *Model, w *World) {
			w.Reach, w.ClusterID, w.Members, w.Alarms, w.Turn = Unreachable, 0, nil, nil, Turn{}
		}, []string{"unreachable", "no member of cluster", "no member answers"}},
		gap{"NoQuorum", func(_ *Model, w *World) { w.Reach, w.Turn = NoQuorum, Turn{} }, []string{"no quorum"}},
	)
}

// scene is a unit that has something to do.
type scene struct {
	name  string
	build func() (Event, Model, World)
}

func scenes() []scene {
	at := func(build func() (Model, World)) func() (Event, Model, World) {
		return func() (Event, Model, World) { m, w := build(); return lookAgain, m, w }
	}
	member := func(n int, change func(*Model, *World)) func() (Event, Model, World) {
		return at(func() (Model, World) {
			m := model(n)
			w := world(m)
			change(&m, &w)
			return m, w
		})
	}
	return []scene{
		{"founding", at(func() (Model, World) { return fresh(1) })},
		{"founding, no certificates yet", at(func() (Model, World) {
			m, w := fresh(1)
			w.TLS = TLS{}
			return m, w
		})},
		{"founding, no authorities yet", at(func() (Model, World) {
			m, w := fresh(1)
			m.Authority = Know[*pki.Authority](nil)
			return m, w
		})},
		{"just founded", member(1, func(m *Model, _ *World) {
			*m = record(*m, AppBag{Schema: etcdcluster.Schema, Authority: ca1().Fingerprint()})
			m.Relations = consuming(*m, "proxy:1")
		})},
		{"a consumer to be told", member(3, func(m *Model, _ *World) { m.Relations = consuming(*m, "proxy:1") })},
		{"a consumer gone", member(3, func(m *Model, _ *World) { m.Memory.Value.Bags["proxy:9"] = "x" })},
		{"certificates due", member(3, func(_ *Model, w *World) { w.TLS.Server.Due, w.TLS.Peer.Due = true, true })},
		{"new authorities", member(3, func(m *Model, _ *World) { m.Authority = Know(ca2()) })},
		{"settings changed", member(3, func(m *Model, _ *World) { m.Config.SnapshotCount++ })},
		{"settings changed, with the turn", member(3, func(m *Model, w *World) {
			m.Config.SnapshotCount++
			w.Turn.Holder, w.Done = m.Unit, []Step{TakeTurn{}}
		})},
		{"settings changed on the raft leader", member(1, func(m *Model, w *World) {
			m.Config.SnapshotCount++
			w.Members[0].Leader = 1
		})},
		{"another address", member(3, func(m *Model, w *World) {
			at := Know(Address{Ingress: "10.0.0.99", All: []string{"10.0.0.99"}})
			m.PeerAddress, m.ClientAddress = at, at
			w.TLS = certified(*m)
			w.Service.Config = newView(Event{}, *m, *w).desiredDigest
			w.WrittenConfig = w.Service.Config
		})},
		{"a turn to give back", member(3, func(m *Model, w *World) { w.Turn.Holder = m.Unit })},
		{"a dead unit's member", member(3, func(m *Model, w *World) { *m, *w = gone(*m, 1), down(*w, 1) })},
		{"a gone unit's member that runs", member(3, func(m *Model, _ *World) { *m = gone(*m, 1) })},
		{"the same, beside the leader", member(3, func(m *Model, _ *World) {
			*m = gone(*m, 1)
			m.Leader = Know(false)
		})},
		{"the same, where only the leader would", member(5, func(m *Model, w *World) {
			*m = gone(*m, 1)
			w.Local.Ready, w.Members[0].Ready = false, false
			w.Done = []Step{AwaitReady{}}
		})},
		{"our server is down", member(3, func(_ *Model, w *World) {
			*w = down(*w, 0)
			w.Service.Running, w.Local = false, Local{}
		})},
		{"joining", member(3, func(m *Model, w *World) {
			*w = wiped(*w)
			w.Members = w.Members[1:]
			m.Relations = consuming(*m, "proxy:1")
		})},
		{"joining, listed", member(3, func(_ *Model, w *World) {
			*w = wiped(*w)
			w.Members[0].Name, w.Members[0].Learner = "", true
		})},
		{"a learner", member(3, func(_ *Model, w *World) { w.Members[0].Learner = true })},
		{"data of another cluster", member(3, func(_ *Model, w *World) {
			w.Data.ClusterID, w.Local = 0xbad, Local{Live: true, Ready: true, ClusterID: 0xbad, MemberID: 1, Voters: 1}
		})},
		{"leaving", func() (Event, Model, World) {
			m := model(3)
			w := world(m)
			m.Units.Value[m.Unit] = Dying
			m.Relations = consuming(m, "proxy:1")
			return Event{Kind: hooks.RelationDeparted, Endpoint: "cluster", Departing: m.Unit}, m, w
		}},
		{"leaving, as told by goal-state", at(func() (Model, World) {
			m := model(3)
			w := world(m)
			m.Units.Value[m.Unit] = Dying
			return m, w
		})},
		{"left, with the turn", func() (Event, Model, World) {
			m := model(3)
			w := world(m)
			m.Units.Value[m.Unit], w.Turn.Holder = Dying, m.Unit
			w.Members = w.Members[1:]
			return Event{Kind: hooks.Stop}, m, w
		}},
		{"the last leaves", func() (Event, Model, World) {
			m := model(1)
			w := world(m)
			m.Units.Value[m.Unit] = Dying
			return Event{Kind: hooks.Stop}, m, w
		}},
		{"the last has stopped", func() (Event, Model, World) {
			m := model(1)
			w := world(m)
			m.Units.Value[m.Unit] = Dying
			w.Service.Running, w.Service.Enabled, w.Local = false, false, Local{}
			w.Reach, w.Members, w.ClusterID = Unreachable, nil, 0
			return Event{Kind: hooks.Stop}, m, w
		}},
		{"proxy", at(func() (Model, World) { return healthyProxy(3) })},
		{"proxy, stopped", at(func() (Model, World) {
			m, w := healthyProxy(3)
			w.Service.Running = false
			return m, w
		})},
		{"proxy, not started yet", at(func() (Model, World) {
			m, w := healthyProxy(3)
			w.Service, w.Upstream = Service{}, nil
			return m, w
		})},
		{"proxy, upstream gone", at(func() (Model, World) {
			m, w := healthyProxy(3)
			m.Relations = related(m, upstreamEndpoint)
			return m, w
		})},
	}
}

// workOf is everything that the handlers want in a look, even those after the first that wants a
// step, and what the status then says.
func workOf(e Event, m Model, w World) ([]any, Status) {
	v := newView(e, m, w)
	p := Plan{}
	var work []any
	for _, handle := range handlers {
		p.Step = nil
		if handle(v, &p); p.Step != nil {
			work = append(work, p.Step)
		}
	}
	p.Step = nil
	finish(v, &p)
	if recordOf(p) != nil {
		work = append(work, *recordOf(p))
	}
	if wordOf(p) != nil {
		work = append(work, *wordOf(p))
	}
	if p.NewAuthority {
		work = append(work, "authorities")
	}
	for _, pub := range toConsumers(p) {
		work = append(work, pub)
	}
	if p.Memory != nil {
		work = append(work, *p.Memory)
	}
	if p.Ports != nil {
		work = append(work, p.Ports)
	}
	return work, p.Status
}

// lacking is what is wanted and not in got.
func lacking(wanted, got []any) []any {
	return slices.DeleteFunc(slices.Clone(wanted), func(w any) bool {
		return slices.ContainsFunc(got, func(g any) bool { return reflect.DeepEqual(w, g) })
	})
}

// without plays a scene in which the gaps are unknown. It returns which of the wanted work is not
// done, and everything that is reported.
func (s scene) without(hidden ...gap) (stopped []any, said string) {
	e, m, w := s.build()
	wanted, _ := workOf(e, m, w)
	for _, g := range hidden {
		g.hide(&m, &w)
	}
	got, status := workOf(e, m, w)
	text := []string{"status: " + status.Message}
	for _, r := range Examine(m, w).Reasons {
		text = append(text, "health: "+r.String())
	}
	return lacking(wanted, got), strings.Join(text, "\n")
}

func (g gap) isIn(said string) bool {
	return slices.ContainsFunc(g.words, func(word string) bool { return strings.Contains(said, word) })
}

// TestUnknownThatStopsWorkIsSpokenOf: if an unknown keeps a unit from doing what it would otherwise
// do, its status or its health says so. This holds for each part of the model and the world, alone
// and with another.
func TestUnknownThatStopsWorkIsSpokenOf(t *testing.T) {
	t.Parallel()
	stops := map[string]int{} // gap → in how many scenes it stops something
	for _, s := range scenes() {
		e, m, w := s.build()
		wanted, _ := workOf(e, m, w)
		require.NotEmpty(t, wanted, "%s: the test's own ground", s.name)
		alone := map[string]bool{}
		for _, g := range gaps() {
			stopped, said := s.without(g)
			if alone[g.name] = len(stopped) > 0; len(stopped) > 0 {
				stops[g.name]++
				assert.True(t, g.isIn(said), "%s, %s unknown: not done: %s\nsaid:\n%s", s.name, g.name, list(stopped), said)
			}
		}
		for i, a := range gaps() {
			for _, b := range gaps()[:i] {
				stopped, said := s.without(a, b)
				for _, g := range []gap{a, b} {
					if alone[g.name] && !s.hides(a, b, g) {
						assert.True(t, g.isIn(said), "%s, %s and %s unknown: nothing said of %s\nsaid:\n%s", s.name, a.name, b.name, g.name, said)
					}
				}
				assert.True(t, len(stopped) == 0 || a.isIn(said) || b.isIn(said), "%s, %s and %s unknown: not done: %s\nsaid:\n%s",
					s.name, a.name, b.name, list(stopped), said)
			}
		}
	}
	for _, g := range gaps() {
		assert.NotZero(t, stops[g.name], "no scene in which %s matters", g.name)
	}
}

// hides reports whether one of two gaps makes the gap g irrelevant. Without options it is not known
// what a new unit is; and if the cluster does not answer, g may stop nothing more. In the hook stop
// the status has room for one reason, and the action health knows nothing of hooks.
func (s scene) hides(a, b, g gap) bool {
	other := a
	if a.name == g.name {
		other = b
	}
	e, m, w := s.build()
	other.hide(&m, &w)
	if e.Kind == hooks.Stop || newView(e, m, w).role() == "" {
		return true
	}
	left, _ := workOf(e, m, w)
	g.hide(&m, &w)
	got, _ := workOf(e, m, w)
	return slices.Contains([]string{"Unreachable", "NoQuorum"}, other.name) && len(lacking(left, got)) == 0
}

func list(work []any) string {
	var out []string
	for _, w := range work {
		out = append(out, fmt.Sprintf("%T %v", w, w))
	}
	return strings.Join(out, ", ")
}

// settled is a scene after its hook: everything that was to be published is.
func settled(m Model, w World) (Model, World) {
	p := Decide(lookAgain, m, w)
	m.Memory = Know(after(m, p))
	if recordOf(p) != nil {
		m = record(m, *recordOf(p))
	}
	return m, w
}

// TestUnknownThatStopsNothingIsNoConcern: if nothing that is to be done depends on it, the unit is
// as healthy as ever.
func TestUnknownThatStopsNothingIsNoConcern(t *testing.T) {
	t.Parallel()
	member := func() (Model, World) {
		m := model(3)
		m.Relations = consuming(m, "proxy:1")
		return settled(m, world(m))
	}
	proxy := func() (Model, World) {
		m, w := healthyProxy(3)
		w.Service.Enabled = true
		for p := Decide(lookAgain, m, w); p.Step != nil; p = Decide(lookAgain, m, w) {
			switch s := p.Step.(type) {
			case WriteProxy:
				w.Proxy.Written, w.Service.Config = s.Upstream.Digest(), s.Upstream.ProcessDigest()
			default:
				require.Fail(t, "not settled", "%s", s)
			}
		}
		return m, w
	}
	for name, tc := range map[string]struct {
		build   func() (Model, World)
		silent  []string
		trouble []string // unknowns that might still stop something
	}{
		"member": {member, []string{"Leader", "upstream"}, []string{"Units", "Cluster", "Authority", "proxy", "PeerAddress", "ClientAddress"}},
		"proxy":  {proxy, []string{"Leader", "Units", "Cluster", "Authority", "proxy", "PeerAddress", "Turn"}, []string{"upstream", "ClientAddress"}},
	} {
		m, w := tc.build()
		well := Decide(lookAgain, m, w)
		require.Nil(t, well.Step)
		require.Equal(t, Active, well.Status.Level)
		for _, g := range gaps() {
			m, w := tc.build()
			g.hide(&m, &w)
			p, r := Decide(lookAgain, m, w), Examine(m, w)
			switch {
			case slices.Contains(tc.silent, g.name):
				assert.Equal(t, well.Status, p.Status, "%s, %s unknown", name, g.name)
				assert.Equal(t, Sound, r.Health, "%s, %s unknown", name, g.name)
			case slices.Contains(tc.trouble, g.name):
				assert.Equal(t, Waiting, p.Status.Level, "%s, %s unknown", name, g.name)
				assert.Equal(t, Degraded, r.Health, "%s, %s unknown", name, g.name)
				assert.True(t, g.isIn(p.Status.Message), "%s, %s unknown: %s", name, g.name, p.Status.Message)
			}
		}
	}
}

// TestUnknownThatDoesNotMendItselfBlocks: a unit does not wait for what no later hook will know;
// the status says what to do.
func TestUnknownThatDoesNotMendItselfBlocks(t *testing.T) {
	t.Parallel()
	for stuck, remedy := range map[Stuck]string{TooOld: "deploy the application again", TooNew: "juju refresh etcd"} {
		for _, s := range scenes() {
			e, m, w := s.build()
			if newView(e, m, w).role() == RoleProxy {
				continue
			}
			m.Cluster = Unknown[Cluster]("a bag cannot be read")
			m.Cluster.Stuck = stuck
			for range maxSteps {
				p := Decide(e, m, w)
				if p.Step != nil {
					w.Tried = append(w.Tried, Attempt{p.Step, errors.New("not now")})
					continue
				}
				assert.Equal(t, Blocked, p.Status.Level, "%s, %s", s.name, stuck)
				assert.Contains(t, texts(p.Reasons), remedy, "%s, %s", s.name, stuck)
				break
			}
		}
	}
}

// TestStatusWithUnknowns: the first is in the line, shortened; the others are counted there and
// listed in health.
func TestStatusWithUnknowns(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	why := strings.Repeat("network-get: exit code 1: ERROR ", 10)
	m.PeerAddress, m.ClientAddress, m.Relations = Unknown[Address](why), Unknown[Address](why), noConsumers(why)
	r := Examine(m, w)
	assert.Equal(t, Status{Waiting, "consumers unknown: network-get: exit code 1: ERROR network-get: exit code 1: ER…; 2 more in health"}, StatusOf(r))
	require.Len(t, r.Reasons, 3)
	assert.Contains(t, r.Reasons[2].String(), "address for clients unknown: "+singleLine(why)+"; until then: certificates are not issued, nothing is published to the peers, settings are not applied")
	w.Alarms = []Alarm{{2, noSpace}}
	assert.Equal(t, "NOSPACE on etcd/1: no writes", strings.Split(StatusOf(Examine(m, w)).Message, ";")[0], "the worst comes first")
}

// TestUnknownAddressTakesNothingBack: a unit's published addresses stay while Juju does not say
// what they are.
func TestUnknownAddressTakesNothingBack(t *testing.T) {
	t.Parallel()
	m := model(3)
	m, w := settled(m, world(m))
	require.Nil(t, wordOf(Decide(lookAgain, m, w)), "the test's own ground")
	m.PeerAddress = Unknown[Address]("network-get failed")
	assert.Nil(t, wordOf(Decide(lookAgain, m, w)))
}

// TestRaftLeaderSaysThatItCannotKnowTheOthers: it restarts last, and does not name a unit that may
// have restarted long ago.
func TestRaftLeaderSaysThatItCannotKnowTheOthers(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	m.Config.SnapshotCount++
	for i := range w.Members {
		w.Members[i].Leader = 1
	}
	assert.Contains(t, Decide(lookAgain, m, w).Status.Message, "goes last, after etcd/1")
	m.Cluster = Unknown[Cluster]("a newer bag")
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "peers unknown: a newer bag")
	assert.Contains(t, texts(p.Reasons), "the raft leader does not restart")
}
