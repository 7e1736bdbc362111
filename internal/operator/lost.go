package operator

import (
	"maps"
	"slices"
)

// whyNotLost says why the recorded cluster may not be taken for lost: it names what of it is or might be left. It is
// "" when nothing is: no unit beside ours, no data here, and nobody who answers.
func (l look) whyNotLost() string {
	record, w := l.m.Cluster.Value.Record, l.w
	switch {
	case l.m.ConfigProblem != "" || l.role() != RoleMember:
		return "this unit is no member, or its options cannot be used"
	case !l.m.Cluster.OK:
		return "the peer relation is not visible: " + or(l.m.Cluster.Why)
	case record.ClusterID == 0:
		return "no cluster is recorded"
	case record.ClusterID == record.Ended:
		return "cluster " + hexID(record.ClusterID) + " ended in order; the leader founds without being asked"
	case !l.m.Units.OK:
		return "the units are not known: " + or(l.m.Units.Why)
	case len(l.m.Units.Value) != 1 || l.m.Units.Value[l.m.Unit] == "":
		return "there are other units, which may hold the data: " + few(ordered(slices.Collect(maps.Keys(l.m.Units.Value))))
	case w.Data.State != NoData:
		return "there is data on this unit"
	case w.Reach == Healthy || w.Reach == NoQuorum || w.Local.Live || len(w.Members) > 0:
		return "a member of a cluster answers"
	}
	return ""
}

// lost says that the recorded cluster is lost, and what to do. The action that gives it up is named where it would do so.
func (l look) lost() string {
	id := hexID(l.m.Cluster.Value.Record.ClusterID)
	if !l.leader() {
		return "cluster " + id + " is lost: once this unit leads, it can found another"
	}
	return "cluster " + id + " is lost: run action found-cluster confirm=" + id
}

// unclaimed reports whether the recorded cluster may be lost although there are other units: none of those that live tells
// of its data, and nobody answers.
func (l look) unclaimed() bool {
	for _, unit := range l.others() {
		if l.m.Cluster.Value.Words[unit].ClusterID == l.named() {
			return false
		}
	}
	return l.m.Cluster.Value.Record.ClusterID == l.named() && (l.w.Reach == Absent || l.w.Reach == Unreachable)
}
