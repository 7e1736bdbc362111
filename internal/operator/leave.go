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
func leave(v view, p *Plan) {
	if !v.leaving() {
		return
	}
	if v.leavesHalted() {
		// No member can be removed while all are down; an operation counts this unit as left out.
		v.stopFor(p, operationStopsUs)
	} else if v.serveNew(p) {
		p.hold(v, because(leaveUnserved, v.m.Unit)) // nobody else has the new data
	} else if v.role() == RoleMember && v.w.Data.State == OurData {
		leaveCluster(v, p)
	} else if v.w.Data.State == ForeignData && v.w.Service.up() {
		if withForeignData(v, p); p.Step == nil {
			// Others need it as a voter, and it may serve them.
			p.hold(v, because(dataForeign, v.m.Unit, v.w.Data.Problem))
		}
	} else if v.w.Service.up() && (v.role() != RoleMember || v.last()) {
		// A server that never got its port has no data, but might get the port at the next boot.
		p.want(v, Stop{unitLeaves})
	}
	if v.Kind == hooks.Remove && p.Step == nil && !p.held && v.w.Leftovers {
		uninstall := Uninstall{KeepData: p.record != nil}
		p.want(v, uninstall)
		p.held, _ = v.tried(uninstall)
	}
	held := func(r Reason) bool { return rank(r.Level) < rank(Maintenance) }
	if p.Step == nil && !slices.ContainsFunc(p.Reasons, held) {
		p.say(because(leaving, v.m.Unit))
	}
}

// last reports whether this is one of the unit's last hooks, which Juju calls until they succeed.
// While such a hook fails, nothing that it publishes or remembers is kept. A unit that never ran
// start is removed without stop.
func (v view) last() bool { return v.Kind == hooks.Stop || v.Kind == hooks.Remove }

// up reports whether the service runs, or would start by itself.
func (s Service) up() bool { return s.Running || s.Enabled || s.Failing }

// leaveCluster takes out a member that has data.
func leaveCluster(v view, p *Plan) {
	if v.w.Reach == Healthy {
		p.need(v, unreleased, turnUnknown)
	}
	own, _ := v.self()
	switch v.standing() {
	case outside:
		leaveStopped(v, p)
	case learner:
		p.want(v, RemoveMember{ID: own.ID, Name: v.m.Unit, Why: unitLeaves})
	case voterAmongOthers:
		leaveVoters(v, p, own)
	case ended:
		v.stopFor(p, "the cluster has ended")
	case superseded:
		v.stopFor(p, "the application has another cluster")
	case lastUnit:
		leaveLast(v, p)
	case unrecorded:
		if !v.last() { // until then this leader can put it on record
			leaveHeld(v, p)
			return
		}
		rejoin(v, p, "the unit leaves a cluster that was never recorded")
	case stuck:
		leaveHeld(v, p)
	}
}

// stopFor stops the service if it runs, or would start by itself.
func (v view) stopFor(p *Plan, why string) {
	if v.w.Service.up() {
		p.want(v, Stop{why})
	}
}

// hold makes the hook fail, so that Juju keeps the unit and calls the hook again. Only the unit's
// own departed hook and its last hooks may fail: any other hook must publish, because other units
// may wait for what it writes. The departed hook of a leader whose cluster is not on record yet
// must publish the record too; its unit is kept by a later hook.
func (p *Plan) hold(v view, reasons ...Reason) {
	p.Reasons = append(p.Reasons, reasons...)
	if v.last() || (v.Departing == v.m.Unit && !v.unrecorded()) {
		p.held = true
	}
}

// stopped reports whether this pass stopped our server.
func (v view) stopped() bool { return did[Stop](v) }

// leaveVoters leaves a cluster of two or more voters, in turn.
func leaveVoters(v view, p *Plan, own Member) {
	n, down, abandoned := len(v.voters()), v.mayGoDown(own.ID), v.turnAbandoned()
	remove := RemoveMember{ID: own.ID, Name: v.m.Unit, Why: unitLeaves}
	switch {
	case !v.mayRemove(own.ID).none() || !v.serves(own) && !down.none():
		// etcd agrees on a removal with the voters that are ready now.
		if v.w.Turn.Holder == v.m.Unit {
			p.want(v, ReleaseTurn{}) // what we wait for may wait for the turn
		}
		serveOn(v, p)
		p.hold(v, because(leaveCostsQuorum, v.m.Unit,
			strconv.Itoa(v.ready(own.ID)), strconv.Itoa(n), strconv.Itoa(Quorum(n-1))))
	case v.refusingAlarm() == corrupt:
		leaveCorrupt(v, p, own)
	case v.refusingAlarm() == noSpace && v.w.Turn.Known && v.w.Turn.Holder == "":
		// etcd takes no turn now. A removal while the member runs takes no voter down, and a member
		// that takes a higher quota waits for it.
		p.want(v, remove)
	case !v.hasTurn() && !abandoned.none() && !v.last():
		p.say(abandoned.to(Blocked)) // if the hook failed, the unit would not remember what it saw
		return
	case !v.hasTurn():
		if !p.want(v, TakeTurn{}) && !abandoned.none() {
			p.say(abandoned.to(Blocked))
		}
	case n > 2 && down.none() && v.w.Service.Running && !v.shortOfSpace():
		// At SIGTERM etcd drains its connections and hands the leadership over. If the member is
		// removed after that, no write fails (measured with etcd 3.7).
		p.want(v, Stop{unitLeaves})
	default:
		// A cluster of two voters cannot lose one: the member is removed while both run. The same
		// holds while space is tight, because another member may then restart without the turn.
		p.want(v, remove)
	}
	if p.Step == nil {
		p.hold(v)
	}
}

