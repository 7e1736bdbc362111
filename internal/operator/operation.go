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
	// Restart one member after another, the raft leader last.
	rollingRestart = "rolling-restart"
	// Have the cluster go on from a snapshot, or from the data of one unit.
	restoring = "restore"
	// Have the cluster go on from the best of the members that are left.
	recovering = "recover"
)

// The phases of operations.
const (
	toAnswer  = "gathering"  // each participant is to answer; nothing is stopped before all have
	toRestart = "restarting" // each restarts in turn
	toPrepare = "preparing"  // the source makes the new data, beside what it has
	toStop    = "stopping"   // each stops its etcd
	toServe   = "serving"    // the source serves the new data, the others join it
)

// procedure describes a kind of operation by its phases. came says how far a unit has to be in
// each.
type procedure struct {
	phases []string
	// final is the phase from which on nothing can be undone. It is put on record before any unit
	// acts on it. "" means that the kind has none: a restart cannot be undone, but the cluster goes
	// on serving.
	final string
}

var procedures = map[string]procedure{
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
	outcomeDeserted   = "no participating unit is left"
	outcomeEnded      = "the cluster has ended"
	outcomeFailed     = "nothing is changed: "
	outcomeSourceGone = "its source, %s, has gone"
)

// operation is the one on record; the zero value is none, or not known.
func (v view) operation() Operation { return v.m.Cluster.Value.AppBag.Operation }

// isSupported reports whether this charm can carry on the operation. Only a later charm knows what
// the phases of an unknown kind mean.
func isSupported(o Operation) bool { return slices.Contains(procedures[o.Kind].phases, o.Phase) }

// replaces reports whether the operation puts other data in the place of the cluster's, and has not
// done so yet.
func replaces(o Operation) bool {
	return o.Going() && isSupported(o) && procedures[o.Kind].final != "" && !passed(o)
}

// passed reports whether the operation is past its point of no return.
func passed(o Operation) bool { return o.Phase != "" && o.Phase == procedures[o.Kind].final }

// stops reports whether the operation has the cluster stopped.
func stops(o Operation) bool {
	phases := procedures[o.Kind].phases
	at := slices.Index(phases, toStop)
	return replaces(o) && at >= 0 && slices.Index(phases, o.Phase) >= at
}

// restarts reports whether our member has to restart for the operation on record, or has done so.
func (v view) restarts() bool {
	o := v.operation()
	return o.Going() && o.Kind == rollingRestart && o.Phase == toRestart &&
		o.Takes(v.m.Unit) && !v.leaving()
}

// restartMark is the ID of the operation in our server's settings. Only a rolling restart changes
// it: a member that restarted for an operation does not restart again when that is over.
func (v view) restartMark() string {
	switch {
	case v.restarts():
		return v.operation().ID
	case v.w.Service.Running:
		return v.w.Service.Restart
	}
	return v.w.WrittenRestart
}

// part is how far our unit is with the operation.
func (v view) part() etcdcluster.Part {
	o := v.operation()
	if !o.Going() || !o.Takes(v.m.Unit) || v.leaving() || !slices.Contains(can(), o.Kind) {
		return etcdcluster.Part{}
	}
	part := etcdcluster.Part{ID: o.ID, State: answered}
	switch {
	case v.restarts() && v.w.Service.Running && v.w.Service.Restart == o.ID && v.w.Local.Ready:
		part.State = finished
	case procedures[o.Kind].final != "":
		part.State, part.Said = v.replacing()
	}
	return part
}

// partOf is how far a unit is with the operation, by its bag. If the unit's charm cannot take part,
// what its bag says is left over from a newer charm and does not count.
func (v view) partOf(unit string) etcdcluster.Part {
	o := v.operation()
	part := v.part()
	if unit != v.m.Unit {
		if part = v.m.Cluster.Value.UnitBags[unit].Part; !v.able(unit, o.Kind) {
			part = etcdcluster.Part{}
		}
	}
	if part.ID != o.ID {
		return etcdcluster.Part{}
	}
	return part
}

// able reports whether a unit's charm knows operations of that kind.
func (v view) able(unit, kind string) bool {
	return unit == v.m.Unit || slices.Contains(v.m.Cluster.Value.UnitBags[unit].Can, kind)
}

// rolledBack reports whether the charm of a unit that takes part does not know the operation on
// record any more: all knew it when it began.
func (v view) rolledBack(unit string) bool {
	_, spoke := v.m.Cluster.Value.UnitBags[unit]
	return spoke && !v.able(unit, v.operation().Kind)
}

// taking are the units of an operation that are not left out of it.
func taking(o Operation) []string {
	return slices.DeleteFunc(slices.Clone(o.Units), func(unit string) bool { return !o.Takes(unit) })
}

// operationUnits are the units of the operation. While it replaces the data, a unit that has come
// to hold the old data since counts too.
func (v view) operationUnits() []string {
	o := v.operation()
	if !replaces(o) {
		return o.Units
	}
	late := slices.DeleteFunc(v.dataHolders(), func(unit string) bool {
		return slices.Contains(o.Without, unit)
	})
	return ordered(slices.Concat(o.Units, late))
}

// participants are the units that the operation waits for. A unit that leaves is no longer one;
// while the cluster is being stopped, only once it has stopped.
func (v view) participants() []string {
	o := v.operation()
	return slices.DeleteFunc(slices.Clone(v.operationUnits()), func(unit string) bool {
		life, there := v.m.Units.Value[unit]
		unitBag := v.m.Cluster.Value.UnitBags[unit]
		leaves, down := unitBag.Leaving || life == Dying, unitBag.Stopped
		if unit == v.m.Unit {
			leaves, down = v.leaving(), !v.w.Service.up()
		}
		gone := v.m.Units.OK && !there
		return gone || slices.Contains(o.Without, unit) || leaves && (down || !stops(o))
	})
}

