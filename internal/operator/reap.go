package operator

import "slices"

// reap takes out members whose unit goal-state no longer lists, one at a time. It judges only
// members that etcd listed before goal-state was read: a later member may belong to a unit that is
// newer than that answer.
func reap(v view, p *Plan) {
	if v.role() != RoleMember || v.w.Reach == Absent || stops(v.operation()) {
		return
	}
	known := p.need(v, unreaped, unitsUnknown, peersUnknown)
	if !v.reaps() {
		if !v.m.Leader.OK && (!known || slices.ContainsFunc(v.w.Members, v.orphan)) {
			p.need(v, unreaped, leaderUnknown)
		}
		return
	}
	if !known || !v.inCluster() {
		return
	}
	own, listed := v.self()
	for _, mem := range v.w.Members {
		// Our own member is removed only by a leave: on the data of a former unit it may still have
		// that unit's name.
		if (listed && mem.ID == own.ID) || !slices.Contains(v.m.Seen, mem.ID) || !v.orphan(mem) {
			continue
		}
		if !v.mayRemove(mem.ID).none() {
			p.say(because(removalAwaitsQuorum, v.label(mem)))
			continue
		}
		if listed && !mem.Learner && mem.Ready && !v.hasTurn() && v.refusingAlarm() == "" {
			if why := v.turnAbandoned(); !why.none() {
				p.say(why.to(Waiting))
				return
			}
			// Its machine still runs. Removing a ready voter is like stopping it, and a member that
			// stops or restarts counts on it: so this takes the turn.
			p.want(v, TakeTurn{})
			return
		}
		p.want(v, RemoveMember{mem.ID, v.label(mem), "its unit is gone", !mem.Started()})
		return
	}
}

const unreaped = "members without a unit are not removed"

// reaps reports whether this unit is to reap: as the leader, as a unit that leaves, because dead
// members may hold up its leave, or as the first ready voter whose unit lives. A leader without a
// member has not seen the list before goal-state, and its own join may wait for the dead to go.
func (v view) reaps() bool {
	if v.leader() || v.leaving() {
		return true
	}
	for _, mem := range v.voters() {
		if unit, ok := v.unitOf(mem); ok && v.serves(mem) && v.m.Units.Value[unit] == Alive {
			return unit == v.m.Unit
		}
	}
	return false
}

// orphan reports whether no unit owns the member. One that never started has no name: it is an
// orphan only if every unit in goal-state is accounted for by another member or another peer URL.
func (v view) orphan(mem Member) bool {
	if unit, ok := v.unitOf(mem); ok {
		_, there := v.m.Units.Value[unit]
		return !there
	}
	if mem.Started() {
		return true
	}
	for unit := range v.m.Units.Value {
		if unit == v.m.Unit || slices.ContainsFunc(v.w.Members, func(m Member) bool {
			return m.Name == memberName(unit)
		}) {
			continue
		}
		// A bag from before a change of the port does not say at which port its unit joins now,
		// only at which address.
		word := v.m.Cluster.Value.UnitBags[unit].PeerURL
		port, told := portOf(word)
		there := func(peerURL string) bool { return sameHost(peerURL, word) }
		if !told || (port != v.m.Config.ManagementPort && slices.ContainsFunc(mem.PeerURLs, there)) {
			return false
		}
	}
	return true
}
