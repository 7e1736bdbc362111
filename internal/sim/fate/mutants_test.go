package fate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

type decide = func(operator.Event, operator.Model, operator.World) operator.Plan

// mutants are deliberate faults in Decide, made by wrapping it.
var mutants = []struct {
	name   string
	decide decide
}{
	{"skips the learner", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		if add, ok := p.Step.(operator.AddLearner); ok {
			p.Step = AddVoter{add}
		}
		return p
	}},
	{"takes unreachable for absent", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		if w.Reach == operator.Unreachable && w.Data.State == operator.NoData {
			w.Reach = operator.Absent
			c := m.Cluster.Value
			c.AppBag = operator.AppBag{}
			c.UnitBags = map[string]operator.UnitBag{}
			m.Cluster.Value = c
		}
		return operator.Decide(e, m, w)
	}},
	{"founds without the leadership", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		if w.Reach == operator.Absent {
			m.Leader = operator.Know(true)
		}
		p := operator.Decide(e, m, w)
		p.NewAuthority = p.NewAuthority && m.Leader.Value
		return p
	}},
	{"restarts without the turn", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		if w.Turn.Known {
			w.Turn.Holder, w.Done = m.Unit, append(slices.Clone(w.Done), operator.TakeTurn{})
		}
		return operator.Decide(e, m, w)
	}},
	{"restarts though others are down", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		w.Members = slices.Clone(w.Members)
		for i := range w.Members {
			w.Members[i].Answers, w.Members[i].Ready = true, true
		}
		return operator.Decide(e, m, w)
	}},
	{"publishes learners", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		told := w
		told.Members = slices.Clone(w.Members)
		for i := range told.Members {
			told.Members[i].Learner = false
		}
		p.Bags = slices.DeleteFunc(p.Bags, toConsumer)
		for _, w := range operator.Decide(e, m, told).Bags {
			if toConsumer(w) {
				p.Bags = append(p.Bags, w)
			}
		}
		return p
	}},
	{"publishes what is revoked", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		c := m.Cluster.Value
		c.AppBag.Revoked = nil
		m.Cluster.Value = c
		p.Bags = slices.DeleteFunc(p.Bags, toConsumer)
		for _, w := range operator.Decide(e, m, w).Bags {
			if toConsumer(w) {
				p.Bags = append(p.Bags, w)
			}
		}
		return p
	}},
	{"does not look whether a consumer that has no units is there", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		m.Deserted = nil
		return operator.Decide(e, m, w)
	}},
	{"takes a relation that came back for written", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		if e.Kind == hooks.RelationCreated {
			e = operator.Event{Kind: hooks.UpdateStatus}
		}
		p := operator.Decide(e, m, w)
		if p.Memory != nil {
			for id, sum := range p.Memory.Bags {
				if strings.HasPrefix(sum, "gone") {
					p.Memory.Bags[id] = m.Memory.Value.Bags[id]
				}
			}
		}
		return p
	}},
	{"publishes before it acts", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		w.Tried = nil
		p := operator.Decide(e, m, w)
		if _, starts := p.Step.(operator.Start); starts {
			p.Step = nil
		}
		return p
	}},
	{"judges members that came after goal-state", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		m.Seen = nil
		for _, mem := range w.Members {
			m.Seen = append(m.Seen, mem.ID)
		}
		return operator.Decide(e, m, w)
	}},
	{"starts on an empty disk", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		if w.Data.State == operator.NoData {
			w.Members = slices.Clone(w.Members)
			for i := range w.Members {
				if slices.Contains(w.Members[i].PeerURLs, "https://"+m.PeerAddress.Value.Ingress+":2380") {
					w.Members[i].Name = ""
				}
			}
		}
		return operator.Decide(e, m, w)
	}},
	{"stops before it leaves a cluster of two", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		if remove, ok := p.Step.(operator.RemoveMember); ok && w.Service.Running && remove.ID == w.Data.MemberID {
			p.Step = operator.Stop{Why: "the unit leaves"}
		}
		return p
	}},
	{"keeps the turn", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		if _, ok := p.Step.(operator.ReleaseTurn); ok {
			p = operator.Decide(e, m, tried(w, p.Step))
		}
		return p
	}},
	{"lets in what has left", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		c := m.Cluster.Value
		c.AppBag.Leaves = nil
		told := m
		told.Cluster.Value = c
		p := operator.Decide(e, told, w)
		p.Bags = operator.Decide(e, m, w).Bags
		return p
	}},
	{"restarts before all have answered", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		return withOperation(e, m, w, func(o *operator.Operation) {
			if o.Phase == "gathering" {
				o.Phase = "restarting"
			}
		})
	}},
	{"restarts again for an operation that is over", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		w.Service.Restart, w.WrittenRestart = "", ""
		return operator.Decide(e, m, w)
	}},
	{"takes an operation for done when it has answered", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		return withReady(e, m, w, "restarting", "done")
	}},
	{"stops for a restore before all have answered", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		return withOperation(e, m, w, func(o *operator.Operation) {
			if o.Kind == "restore" && o.Phase == "gathering" {
				o.Phase = "stopping"
			}
		})
	}},
	{"serves new data before all have stopped", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		return withReady(e, m, w, "stopping", "stopped")
	}},
	{"recovers from an old snapshot", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		if begin, ok := p.Step.(operator.StartWork); ok && begin.Request.Kind == operator.PrepareRecover && len(w.Kept.Snapshots) > 0 {
			begin.Request.Kind, begin.Request.Snapshot = operator.PrepareRestore, w.Kept.Snapshots[0].Name
			p.Step = begin
		}
		return p
	}},
	{"goes on with data that was replaced", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		c := m.Cluster.Value
		if slices.Contains(c.AppBag.Replaced, w.Data.ClusterID) && w.Data.State == operator.OurData {
			c.AppBag.Replaced, c.AppBag.ClusterID = nil, w.Data.ClusterID
			c.AppBag.Operation = operator.Operation{}
		}
		m.Cluster.Value = c
		return operator.Decide(e, m, w)
	}},
	{"waits in an operation for units that are gone", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		c := m.Cluster.Value
		units := maps.Clone(m.Units.Value)
		for _, unit := range c.AppBag.Operation.Units {
			if _, there := units[unit]; !there && units != nil {
				units[unit] = operator.Alive
			}
		}
		m.Units.Value = units
		return operator.Decide(e, m, w)
	}},
	{"gives up data that no majority has", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		if len(w.Alarms) > 0 && w.Alarms[0].Kind == corrupt {
			w.Hashes = nil
			for range 2 { // as if all other voters agreed, whichever was asked and whichever the alarm names
				var said []operator.Hash
				for _, mem := range w.Members {
					said = append(said, operator.Hash{MemberID: mem.ID, Hash: 1})
				}
				w.Hashes = append(w.Hashes, said)
			}
			w.Alarms = append([]operator.Alarm{{MemberID: w.Data.MemberID, Kind: corrupt}}, w.Alarms...)
			w.Alarms = w.Alarms[:1]
		}
		return operator.Decide(e, m, w)
	}},
	{"takes CORRUPT back of whom it names", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		p := operator.Decide(e, m, w)
		if _, asks := p.Step.(operator.AskHashes); asks {
			p.Step = operator.Disarm{Alarm: w.Alarms[0]}
		}
		return p
	}},
	{"never replaces a learner", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		m.Memory.Value.Learning = operator.Learning{}
		return operator.Decide(e, m, w)
	}},
	{"forgets goal-state", func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		m.Seen = nil // so that no member is ever judged by it
		return operator.Decide(e, m, w)
	}},
}

