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

// leave takes our member out in order, in the first hook that knows of the departure. The unit's
// machine goes whatever the charm says. So a leave that would cost the quorum fails the hook: Juju
// then keeps the unit and calls the hook again.
func leave(l look, p *Plan) {
	if !l.leaving() {
		return
	}
	if l.leavesHalted() {
		// No member can be removed while all are down; an operation counts this unit as left out.
		l.stopFor(p, operationStopsUs)
	} else if l.serveNew(p) {
		p.hold(l, because(leaveUnserved, l.m.Unit)) // nobody else has the new data
	} else if l.role() == RoleMember && l.w.Data.State == OurData {
		leaveCluster(l, p)
	} else if l.w.Data.State == ForeignData && l.w.Service.up() {
		if withForeignData(l, p); p.Step == nil {
			// Others need it as a voter, and it may serve them.
			p.hold(l, because(dataForeign, l.m.Unit, l.w.Data.Problem))
		}
	} else if l.w.Service.up() && (l.role() != RoleMember || l.last()) {
		// A server that never got its port has no data, but might get the port at the next boot.
		p.want(l, Stop{unitLeaves})
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

// last reports whether this is one of the unit's last hooks, which Juju calls until they succeed.
// While such a hook fails, nothing that it publishes or remembers is kept. A unit that never ran
// start is removed without stop.
func (l look) last() bool { return l.Kind == hooks.Stop || l.Kind == hooks.Remove }

// up reports whether the service runs, or would start by itself.
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
		if !l.last() { // until then this leader can put it on record
			leaveHeld(l, p)
			return
		}
		rejoin(l, p, "the unit leaves a cluster that was never recorded")
	case stuck:
		leaveHeld(l, p)
	}
}

// stopFor stops the service if it runs, or would start by itself.
func (l look) stopFor(p *Plan, why string) {
	if l.w.Service.up() {
		p.want(l, Stop{why})
	}
}

// hold makes the hook fail, so that Juju keeps the unit and calls the hook again. Only the unit's
// own departed hook and its last hooks may fail: any other hook must publish, because other units
// may wait for what it writes. The departed hook of a leader whose cluster is not on record yet
// must publish the record too; its unit is kept by a later hook.
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
	case !l.mayRemove(own.ID).none() || !l.serves(own) && !down.none():
		// etcd agrees on a removal with the voters that are ready now.
		if l.w.Turn.Holder == l.m.Unit {
			p.want(l, ReleaseTurn{}) // what we wait for may wait for the turn
		}
		serveOn(l, p)
		p.hold(l, because(leaveCostsQuorum, l.m.Unit, strconv.Itoa(l.ready(own.ID)), strconv.Itoa(n), strconv.Itoa(Quorum(n-1))))
	case l.refusing() == corrupt:
		leaveCorrupt(l, p, own)
	case l.refusing() == noSpace && l.w.Turn.Known && l.w.Turn.Holder == "":
		// etcd takes no turn now. A removal while the member runs takes no voter down, and a member
		// that takes a higher quota waits for it.
		p.want(l, remove)
	case !l.hasTurn() && !squatted.none() && !l.last():
		p.say(squatted.to(Blocked)) // if the hook failed, the unit would not remember what it saw
		return
	case !l.hasTurn():
		if !p.want(l, TakeTurn{}) && !squatted.none() {
			p.say(squatted.to(Blocked))
		}
	case n > 2 && down.none() && l.w.Service.Running && !l.tight():
		// At SIGTERM etcd drains its connections and hands the leadership over. If the member is
		// removed after that, no write fails (measured with etcd 3.7).
		p.want(l, Stop{unitLeaves})
	default:
		// A cluster of two voters cannot lose one: the member is removed while both run. The same
		// holds while space is tight, because another member may then restart without the turn.
		p.want(l, remove)
	}
	if p.Step == nil {
		p.hold(l)
	}
}

// leaveCorrupt leaves a cluster in which alarm CORRUPT is raised. etcd then takes no turn, and none
// is needed: no member restarts. The member with the bad data has to leave, while it runs. No other
// member leaves before the alarm is dealt with.
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

// leaveLast stops the last member. Nothing is removed; the record says that the cluster ended in
// order. The member serves until the unit's last hooks, unless an earlier hook parts it from its
// last peer: after that Juju may no longer show the peer relation.
func leaveLast(l look, p *Plan) {
	parts := l.Endpoint == PeerEndpoint && l.Kind == hooks.RelationDeparted && l.m.Cluster.OK
	switch {
	case l.last():
	case parts && !l.sole() && l.Departing == l.m.Unit:
		leaveHeld(l, p) // a later hook may not see the other units of the cluster
		return
	case !parts || !l.sole():
		return
	}
	if l.m.Cluster.OK && !l.leader() {
		// If the end were not on record, a later unit would be blocked. The last unit becomes
		// leader within a minute.
		serveOn(l, p)
		why := because(leaveAwaitsLeadership, l.m.Unit)
		if !l.m.Leader.OK {
			why = l.unknown(leaderUnknown, unleft)
		}
		p.hold(l, why)
		p.held = true // no unit is left that waits for what this hook would publish
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

// sole reports whether it is certain that no other unit's member serves: the cluster says that it
// has one voter, or this pass stopped the last one. Otherwise each other unit's bag must say that
// it is stopped or names no cluster, and our own service must have been down before this pass.
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

// serveOn starts a member again whose leave must wait, if it has stopped already: others may need
// it for a quorum, to join, or to remove it. If this pass stopped it, it stays stopped until the
// next pass.
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
		// Its machine started it with another port, and the unit that takes over has to find it.
		l.tellAddress(p)
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