// came reports whether a unit has come as far as the phase requires.
func (v view) came(unit string) bool {
	o, state := v.operation(), v.partOf(unit).State
	switch o.Phase {
	case toAnswer:
		return state != ""
	case toPrepare:
		if unit == o.Source {
			return state == prepared
		}
		// A unit that has come since has to answer too.
		return state == stopped || !stops(o) && state != ""
	case toStop:
		return state == stopped
	}
	return state == finished
}

// awaited are the participants that have not come as far as the phase requires.
func (v view) awaited() []string { return slices.DeleteFunc(v.participants(), v.came) }

// advanced is the operation as the leader now puts it on record.
func (v view) advanced() Operation {
	o := v.operation()
	if !o.Going() || !isSupported(o) || !v.m.Units.OK {
		return o
	}
	o.Units = v.operationUnits()
	record, source := v.m.Cluster.Value.AppBag, v.partOf(o.Source)
	ended := record.ClusterID == 0 || record.ClusterID == record.Ended
	replaces := replaces(o)
	switch {
	case ended && procedures[o.Kind].final == "":
		o.Outcome = outcomeEnded
	case len(v.participants()) == 0:
		o.Outcome = outcomeDeserted
	case replaces && o.Source != "" && !v.stays(o.Source):
		// Its part may no longer be true: a unit that leaves may serve again until it can leave.
		o.Outcome = fmt.Sprintf(outcomeSourceGone, o.Source)
	case o.Source != "" && !slices.Contains(v.participants(), o.Source) &&
		record.ClusterID == o.NewCluster() && v.neverServed():
		o.Outcome = fmt.Sprintf(outcomeSourceGone, o.Source)
	case replaces && source.State == unable:
		o.Outcome = outcomeFailed + source.Said
	case len(v.awaited()) > 0:
		return o
	default:
		o = v.next(o)
	}
	o.Moved = v.w.Now
	return o
}

// next is the operation in its next phase, once all participants have come through this one.
func (v view) next(o Operation) Operation {
	phases := procedures[o.Kind].phases
	at := slices.Index(phases, o.Phase)
	if o.Phase == toPrepare {
		o.Target, _, _ = strings.Cut(v.partOf(o.Source).Said, " ")
		if id := o.NewCluster(); id == 0 || id == v.m.Cluster.Value.AppBag.ClusterID || v.isReplaced(id) {
			o.Outcome, o.Target = outcomeFailed+"the prepared data is not of a new cluster", ""
			return o
		}
	}
	if o.Kind == recovering && !passed(o) &&
		v.w.Reach == Healthy && v.w.ClusterID == v.m.Cluster.Value.AppBag.ClusterID {
		// A unit that was left out is back, and takes writes that no participant has.
		o.Outcome = outcomeFailed + "a quorum answers"
		return o
	}
	if o.Kind == recovering && o.Phase == toStop {
		// Units that were left out since it was confirmed, or are gone, do not change the order.
		gone := func(unit string) bool { return !slices.Contains(v.participants(), unit) }
		confirmed := slices.DeleteFunc(slices.Clone(o.Order), gone)
		if order := v.ranking(); !slices.Equal(order, confirmed) {
			o.Outcome = outcomeFailed + "the order changed: " + dash(strings.Join(order, ", "))
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

// lookAgain makes a hook run on this unit once the record of this hook is committed, if the record
// moves an operation that stops the cluster, or has it go on without a unit. Juju runs no hook on a
// unit for what that unit wrote, so a leader on its own would hear nothing until update-status, in
// each phase. The zero value asks for nothing.
func (v view) lookAgain(o Operation) StartWork {
	was, phase := v.operation(), o.Phase
	if !o.Going() {
		phase = "over"
	}
	moves := o.ID != was.ID || o.Phase != was.Phase || o.Outcome != was.Outcome
	if !moves && len(o.Without) > len(was.Without) { // they may have been all that was waited for
		moves, phase = true, fmt.Sprintf("%s-%d", phase, len(o.Without))
	}
	if !moves || o.Outcome == outcomeDone || procedures[o.Kind].final == "" || v.leaving() {
		return StartWork{}
	}
	return StartWork{WorkRequest{ID: o.ID + "-" + phase, Kind: LookAgain}}
}

// sayOperation says what the operation waits for.
func (v view) sayOperation(p *Plan) {
	o := v.operation()
	if !o.Going() || v.leaving() {
		return
	}
	if !isSupported(o) {
		p.say(because(operationLater, o.ID, o.Kind, v.m.App))
		return
	}
	if stops(o) {
		p.say(because(operationHalts, o.ID))
	}
	for _, unit := range v.awaited() {
		if v.rolledBack(unit) {
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

// dataHolders are the units that hold data of the cluster on record, by their bags, sorted. Units
// that leave count until they have stopped.
func (v view) dataHolders() []string {
	id := v.m.Cluster.Value.AppBag.ClusterID
	if id == 0 {
		return nil
	}
	var units []string
	for unit, unitBag := range v.m.Cluster.Value.UnitBags {
		if _, there := v.m.Units.Value[unit]; there && !unitBag.Stopped && unitBag.ClusterID == id {
			units = append(units, unit)
		}
	}
	if v.w.Data.State == OurData && v.w.Data.ClusterID == id {
		units = append(units, v.m.Unit)
	}
	return ordered(units)
}

// stays reports whether a unit is there and is not leaving.
func (v view) stays(unit string) bool {
	return v.m.Units.Value[unit] == Alive && !v.m.Cluster.Value.UnitBags[unit].Leaving
}