// withOperation decides as if the operation on record were another.
func withOperation(e operator.Event, m operator.Model, w operator.World, change func(*operator.Operation)) operator.Plan {
	c := m.Cluster.Value
	change(&c.AppBag.Operation)
	m.Cluster.Value = c
	return operator.Decide(e, m, w)
}

// withReady decides as if a unit that has no more than answered had come further in that phase.
func withReady(e operator.Event, m operator.Model, w operator.World, phase, state string) operator.Plan {
	c := m.Cluster.Value
	c.UnitBags = maps.Clone(c.UnitBags)
	for unit, unitBag := range c.UnitBags {
		if unitBag.Part.State == "ready" && c.AppBag.Operation.Phase == phase {
			unitBag.Part.State = state
			c.UnitBags[unit] = unitBag
		}
	}
	m.Cluster.Value = c
	return operator.Decide(e, m, w)
}

func toConsumer(w operator.BagWrite) bool { return w.Relation != peerRelation }

func tried(w operator.World, step operator.Step) operator.World {
	w.Tried = append(slices.Clone(w.Tried), operator.Attempt{Step: step, Err: operator.ErrNoEffect})
	return w
}

// rounds are enough for every mutant.
const rounds = 12

// caught plays every scenario, first plain and then with the strikes at some yields, until
// something goes wrong.
func caught(t *testing.T, d decide, rounds int) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		for _, scenario := range scenarios {
			o := Options{Departed: round%2 == 1, Stale: round%2 == 1}
			begun := beginning(t, o, scenario.units)
			defer begun.Close()
			begun.Decide = d
			strikes := append(slices.Clone(crashes), faults...)
			if round == 0 {
				strikes = strikes[:1]
			}
			for _, strike := range strikes {
				at := 0
				if round > 0 {
					at = 1 + r.IntN(40*round)
				}
				if _, problem := live(begun, scenario.do, at, strike.do); problem != "" {
					return scenario.name + ", " + strike.name + ": " + problem
				}
			}
		}
	}
	return ""
}

// TestMutants breaks Decide in each of these ways, and requires that the checks catch it.
func TestMutants(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	t.Run("of", func(t *testing.T) {
		for _, mutant := range mutants {
			t.Run(mutant.name, func(t *testing.T) {
				t.Parallel()
				problem := caught(t, mutant.decide, rounds)
				require.NotEmpty(t, problem, "nothing goes wrong though Decide %s", mutant.name)
				n.Add(1)
				t.Log(problem)
			})
		}
	})
	t.Logf("mutants: %d/%d caught", n.Load(), len(mutants))
}

// TestNoMutant wraps the unbroken Decide in the same way and requires that nothing is caught: the
// wrapping itself breaks nothing.
func TestNoMutant(t *testing.T) {
	t.Parallel()
	wrapped := func(e operator.Event, m operator.Model, w operator.World) operator.Plan {
		return operator.Decide(e, m, w)
	}
	n := rounds
	if raced {
		n = 2
	}
	require.Empty(t, caught(t, wrapped, n))
}
