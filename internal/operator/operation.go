package operator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// Operation is an action that involves several units. The leader keeps it in the peer application
// bag. Leaders only move its phases and take no step of their own for it, so that it survives a
// crash at any point and a change of leader.
type Operation = etcdcluster.Operation

// The kinds of operations.
const (
	rollingRestart = "rolling-restart" // restart one member after another, the raft leader last
	restoring      = "restore"         // have the cluster go on from a snapshot, or from the data of one unit
	recovering     = "recover"         // have the cluster go on from the best of the members that are left
)

// The phases of operations.
const (
	toAnswer  = "gathering"  // each participant is to answer; nothing is stopped before all have
	toRestart = "restarting" // each restarts in turn
	toPrepare = "preparing"  // the source makes the new data, beside what it has
	toStop    = "stopping"   // each stops its etcd
	toServe   = "serving"    // the source serves the new data, the others join it
)

// deed describes a kind of operation by its phases. How far a unit has to be in each phase is in
// came.
type deed struct {
	phases []string
	// final is the phase from which on nothing can be undone. It is put on record before any unit
	// acts on it. "" means that the kind has none: a restart cannot be undone, but the cluster goes
	// on serving.
	final string
}

var deeds = map[string]deed{
	rollingRestart: {[]string{toAnswer, toRestart}, ""},
	restoring:      {[]string{toAnswer, toPrepare, toStop, toServe}, toServe},
	recovering:     {[]string{toAnswer, toStop, toPrepare, toServe}, toServe},
}

// What a unit shows of its part.
const (
	answered = "ready"
	prepared = "prepared" // Said has the new cluster's ID
	stopped  = "stopped"
	unable   = "failed" // Said has the reason
	finished = "done"
)

// How an operation ends.
const (
	outcomeDone       = "done"
	outcomeCancelled  = "cancelled"
	outcomeDeserted   = "no unit is left that takes part"
	outcomeEnded      = "the cluster has ended"
	outcomeFailed     = "nothing is changed: "
	outcomeSourceGone = "its source, %s, has gone"
)

// operation is the one on record; the zero value is none, or not known.
func (l look) operation() Operation { return l.m.Cluster.Value.Record.Operation }

// knows reports whether this charm can carry on the operation. What the phases of an unknown kind
// mean, only a later charm knows.
func knows(o Operation) bool { return slices.Contains(deeds[o.Kind].phases, o.Phase) }

// replaces reports whether the operation puts other data in the place of the cluster's, and has not
// done so yet.
func replaces(o Operation) bool {
	return o.Going() && knows(o) && deeds[o.Kind].final != "" && !passed(o)
}

// passed reports whether the operation is past its point of no return.
func passed(o Operation) bool { return o.Phase != "" && o.Phase == deeds[o.Kind].final }

// stops reports whether the operation has the cluster stopped.
func stops(o Operation) bool {
	phases := deeds[o.Kind].phases
	at := slices.Index(phases, toStop)
	return replaces(o) && at >= 0 && slices.Index(phases, o.Phase) >= at
}

// restarts reports whether our member has to restart for the operation on record, or has done so.
func (l look) restarts() bool {
	o := l.operation()
	return o.Going() && o.Kind == rollingRestart && o.Phase == toRestart && o.Takes(l.m.Unit) && !l.leaving()
}

// restartMark is the ID of the operation in our server's settings. Only a rolling restart changes
// it: a member that restarted for an operation does not restart again when that is over.
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
	if !o.Going() || !o.Takes(l.m.Unit) || l.leaving() || !slices.Contains(can(), o.Kind) {
		return etcdcluster.Part{}
	}
	part := etcdcluster.Part{ID: o.ID, State: answered}
	switch {
	case l.restarts() && l.w.Service.Running && l.w.Service.Restart == o.ID && l.w.Local.Ready:
		part.State = finished
	case deeds[o.Kind].final != "":
		part.State, part.Said = l.replacing()
	}
	return part
}

