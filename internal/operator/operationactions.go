package operator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// RollingRestart puts on record that the members restart one after another, the raft leader last.
// Nothing begins before the action has ended, because Juju commits its writes then.
func RollingRestart(params map[string]any, m Model, w World) ([]Step, Result, error) {
	from, without, err := operationParams(params, "from")
	if err != nil {
		return nil, Result{}, err
	}
	l := lookAt(Event{}, m, w)
	const what = "nothing restarts"
	r := Examine(m, w)
	if refused := r.unsettled(what); refused.Failed != "" {
		return nil, refused, nil
	}
	o := l.newOperation(rollingRestart, "restart", l.beginners(), without)
	why := l.mayBegin(o, from)
	if !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	o.Units = notBefore(from, o.Units)
	record := m.Cluster.Value.Record
	record.Operation = o
	takes := taking(o)
	said := fmt.Sprintf("%s is on record: %s restart one after another, the raft leader last", o.ID, strings.Join(takes, ", "))
	text := fold("", said, 0) + fmt.Sprintf("follow it: juju run %s/leader operation\n", m.App)
	values := map[string]any{"operation": o.ID, "units": strings.Join(takes, ",")}
	return nil, Result{Bags: []BagWrite{l.writeRecord(record)}, Text: text, Values: values}, nil
}

// notBefore are the units from the given one on; with "" all of them.
func notBefore(from string, units []string) []string {
	return slices.DeleteFunc(slices.Clone(units), func(unit string) bool { return from != "" && databag.CompareUnits(unit, from) < 0 })
}

