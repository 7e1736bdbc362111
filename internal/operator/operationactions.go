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
	v := newView(Event{}, m, w)
	const what = "nothing restarts"
	r := Examine(m, w)
	if refused := r.unsettled(what); refused.Failed != "" {
		return nil, refused, nil
	}
	o := v.newOperation(rollingRestart, "restart", v.startParticipants(), without)
	why := v.mayBegin(o, from)
	if !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	o.Units = notBefore(from, o.Units)
	record := m.Cluster.Value.AppBag
	record.Operation = o
	takes := taking(o)
	said := fmt.Sprintf("%s is on record: %s restart one after another, the raft leader last",
		o.ID, strings.Join(takes, ", "))
	text := fold("", said, 0) + fmt.Sprintf("follow it: juju run %s/leader operation\n", m.App)
	values := map[string]any{"operation": o.ID, "units": strings.Join(takes, ",")}
	return nil, Result{Bags: []BagWrite{v.writeRecord(record)}, Text: text, Values: values}, nil
}

// notBefore are the units from the given one on; with "" all of them.
func notBefore(from string, units []string) []string {
	return slices.DeleteFunc(slices.Clone(units), func(unit string) bool {
		return from != "" && databag.CompareUnits(unit, from) < 0
	})
}

// newOperation is an operation that begins now. Two that begin in the same second differ in their
// IDs.
func (v view) newOperation(kind, name string, units, without []string) Operation {
	id := digest(v.m.UUID, v.m.Unit, strconv.FormatInt(v.w.Now, 10), v.operation().ID)
	return Operation{
		ID: name + "-" + id[:6], Kind: kind, Phase: toAnswer,
		Units: units, Without: without, Began: v.w.Now, Moved: v.w.Now,
	}
}

// startParticipants are the units that would take part in an operation that begins now: those whose
// bag names the cluster.
func (v view) startParticipants() []string {
	units := slices.Collect(maps.Keys(v.m.Cluster.Value.UnitBags))
	units = slices.DeleteFunc(units, func(unit string) bool {
		unitBag := v.m.Cluster.Value.UnitBags[unit]
		return v.m.Units.Value[unit] != Alive || unitBag.Leaving || unitBag.ClusterID != v.named()
	})
	if v.w.Data.State == OurData && v.w.Data.ClusterID == v.named() && !v.leaving() {
		units = append(units, v.m.Unit)
	}
	return ordered(units)
}

// mayOperate says why no operation of any kind can begin. elsewhere is the reason if another unit
// leads.
func (v view) mayOperate(elsewhere Reason) Reason {
	switch {
	case !v.m.Cluster.OK:
		return v.unknown(peersUnknown, "no operation begins")
	case !v.m.Units.OK:
		return v.unknown(unitsUnknown, "no operation begins")
	case !v.leader():
		return elsewhere
	case v.operation().Going() && !isSupported(v.operation()):
		return because(operationLater, v.operation().ID, v.operation().Kind, v.m.App)
	case v.operation().Going() && passed(v.operation()):
		return because(operationPassed, v.operation().ID)
	case v.operation().Going():
		return because(operationRuns, v.operation().ID)
	}
	return Reason{}
}

// mayTake says why those units cannot take part: each must be there and have a charm that knows the
// operation.
func (v view) mayTake(o Operation, takes []string) Reason {
	for _, unit := range takes {
		if !v.able(unit, o.Kind) {
			return because(operationAwaitsCharm, unit, o.Kind)
		}
	}
	if len(takes) == 0 {
		return because(operationEmpty, v.m.App)
	}
	return Reason{}
}

// mayBegin says why the rolling restart cannot begin.
func (v view) mayBegin(o Operation, from string) Reason {
	if why := v.mayOperate(because(operationOnLeader, v.m.App)); !why.none() {
		return why
	}
	switch {
	case v.refusingAlarm() != "":
		return because(corruptStays, v.refusingAlarm())
	case !v.turnAbandoned().none():
		return v.turnAbandoned()
	}
	named := slices.Clone(o.Without)
	if from != "" {
		named = append(named, from)
	}
	for _, unit := range named {
		if !slices.Contains(o.Units, unit) {
			return because(noSuchUnit, unit, v.m.App, firstThree(o.Units))
		}
	}
	takes := slices.DeleteFunc(notBefore(from, o.Units), func(unit string) bool {
		return !o.Takes(unit)
	})
	return v.mayTake(o, takes)
}

