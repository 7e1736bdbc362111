package operator

import (
	"cmp"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Survivor is a unit with what is left of its member.
type Survivor struct {
	Unit      string
	ClusterID uint64 // of its data
	Log       LogState
}

// Rank orders the survivors with data of the cluster, the best first. Voters come before learners.
// Among each, whole logs come before damaged ones, because a damaged log does not show all that the
// member once had. Then raft's own rule decides, term and then index of the last entry: the best of
// any number of whole logs holds every committed entry that one of them holds (raft's election
// restriction and log matching). Equals are ordered by their place in first, then by unit number. A
// survivor whose log was not read is left out.
func Rank(survivors []Survivor, cluster uint64, first []string) []Survivor {
	out := slices.DeleteFunc(slices.Clone(survivors), func(s Survivor) bool {
		return s.ClusterID != cluster || cluster == 0 || s.Log == LogState{}
	})
	last := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	place := func(unit string) int {
		if at := slices.Index(first, unit); at >= 0 {
			return at
		}
		return len(first)
	}
	slices.SortFunc(out, func(a, b Survivor) int {
		return cmp.Or(
			last(a.Log.Learner)-last(b.Log.Learner), last(a.Log.Torn)-last(b.Log.Torn),
			cmp.Compare(b.Log.Term, a.Log.Term), cmp.Compare(b.Log.Index, a.Log.Index),
			place(a.Unit)-place(b.Unit), databag.CompareUnits(a.Unit, b.Unit),
		)
	})
	return out
}

// survivors are the given units with what their bags show, and ours with what its machine has.
func (v view) survivors(units []string) []Survivor {
	var out []Survivor
	for _, unit := range units {
		unitBag := v.m.Cluster.Value.UnitBags[unit]
		s := Survivor{unit, unitBag.ClusterID, unitBag.Log}
		if unit == v.m.Unit {
			s.Log, s.ClusterID = v.w.Log, 0
			if v.w.Data.State == OurData {
				s.ClusterID = v.w.Data.ClusterID
			}
		} else if !slices.Contains(unitBag.Can, recovering) {
			s.Log = LogState{} // left behind by a charm that was rolled back
		}
		out = append(out, s)
	}
	return out
}

// ranking are the units that take part in a recovery, the best first. Equals keep the order that
// was confirmed.
func (v view) ranking() []string {
	o := v.operation()
	var units []string
	for _, s := range Rank(
		v.survivors(v.participants()), v.m.Cluster.Value.AppBag.ClusterID, o.Order) {
		units = append(units, s.Unit)
	}
	return units
}
