package operator

import (
	"slices"
	"strconv"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

const (
	unitLeaves = "the unit leaves"
	lastLeaves = "the last unit leaves"
	unleft     = "the unit does not leave"
)

// leave takes our member out in order, at the first hook that knows of the departure. The unit's machine goes whatever
// we say, so a leave that would cost the quorum fails the hook: Juju then holds the unit and calls again.
func leave(l look, p *Plan) {
	if !l.leaving() {
		return
	}
	if l.leavesHalted() {
		l.stopFor(p, operationStopsUs) // nobody can take it out while all are down: it counts as left out
	} else if l.serveNew(p) {
		p.hold(l, because(leaveUnserved, l.m.Unit)) // nobody else has the new data
	} else if l.role() == RoleMember && l.w.Data.State == OurData {
		leaveCluster(l, p)
	} else if l.w.Data.State == ForeignData && l.w.Service.up() {
		if withForeignData(l, p); p.Step == nil {
			p.hold(l, because(dataForeign, l.m.Unit, l.w.Data.Problem)) // others need it, and it may serve them
		}
	} else if l.w.Service.up() && (l.role() != RoleMember || l.last()) {
		p.want(l, Stop{unitLeaves}) // a server that never got its port has no data, and would get it at the next boot
	}
	if l.Kind == hooks.Remove && p.Step == nil && !p.held && l.w.Leftovers {
		uninstall := Uninstall{KeepData: p.record != nil}
		p.want(l, uninstall)
		p.held, _ = l.tried(uninstall)
	}
	held := func(r Reason) bool { return rank(r.Level) < rank(Maintenance) }
	if p.Step == nil && !slices.ContainsFunc(p.Reasons, held) {
		p.say(because(leaving, l.m.Unit))
	}
}

// last reports whether this is one of the unit's last hooks, which Juju calls until they succeed: while such a hook fails,
// nothing that it publishes or remembers is kept. A unit that never ran start is removed without stop.
func (l look) last() bool { return l.Kind == hooks.Stop || l.Kind == hooks.Remove }

// up reports whether the service runs, or would by itself.
func (s Service) up() bool { return s.Running || s.Enabled || s.Failing }

// leaveCluster takes out a member that has data.
func leaveCluster(l look, p *Plan) {
	if l.w.Reach == Healthy {
		p.need(l, unreleased, turnUnknown)
	}
	own, _ := l.self()
	switch l.standing() {
	case outside:
		leaveStopped(l, p)
	case learner:
		p.want(l, RemoveMember{ID: own.ID, Name: l.m.Unit, Why: unitLeaves})
	case voterAmongOthers:
		leaveVoters(l, p, own)
	case ended:
		l.stopFor(p, "the cluster has ended")
	case superseded:
		l.stopFor(p, "the application has another cluster")
	case lastUnit:
		leaveLast(l, p)
	case unrecorded:
		if !l.last() { // till then this leader can put it on record
			leaveHeld(l, p)
			return
		}
		rejoin(l, p, "the unit leaves a cluster that nobody was told of")
	case stuck:
		leaveHeld(l, p)
	}
}

// stopFor stops the service if it runs, or would by itself.
func (l look) stopFor(p *Plan, why string) {
	if l.w.Service.up() {
		p.want(l, Stop{why})
	}
}

// hold has the hook fail, so that Juju holds the unit and calls again. A hook that is not the departure's holds nobody,
// and must publish what others may wait for. So must the leader's that puts its cluster on record: its unit has another
// hook to be held in.
func (p *Plan) hold(l look, reasons ...Reason) {
	p.Reasons = append(p.Reasons, reasons...)
	if l.last() || (l.Departing == l.m.Unit && !l.unrecorded()) {
		p.held = true
	}
}

// stopped reports whether this pass stopped our server.
func (l look) stopped() bool { return did[Stop](l) }

// leaveVoters leaves a cluster of two or more voters, in turn.
func leaveVoters(l look, p *Plan, own Member) {
	n, down, squatted := len(l.voters()), l.mayGoDown(own.ID), l.squatted()
	remove := RemoveMember{ID: own.ID, Name: l.m.Unit, Why: unitLeaves}
	switch {
	case !l.mayRemove(own.ID).none() || !l.serves(own) && !down.none(): // a removal is agreed by those that are ready now
		if l.w.Turn.Holder == l.m.Unit {
			p.want(l, ReleaseTurn{}) // what we wait for may wait for the turn
		}
		serveOn(l, p)
		p.hold(l, because(leaveCostsQuorum, l.m.Unit, strconv.Itoa(n), strconv.Itoa(l.ready(own.ID)), strconv.Itoa(Quorum(n-1))))
	case l.refusing() == corrupt:
		leaveCorrupt(l, p, own)
	case l.refusing() == noSpace && l.w.Turn.Known && l.w.Turn.Holder == "":
		// etcd takes no turn. A removal while the member runs takes nobody down, and who takes a higher quota waits for it.
		p.want(l, remove)
	case !l.hasTurn() && !squatted.none() && !l.last():
		p.say(squatted.to(Blocked)) // a hook that fails would not remember it
		return
	case !l.hasTurn():
		if !p.want(l, TakeTurn{}) && !squatted.none() {
			p.say(squatted.to(Blocked))
		}
	case n > 2 && down.none() && l.w.Service.Running && !l.tight():
		// SIGTERM drains and hands leadership over; removed afterwards, no write fails (facts of etcd 3.7, measured).
		p.want(l, Stop{unitLeaves})
	default:
		// Two voters cannot lose one: the membership goes while both run. So it does while space is tight, where another may
		// restart without the turn.
		p.want(l, remove)
	}
	if p.Step == nil {
		p.hold(l)
	}
}

// leaveCorrupt leaves a cluster in which alarm CORRUPT is raised. etcd takes no turn then, and needs none: nothing restarts.
// It is the member with the bad data that must go, while it runs, and no other before the alarm is answered.
func leaveCorrupt(l look, p *Plan, own Member) {
	for _, a := range l.w.Alarms {
		if a.Kind == corrupt && a.MemberID != own.ID && a.MemberID != 0 {
			p.hold(l, because(leaveWhileCorrupt, l.m.Unit, l.names(a.MemberID)))
			return
		}
	}
	p.want(l, RemoveMember{ID: own.ID, Name: l.m.Unit, Why: unitLeaves})
}

// leaveStopped ends what is left of a member that is no longer listed. Its data goes aside last: from that the unit knows
// that it has left, should nobody answer in a later hook.
func leaveStopped(l look, p *Plan) {
	if l.w.Turn.Holder == l.m.Unit {
		p.want(l, ReleaseTurn{})
	}
	rejoin(l, p, "the unit left the cluster")
}

// leaveLast stops the last member; nothing is removed, and the record says that the cluster ended in order. It serves until
// its last hooks, but for one that parts it from its peers: after that Juju may not show the peer relation any more.
func leaveLast(l look, p *Plan) {
	parts := l.Endpoint == PeerEndpoint && l.Kind == hooks.RelationDeparted && l.m.Cluster.OK
	switch {
	case l.last():
	case parts && !l.sole() && l.Departing == l.m.Unit:
		leaveHeld(l, p) // a later hook may not see who else is in the cluster
		return
	case !parts || !l.sole():
		return
	}
	if l.m.Cluster.OK && !l.leader() {
		// Without a record of the end whoever comes later is blocked. Who is left becomes leader within a minute.
		serveOn(l, p)
		why := because(leaveAwaitsLeadership, l.m.Unit)
		if !l.m.Leader.OK {
			why = l.unknown(leaderUnknown, unleft)
		}
		p.hold(l, why)
		p.held = true // nobody is left who waits for what this hook would publish
		return
	}
	if l.w.Service.up() {
		p.want(l, Stop{lastLeaves})
		return
	}
	if l.leader() && l.m.Cluster.OK {
		record := l.m.Cluster.Value.Record
		record.Schema = etcdcluster.Schema
		record.ClusterID, record.Ended = l.w.Data.ClusterID, l.w.Data.ClusterID
		p.record = &record
	}
}

// sole reports whether it is certain that no other unit's member serves: the cluster says that it has one voter, or what
// was stopped here was the last. Any other unit that is still there is on its way out, and says that it has no part in it.
func (l look) sole() bool {
	if slices.Contains(l.w.Done, Step(Stop{lastLeaves})) || (l.ownAnswers() && len(l.voters()) == 1) {
		return true
	}
	for _, word := range l.m.Cluster.Value.Words {
		if word.ClusterID != 0 && !word.Stopped {
			return false
		}
	}
	return !l.w.Service.up() && !l.stopped()
}

// serveOn has a member whose leave must wait serve again, should it have stopped already: it may be what the others need
// for a quorum, to join or to let it go. What this pass stopped stays so until the next.
func serveOn(l look, p *Plan) {
	switch {
	case l.w.Service.Kind != MemberService:
	case !l.m.Cluster.OK: // the record may say that the cluster has ended
	case l.unfit() != "" || l.w.Data.State == ForeignData: // it never starts again
	case !l.w.Service.Running && !l.stopped() && !l.startedInVain():
		p.want(l, Start{})
	case l.w.Service.Running && !l.inCluster() && !l.w.Local.Ready:
		p.want(l, AwaitReady{}) // it may just have been started
	case l.w.Service.Running && l.w.Local.Ready && l.moved():
		l.tellAddress(p) // its machine started it with another port; who is to take over has to find it
	}
}

// leaveHeld says why a leave must wait.
func leaveHeld(l look, p *Plan) {
	serveOn(l, p)
	switch {
	case !l.m.Units.OK:
		p.hold(l, l.unknown(unitsUnknown, unleft).to(Blocked))
	case l.ownAnswers():
		p.hold(l, because(leaveAwaitsVoter, l.m.Unit, l.others()[0]))
	case l.w.Reach == Healthy:
		p.hold(l, because(leaveAwaitsRecord, l.m.Unit))
	default:
		p.hold(l, because(leaveUnreached, l.m.Unit, l.w.Reach.String()))
	}
}