// ShowOperation shows the operation that goes on, or the last one. It can also end it, or have it
// go on without some units.
func ShowOperation(params map[string]any, m Model, w World) ([]Step, Result, error) {
	cancel, without, err := operationParams(params, "cancel")
	if err != nil {
		return nil, Result{}, err
	}
	v := newView(Event{}, m, w)
	if Examine(m, w).Role == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	if !m.Cluster.OK {
		return nil, Result{Failed: v.unknown(peersUnknown, "operations are not known").String()}, nil
	}
	if cancel == "" && len(without) == 0 {
		return nil, v.showOperation(), nil
	}
	o := v.operation()
	if why := v.mayChange(cancel, without); !why.none() {
		return nil, Result{Failed: refusal("nothing is changed", why)}, nil
	}
	o.Without = ordered(slices.Concat(o.Without, without))
	if cancel != "" {
		o.Outcome, o.Moved = outcomeCancelled, w.Now
	}
	var steps []Step
	if again := v.lookAgain(o); again.Request.ID != "" {
		steps = []Step{again}
	}
	record := m.Cluster.Value.AppBag
	record.Operation = o
	m.Cluster.Value.AppBag = record
	out := newView(Event{}, m, w).showOperation()
	out.Bags = []BagWrite{v.writeRecord(record)}
	return steps, out, nil
}

// mayChange says why the operation on record cannot be cancelled, or cannot go on without those
// units.
func (v view) mayChange(cancel string, without []string) Reason {
	o := v.operation()
	switch {
	case !v.leader():
		return because(operationOnLeader, v.m.App)
	case !o.Going():
		return because(operationNone, v.m.App)
	case cancel != "" && cancel != o.ID:
		return because(operationOther, o.ID)
	case !isSupported(o):
		return because(operationLater, o.ID, o.Kind, v.m.App)
	case cancel != "" && passed(o):
		return because(operationPassed, o.ID)
	}
	for _, unit := range without {
		if !slices.Contains(o.Units, unit) {
			return because(noSuchUnit, unit, o.ID, firstThree(o.Units))
		}
	}
	return v.mayGo(o, without)
}

// mayGo says why an operation that replaces the data cannot go on without those units: a unit whose
// member still answers would go on with the old data.
func (v view) mayGo(o Operation, without []string) Reason {
	if procedures[o.Kind].final == "" {
		return Reason{}
	}
	for _, unit := range without {
		if unit == o.Source {
			return because(operationSource, unit, o.ID)
		}
		answers := func(mem Member) bool {
			of, ok := v.unitOf(mem)
			return ok && of == unit && mem.Answers
		}
		if slices.ContainsFunc(v.w.Members, answers) || unit == v.m.Unit && v.w.Local.Live {
			return because(unitAnswers, unit, serviceName(unit))
		}
	}
	return Reason{}
}

// showOperation is the answer that shows the operation on record.
func (v view) showOperation() Result {
	o := v.operation()
	if o.ID == "" {
		text := "there has been no operation\n"
		return Result{Text: text, Values: map[string]any{}}
	}
	values := map[string]any{
		"operation": o.ID, "kind": o.Kind, "phase": o.Phase,
		"began": moment(o.Began), "since": moment(o.Moved),
	}
	text := fmt.Sprintf("%s %s: %s since %s\n", o.Kind, o.ID, o.Phase, moment(o.Moved))
	if !o.Going() {
		values["outcome"] = singleLine(o.Outcome)
		text = fmt.Sprintf("%s %s: %s at %s\n", o.Kind, o.ID, singleLine(o.Outcome), moment(o.Moved))
	}
	for key, value := range map[string]string{
		"source": o.Source, "snapshot": singleLine(o.Snapshot), "cluster-id": o.Target,
	} {
		if value != "" {
			values[key] = value
		}
	}
	if o.Outcome == outcomeDone && o.Source != "" {
		text += fold("", leasesBack, 0)
	} else if o.Source != "" {
		text += fold("", "the new data comes from "+dash(singleLine(o.Snapshot))+" on "+o.Source, 0)
	}
	if work := v.work(o.ID); o.Going() && work.State == WorkRuns {
		values["progress"] = singleLine(work.howFar(v.w.Now))
		text += fold("", "the new data: "+singleLine(work.howFar(v.w.Now)), 0)
	} else if o.Going() && o.Phase == toPrepare && o.Source != v.m.Unit {
		text += fmt.Sprintf("how far that is: juju run %s operation\n", o.Source)
	}
	rows, units := [][]string{{"UNIT", "PART"}}, map[string]any{}
	parts := map[string]string{}
	for _, unit := range o.Units {
		part := v.partOf(unit)
		text := dash(part.State)
		if part.Said != "" {
			text += ": " + singleLine(part.Said)
		}
		switch {
		case !o.Takes(unit):
			text = "left out"
		case !slices.Contains(v.participants(), unit):
			text = "gone"
		case !o.Going():
			text = "-"
		case v.rolledBack(unit):
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
		if waits := v.awaited(); len(waits) > 0 {
			values["waits-for"] = strings.Join(waits, ",")
		}
	}
	return Result{Text: text, Values: values}
}

// operationParams are the parameters of an action on operations: a text with that name, and the
// units to go on without.
func operationParams(
	params map[string]any, name string,
) (text string, without []string, err error) {
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
