package operator

import (
	"maps"
	"slices"
	"strings"
)

// whyNotLost says why the recorded cluster must not be taken for lost: it names what is left of it,
// or might be. It is none if nothing is left: there is no other unit, no data here, and no server
// that answers. Statuses and action found-cluster both go by it.
//
// Whether data may start is another question, which the gate and barred answer: here there is none.
// What a peer says means the same to all of them (PeerSays). They differ in one thing. A peer that
// refuses us, or is not trusted, holds data, since starting can wait. It does not keep a cluster
// from being given up: it does not say which cluster it is of, and any server may listen by now
// where a machine of the cluster was.
func (v view) whyNotLost() Reason {
	record, w := v.m.Cluster.Value.AppBag, v.w
	switch {
	case v.m.ConfigProblem != "" || v.role() != RoleMember:
		return because(notLostHere, v.m.Unit)
	case !v.m.Cluster.OK:
		return v.unknown(peersUnknown, unfounded)
	case replaces(record.Operation):
		return because(operationRuns, record.Operation.ID)
	case record.ClusterID == 0:
		return because(notLostUnrecorded, v.m.App)
	case record.ClusterID == record.Ended:
		return because(notLostEnded, hexID(record.ClusterID))
	case !v.m.Units.OK:
		return v.unknown(unitsUnknown, unfounded)
	case len(v.m.Units.Value) != 1 || v.m.Units.Value[v.m.Unit] == "":
		return because(notLostOthers, firstThree(ordered(slices.Collect(maps.Keys(v.m.Units.Value)))))
	case w.Data.State != NoData:
		return because(notLostData, v.m.Unit)
	case w.Reach == Healthy || w.Reach == NoQuorum || w.Local.Live || len(w.Members) > 0:
		return because(notLostAnswers, v.m.Unit)
	}
	return v.outlived()
}

// outlived says that a peer in our fence answers for the recorded cluster. No unit names that peer:
// its unit was removed by force while its machine went on.
func (v view) outlived() Reason {
	id := v.m.Cluster.Value.AppBag.ClusterID
	for _, a := range v.w.Peers {
		if a.Says(id, v.w.Fence.MemberID).Alive() {
			return because(clusterOutlives, hexID(id), strings.TrimPrefix(a.URL, "https://"))
		}
	}
	return Reason{}
}

// PeersInDoubt are the peers in our fence that are to be asked before the recorded cluster is taken
// for lost: a survey asks only where units say that their members are.
func PeersInDoubt(m Model, w World) []string {
	if w.Data.State != NoData || w.Fence.ClusterID != m.Cluster.Value.AppBag.ClusterID {
		return nil
	}
	if v := newView(Event{}, m, w); !v.whyNotLost().none() {
		return nil
	}
	return w.Fence.Peers
}

// lost says that the recorded cluster is lost, and what to do. The action that gives the cluster up
// is named on the leader only, where it would succeed.
func (v view) lost() Reason {
	id := hexID(v.m.Cluster.Value.AppBag.ClusterID)
	if !v.leader() {
		return because(lostAwaitsLeadership, id)
	}
	return because(clusterLost, id)
}

// unclaimed reports whether the recorded cluster may be lost although there are other units: no
// living unit's bag names it, and no server answers. It does not count as lost while an operation
// is about to have it served by its source.
func (v view) unclaimed() bool {
	if o := v.operation(); o.Going() && o.NewCluster() == v.named() &&
		v.m.Units.Value[o.Source] != "" {
		return false
	}
	for _, unit := range v.others() {
		if v.m.Cluster.Value.UnitBags[unit].ClusterID == v.named() {
			return false
		}
	}
	return v.m.Cluster.Value.AppBag.ClusterID == v.named() &&
		(v.w.Reach == Absent || v.w.Reach == Unreachable)
}
