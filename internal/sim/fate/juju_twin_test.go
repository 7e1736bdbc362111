package fate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	jujucharm "github.com/juju/charm/v12"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

var (
	twinSeeds = flag.Int("twins", 200, "how many random lives TestTwinJuju lives on both models of Juju")
	twinSeed  = flag.Int("twin", -1, "live this one random life on both models of Juju, and tell it")
)

const twinActs = 200

// TestTwinJuju plays the same random acts on sim/model and on the Juju of this package. Both run
// the charm's own pass (charm.Hook); the full model also runs its own reading and writing of Juju
// (juju.Observe, juju.Flush). The test compares what each hook sees, how it ends, and what is
// committed.
func TestTwinJuju(t *testing.T) {
	t.Parallel()
	if *twinSeed >= 0 {
		w := newJujuTwin(t, *twinSeed)
		defer func() { t.Log(strings.Join(w.told, "\n")) }()
		require.Empty(t, w.live())
		return
	}
	lives, hooks, bad := *twinSeeds, 0, 0
	if raced {
		lives = min(lives, 20)
	}
	for seed := range lives {
		w := newJujuTwin(t, seed)
		if problem := w.live(); problem != "" {
			t.Errorf("seed %d: %s: go test ./internal/sim/fate -run TestTwinJuju -v -twin %d", seed, problem, seed)
			if bad++; bad == 5 {
				break
			}
		}
		hooks += w.number
	}
	t.Logf("%d lives, %d hooks", lives, hooks)
	require.Greater(t, hooks, lives*twinActs/5, "most acts do nothing")
}

// jujuTwin is one application on both models of Juju. Its charm decides nothing: each hook writes
// something new wherever it may.
type jujuTwin struct {
	t      *testing.T
	seed   int
	rand   *rand.Rand
	sim    *Sim
	full   *model.Model
	charm  model.Charm
	number int                  // of the last hook that began; the hook writes it
	fails  bool                 // the hook that begins must fail
	seen   string               // what the last hook saw
	runs   map[string]*fullHook // the hooks that run on the full model, by unit
	moved  string               // the next new address
	told   []string
}

func newJujuTwin(t *testing.T, seed int) *jujuTwin {
	t.Helper()
	w := &jujuTwin{t: t, seed: seed, rand: rand.New(rand.NewPCG(uint64(seed), 1)), runs: map[string]*fullHook{}}
	w.sim = New(Options{Departed: seed%2 == 0, Stale: seed%4 < 2})
	t.Cleanup(w.sim.Close)
	w.sim.Decide = func(e operator.Event, m operator.Model, world operator.World) operator.Plan {
		w.sim.unit(m.Unit).hook.view = &group{}
		return w.decide(e, m, world)
	}
	series := "4.0"
	if w.sim.Departed {
		series = "3.6"
	}
	var err error
	w.full, err = model.New(model.Options{Series: series, Now: w.sim.clock, Address: w.address})
	require.NoError(t, err)
	w.charm, err = jujucharm.ReadCharmDir("../../..")
	require.NoError(t, err)
	require.NoError(t, w.full.Deploy("machines", related(t), "", nil)) // a first machine, which the consumers share
	_, err = w.full.AddUnit("machines", model.NewMachine)
	require.NoError(t, err)
	require.NoError(t, w.full.Deploy(app, w.charm, "", nil))
	return w
}

type consumerCharm struct{ meta *jujucharm.Meta }

func (c consumerCharm) Meta() *jujucharm.Meta     { return c.meta }
func (consumerCharm) Config() *jujucharm.Config   { return jujucharm.NewConfig() }
func (consumerCharm) Actions() *jujucharm.Actions { return jujucharm.NewActions() }

func related(t *testing.T) model.Charm {
	t.Helper()
	meta, err := jujucharm.ReadMeta(strings.NewReader("name: c\nsummary: s\ndescription: d\nrequires:\n  proxy: {interface: etcd-proxy}\n  db: {interface: etcd}\n"))
	require.NoError(t, err)
	return consumerCharm{meta}
}

// address returns for a unit's machine the address that the machine has in this package. The
// machines of the units follow that of the consumers.
func (w *jujuTwin) address(machine int) string {
	if machine > len(w.sim.units) {
		return w.moved
	}
	return host(10 + machine - 1)
}

// machineOf returns the number of a unit's machine in the full model.
func machineOf(u *unit) int { return u.number + 1 }

