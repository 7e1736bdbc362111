package juju

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// The address is read in the context of the peer relation, because it could differ in a consumer's
// hook.
func TestAddressIsTheSameInEveryHook(t *testing.T) {
	t.Parallel()
	for _, peers := range [][]string{{"cluster:0"}, nil} { // nil as in install
		f := newFake()
		f.ids["cluster"] = peers
		assert.True(t, observe(t, f).PeerAddress.OK)
		for _, c := range f.calls {
			if c.tool == "network-get" {
				assert.Equal(t, len(peers) == 1, strings.Contains(strings.Join(c.args, " "), "-r cluster:0"))
			}
		}
	}
}

// healthy is the first of three members, with n consumers, all published.
func healthy(n int) *fakeJuju {
	f := newFake()
	f.app = etcdcluster.EncodeApp(operator.AppBag{ClusterID: 0xc1, Authority: authority().Fingerprint()})
	for i, unit := range []string{"etcd/0", "etcd/1", "etcd/2"} {
		f.peers[unit] = etcdcluster.EncodeUnit(operator.UnitBag{PeerURL: fmt.Sprintf("https://10.0.0.%d:2380", i+5), ClusterID: 0xc1})
	}
	remembered := operator.Memory{Bags: map[string]string{"cluster:0": "d0"}, Ports: "2379"}
	for i := range n {
		id := fmt.Sprintf("proxy:%d", i+1)
		f.ids["proxy"] = append(f.ids["proxy"], id)
		remembered.Bags[id] = "d1"
	}
	f.state = encodeState(remembered)
	return f
}

// foundable reports whether the model lets Decide found a cluster.
func foundable(m operator.Model) bool {
	return m.Leader.OK && m.Leader.Value && m.Units.OK && m.Cluster.OK && m.Cluster.Value.AppBag.ClusterID == 0 &&
		m.Authority.OK && m.Authority.Value != nil && m.PeerAddress.OK && m.ClientAddress.OK && m.ConfigProblem == ""
}

func TestObserve(t *testing.T) {
	t.Parallel()
	f := healthy(2)
	m := observe(t, f)
	assert.Equal(t, "etcd/0", m.Unit)
	assert.Equal(t, "etcd", m.App)
	assert.Equal(t, "uuid", m.UUID)
	assert.Equal(t, []uint64{7}, m.Seen)
	assert.Equal(t, operator.Know(true), m.Leader)
	assert.Equal(t, operator.Know([]databag.Relation{{ID: "proxy:1", Endpoint: "proxy"}, {ID: "proxy:2", Endpoint: "proxy"}}), m.Relations["proxy"])
	require.True(t, m.Cluster.OK, m.Cluster.Why)
	assert.Equal(t, uint64(0xc1), m.Cluster.Value.AppBag.ClusterID)
	assert.Len(t, m.Cluster.Value.UnitBags, 2)
	assert.Equal(t, "https://10.0.0.6:2380", m.Cluster.Value.UnitBags["etcd/1"].PeerURL)
	assert.NotContains(t, m.Cluster.Value.UnitBags, "etcd/0", "our own bag is not read")
	assert.Equal(t, "10.0.0.5", m.PeerAddress.Value.Ingress)
	assert.Equal(t, []string{"10.1.0.5", "juju-1"}, m.ClientAddress.Value.All)
	require.NotNil(t, m.Authority.Value)
	assert.Equal(t, authority().Fingerprint(), m.Authority.Value.Fingerprint())
	assert.Equal(t, "d1", m.Memory.Value.Bags["proxy:2"])
	assert.False(t, m.Relations["upstream"].OK)
}