// newOperation is an operation that begins now. Two that begin in the same second differ in their
// IDs.
func (l look) newOperation(kind, name string, units, without []string) Operation {
	id := digest(l.m.UUID, l.m.Unit, strconv.FormatInt(l.w.Now, 10), l.operation().ID)
	return Operation{
		ID: name + "-" + id[:6], Kind: kind, Phase: toAnswer, Units: units, Without: without, Began: l.w.Now, Moved: l.w.Now,
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

// mayOperate says why no operation of any kind can begin. elsewhere is the reason if another unit
// leads.
func (l look) mayOperate(elsewhere Reason) Reason {
	switch {
	case !l.m.Cluster.OK:
		return l.unknown(peersUnknown, "no operation begins")
	case !l.m.Units.OK:
		return l.unknown(unitsUnknown, "no operation begins")
	case !l.leader():
		return elsewhere
	case l.operation().Going() && !knows(l.operation()):
		return because(operationLater, l.operation().ID, l.operation().Kind, l.m.App)
	case l.operation().Going() && passed(l.operation()):
		return because(operationPassed, l.operation().ID)
	case l.operation().Going():
		return because(operationRuns, l.operation().ID)
	}
	return Reason{}
}

// mayTake says why those units cannot take part: each must be there and have a charm that knows the operation.
func (l look) mayTake(o Operation, takes []string) Reason {
	for _, unit := range takes {
		if !l.able(unit, o.Kind) {
			return because(operationAwaitsCharm, unit, o.Kind)
		}
	}
	if len(takes) == 0 {
		return because(operationEmpty, l.m.App)
	}
	return Reason{}
}

// mayBegin says why the rolling restart cannot begin.
func (l look) mayBegin(o Operation, from string) Reason {
	if why := l.mayOperate(because(operationOnLeader, l.m.App)); !why.none() {
		return why
	}
	switch {
	case l.refusing() != "":
		return because(corruptStays, l.refusing())
	case !l.squatted().none():
		return l.squatted()
	}
	named := slices.Clone(o.Without)
	if from != "" {
		named = append(named, from)
	}
	for _, unit := range named {
		if !slices.Contains(o.Units, unit) {
			return because(noSuchUnit, unit, l.m.App, few(o.Units))
		}
	}
	takes := slices.DeleteFunc(notBefore(from, o.Units), func(unit string) bool { return !o.Takes(unit) })
	return l.mayTake(o, takes)
}

// ShowOperation shows the operation that goes on, or the last one. It can also end it, or have it
// go on without some units.
func ShowOperation(params map[string]any, m Model, w World) ([]Step, Result, error) {
	cancel, without, err := operationParams(params, "cancel")
	if err != nil {
		return nil, Result{}, err
	}
	l := lookAt(Event{}, m, w)
	if Examine(m, w).Role == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	if !m.Cluster.OK {
		return nil, Result{Failed: l.unknown(peersUnknown, "operations cannot be known").String()}, nil
	}
	if cancel == "" && len(without) == 0 {
		return nil, l.showOperation(), nil
	}
	o := l.operation()
	if why := l.mayChange(cancel, without); !why.none() {
		return nil, Result{Failed: refusal("nothing is changed", why)}, nil
	}
	o.Without = ordered(slices.Concat(o.Without, without))
	if cancel != "" {
		o.Outcome, o.Moved = outcomeCancelled, w.Now
	}
	var steps []Step
	if again := l.lookAgain(o); again.Request.ID != "" {
		steps = []Step{again}
	}
	record := m.Cluster.Value.Record
	record.Operation = o
	m.Cluster.Value.Record = record
	out := lookAt(Event{}, m, w).showOperation()
	out.Bags = []BagWrite{l.writeRecord(record)}
	return steps, out, nil
}

// mayChange says why the operation on record cannot be cancelled, or cannot go on without those
// units.
func (l look) mayChange(cancel string, without []string) Reason {
	o := l.operation()
	switch {
	case !l.leader():
		return because(operationOnLeader, l.m.App)
	case !o.Going():
		return because(operationNone, l.m.App)
	case cancel != "" && cancel != o.ID:
		return because(operationOther, o.ID)
	case !knows(o):
		return because(operationLater, o.ID, o.Kind, l.m.App)
	case cancel != "" && passed(o):
		return because(operationPassed, o.ID)
	}
	for _, unit := range without {
		if !slices.Contains(o.Units, unit) {
			return because(noSuchUnit, unit, o.ID, few(o.Units))
		}
	}
	return l.mayGo(o, without)
}

// mayGo says why an operation that replaces the data cannot go on without those units: a unit whose
// member still answers would go on with the old data.
func (l look) mayGo(o Operation, without []string) Reason {
	if deeds[o.Kind].final == "" {
		return Reason{}
	}
	for _, unit := range without {
		if unit == o.Source {
			return because(operationSource, unit, o.ID)
		}
		answers := func(mem Member) bool { of, ok := l.unitOf(mem); return ok && of == unit && mem.Answers }
		if slices.ContainsFunc(l.w.Members, answers) || unit == l.m.Unit && l.w.Local.Live {
			return because(unitAnswers, unit, serviceName(unit))
		}
	}
	return Reason{}
}

// showOperation is the answer that shows the operation on record.
func (l look) showOperation() Result {
	o := l.operation()
	if o.ID == "" {
		text := "there has been no operation\n"
		return Result{Text: text, Values: map[string]any{}}
	}
	values := map[string]any{"operation": o.ID, "kind": o.Kind, "phase": o.Phase, "began": moment(o.Began), "since": moment(o.Moved)}
	text := fmt.Sprintf("%s %s: %s since %s\n", o.Kind, o.ID, o.Phase, moment(o.Moved))
	if !o.Going() {
		values["outcome"] = plain(o.Outcome)
		text = fmt.Sprintf("%s %s: %s at %s\n", o.Kind, o.ID, plain(o.Outcome), moment(o.Moved))
	}
	for key, value := range map[string]string{"source": o.Source, "snapshot": plain(o.Snapshot), "cluster-id": o.Target} {
		if value != "" {
			values[key] = value
		}
	}
	if o.Outcome == outcomeDone && o.Source != "" {
		text += fold("", leasesBack, 0)
	} else if o.Source != "" {
		text += fold("", "the new data comes from "+or(plain(o.Snapshot))+" on "+o.Source, 0)
	}
	if work := l.work(o.ID); o.Going() && work.State == WorkRuns {
		values["progress"] = plain(work.howFar(l.w.Now))
		text += fold("", "the new data: "+plain(work.howFar(l.w.Now)), 0)
	} else if o.Going() && o.Phase == toPrepare && o.Source != l.m.Unit {
		text += fmt.Sprintf("how far that is: juju run %s operation\n", o.Source)
	}
	rows, units := [][]string{{"UNIT", "PART"}}, map[string]any{}
	parts := map[string]string{}
	for _, unit := range o.Units {
		part := l.partOf(unit)
		text := or(part.State)
		if part.Said != "" {
			text += ": " + plain(part.Said)
		}
		switch {
		case !o.Takes(unit):
			text = "left out"
		case !slices.Contains(l.participants(), unit):
			text = "gone"
		case !o.Going():
			text = "-"
		case l.rolledBack(unit):
			text = "its charm does not know " + o.Kind
		}
		parts[unit] = text
	}
	for _, unit := range ordered(slices.Collect(maps.Keys(parts))) {
		rows = append(rows, []string{clip(unit, 24), parts[unit]})
		units[memberName(unit)] = parts[unit]
	}
	if o.Going() {
		text += grid(rows)
		values["units"] = units
		if waits := l.awaited(); len(waits) > 0 {
			values["waits-for"] = strings.Join(waits, ",")
		}
	}
	return Result{Text: text, Values: values}
}

// operationParams are the parameters of an action on operations: a text of that name, and the units to do without.
func operationParams(params map[string]any, name string) (text string, without []string, err error) {
	if err := onlyParams(params, name, "without"); err != nil {
		return "", nil, err
	}
	if text, err = optionalText(params, name); err != nil {
		return "", nil, err
	}
	without, err = unitsParam(params, "without")
	return text, without, err
}

// optionalText is a parameter that may be missing; else it is a text.
func optionalText(params map[string]any, name string) (string, error) {
	if _, there := params[name]; !there {
		return "", nil
	}
	return textParam(params, name)
}

// unitsParam is a parameter that lists units, sorted.
func unitsParam(params map[string]any, name string) ([]string, error) {
	text, err := optionalText(params, name)
	if err != nil || text == "" {
		return nil, err
	}
	return ordered(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })), nil
}