// decide records what a hook sees, and publishes its number.
func (w *jujuTwin) decide(e operator.Event, m operator.Model, world operator.World) operator.Plan {
	w.seen = w.sight(e, m, world)
	if w.fails {
		return operator.Plan{Fail: errors.New("this one fails")}
	}
	number := strconv.Itoa(w.number)
	memory := operator.Memory{Ports: number, Bags: clone(m.Memory.Value.Bags), Deserted: map[string]operator.Desertion{}}
	p := operator.Plan{Memory: &memory}
	if c := m.Cluster; c.OK {
		if m.Leader.Value {
			record := c.Value.AppBag
			record.Schema, record.Revoked = etcdcluster.Schema, []operator.Ended{{RelationID: "proxy:99", Generation: 1, Period: int64(w.number)}}
			p.Bags = append(p.Bags, operator.BagWrite{Relation: peerRelation, App: true, Owns: etcdcluster.AppKeys(), Bag: etcdcluster.EncodeApp(record)})
			p.NewAuthority = m.Authority.OK && m.Authority.Value == nil
		}
		word := etcdcluster.EncodeUnit(operator.UnitBag{Schema: etcdcluster.Schema, MemberID: uint64(w.number)})
		p.Bags = append(p.Bags, operator.BagWrite{Relation: peerRelation, Owns: etcdcluster.UnitKeys(), Bag: word})
	}
	for id := range m.Deserted {
		memory.Deserted[id] = "deserted"
	}
	for _, r := range append(m.Relations["proxy"].Value, m.Relations["db"].Value...) {
		if m.Authority.OK && m.Authority.Value != nil && m.Deserted[r.ID] != operator.BagNotFound {
			memory.Bags[r.ID] = number
			p.Bags = append(p.Bags, operator.BagWrite{Relation: r.ID, Owns: []string{etcdproxy.KeyVersion}, Bag: databag.Bag{etcdproxy.KeyVersion: w.version()}})
		}
	}
	return p
}

// clone returns a copy that can be written to.
func clone(m map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, m)
	return out
}

// idsOf returns the relations' IDs.
func idsOf(relations []databag.Relation) string {
	ids := make([]string, 0, len(relations))
	for _, r := range relations {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func (w *jujuTwin) version() string { return "3.7." + strconv.Itoa(w.number) }

var numbered = regexp.MustCompile(`consumer\d+`)

// sight returns what a hook sees. With stale bags it includes the others' bags, and with fresh ones
// the application's bag: these are the cases in which the two are meant to be alike.
func (w *jujuTwin) sight(e operator.Event, m operator.Model, world operator.World) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: leads %v, units %v, options %d %d %d, at %s, carries %s, consumers %s, deserted %v, remembers %v, authority %v",
		eventText(e), m.Leader.Value, m.Units.Value, m.Config.Port, m.Config.ManagementPort, m.Config.SnapshotCount,
		m.PeerAddress.Value.Ingress, world.Carried, idsOf(m.Relations["proxy"].Value)+", "+idsOf(m.Relations["db"].Value), m.Deserted, remembered(m.Memory.Value), m.Authority.OK && m.Authority.Value != nil)
	if !m.Authority.OK {
		out.WriteString(", or unknown")
	}
	if c := m.Cluster.Value; m.Cluster.OK {
		if w.sim.Stale {
			others := map[string]uint64{}
			for name, unitBag := range c.UnitBags {
				others[name] = unitBag.MemberID
			}
			fmt.Fprintf(&out, ", others %v", others)
		} else {
			fmt.Fprintf(&out, ", record %v of authority %v", c.AppBag.Revoked, c.AppBag.Authority != "")
		}
	}
	return numbered.ReplaceAllString(out.String(), "consumer")
}

// remembered returns a memory as text; an empty one and one that was never written are the same.
func remembered(m operator.Memory) string {
	return fmt.Sprintf("%s, %v, %v", m.Ports, clone(m.Bags), len(m.Deserted))
}

// live plays random acts until the two differ, and returns in what.
func (w *jujuTwin) live() string {
	defer func() {
		for _, h := range w.runs {
			h.stop()
		}
	}()
	for range twinActs {
		problem := w.act()
		w.follow()
		if problem == "" {
			problem = w.committed()
		}
		if problem != "" {
			return problem
		}
	}
	return ""
}

// must fails the test if the full model refuses an act.
func (w *jujuTwin) must(err error) {
	w.t.Helper()
	require.NoError(w.t, err, "-twin %d", w.seed)
}