// A healthy update-status of a member of three is at most 15 calls, whatever the number of consumers, and writes nothing.
func TestCallBudget(t *testing.T) {
	t.Parallel()
	run := func(consumers int) *fakeJuju {
		f := healthy(consumers)
		m := observe(t, f)
		log := slog.New(NewLogHandler(f, t.Output()))
		log.Debug("states", "states", []string{"proxy.connected"})
		plan := operator.Plan{Status: operator.Status{Level: operator.Active, Message: "3/3 voters"}}
		require.NoError(t, Flush(t.Context(), f, m, plan, newAuthority))
		return f
	}
	one, thousand := run(1), run(1000)
	assert.LessOrEqual(t, len(one.calls), 15)
	assert.Equal(t, one.count(), thousand.count())
	for _, c := range thousand.calls {
		assert.Empty(t, c.stdin, "%s writes", c.tool)
	}
}

// Whichever tool fails, and however, the model never permits founding.
func TestNoFoundingWhenAToolFails(t *testing.T) {
	t.Parallel()
	require.True(t, foundable(observe(t, newFake())), "the test's own ground")
	f := newFake()
	observe(t, f)
	ways := map[string]func(*fakeJuju, string){
		"refused": func(f *fakeJuju, key string) { f.fail[key] = refusal(key, "ERROR connection is shut down") },
		"missing": func(f *fakeJuju, key string) { f.fail[key] = fmt.Errorf("cannot run %s: %w", key, ErrNoTool) },
		"timeout": func(f *fakeJuju, key string) { f.fail[key] = context.DeadlineExceeded },
		"silent":  func(f *fakeJuju, key string) { f.says[strings.Fields(key)[0]] = "" },
		"garbage": func(f *fakeJuju, key string) { f.says[strings.Fields(key)[0]] = strings.Repeat("{", 1000) },
		"other":   func(f *fakeJuju, key string) { f.says[strings.Fields(key)[0]] = `{"a": [1, {}], "units": 7}` },
	}
	tools := 0
	for _, c := range f.calls {
		if c.tool == "config-get" {
			continue // ConfigProblem: below
		}
		tools++
		for way, breakIt := range ways {
			key := c.tool + " " + strings.Join(c.args, " ")
			t.Run(way+" "+key, func(t *testing.T) {
				t.Parallel()
				f := newFake()
				breakIt(f, key)
				if c.tool == "state-get" && way == "other" {
					t.Logf("a state of other values is an alien digest, and no failure")
					return
				}
				if c.tool == "relation-get" && way == "other" {
					assert.False(t, foundable(observe(t, f)))
					return
				}
				assert.False(t, foundable(observe(t, f)))
			})
		}
	}
	assert.Equal(t, 12, tools)

	f = newFake()
	f.fail["config-get"] = errors.New("gone")
	assert.False(t, foundable(observe(t, f)))
}

func TestObserveUnits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*fakeJuju)
		ok     bool
		units  map[string]operator.Life
	}{
		"dying is listed": {
			func(f *fakeJuju) { f.goal = map[string]string{"etcd/0": "active", "etcd/1": "dying"} }, true,
			map[string]operator.Life{"etcd/0": operator.Alive, "etcd/1": operator.Dying},
		},
		"ourselves dying": {
			func(f *fakeJuju) { f.goal = map[string]string{"etcd/0": "dying"} }, true,
			map[string]operator.Life{"etcd/0": operator.Dying},
		},
		"without ourselves":  {func(f *fakeJuju) { f.goal = map[string]string{"etcd/1": "active"} }, false, nil},
		"empty":              {func(f *fakeJuju) { f.goal = nil }, false, nil},
		"null":               {func(f *fakeJuju) { f.says["goal-state"] = "null" }, false, nil},
		"another's unit too": {func(f *fakeJuju) { f.goal = map[string]string{"etcd/0": "active", "app/0": "active"} }, true, map[string]operator.Life{"etcd/0": operator.Alive}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			test.change(f)
			m := observe(t, f)
			assert.Equal(t, test.ok, m.Units.OK)
			assert.Equal(t, test.units, m.Units.Value)
			assert.Equal(t, test.ok, m.Cluster.OK, "without units nobody knows whose bags to read")
			if !test.ok {
				assert.NotEmpty(t, m.Units.Why)
			}
		})
	}
}

func TestObserveCluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*fakeJuju)
		why    string // "" is known
	}{
		"not visible, as in install": {func(f *fakeJuju) { f.ids["cluster"] = nil }, "not visible"},
		"a peer is not there yet":    {func(f *fakeJuju) { delete(f.peers, "etcd/1") }, ""},
		"a peer is not there, in Juju 3.6's words": {func(f *fakeJuju) {
			f.fail["relation-get … etcd/1"] = refusal("relation-get",
				`ERROR cannot read settings for unit "etcd/1" in relation "etcd:cluster": unit "etcd/1": settings not found`)
		}, ""},
		"a peer may not be read": {func(f *fakeJuju) {
			f.fail["relation-get … etcd/1"] = refusal("relation-get", "ERROR permission denied")
		}, "permission denied"},
		"something else not found": {func(f *fakeJuju) {
			f.fail["relation-get … etcd/1"] = refusal("relation-get", "ERROR model not found")
		}, "model not found"},
		"the app bag is not there": {func(f *fakeJuju) {
			f.fail["relation-get … etcd"] = refusal("relation-get", "ERROR settings not found")
		}, "settings"},
		"null bags":                 {func(f *fakeJuju) { f.says["relation-get"] = "null" }, ""},
		"a newer record":            {func(f *fakeJuju) { f.app["schema"] = "3" }, "schema 3 is newer"},
		"a broken word":             {func(f *fakeJuju) { f.peers["etcd/2"]["cluster-id"] = "xyz" }, "relation cluster:0: bag of etcd/2: cluster-id"},
		"10 MB of garbage in a bag": {func(f *fakeJuju) { f.peers["etcd/2"]["zzz"] = strings.Repeat("\x01z", 5<<20) }, "bag of etcd/2: zzz has 10485760 bytes"},
		"a gone unit's bag":         {func(f *fakeJuju) { f.peers["etcd/9"] = databag.Bag{"cluster-id": "xyz"} }, ""},
		"two peer relations":        {func(f *fakeJuju) { f.ids["cluster"] = []string{"cluster:0", "cluster:1"} }, "more than one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			test.change(f)
			m := observe(t, f)
			if test.why == "" {
				assert.True(t, m.Cluster.OK, m.Cluster.Why)
				assert.Len(t, m.Cluster.Value.UnitBags, 2)
				return
			}
			assert.False(t, m.Cluster.OK)
			assert.Contains(t, m.Cluster.Why, test.why)
			assert.Less(t, len(m.Cluster.Why), 1000)
		})
	}
}

func TestObserveLeavesOutBrokenRelation(t *testing.T) {
	t.Parallel()
	f := healthy(3)
	broken := func(e *Env) {
		e.Event = operator.Event{Kind: hooks.RelationBroken, Endpoint: "proxy", RelationID: "proxy:2"}
	}
	assert.Equal(t, []databag.Relation{{ID: "proxy:1", Endpoint: "proxy"}, {ID: "proxy:3", Endpoint: "proxy"}}, observe(t, f, broken).Relations["proxy"].Value)
	departed := func(e *Env) { broken(e); e.Event.Kind = hooks.RelationDeparted }
	assert.Len(t, observe(t, f, departed).Relations["proxy"].Value, 3)
}