// leaveCorrupt leaves a cluster in which alarm CORRUPT is raised. etcd then takes no turn, and none
// is needed: no member restarts. The member with the bad data has to leave, while it runs. No other
// member leaves before the alarm is dealt with.
func leaveCorrupt(v view, p *Plan, own Member) {
	for _, a := range v.w.Alarms {
		if a.Kind == corrupt && a.MemberID != own.ID && a.MemberID != 0 {
			p.hold(v, because(leaveWhileCorrupt, v.m.Unit, v.names(a.MemberID)))
			return
		}
	}
	p.want(v, RemoveMember{ID: own.ID, Name: v.m.Unit, Why: unitLeaves})
}

// leaveStopped ends what is left of a member that is no longer listed. Its data goes aside last: if
// no member answers in a later hook, only the data shows that the unit has left.
func leaveStopped(v view, p *Plan) {
	if v.w.Turn.Holder == v.m.Unit {
		p.want(v, ReleaseTurn{})
	}
	rejoin(v, p, "the unit left the cluster")
}

// leaveLast stops the last member. Nothing is removed; the record says that the cluster ended in
// order. The member serves until the unit's last hooks, unless an earlier hook parts it from its
// last peer: after that Juju may no longer show the peer relation.
func leaveLast(v view, p *Plan) {
	parts := v.Endpoint == PeerEndpoint && v.Kind == hooks.RelationDeparted && v.m.Cluster.OK
	switch {
	case v.last():
	case parts && !v.isLastMember() && v.Departing == v.m.Unit:
		leaveHeld(v, p) // a later hook may not see the other units of the cluster
		return
	case !parts || !v.isLastMember():
		return
	}
	if v.m.Cluster.OK && !v.leader() {
		// If the end were not on record, a later unit would be blocked. The last unit becomes
		// leader within a minute.
		serveOn(v, p)
		why := because(leaveAwaitsLeadership, v.m.Unit)
		if !v.m.Leader.OK {
			why = v.unknown(leaderUnknown, unleft)
		}
		p.hold(v, why)
		p.held = true // no unit is left that waits for what this hook would publish
		return
	}
	if v.w.Service.up() {
		p.want(v, Stop{lastLeaves})
		return
	}
	if v.leader() && v.m.Cluster.OK {
		record := v.m.Cluster.Value.AppBag
		record.Schema = etcdcluster.Schema
		record.ClusterID, record.Ended = v.w.Data.ClusterID, v.w.Data.ClusterID
		p.record = &record
	}
}

// isLastMember reports whether it is certain that no other unit's member serves: the cluster says
// that it has one voter, or this pass stopped the last one. Otherwise each other unit's bag must
// say that it is stopped or names no cluster, and our own service must have been down before this
// pass.
func (v view) isLastMember() bool {
	if slices.Contains(v.w.Done, Step(Stop{lastLeaves})) || (v.ownAnswers() && len(v.voters()) == 1) {
		return true
	}
	for _, unitBag := range v.m.Cluster.Value.UnitBags {
		if unitBag.ClusterID != 0 && !unitBag.Stopped {
			return false
		}
	}
	return !v.w.Service.up() && !v.stopped()
}

// serveOn starts a member again whose leave must wait, if it has stopped already: others may need
// it for a quorum, to join, or to remove it. If this pass stopped it, it stays stopped until the
// next pass.
func serveOn(v view, p *Plan) {
	switch {
	case v.w.Service.Kind != MemberService:
	case !v.m.Cluster.OK: // the record may say that the cluster has ended
	case v.unfit() != "" || v.w.Data.State == ForeignData: // it never starts again
	case !v.w.Service.Running && !v.stopped() && !v.startedInVain():
		p.want(v, Start{})
	case v.w.Service.Running && !v.inCluster() && !v.w.Local.Ready:
		p.want(v, AwaitReady{}) // it may just have been started
	case v.w.Service.Running && v.w.Local.Ready && v.moved():
		// Its machine started it with another port, and the unit that takes over has to find it.
		v.encodeAddress(p)
	}
}

// leaveHeld says why a leave must wait.
func leaveHeld(v view, p *Plan) {
	serveOn(v, p)
	switch {
	case !v.m.Units.OK:
		p.hold(v, v.unknown(unitsUnknown, unleft).to(Blocked))
	case v.ownAnswers():
		p.hold(v, because(leaveAwaitsVoter, v.m.Unit, v.others()[0]))
	case v.w.Reach == Healthy:
		p.hold(v, because(leaveAwaitsRecord, v.m.Unit))
	default:
		p.hold(v, because(leaveUnreached, v.m.Unit, v.w.Reach.String()))
	}
}