func (w *jujuTwin) tell(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// begin begins a unit's next hook on both.
func (w *jujuTwin) begin(u *unit) string {
	w.number++
	w.fails = w.rand.IntN(6) == 0
	u.retryAt = 0
	for w.seen = ""; w.seen == "" && w.sim.Step(u); {
	}
	ours := w.seen
	_ = w.full.Resolved(u.name, false)
	h := w.beginFull(u.name)
	full, ran := h.next()
	if ran {
		w.runs[u.name] = h
	}
	w.tell("%s %s, fails %v", u.name, ours, w.fails)
	if ours != full {
		return fmt.Sprintf("%s sees\n%s\nand in the full model\n%s", u.name, ours, full)
	}
	return ""
}

// finish runs a unit's hook to its end on both.
func (w *jujuTwin) finish(u *unit) string {
	if u.life == dying {
		w.quiet(u) // the unit may go
	}
	for u.hook != nil && w.sim.Step(u) {
	}
	h := w.runs[u.name]
	delete(w.runs, u.name)
	h.next()
	failed := u.life != dead && u.retry != nil
	w.tell("%s ends its hook, failed %v", u.name, failed)
	if failed != (h.result == model.ResultFailed) {
		return fmt.Sprintf("%s ends its hook, failed %v (%v), and in the full model it is %s", u.name, failed, u.fail, h.result)
	}
	return ""
}

// kill ends a unit's running hook, if any, where it stands, on both.
func (w *jujuTwin) kill(u *unit) {
	if h := w.runs[u.name]; h != nil {
		w.tell("%s is killed", u.name)
		w.sim.kill(u)
		delete(w.runs, u.name)
		h.stop()
	}
}

// quiet ends the other hooks that saw their unit lead before the leadership may move: here the
// leadership does not come back to such a hook.
func (w *jujuTwin) quiet(u *unit) {
	for _, v := range w.sim.units {
		if v != u && v.hook != nil && v.hook.led {
			w.kill(v)
		}
	}
}

// follow makes the unit that leads here the leader of the full model too, because elections are
// random.
func (w *jujuTwin) follow() {
	w.sim.Tick(1)
	if w.sim.leader != nil {
		w.must(w.full.SetLeader(app, w.sim.leader.name))
	}
}

// committed returns in what the committed bags differ.
func (w *jujuTwin) committed() string {
	bag := func(id, owner, key string) string {
		values, err := w.full.Bag(id, owner)
		w.must(err)
		return values[key]
	}
	record := ""
	if r := w.sim.record().Revoked; len(r) > 0 {
		record = fmt.Sprintf("%s.%d@%d", r[0].RelationID, r[0].Generation, r[0].Period)
	}
	if full := bag(peerRelation, app, "revoked"); full != record {
		return fmt.Sprintf("the record is %q, and in the full model %q", record, full)
	}
	for _, u := range w.sim.living() {
		word := ""
		if n := u.word(len(u.words)).MemberID; n > 0 {
			word = strconv.FormatUint(n, 16)
		}
		if len(u.words) > 0 && bag(peerRelation, u.name, "member-id") != word {
			return fmt.Sprintf("%s says %q, and in the full model %q", u.name, word, bag(peerRelation, u.name, "member-id"))
		}
		for id, sc := range u.scopes {
			if ours := u.consumers[id].version; sc.in && bag(id, u.name, etcdproxy.KeyVersion) != ours {
				return fmt.Sprintf("%s tells %s %q, and in the full model %q", u.name, id, ours, bag(id, u.name, etcdproxy.KeyVersion))
			}
		}
	}
	return ""
}

// act makes one event happen to both.
func (w *jujuTwin) act() string {
	u := w.sim.pick(uint8(w.rand.IntN(256)))
	if u == nil || len(w.sim.living()) < maxUnits && len(w.sim.units) < 9 && w.rand.IntN(25) == 0 {
		w.tell("add")
		w.sim.AddUnit()
		_, err := w.full.AddUnit(app, model.NewMachine)
		w.must(err)
		return ""
	}
	if n := w.rand.IntN(6 * len(twinKinds)); n < len(twinKinds) {
		twinKinds[n](w, u)
		return ""
	}
	switch {
	case !u.up:
		return "" // that unit's agent does not run
	case w.runs[u.name] == nil:
		problem := w.begin(u)
		if problem != "" || w.runs[u.name] == nil || w.rand.IntN(3) == 0 {
			return problem
		}
		return w.finish(u)
	case w.rand.IntN(5) == 0:
		w.kill(u)
		return ""
	}
	return w.finish(u)
}

// twinKinds are the events other than hooks.
var twinKinds = []func(*jujuTwin, *unit){
	func(w *jujuTwin, u *unit) {
		w.tell("remove %s", u.name)
		w.quiet(u)
		w.sim.RemoveUnit(u)
		w.must(w.full.RemoveUnit(u.name, false))
	},
	func(w *jujuTwin, u *unit) {
		if w.rand.IntN(2) == 0 {
			w.tell("remove %s by force", u.name)
			w.quiet(u)
			w.kill(u)
			if u.life == dead {
				return // the unit died in its install hook
			}
			w.sim.ForceRemove(u, false)
			w.must(w.full.RemoveUnit(u.name, true))
		}
	},
	func(w *jujuTwin, u *unit) {
		w.tell("leader %s", u.name)
		w.sim.SetLeader(u)
	},
	func(w *jujuTwin, u *unit) {
		w.tell("update-status of %s is due", u.name)
		w.sim.Poke(u)
		w.must(w.full.UpdateStatus(u.name))
	},
	func(w *jujuTwin, _ *unit) {
		if len(w.sim.relations) < 3 {
			w.relate()
		}
	},
	func(w *jujuTwin, _ *unit) {
		if r := w.sim.oldest(func(r relation) bool { return !r.dying }); r != nil {
			w.tell("unrelate %s", r.id)
			id := r.id
			w.sim.Unrelate()
			w.must(w.full.Unrelate("etcd:"+endpointOf(id), consumerOf(id)+":"+endpointOf(id)))
		}
	},
	func(w *jujuTwin, _ *unit) {
		if r := w.sim.oldest(func(r relation) bool { return !r.parts() }); r != nil {
			w.tell("suspend %s", r.id)
			w.sim.Suspend()
			w.must(w.full.Suspend(r.id))
		}
	},
	func(w *jujuTwin, _ *unit) {
		if r := w.sim.oldest(func(r relation) bool { return r.suspended && !r.dying }); r != nil {
			w.tell("resume %s", r.id)
			w.sim.Resume()
			w.must(w.full.Resume(r.id))
		}
	},
	func(w *jujuTwin, _ *unit) {
		if n := len(w.sim.relations); n > 0 && !w.sim.relations[n-1].parts() {
			id := w.sim.relations[n-1].id
			w.tell("%s vanishes", id)
			w.sim.Vanish(func(*unit) bool { return true })
			w.must(w.full.Vanish("etcd:"+endpointOf(id), consumerOf(id)+":"+endpointOf(id)))
		}
	},
	func(w *jujuTwin, _ *unit) {
		w.tell("options")
		w.sim.Configure()
		c := settings(w.sim.options)
		w.must(w.full.Configure(app, map[string]string{
			"port": strconv.Itoa(c.Port), "management_port": strconv.Itoa(c.ManagementPort), "snapshot_count": strconv.Itoa(c.SnapshotCount),
		}, nil, 1))
	},
	func(w *jujuTwin, _ *unit) {
		w.tell("refresh")
		w.sim.Refresh()
		w.must(w.full.Refresh(app, w.charm, ""))
	},
	func(w *jujuTwin, u *unit) { w.power(u) },
	func(w *jujuTwin, u *unit) {
		if u.up {
			w.tell("new address of %s", u.name)
			w.sim.Readdress(u)
			w.moved = host(u.address)
			_, err := w.full.Readdress(machineOf(u))
			w.must(err)
		}
	},
}

// consumerOf is the application at the other end of a relation.
func consumerOf(id string) string { return "consumer" + strings.TrimPrefix(id, endpointOf(id)+":") }

// relate adds a consumer, without a unit or with one that enters before the units hear of it.
func (w *jujuTwin) relate() {
	empty := w.rand.IntN(3) == 0
	w.sim.Relate(empty)
	id := w.sim.relations[len(w.sim.relations)-1].id
	w.tell("relate %s, empty %v", id, empty)
	name := consumerOf(id)
	w.must(w.full.Deploy(name, related(w.t), "", nil))
	full, err := w.full.Relate("etcd:"+endpointOf(id), name+":"+endpointOf(id))
	w.must(err)
	require.Equal(w.t, id, full)
	if empty {
		return
	}
	_, err = w.full.AddUnit(name, 0)
	w.must(err)
	nothing := model.RunnerFunc(func(context.Context, *model.Context) (model.Outcome, error) { return model.Outcome{}, nil })
	for ran := true; ran; {
		_, ran, err = w.full.Step(w.t.Context(), name+"/0", nothing)
		w.must(err)
	}
}

// power turns a unit's machine off or on. A leader that goes off gives its leadership to the first
// unit that can have it.
func (w *jujuTwin) power(u *unit) {
	if !u.up {
		w.tell("power of %s", u.name)
		w.sim.Power(u, true)
		w.must(w.full.Boot(machineOf(u)))
		return
	}
	w.kill(u)
	if u.life == dead {
		return
	}
	if w.sim.leader == u {
		for _, v := range w.sim.living() {
			if v != u && v.agent() {
				w.quiet(nil)
				w.sim.SetLeader(v)
				w.follow()
				break
			}
		}
	}
	w.tell("%s is off", u.name)
	w.sim.Power(u, false)
	w.must(w.full.PowerOff(machineOf(u)))
}