// partOf is how far a unit is with the operation, by its bag. If the unit's charm cannot take part,
// what its bag says is left over from a newer charm and does not count.
func (l look) partOf(unit string) etcdcluster.Part {
	o := l.operation()
	part := l.part()
	if unit != l.m.Unit {
		if part = l.m.Cluster.Value.Words[unit].Part; !l.able(unit, o.Kind) {
			part = etcdcluster.Part{}
		}
	}
	if part.ID != o.ID {
		return etcdcluster.Part{}
	}
	return part
}

// able reports whether a unit's charm knows operations of that kind.
func (l look) able(unit, kind string) bool {
	return unit == l.m.Unit || slices.Contains(l.m.Cluster.Value.Words[unit].Can, kind)
}

// rolledBack reports whether the charm of a unit that takes part does not know the operation on
// record any more: all knew it when it began.
func (l look) rolledBack(unit string) bool {
	_, spoke := l.m.Cluster.Value.Words[unit]
	return spoke && !l.able(unit, l.operation().Kind)
}

// taking are the units of an operation that are not left out of it.
func taking(o Operation) []string {
	return slices.DeleteFunc(slices.Clone(o.Units), func(unit string) bool { return !o.Takes(unit) })
}

// takers are the units of the operation. Where it stops the cluster, whoever has come to hold its data since is one more.
func (l look) takers() []string {
	o := l.operation()
	if !replaces(o) {
		return o.Units
	}
	late := slices.DeleteFunc(l.holders(), func(unit string) bool { return slices.Contains(o.Without, unit) })
	return ordered(slices.Concat(o.Units, late))
}

// participants are the units that the operation waits for. A unit that leaves is no longer one;
// while the cluster is being stopped, only once it has stopped.
func (l look) participants() []string {
	o := l.operation()
	return slices.DeleteFunc(slices.Clone(l.takers()), func(unit string) bool {
		life, there := l.m.Units.Value[unit]
		word := l.m.Cluster.Value.Words[unit]
		leaves, down := word.Leaving || life == Dying, word.Stopped
		if unit == l.m.Unit {
			leaves, down = l.leaving(), !l.w.Service.up()
		}
		gone := l.m.Units.OK && !there
		return gone || slices.Contains(o.Without, unit) || leaves && (down || !stops(o))
	})
}

// came reports whether a unit has come as far as the phase requires.
func (l look) came(unit string) bool {
	o, state := l.operation(), l.partOf(unit).State
	switch o.Phase {
	case toAnswer:
		return state != ""
	case toPrepare:
		if unit == o.Source {
			return state == prepared
		}
		// A unit that joined since has to answer too.
		return state == stopped || !stops(o) && state != ""
	case toStop:
		return state == stopped
	}
	return state == finished
}

// awaited are the participants that have not come as far as the phase requires.
func (l look) awaited() []string { return slices.DeleteFunc(l.participants(), l.came) }

// advanced is the operation as the leader now puts it on record.
func (l look) advanced() Operation {
	o := l.operation()
	if !o.Going() || !knows(o) || !l.m.Units.OK {
		return o
	}
	o.Units = l.takers()
	record, source := l.m.Cluster.Value.Record, l.partOf(o.Source)
	ended := record.ClusterID == 0 || record.ClusterID == record.Ended
	replaces := replaces(o)
	switch {
	case ended && deeds[o.Kind].final == "":
		o.Outcome = outcomeEnded
	case len(l.participants()) == 0:
		o.Outcome = outcomeDeserted
	case replaces && o.Source != "" && !l.stays(o.Source):
		// Its part may no longer be true: a unit that leaves may serve again until it can leave.
		o.Outcome = fmt.Sprintf(outcomeSourceGone, o.Source)
	case o.Source != "" && !slices.Contains(l.participants(), o.Source) && record.ClusterID == o.NewCluster() && l.unborn():
		o.Outcome = fmt.Sprintf(outcomeSourceGone, o.Source)
	case replaces && source.State == unable:
		o.Outcome = outcomeFailed + source.Said
	case len(l.awaited()) > 0:
		return o
	default:
		o = l.next(o)
	}
	o.Moved = l.w.Now
	return o
}