// Only a consumer relation whose last unit this unit heard depart is read. It is read in that hook,
// and in each later hook until it has units again or is no longer listed.
func TestObserveDesertedConsumers(t *testing.T) {
	t.Parallel()
	hears := func(kind hooks.Kind, unit string) func(*Env) {
		return func(e *Env) {
			e.Event = operator.Event{Kind: kind, Endpoint: "proxy", RelationID: "proxy:2", RemoteApp: "a", RemoteUnit: unit}
		}
	}
	own := "relation-get --format json -r proxy:2 ingress-address etcd/0"
	for name, tc := range map[string]struct {
		remembered bool
		units      []string
		event      func(*Env)
		want       map[string]operator.OwnBag
		lists      int
	}{
		"nobody departed":             {event: hears(hooks.UpdateStatus, "")},
		"one of two departs":          {units: []string{"a/1"}, event: hears(hooks.RelationDeparted, "a/0"), lists: 1},
		"the last departs":            {event: hears(hooks.RelationDeparted, "a/0"), want: map[string]operator.OwnBag{"proxy:2": operator.BagNotFound}, lists: 1},
		"the last departs, is listed": {units: []string{"a/0"}, event: hears(hooks.RelationDeparted, "a/0"), want: map[string]operator.OwnBag{"proxy:2": operator.BagNotFound}, lists: 1},
		"the last had departed":       {remembered: true, event: hears(hooks.UpdateStatus, ""), want: map[string]operator.OwnBag{"proxy:2": operator.BagNotFound}},
		"created":                     {remembered: true, event: hears(hooks.RelationCreated, ""), want: map[string]operator.OwnBag{"proxy:2": operator.BagNotFound}},
		"joined":                      {remembered: true, units: []string{"a/0"}, event: hears(hooks.RelationJoined, "a/0")},
		"changed":                     {remembered: true, units: []string{"a/0"}, event: hears(hooks.RelationChanged, "a/0")},
		"broken":                      {remembered: true, event: hears(hooks.RelationBroken, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(3)
			f.remote["proxy:2"] = map[string]databag.Bag{}
			for _, unit := range tc.units {
				f.remote["proxy:2"][unit] = databag.Bag{}
			}
			if tc.remembered {
				f.state[stateDeserted] = "deserted proxy:2"
			}
			f.fail[own] = refusal("relation-get", "ERROR relation not found")
			assert.Equal(t, tc.want, observe(t, f, tc.event).Deserted)
			assert.Equal(t, tc.lists, f.count()["relation-list"])
		})
	}
	for text, want := range map[string]operator.OwnBag{
		"ERROR relation not found":                                        operator.BagNotFound,
		"ERROR relation unit not found":                                   operator.BagUnclear,
		`ERROR invalid value "proxy:2" for option -r: relation not found`: operator.BagUnclear,
		"ERROR permission denied":                                         operator.BagUnclear,
		"ERROR connection is shut down":                                   operator.BagUnclear,
		"ERROR relation not found: later":                                 operator.BagUnclear,
	} {
		f := healthy(3)
		f.state[stateDeserted] = "deserted proxy:2"
		f.fail[own] = refusal("relation-get", text)
		assert.Equal(t, want, observe(t, f).Deserted["proxy:2"], text)
	}
	f := healthy(3)
	f.state[stateDeserted] = "deserted proxy:2"
	f.remote["proxy:2"] = map[string]databag.Bag{"etcd/0": {}}
	assert.Equal(t, map[string]operator.OwnBag{"proxy:2": operator.BagThere}, observe(t, f).Deserted)
	f.state[stateDeserted] = "deserted proxy:2 proxy:9"
	assert.Len(t, observe(t, f).Deserted, 1, "what is not listed is not read")
}

// TestLeaderReadsItsApplicationsBag: the leader reads what it wrote last, even before any unit has
// joined; otherwise it would write the bag in every hook.
func TestLeaderReadsItsApplicationsBag(t *testing.T) {
	t.Parallel()
	at := operator.Endpoint{Name: "toy", For: operator.RoleMember, Read: operator.UnitsAndApps}
	for name, units := range map[string]map[string]databag.Bag{"nobody has joined": {}, "one has": {"kv/0": {}}} {
		for _, leads := range []bool{true, false} {
			f := healthy(0)
			f.remote["toy:1"] = units
			o := observer{tools: f, env: Env{Unit: "etcd/0"}, model: operator.Model{App: "etcd", Leader: operator.Know(leads)}}
			relation, err := o.relation(t.Context(), at, "toy:1")
			require.NoError(t, err, name)
			assert.Equal(t, leads, relation.LocalApp["cluster-id"] == "c1", "%s, leader %v", name, leads)
			assert.Equal(t, len(units) > 0, relation.RemoteApp != nil, name)
		}
	}
}

