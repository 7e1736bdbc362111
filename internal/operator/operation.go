package operator

import (
	"maps"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// Operation is a deed of several units, kept in the peer application bag by the leader. Leaders only move its phases; no step
// is the leader's own, so that it survives a crash at any point and a change of leader.
type Operation = etcdcluster.Operation

// rollingRestart restarts one member after another, the raft leader last. It has no point of no return: the cluster goes on
// serving, and a restart cannot be taken back.
const rollingRestart = "rolling-restart"

// The phases of a rolling restart.
const (
	toAnswer  = "gathering"  // each participant is to answer; nothing is stopped before all have
	toRestart = "restarting" // each restarts in turn
)

// What a unit shows of its part.
const (
	answered = "ready"
	finished = "done"
)

// How an operation ends.
const (
	outcomeDone      = "done"
	outcomeCancelled = "cancelled"
	outcomeDeserted  = "no unit is left that takes part"
	outcomeEnded     = "the cluster has ended"
)

// operation is the one on record; the zero value is none, or not known.
func (l look) operation() Operation { return l.m.Cluster.Value.Record.Operation }

// knows reports whether this charm can carry the operation on: of another only a later charm knows what its phases mean.
func knows(o Operation) bool {
	return o.Kind == rollingRestart && (o.Phase == toAnswer || o.Phase == toRestart)
}

// restarts reports whether our member is to restart for the operation on record, or has.
func (l look) restarts() bool {
	o := l.operation()
	return o.Going() && o.Kind == rollingRestart && o.Phase == toRestart && o.Takes(l.m.Unit) && !l.leaving()
}

// restartMark is the operation that our server's settings bear. Nothing but a rolling restart changes it, so that whoever has
// restarted for one that is over does not restart again.
func (l look) restartMark() string {
	switch {
	case l.restarts():
		return l.operation().ID
	case l.w.Service.Running:
		return l.w.Service.Restart
	}
	return l.w.WrittenRestart
}

// part is how far our unit is with the operation.
func (l look) part() etcdcluster.Part {
	o := l.operation()
	switch {
	case !o.Going() || !o.Takes(l.m.Unit) || l.leaving() || !slices.Contains(can(), o.Kind):
		return etcdcluster.Part{}
	case l.restarts() && l.w.Service.Running && l.w.Service.Restart == o.ID && l.w.Local.Ready:
		return etcdcluster.Part{ID: o.ID, State: finished}
	}
	return etcdcluster.Part{ID: o.ID, State: answered}
}

// partOf is how far a unit is with the operation, as far as its bag says. A bag of a charm that cannot take part may still hold
// what a newer one wrote there.
func (l look) partOf(unit string) string {
	o := l.operation()
	part := l.part()
	if unit != l.m.Unit {
		word := l.m.Cluster.Value.Words[unit]
		if part = word.Part; !slices.Contains(word.Can, o.Kind) {
			part = etcdcluster.Part{}
		}
	}
	if part.ID != o.ID {
		return ""
	}
	return part.State
}

// participants are the units that the operation waits for. While the cluster goes on serving, a unit leaves as ever and takes
// part no longer.
func (l look) participants() []string {
	return slices.DeleteFunc(slices.Clone(l.operation().Units), func(unit string) bool {
		life, there := l.m.Units.Value[unit]
		gone := l.m.Units.OK && (!there || life == Dying)
		return gone || !l.operation().Takes(unit) || l.m.Cluster.Value.Words[unit].Leaving
	})
}

// awaited are the participants that have not come as far as the phase wants.
func (l look) awaited() []string {
	return slices.DeleteFunc(l.participants(), func(unit string) bool {
		state := l.partOf(unit)
		return state == finished || (state == answered && l.operation().Phase == toAnswer)
	})
}

// advanced is the operation as the leader puts it on record by now.
func (l look) advanced() Operation {
	o := l.operation()
	if !o.Going() || !knows(o) || !l.m.Units.OK {
		return o
	}
	record := l.m.Cluster.Value.Record
	switch {
	case record.ClusterID == 0 || record.ClusterID == record.Ended:
		o.Outcome = outcomeEnded
	case len(l.participants()) == 0:
		o.Outcome = outcomeDeserted
	case len(l.awaited()) > 0:
		return o
	case o.Phase == toAnswer:
		o.Phase = toRestart
	default:
		o.Outcome = outcomeDone
	}
	o.Moved = l.w.Now
	return o
}

// sayOperation says what the operation waits for.
func (l look) sayOperation(p *Plan) {
	o := l.operation()
	if !o.Going() || l.leaving() {
		return
	}
	if !knows(o) {
		p.say(because(operationLater, o.ID, o.Kind, l.m.App))
		return
	}
	kind := operationGoes
	if o.Phase == toAnswer {
		kind = operationAwaits
	}
	for _, unit := range l.awaited() {
		p.say(because(kind, unit, o.ID))
	}
}

// beginners are the units that would take part in an operation that begins now: those whose bag names the cluster.
func (l look) beginners() []string {
	units := slices.Collect(maps.Keys(l.m.Cluster.Value.Words))
	units = slices.DeleteFunc(units, func(unit string) bool {
		word := l.m.Cluster.Value.Words[unit]
		return l.m.Units.Value[unit] != Alive || word.Leaving || word.ClusterID != l.named()
	})
	if l.w.Data.State == OurData && l.w.Data.ClusterID == l.named() && !l.leaving() {
		units = append(units, l.m.Unit)
	}
	return ordered(units)
}