// next is the operation in its next phase, once all participants have come through this one.
func (l look) next(o Operation) Operation {
	phases := deeds[o.Kind].phases
	at := slices.Index(phases, o.Phase)
	if o.Phase == toPrepare {
		o.Target, _, _ = strings.Cut(l.partOf(o.Source).Said, " ")
		if id := o.NewCluster(); id == 0 || id == l.m.Cluster.Value.Record.ClusterID || l.isReplaced(id) {
			o.Outcome, o.Target = outcomeFailed+"what was prepared is of no new cluster", ""
			return o
		}
	}
	if o.Kind == recovering && !passed(o) && l.w.Reach == Healthy && l.w.ClusterID == l.m.Cluster.Value.Record.ClusterID {
		// A unit that was left out is back, and takes writes that no participant has.
		o.Outcome = outcomeFailed + "a quorum answers"
		return o
	}
	if o.Kind == recovering && o.Phase == toStop {
		// Who was left out since it was confirmed, or has gone, moves nobody up or down.
		gone := func(unit string) bool { return !slices.Contains(l.participants(), unit) }
		confirmed := slices.DeleteFunc(slices.Clone(o.Order), gone)
		if order := l.ranking(); !slices.Equal(order, confirmed) {
			o.Outcome = outcomeFailed + "the order changed: " + or(strings.Join(order, ", "))
			return o
		}
	}
	if at == len(phases)-1 {
		o.Outcome = outcomeDone
		return o
	}
	// The data is there already: nothing is to be prepared.
	if o.Phase = phases[at+1]; o.Phase == toPrepare && o.Target != "" {
		o.Phase = phases[at+2]
	}
	return o
}

// lookAgain has a hook run here once this one's record is committed, where it moves an operation that stops the cluster, or has
// it go on without a unit. Juju tells nobody of what it wrote itself, and a leader who is left alone would hear nothing until
// update-status, in each phase. The zero value is that nothing is asked for.
func (l look) lookAgain(o Operation) StartWork {
	was, phase := l.operation(), o.Phase
	if !o.Going() {
		phase = "over"
	}
	moves := o.ID != was.ID || o.Phase != was.Phase || o.Outcome != was.Outcome
	if !moves && len(o.Without) > len(was.Without) { // they may have been all that was waited for
		moves, phase = true, fmt.Sprintf("%s-%d", phase, len(o.Without))
	}
	if !moves || o.Outcome == outcomeDone || deeds[o.Kind].final == "" || l.leaving() {
		return StartWork{}
	}
	return StartWork{WorkRequest{ID: o.ID + "-" + phase, Kind: LookAgain}}
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
	if stops(o) {
		p.say(because(operationHalts, o.ID))
	}
	for _, unit := range l.awaited() {
		if l.rolledBack(unit) {
			p.say(because(operationAwaitsCharm, unit, o.Kind))
		}
		switch {
		case o.Phase == toAnswer:
			p.say(because(operationAwaits, unit, o.ID))
		case o.Phase == toRestart:
			p.say(because(operationGoes, unit, o.ID))
		case o.Phase == toPrepare && unit == o.Source:
			p.say(because(operationPrepares, unit, o.ID))
		case o.Phase == toServe:
			p.say(because(operationServes, unit, o.ID))
		default:
			p.say(because(operationStops, unit, o.ID))
		}
	}
}

// holders are the units that hold data of the cluster on record, by their bags, sorted. Units that
// leave count until they have stopped.
func (l look) holders() []string {
	id := l.m.Cluster.Value.Record.ClusterID
	if id == 0 {
		return nil
	}
	var units []string
	for unit, word := range l.m.Cluster.Value.Words {
		if _, there := l.m.Units.Value[unit]; there && !word.Stopped && word.ClusterID == id {
			units = append(units, unit)
		}
	}
	if l.w.Data.State == OurData && l.w.Data.ClusterID == id {
		units = append(units, l.m.Unit)
	}
	return ordered(units)
}

// stays reports whether a unit is there and is not leaving.
func (l look) stays(unit string) bool {
	return l.m.Units.Value[unit] == Alive && !l.m.Cluster.Value.Words[unit].Leaving
}
