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
		"stuck", "outside", "learner", "voter among others",
		"ended", "superseded", "last unit", "unrecorded",
	}[s]
}

// standing says what our member is to its cluster. What that cluster answers takes precedence over
// the record.
func (v view) standing() standing {
	own, listed := v.self()
	switch {
	case v.left() || (v.ownAnswers() && v.w.Data.barred(v.w.ClusterID, listed) == HeldUnlisted):
		return outside
	case v.ownAnswers() && own.Learner:
		return learner
	case v.ownAnswers() && len(v.voters()) > 1:
		return voterAmongOthers
	case v.hasEnded():
		return ended
	case v.isSuperseded():
		return superseded
	case v.alone():
		return lastUnit
	case v.clusterUnused():
		return unrecorded
	}
	return stuck
}

// ownAnswers reports whether the cluster of our data answers. That is the cluster to leave,
// whatever is on record: no other one knows our member.
func (v view) ownAnswers() bool {
	return v.w.Reach == Healthy && v.w.Data.ClusterID != 0 && v.w.ClusterID == v.w.Data.ClusterID
}

// left reports whether this pass removed our member. After that there may be no member left to ask
// whether it is listed.
func (v view) left() bool {
	return slices.ContainsFunc(v.w.Done, func(s Step) bool {
		removal, ok := s.(RemoveMember)
		return ok && removal.ID == v.w.Data.MemberID
	})
}

// hasEnded reports whether the record says that our data's cluster ended: a later unit founds
// another one.
func (v view) hasEnded() bool {
	return v.m.Cluster.OK && v.w.Data.ClusterID != 0 &&
		v.m.Cluster.Value.AppBag.Ended == v.w.Data.ClusterID
}

// isSuperseded reports whether another cluster than that of our data is on record, or has replaced
// it. A unit's view of the record never goes back, and no unit joins or uses a cluster that is not
// on record. So the other cluster need not answer, and a unit whose hook fails could not wait for
// that. If our own cluster has other members it is false, unless it was replaced.
func (v view) isSuperseded() bool {
	r, data := v.m.Cluster.Value.AppBag, v.w.Data.ClusterID
	others := v.w.ClusterID == data && len(v.w.Members) > 1
	if v.m.Cluster.OK && v.isReplaced(data) {
		return true
	}
	return v.m.Cluster.OK && r.ClusterID != 0 && r.ClusterID != r.Ended &&
		r.ClusterID != data && !others
}

// clusterUnused reports whether our cluster is not on record, so that no unit joined or used it, or
// can. Only the leader puts it there, and this unit leads.
func (v view) clusterUnused() bool {
	local := v.w.Local // the other members may be of another cluster, which is not on record either
	single := v.ownAnswers() && len(v.w.Members) == 1 ||
		local.Ready && local.ClusterID == v.w.Data.ClusterID && local.Voters == 1
	return v.unrecorded() && (single || v.stopped())
}

// unrecorded reports whether we are to put our cluster on record.
func (v view) unrecorded() bool {
	r := v.m.Cluster.Value.AppBag
	return v.leader() && v.m.Cluster.OK && r.ClusterID == r.Ended
}

// alone reports whether no other unit is there or will come: goal-state lists no other that is
// alive, and no other unit's member serves.
func (v view) alone() bool { return v.m.Units.OK && len(v.others()) == 0 && !v.othersServe() }

// othersServe reports whether voters of other units are listed, as far as any member answers.
func (v view) othersServe() bool {
	for _, mem := range v.w.Members {
		if mem.ID == v.w.Data.MemberID || mem.Learner {
			continue
		}
		if u, ok := v.unitOf(mem); ok {
			// A member that was added after goal-state was read may belong to a unit that is newer
			// than that answer.
			if _, there := v.m.Units.Value[u]; there || !slices.Contains(v.m.Seen, mem.ID) {
				return true
			}
		}
	}
	return false
}
