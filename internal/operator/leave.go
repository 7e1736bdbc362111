package operator

import (
	"cmp"
	"fmt"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

const unitLeaves = "the unit leaves"

// leave takes our member out in order, at the first hook that knows of the departure. The unit's machine goes whatever
// we say, so a leave that would cost the quorum fails the hook: Juju then holds the unit and calls again.
func leave(l look, p *Plan) {
	if !l.leaving() {
		return
	}
	if l.role() == RoleMember && l.w.Data.State == OurData {
		leaveCluster(l, p)
	} else if l.w.Service.up() && (l.role() != RoleMember || l.last()) {
		p.want(l, Stop{unitLeaves}) // a server that never got its port has no data, and would get it at the next boot
	}
	if l.Kind == hooks.Remove && p.Step == nil && p.Fail == nil && l.w.Leftovers {
		uninstall := Uninstall{KeepData: p.record != nil}
		p.want(l, uninstall)
		if tried, err := l.tried(uninstall); tried {
			p.Fail = fmt.Errorf("cannot %s: %w", uninstall, err)
		}
	}
	if p.Step == nil && p.Fail == nil {
		p.say(Maintenance, "leaving")
	}
}

// last reports whether this is one of the unit's last hooks, which Juju calls until they succeed: while such a hook fails,
// nothing that it publishes or remembers is kept.
func (l look) last() bool { return l.Kind == hooks.Stop || l.Kind == hooks.Remove }

// up reports whether the service runs, or would by itself.
func (s Service) up() bool { return s.Running || s.Enabled || s.Failing }

// leaveCluster takes out a member that has data.
func leaveCluster(l look, p *Plan) {
	if l.w.Reach == Healthy {
		p.need(l, unreleased, theTurn)
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
		if l.Kind != hooks.Stop { // till then this leader can put it on record
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

// hold has the hook fail, so that Juju holds the unit and calls again; the status is not touched. A hook that is not the
// departure's holds nobody, and must publish what others may wait for. So must the leader's that puts its cluster on
// record: its unit has another hook to be held in.
func (p *Plan) hold(l look, format string, args ...any) {
	if l.last() || (l.Departing == l.m.Unit && !l.unrecorded()) {
		p.Fail = fmt.Errorf(format, args...)
	}
}

// holdSaying is hold with the reason as status.
func (p *Plan) holdSaying(l look, level Level, format string, args ...any) {
	p.hold(l, format, args...)
	p.say(level, format, args...)
}

// stopped tells whether this pass stopped our server.
func (l look) stopped() bool { return did[Stop](l) }

// leaveVoters leaves a cluster of two or more voters, in turn.
func leaveVoters(l look, p *Plan, own Member) {
	n, down := len(l.voters()), l.mayGoDown(own.ID)
	remove := RemoveMember{ID: own.ID, Name: l.m.Unit, Why: unitLeaves}
	switch {
	case l.mayRemove(own.ID) != "" || !l.serves(own) && down != "": // a removal is agreed by those that are ready now
		if l.w.Turn.Holder == l.m.Unit {
			p.want(l, ReleaseTurn{}) // what we wait for may wait for the turn
		}
		serveOn(l, p)
		p.holdSaying(l, Blocked, "cannot leave the cluster: of %d voters only %d others are ready, and %d would be needed; "+
			"remove the units of the dead members first (juju remove-unit --force), or mend them", n, l.ready(own.ID), Quorum(n-1))
	case l.refusing() == corrupt:
		leaveCorrupt(l, p, own)
	case l.w.Turn.Holder != l.m.Unit && l.refusing() == noSpace:
		p.holdSaying(l, Blocked, "cannot leave the cluster: its database is full (alarm NOSPACE), so no turn can be taken; "+
			"run the actions compact, defrag and alarm-disarm first")
	case !l.hasTurn() && l.squat() != "" && !l.last():
		p.say(Blocked, "cannot leave the cluster yet: %s", l.squatted()) // a hook that fails would not remember it
		return
	case !l.hasTurn():
		if p.want(l, TakeTurn{}) {
			return
		}
		if l.squat() != "" {
			p.hold(l, "cannot leave the cluster yet: %s", l.squatted())
		} else {
			p.hold(l, "cannot leave the cluster yet: cannot take the turn to go down (%s has it)", cmp.Or(l.w.Turn.Holder, "nobody"))
		}
	case n > 2 && down == "" && l.w.Service.Running:
		// SIGTERM drains and hands leadership over; removed afterwards, no write fails (facts of etcd 3.7, measured).
		p.want(l, Stop{unitLeaves})
	default:
		// Two voters cannot lose one: the membership goes while both run.
		p.want(l, remove)
	}
	if p.Step == nil && p.Fail == nil {
		p.hold(l, "cannot leave the cluster: %s", p.Status.Message)
	}
}

// leaveCorrupt leaves a cluster in which alarm CORRUPT is raised. etcd takes no turn then, and needs none: nothing restarts.
// It is the member with the bad data that must go, while it runs, and no other before the alarm is answered.
func leaveCorrupt(l look, p *Plan, own Member) {
	for _, a := range l.w.Alarms {
		if a.Kind == corrupt && a.MemberID != own.ID && a.MemberID != 0 {
			why := l.cause(a, 0)
			if why == "" {
				why = "alarm CORRUPT is raised; run action alarm-disarm on the leader"
			}
			p.holdSaying(l, Blocked, "cannot leave the cluster: %s", why)
			return
		}
	}
	p.want(l, RemoveMember{ID: own.ID, Name: l.m.Unit, Why: unitLeaves})
}

// leaveStopped ends what is left of a member that is no longer listed. Its data goes aside last: by that the unit knows
// that it has left, should nobody answer in a later hook.
func leaveStopped(l look, p *Plan) {
	if l.w.Turn.Holder == l.m.Unit {
		p.want(l, ReleaseTurn{})
	}
	rejoin(l, p, "the unit left the cluster")
}

// leaveLast stops the last member; nothing is removed, and the record says that the cluster ended in order.
func leaveLast(l look, p *Plan) {
	if !l.last() {
		return // serve until the end
	}
	if l.Kind == hooks.Stop && l.m.Cluster.OK && !l.leader() {
		// Without a record of the end whoever comes later is blocked. Who is left becomes leader within a minute.
		serveOn(l, p)
		if !l.m.Leader.OK {
			p.holdSaying(l, Waiting, "cannot leave yet: only the leader records that the cluster ended, and who leads is unknown: %s", l.m.Leader.Why)
		} else {
			p.holdSaying(l, Waiting, "cannot leave yet: as the last unit this one waits for the leadership, to record that the cluster ended")
		}
		return
	}
	if l.w.Service.up() {
		p.want(l, Stop{"the last unit leaves"})
		return
	}
	if l.leader() && l.m.Cluster.OK {
		record := l.m.Cluster.Value.Record
		record.Schema = etcdcluster.Schema
		record.ClusterID, record.Ended = l.w.Data.ClusterID, l.w.Data.ClusterID
		p.record = &record
	}
}

// serveOn has a member whose leave must wait serve again, should it have stopped already: it may be what the others need
// for a quorum, to join or to let it go. What this pass stopped stays so until the next.
func serveOn(l look, p *Plan) {
	switch {
	case l.w.Service.Kind != MemberService:
	case !l.m.Cluster.OK: // the record may say that the cluster has ended
	case !l.w.Service.Running && !l.stopped():
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
		p.holdSaying(l, Blocked, "cannot leave the cluster: goal-state is unknown: %s", l.m.Units.Why)
	case l.ownAnswers():
		p.holdSaying(l, Blocked, "cannot leave the cluster: no other unit is a voter yet, waiting for %s; "+
			"if that one is in another cluster, remove this unit with --force", l.others()[0])
	case l.w.Reach == Healthy:
		p.holdSaying(l, Blocked, "cannot leave the cluster: another one answers in its place; wait for the leader to put one on record, "+
			"or give this unit's data up: remove it with --force")
	default:
		p.holdSaying(l, Blocked, "cannot leave the cluster: it is %s; mend the other members, or remove this unit with --force", l.w.Reach)
	}
}