// TestBagsOfAnotherCharmDoNotMendThemselves: a bag that is too old or too new for this charm stays
// unreadable, whatever hook comes next. A tool that failed may answer in the next hook.
func TestBagsOfAnotherCharmDoNotMendThemselves(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*fakeJuju)
		want   operator.Stuck
	}{
		"an older record":       {func(f *fakeJuju) { f.app["schema"] = "1" }, operator.TooOld},
		"a newer record":        {func(f *fakeJuju) { f.app["schema"] = "3" }, operator.TooNew},
		"an older unit's bag":   {func(f *fakeJuju) { f.peers["etcd/1"]["schema"] = "1" }, operator.TooOld},
		"a newer unit's bag":    {func(f *fakeJuju) { f.peers["etcd/2"]["schema"] = "3" }, operator.TooNew},
		"a bag that is broken":  {func(f *fakeJuju) { f.app["schema"] = "secret" }, ""},
		"a bag not to be read":  {func(f *fakeJuju) { f.fail["relation-get"] = errors.New("gone") }, ""},
		"goal-state has failed": {func(f *fakeJuju) { f.fail["goal-state"] = errors.New("gone") }, ""},
	} {
		f := healthy(0)
		tc.change(f)
		m := observe(t, f)
		assert.False(t, m.Cluster.OK, name)
		assert.NotEmpty(t, m.Cluster.Why, name)
		assert.Equal(t, tc.want, m.Cluster.Stuck, name)
	}
	assert.Empty(t, observe(t, healthy(0)).Cluster.Stuck)
}

func TestObserveWithoutState(t *testing.T) {
	t.Parallel()
	f := healthy(3)
	f.fail["state-get"] = errors.New("gone")
	m := observe(t, f)
	assert.True(t, m.Cluster.OK, "a cluster that is there goes on")
	assert.False(t, m.Relations["proxy"].OK)
	assert.False(t, m.Memory.OK)

	f = healthy(0)
	f.says["state-get"] = `{"schema": "2", "ports": 2379, "bags": "\n  \ne\nf proxy:1  db:2\n"}`
	assert.Equal(t, map[string]string{"proxy:1": "f", "db:2": "f"}, observe(t, f).Memory.Value.Bags)
	f.says["state-get"] = `{"ports": "2379", "bag.cluster:0": "d"}`
	assert.Zero(t, observe(t, f).Memory.Value, "schema 1 was never released")
}

// Juju 4.0 still names units that are gone; their bags stay as they were.
func TestObserveProxyHearsTheLivingOnly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		goal string
		want []string
	}{
		"one is gone":             {`{"kv": {}, "kv/1": {"status": "active"}, "kv/2": {"status": "waiting"}}`, []string{"kv/1", "kv/2"}},
		"one is gone, one leaves": {`{"kv": {}, "kv/1": {"status": "dying"}, "kv/2": {"status": "active"}}`, []string{"kv/2"}},
		"all that are left leave": {`{"kv": {}, "kv/1": {"status": "dying"}, "kv/2": {"status": "dying"}}`, []string{"kv/1", "kv/2"}},
		"another model's":         {`{}`, []string{"kv/0", "kv/1", "kv/2"}},
		"not to be had":           {"", []string{"kv/0", "kv/1", "kv/2"}},
		"none of them has joined": {`{"kv": {}, "kv/3": {"status": "active"}}`, []string{"kv/0", "kv/1", "kv/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.config["role"] = "proxy"
			f.ids["upstream"] = []string{"upstream:4"}
			f.remote["upstream:4"] = map[string]databag.Bag{"kv/0": {}, "kv/1": {}, "kv/2": {}}
			f.says["goal-state"] = `{"units": {"etcd/0": {"status": "active"}}, "relations": {"upstream": ` + test.goal + `}}`
			if test.goal == "" {
				f.fail["goal-state"] = refusal("goal-state", "ERROR unit not found")
			}
			m := observe(t, f)
			require.True(t, m.Relations["upstream"].OK, m.Relations["upstream"].Why)
			assert.Equal(t, test.want, m.Relations["upstream"].Value[0].UnitNames())
		})
	}
}

