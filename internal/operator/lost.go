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
func (l look) whyNotLost() Reason {
	record, w := l.m.Cluster.Value.Record, l.w
	switch {
	case l.m.ConfigProblem != "" || l.role() != RoleMember:
		return because(notLostHere, l.m.Unit)
	case !l.m.Cluster.OK:
		return l.unknown(peersUnknown, unfounded)
	case replaces(record.Operation):
		return because(operationRuns, record.Operation.ID)
	case record.ClusterID == 0:
		return because(notLostUnrecorded, l.m.App)
	case record.ClusterID == record.Ended:
		return because(notLostEnded, hexID(record.ClusterID))
	case !l.m.Units.OK:
		return l.unknown(unitsUnknown, unfounded)
	case len(l.m.Units.Value) != 1 || l.m.Units.Value[l.m.Unit] == "":
		return because(notLostOthers, few(ordered(slices.Collect(maps.Keys(l.m.Units.Value)))))
	case w.Data.State != NoData:
		return because(notLostData, l.m.Unit)
	case w.Reach == Healthy || w.Reach == NoQuorum || w.Local.Live || len(w.Members) > 0:
		return because(notLostAnswers, l.m.Unit)
	}
	return l.outlived()
}

// outlived says that a peer in our fence answers for the recorded cluster. No unit names that peer:
// its unit was removed by force while its machine went on.
func (l look) outlived() Reason {
	id := l.m.Cluster.Value.Record.ClusterID
	for _, a := range l.w.Peers {
		if a.Says(id, l.w.Fence.MemberID).Alive() {
			return because(clusterOutlives, hexID(id), strings.TrimPrefix(a.URL, "https://"))
		}
	}
	return Reason{}
}

// PeersInDoubt are the peers in our fence that are to be asked before the recorded cluster is taken
// for lost: a survey asks only where units say that their members are.
func PeersInDoubt(m Model, w World) []string {
	if w.Data.State != NoData || w.Fence.ClusterID != m.Cluster.Value.Record.ClusterID {
		return nil
	}
	if l := lookAt(Event{}, m, w); !l.whyNotLost().none() {
		return nil
	}
	return w.Fence.Peers
}

// lost says that the recorded cluster is lost, and what to do. The action that gives the cluster up
// is named on the leader only, where it would succeed.
func (l look) lost() Reason {
	id := hexID(l.m.Cluster.Value.Record.ClusterID)
	if !l.leader() {
		return because(lostAwaitsLeadership, id)
	}
	return because(clusterLost, id)
}

// unclaimed reports whether the recorded cluster may be lost although there are other units: no
// living unit's bag names it, and no server answers. It does not count as lost while an operation
// is about to have it served by its source.
func (l look) unclaimed() bool {
	if o := l.operation(); o.Going() && o.NewCluster() == l.named() && l.m.Units.Value[o.Source] != "" {
		return false
	}
	for _, unit := range l.others() {
		if l.m.Cluster.Value.Words[unit].ClusterID == l.named() {
			return false
		}
	}
	return l.m.Cluster.Value.Record.ClusterID == l.named() && (l.w.Reach == Absent || l.w.Reach == Unreachable)
}
