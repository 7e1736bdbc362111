package operator

import "slices"

// reap takes out members whose unit goal-state no longer lists, one at a time. It judges only
// members that etcd listed before goal-state was read: a later member may belong to a unit that is
// newer than that answer.
func reap(l look, p *Plan) {
	if l.role() != RoleMember || l.w.Reach == Absent || stops(l.operation()) {
		return
	}
	known := p.need(l, unreaped, unitsUnknown, peersUnknown)
	if !l.reaps() {
		if !l.m.Leader.OK && (!known || slices.ContainsFunc(l.w.Members, l.orphan)) {
			p.need(l, unreaped, leaderUnknown)
		}
		return
	}
	if !known || !l.inCluster() {
		return
	}
	own, listed := l.self()
	for _, mem := range l.w.Members {
		// Our own member is removed only by a leave: on the data of a former unit it may still have
		// that unit's name.
		if (listed && mem.ID == own.ID) || !slices.Contains(l.m.Seen, mem.ID) || !l.orphan(mem) {
			continue
		}
		if !l.mayRemove(mem.ID).none() {
			p.say(because(removalAwaitsQuorum, l.label(mem)))
			continue
		}
		if listed && !mem.Learner && mem.Ready && !l.hasTurn() && l.refusing() == "" {
			if why := l.squatted(); !why.none() {
				p.say(why.to(Waiting))
				return
			}
			// Its machine still runs. To remove a ready voter is like stopping one, and a member
			// that stops or restarts counts on it: so this takes the turn.
			p.want(l, TakeTurn{})
			return
		}
		p.want(l, RemoveMember{mem.ID, l.label(mem), "its unit is gone", !mem.Started()})
		return
	}
}

const unreaped = "members without a unit are not removed"

// reaps reports whether it is ours to reap: as leader, as one that leaves, which the dead may hold, or as the first ready
// voter whose unit lives. A leader that has no member yet has seen none listed before goal-state, and its own join may be
// what waits for the dead to go.
func (l look) reaps() bool {
	if l.leader() || l.leaving() {
		return true
	}
	for _, mem := range l.voters() {
		if unit, ok := l.unitOf(mem); ok && l.serves(mem) && l.m.Units.Value[unit] == Alive {
			return unit == l.m.Unit
		}
	}
	return false
}

// orphan reports whether no unit owns the member. One that never started has no name: it is an orphan only if every
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
		if unit == l.m.Unit || slices.ContainsFunc(l.w.Members, func(m Member) bool { return m.Name == memberName(unit) }) {
			continue
		}
		// A bag from before a change of the port does not say at which port its unit joins now,
		// only at which address.
		word := l.m.Cluster.Value.Words[unit].PeerURL
		port, told := portOf(word)
		there := func(peerURL string) bool { return sameHost(peerURL, word) }
		if !told || (port != l.m.Config.ManagementPort && slices.ContainsFunc(mem.PeerURLs, there)) {
			return false
		}
	}
	return true
}
