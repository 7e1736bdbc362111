package operator

import "slices"

// standing is what our member, which has data, is to its cluster.
type standing int

const (
	// Its cluster does not answer, or has no other voter that could go on.
	stuck            standing = iota
	outside                   // its cluster does not list it
	learner                   // it has no vote
	voterAmongOthers          // others vote with it
	ended                     // its cluster has ended, and the record says so
	superseded                // another cluster is on record
	lastUnit                  // no other unit is there or will come
	unrecorded                // it is the only voter of its cluster, which is not on record
)

// String names the standing.
func (s standing) String() string {
	return [...]string{
		"stuck", "outside", "learner", "voter among others", "ended", "superseded", "last unit", "unrecorded",
	}[s]
}

// standing says what our member is to its cluster. What that cluster answers counts before what the
// record says.
func (l look) standing() standing {
	own, listed := l.self()
	switch {
	case l.left() || (l.ownAnswers() && l.w.Data.barred(l.w.ClusterID, listed) == HeldUnlisted):
		return outside
	case l.ownAnswers() && own.Learner:
		return learner
	case l.ownAnswers() && len(l.voters()) > 1:
		return voterAmongOthers
	case l.hasEnded():
		return ended
	case l.isSuperseded():
		return superseded
	case l.alone():
		return lastUnit
	case l.nobodys():
		return unrecorded
	}
	return stuck
}

// ownAnswers reports whether the cluster of our data answers. That is the cluster to leave,
// whatever is on record: no other one knows our member.
func (l look) ownAnswers() bool {
	return l.w.Reach == Healthy && l.w.Data.ClusterID != 0 && l.w.ClusterID == l.w.Data.ClusterID
}

// left reports whether this pass removed our member. After that there may be no member left to ask
// whether it is listed.
func (l look) left() bool {
	return slices.ContainsFunc(l.w.Done, func(s Step) bool {
		removal, ok := s.(RemoveMember)
		return ok && removal.ID == l.w.Data.MemberID
	})
}

// hasEnded reports whether the record says that our data's cluster ended: a later unit founds
// another.
func (l look) hasEnded() bool {
	return l.m.Cluster.OK && l.w.Data.ClusterID != 0 && l.m.Cluster.Value.Record.Ended == l.w.Data.ClusterID
}

// isSuperseded reports whether another cluster than that of our data is on record, or has replaced
// it. A unit's view of the record never goes back, and no unit joins or uses a cluster that is not
// on record. So the other cluster need not answer, and a unit whose hook fails could not wait for
// that. If our own cluster has other members it is false, unless it was replaced.
func (l look) isSuperseded() bool {
	r, data := l.m.Cluster.Value.Record, l.w.Data.ClusterID
	others := l.w.ClusterID == data && len(l.w.Members) > 1
	if l.m.Cluster.OK && l.isReplaced(data) {
		return true
	}
	return l.m.Cluster.OK && r.ClusterID != 0 && r.ClusterID != r.Ended && r.ClusterID != data && !others
}

// nobodys reports whether our cluster is not on record, so that no unit joined or used it, or can.
// Only the leader puts it there, and this unit leads.
func (l look) nobodys() bool {
	local := l.w.Local // the other members may be of another cluster, which is not on record either
	sole := l.ownAnswers() && len(l.w.Members) == 1 || local.Ready && local.ClusterID == l.w.Data.ClusterID && local.Voters == 1
	return l.unrecorded() && (sole || l.stopped())
}

// unrecorded reports whether we are to put our cluster on record.
func (l look) unrecorded() bool {
	r := l.m.Cluster.Value.Record
	return l.leader() && l.m.Cluster.OK && r.ClusterID == r.Ended
}

// alone reports whether no other unit is there or will come: goal-state lists no other that is
// alive, and no other unit's member serves.
func (l look) alone() bool { return l.m.Units.OK && len(l.others()) == 0 && !l.othersServe() }

// othersServe reports whether voters of other units are listed, as far as any member answers.
func (l look) othersServe() bool {
	for _, mem := range l.w.Members {
		if mem.ID == l.w.Data.MemberID || mem.Learner {
			continue
		}
		if u, ok := l.unitOf(mem); ok {
			// A member that was added after goal-state was read may belong to a unit that is newer
			// than that answer.
			if _, there := l.m.Units.Value[u]; there || !slices.Contains(l.m.Seen, mem.ID) {
				return true
			}
		}
	}
	return false
}