func TestObserveProxy(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.config["role"] = "proxy"
	f.ids["upstream"] = []string{"upstream:4"}
	f.remote["upstream:4"] = map[string]databag.Bag{"kv/1": {"cluster": "a=http://10.0.0.1:2380"}, "kv/0": {}}
	m := observe(t, f)
	require.True(t, m.Relations["upstream"].OK, m.Relations["upstream"].Why)
	require.Len(t, m.Relations["upstream"].Value, 1)
	rel := m.Relations["upstream"].Value[0]
	assert.Equal(t, "upstream:4", rel.ID)
	assert.Equal(t, "kv", rel.App)
	assert.Equal(t, []string{"kv/0", "kv/1"}, rel.UnitNames())
	assert.False(t, m.Cluster.OK)
	assert.False(t, m.Authority.OK)
	assert.Zero(t, f.count()["secret-get"])

	leaving := func(e *Env) {
		e.Event = operator.Event{Kind: hooks.RelationDeparted, Endpoint: "upstream", RelationID: "upstream:4", RemoteUnit: "kv/1"}
	}
	assert.Equal(t, []string{"kv/0"}, observe(t, f, leaving).Relations["upstream"].Value[0].UnitNames())

	f.fail["relation-list"] = refusal("relation-list", "ERROR relation not found")
	assert.False(t, observe(t, f).Relations["upstream"].OK, "a failed list is not an empty one")

	f.state[stateSchema], f.state[stateBags] = "2", "d0 cluster:0"
	assert.True(t, observe(t, f).Cluster.OK, "a member stays one whatever the option says")
}

// A proxy has no use for the hooks of its peers: such a hook costs two calls, and succeeds.
func TestObserveProxyOfPeers(t *testing.T) {
	t.Parallel()
	hook := func(change func(*fakeJuju, *Env)) (*fakeJuju, error) {
		f := newFake()
		f.config["role"] = "proxy"
		e := Env{Unit: "etcd/0", Event: operator.Event{Kind: hooks.RelationDeparted, Endpoint: "cluster", RelationID: "cluster:0", RemoteUnit: "etcd/1", Departing: "etcd/1"}}
		change(f, &e)
		_, err := Observe(t.Context(), f, e, nil)
		return f, err
	}
	f, err := hook(func(*fakeJuju, *Env) {})
	require.ErrorIs(t, err, ErrUnconcerned)
	assert.Equal(t, map[string]int{"config-get": 1, "state-get": 1}, f.count())
	for name, change := range map[string]func(*fakeJuju, *Env){
		"it leaves":             func(_ *fakeJuju, e *Env) { e.Event.Departing = "etcd/0" },
		"of its cluster":        func(_ *fakeJuju, e *Env) { e.Event.Endpoint, e.Event.RelationID = "upstream", "upstream:1" },
		"it is a member":        func(f *fakeJuju, _ *Env) { f.config["role"] = "member" },
		"it was a member":       func(f *fakeJuju, _ *Env) { f.state[stateSchema], f.state[stateBags] = "2", "d0 cluster:0" },
		"nobody knows, by far":  func(f *fakeJuju, _ *Env) { f.fail["config-get"] = errors.New("gone") },
		"nobody knows, for now": func(f *fakeJuju, _ *Env) { f.fail["state-get"] = errors.New("gone") },
	} {
		f, err := hook(change)
		require.NoError(t, err, name)
		assert.Greater(t, len(f.count()), 2, name)
	}
}

func TestObserveEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := newFake()
	f.onRun = func(tool string, _ []string) {
		if tool == "goal-state" {
			cancel()
		}
	}
	_, err := Observe(ctx, f, Env{Unit: "etcd/0"}, nil)
	assert.ErrorIs(t, err, context.Canceled)
}
