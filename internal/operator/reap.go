package operator

import "slices"

// reap takes out members whose unit is gone from a believed goal-state. The leader does it, one at a time, and judges
// only members that etcd listed before goal-state was read: a later one may belong to a unit newer than that answer.
func reap(l look, p *Plan) {
	if l.role() != RoleMember || l.leaving() || !l.leader() || !l.m.Units.OK || !l.m.Cluster.OK || !l.inCluster() {
		return
	}
	for _, mem := range l.w.Members {
		if !slices.Contains(l.m.Seen, mem.ID) || !l.orphan(mem) {
			continue
		}
		if !mem.Learner && l.ready(mem.ID) < quorum(len(l.voters())-1) {
			p.say(Waiting, "%s has no unit, but its removal would cost the quorum", l.label(mem))
			continue
		}
		p.want(l, RemoveMember{mem.ID, l.label(mem), "its unit is gone"})
		return
	}
}

// orphan tells whether no unit owns the member. One that never started has no name: it is an orphan only if every
// unit in goal-state is accounted for by another member or another peer URL.
func (l look) orphan(mem Member) bool {
	if unit, ok := l.unitOf(mem); ok {
		_, there := l.m.Units.Value[unit]
		return !there
	}
	if mem.Started() {
		return true
	}
	for unit := range l.m.Units.Value {
		if unit != l.m.Unit && l.m.Cluster.Value.Words[unit].PeerURL == "" {
			return false
		}
	}
	return true
}
