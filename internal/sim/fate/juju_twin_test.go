package fate

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

var twinSeeds = flag.Int("twins", 300, "how many random lives are lived on both models of Juju")

type twinCharm struct{ meta *charm.Meta }

func (c twinCharm) Meta() *charm.Meta     { return c.meta }
func (twinCharm) Config() *charm.Config   { return charm.NewConfig() }
func (twinCharm) Actions() *charm.Actions { return charm.NewActions() }

// jujuTwin is one application on both models of Juju. Its charm is trivial: each hook tells what it sees, and counts in
// its unit's bag.
type jujuTwin struct {
	t     *testing.T
	sim   *Sim
	full  *model.Model
	fails bool
	told  []string
}

func newJujuTwin(t *testing.T, departed bool) *jujuTwin {
	t.Helper()
	meta, err := charm.ReadMeta(strings.NewReader("name: etcd\nsummary: s\ndescription: d\npeers:\n  cluster: {interface: c}\n"))
	require.NoError(t, err)
	series := "4.0"
	if departed {
		series = "3.6"
	}
	now := time.Unix(0, 0)
	full, err := model.New(model.Options{Series: series, Now: func() time.Time { return now }})
	require.NoError(t, err)
	require.NoError(t, full.Deploy(app, twinCharm{meta}, "", nil))
	return &jujuTwin{t: t, sim: New(Options{Departed: departed}), full: full}
}

// inFate runs the next hook of a unit on fate's Juju.
func (w *jujuTwin) inFate(u *unit) string {
	u.retryAt = 0
	e, ok := w.sim.nextEvent(u)
	if !ok {
		return ""
	}
	w.sim.heardNow(u, e)
	m := w.sim.model(u, e, nil)
	seen := fmt.Sprintf("%s leader %v units", eventText(e), m.Leader.Value)
	for _, p := range w.sim.units {
		if life, there := m.Units.Value[p.name]; there {
			seen += fmt.Sprintf(" %s dying %v", p.name, life == operator.Dying)
		}
	}
	if len(u.words) > 0 {
		seen += fmt.Sprintf(" own %d", u.words[len(u.words)-1].MemberID)
	}
	if w.fails {
		u.retry, u.fail, u.killed = &e, context.Canceled, false
		return seen
	}
	if n := len(u.words); n > 0 {
		u.words = append(u.words, operator.Word{MemberID: u.words[n-1].MemberID + 1})
	}
	w.sim.done(u, e)
	return seen
}

// inFull does the same on the full model.
func (w *jujuTwin) inFull(name string) string {
	var seen string
	_ = w.full.Resolved(name, false)
	_, _, err := w.full.Step(w.t.Context(), name, model.RunnerFunc(func(ctx context.Context, c *model.Context) (model.Outcome, error) {
		e := operator.Event{
			Kind: c.Hook.Kind, Endpoint: c.Hook.Endpoint, RelationID: c.Hook.RelationKey(),
			RemoteUnit: c.Hook.RemoteUnit, Departing: c.Hook.Departing,
		}
		tool := func(args ...string) string {
			out, err := c.Run(ctx, nil, args[0], args[1:]...)
			require.NoError(w.t, err)
			return strings.TrimSpace(string(out))
		}
		var goals struct {
			Units map[string]struct{ Status string }
		}
		require.NoError(w.t, json.Unmarshal([]byte(tool("goal-state", "--format=json")), &goals))
		seen = fmt.Sprintf("%s leader %v units", eventText(e), tool("is-leader") == "True")
		for _, p := range w.sim.units {
			if u, there := goals.Units[p.name]; there {
				seen += fmt.Sprintf(" %s dying %v", p.name, u.Status == "dying")
			}
		}
		if tool("relation-ids", "cluster") != "" {
			own := 0
			_, _ = fmt.Sscan(tool("relation-get", "-r", peerRelation, "n", name), &own)
			seen += fmt.Sprintf(" own %d", own)
			tool("relation-set", "-r", peerRelation, fmt.Sprintf("n=%d", own+1))
		}
		if w.fails {
			return model.Outcome{Code: 1}, nil
		}
		return model.Outcome{}, nil
	}))
	if err != nil {
		return "" // it is gone
	}
	return seen
}

// follow gives both the same leader: who is elected is chance.
func (w *jujuTwin) follow() {
	w.sim.Tick(1)
	if w.sim.leader != nil {
		require.NoError(w.t, w.full.SetLeader(app, w.sim.leader.name))
	}
}

func (w *jujuTwin) act(r *rand.Rand) {
	u := w.sim.pick(uint8(r.IntN(256)))
	act := r.IntN(20)
	switch {
	case u == nil || act == 0 && len(w.sim.living()) < maxUnits:
		w.told = append(w.told, "add")
		w.sim.AddUnit()
		_, err := w.full.AddUnit(app, model.NewMachine)
		require.NoError(w.t, err)
	case act == 1:
		w.told = append(w.told, "remove "+u.name)
		w.sim.RemoveUnit(u)
		require.NoError(w.t, w.full.RemoveUnit(u.name, false))
	case act == 2 && r.IntN(3) == 0:
		w.told = append(w.told, "force "+u.name)
		w.sim.ForceRemove(u, false)
		require.NoError(w.t, w.full.RemoveUnit(u.name, true))
	case act == 3:
		w.told = append(w.told, "leader "+u.name)
		w.sim.SetLeader(u)
	case act == 4:
		w.told = append(w.told, "poke "+u.name)
		w.sim.Poke(u)
		require.NoError(w.t, w.full.UpdateStatus(u.name))
	default:
		w.fails = r.IntN(6) == 0
		ours, full := w.inFate(u), w.inFull(u.name)
		w.told = append(w.told, fmt.Sprintf("%s: %s, fails %v", u.name, ours, w.fails))
		if ours != full {
			w.t.Fatalf("%s\nbut in the full model: %s", strings.Join(w.told, "\n"), full)
		}
	}
	w.follow()
}

// TestTwinJuju plays the same random acts on sim/model and on the Juju of this package, and compares each hook.
func TestTwinJuju(t *testing.T) {
	for seed := range *twinSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, r := newJujuTwin(t, seed%2 == 0), rand.New(rand.NewPCG(uint64(seed), 1))
			defer w.sim.Close()
			for range 150 {
				w.act(r)
			}
		})
	}
}
