package operator

import (
	"maps"
	"slices"
)

// whyNotLost says why the recorded cluster must not be taken for lost: it names what is left of it,
// or might be. It is none if nothing is left: there is no other unit, no data here, and no server
// that answers.
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
	return Reason{}
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
