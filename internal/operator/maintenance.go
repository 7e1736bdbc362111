package operator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The alarms that etcd raises.
const (
	noSpace = "NOSPACE"
	corrupt = "CORRUPT"
)

// keptRevisions is how many revisions compact leaves unless it is told.
const keptRevisions = 1000

// AlarmDisarm disarms the alarms whose cause is gone: NOSPACE once every database is below its
// quota, and any alarm of a member that was removed. It does not cure a corrupt member.
func AlarmDisarm(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params); err != nil {
		return nil, Result{}, err
	}
	r := Examine(m, w)
	if refused := r.refused("nothing is disarmed"); refused.Failed != "" {
		return nil, refused, nil
	}
	v := newView(Event{}, m, w)
	var steps []Step
	for _, a := range w.Alarms {
		if why := v.cause(a, int64(m.Config.MaxRequestBytes)); !why.none() {
			return nil, Result{Failed: refusal("nothing is disarmed", why)}, nil
		}
		steps = append(steps, Disarm{a})
	}
	if len(steps) == 0 {
		return nil, Result{Text: "no alarm\n", Values: map[string]any{"count": "0"}}, nil
	}
	before := w.Alarms
	finish := func(after World) Result { return disarmed(m, before, after) }
	steps, why := inTurn(m, w, steps)
	return steps, Result{Failed: why.String(), Finish: finish}, nil
}

// disarmed reports which alarms are gone, and whether any came back.
func disarmed(m Model, before []Alarm, after World) Result {
	r := Examine(m, after)
	rows, values := [][]string{{"MEMBER", "ALARM", "NOW"}}, map[string]any{}
	out := Result{}
	for _, a := range before {
		now, who := "disarmed", MemberReport{Member: Member{ID: a.MemberID}, Label: unlisted(a.MemberID)}
		if at := slices.IndexFunc(r.Members, func(mem MemberReport) bool {
			return mem.ID == a.MemberID
		}); at >= 0 {
			who = r.Members[at]
		}
		if slices.Contains(after.Alarms, a) {
			now, out.Failed = "raised", because(alarmRaised, who.Label, a.Kind).String()
		}
		rows = append(rows, []string{tail(who.Label), dash(singleLine(a.Kind)), now})
		values[keyFor(values, who)] = map[string]any{"alarm": dash(singleLine(a.Kind)), "now": now}
	}
	out.Text = strings.TrimPrefix(grid(rows), "\n")
	out.Text += "\n" +
		fold("", "this unit's status says so now; "+followLater+" each other unit's does", 0)
	out.Values = map[string]any{"count": strconv.Itoa(len(before)), "alarms": values}
	out.Status = StatusOf(r)
	return out
}

// CompactHistory drops old revisions: all before revision, else all but the last keep.
func CompactHistory(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "revision", "keep"); err != nil {
		return nil, Result{}, err
	}
	revision, told, err := countParam(params, "revision", 1)
	if err != nil {
		return nil, Result{}, err
	}
	keep, keeps, err := countParam(params, "keep", 0)
	switch {
	case err != nil:
		return nil, Result{}, err
	case !keeps:
		keep = keptRevisions
	}
	r := Examine(m, w)
	if refused := r.refused("nothing is compacted"); refused.Failed != "" {
		return nil, refused, nil
	}
	var current int64
	for _, mem := range r.Members {
		current = max(current, mem.Revision)
	}
	if !told {
		revision = current - keep
	}
	switch {
	case revision > current:
		why := because(revisionAhead, strconv.FormatInt(revision, 10), strconv.FormatInt(current, 10))
		return nil, Result{Failed: refusal("nothing is compacted", why)}, nil
	case revision < 1:
		text := fold("", fmt.Sprintf(
			"nothing to compact: the current revision is %d, and the last %d are kept; keep=0 drops all history",
			current, keep), 0)
		return nil, Result{Text: text, Values: map[string]any{
			"current-revision": strconv.FormatInt(current, 10),
		}}, nil
	}
	before := r.Members
	finish := func(after World) Result {
		out := sizes(before, Examine(m, after), nil, func(mem MemberReport) int64 { return mem.DBInUse })
		// etcd may have kept less than that already.
		done := fmt.Sprintf(
			"revisions before %d are gone, the current one is %d; what the databases use now:",
			revision, current)
		out.Text = fold("", done, 0) + out.Text
		if out.Values["freed"] == "0" {
			out.Text += nothingFreed(revision, current)
		}
		out.Values["revision"], out.Values["current-revision"] =
			strconv.FormatInt(revision, 10), strconv.FormatInt(current, 10)
		return out
	}
	steps, why := inTurn(m, w, []Step{Compact{revision}})
	return steps, Result{Failed: why.String(), Finish: finish}, nil
}

// nothingFreed says why a compaction freed nothing.
func nothingFreed(revision, current int64) string {
	if revision < current {
		return "nothing was freed; keep=0 drops all history\n"
	}
	return "nothing was freed: the databases hold live data only;\nraise quota_backend_bytes or delete keys\n"
}

// Defragment gives unused space of the databases back: one voter at a time, the raft leader last,
// the next only when the one before is ready again. With a unit it does only that unit's member.
func Defragment(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "unit"); err != nil {
		return nil, Result{}, err
	}
	unit := ""
	if _, given := params["unit"]; given {
		var err error
		if unit, err = textParam(params, "unit"); err != nil {
			return nil, Result{}, err
		}
	}
	r := Examine(m, w)
	if refused := r.unsettled("nothing is defragmented"); refused.Failed != "" {
		return nil, refused, nil
	}
	members := slices.DeleteFunc(slices.Clone(r.Members), func(mem MemberReport) bool {
		return mem.Learner || (unit != "" && mem.Unit != unit)
	})
	if len(members) == 0 {
		return nil, Result{Failed: refusal("nothing is defragmented", because(noVoter, dash(unit)))}, nil
	}
	slices.SortStableFunc(members, func(a, b MemberReport) int {
		switch lead := asLeader; {
		case a.Role == lead && b.Role != lead:
			return 1
		case b.Role == lead && a.Role != lead:
			return -1
		}
		return 0
	})
	var steps []Step
	var chosen []uint64
	for _, mem := range members {
		steps = append(steps, Defrag{mem.ID, mem.Label}, AwaitPeer{mem.ID})
		chosen = append(chosen, mem.ID)
	}
	before := r.Members
	finish := func(after World) Result {
		return sizes(before, Examine(m, after), chosen, func(mem MemberReport) int64 {
			return mem.DBSize
		})
	}
	steps, why := inTurn(m, w, steps)
	return steps, Result{Failed: why.String(), Finish: finish}, nil
}

// unsettled is refused. For an action that makes a member stop answering for a while, it also
// refuses if another member does not answer.
func (r Report) unsettled(what string) Result {
	refused := r.refused(what)
	for _, mem := range r.Members {
		if refused.Failed == "" && !mem.Learner && (!mem.Answers || !mem.Ready) {
			refused.Failed = refusal(what, because(voterNotReady, mem.Label))
		}
	}
	return refused
}

// inTurn puts maintenance between taking the one turn and giving it back; the maintenance begins
// once every voter is seen ready. Instead of steps it may return the reason why not. While NOSPACE
// is raised etcd takes no write, so no unit can take the turn, and maintenance is needed most. Then
// only the leader may do it, because Juju runs its actions one after another. The same holds while
// CORRUPT is raised, and then only the alarm itself may be touched.
func inTurn(m Model, w World, steps []Step) ([]Step, Reason) {
	holder := w.Turn.Holder
	v := newView(Event{}, m, w)
	alarm := v.refusingAlarm()
	_, disarms := steps[0].(Disarm)
	_, defrags := steps[0].(Defrag)
	raiser, raises := v.raiser()
	switch {
	case !w.Turn.Known:
		return nil, v.unknown(turnUnknown, "nothing is done")
	case !v.turnAbandoned().none() && alarm == "":
		return nil, v.turnAbandoned()
	// A holder cannot give it back then.
	case holder != "" && holder != m.Unit && (alarm != corrupt || !disarms):
		return nil, because(turnTaken, holder)
	case alarm == corrupt && !disarms:
		return nil, because(corruptStays, alarm)
	case defrags && raises:
		return nil, because(turnTaken, v.label(raiser))
	case alarm != "" && (!m.Leader.OK || !m.Leader.Value):
		return nil, because(alarmOnLeader, alarm, m.App)
	case alarm != "":
		return alone(steps), Reason{}
	}
	steps = append([]Step{TakeTurn{}}, steps...)
	if _, ok := steps[1].(Defrag); ok {
		steps = slices.Insert(steps, 1, Step(AwaitPeer{}))
	}
	return append(steps, ReleaseTurn{}), Reason{}
}

// alone are steps that no turn keeps apart from the steps of others: all voters must be seen ready
// before each step that makes a member stop answering.
func alone(steps []Step) []Step {
	var out []Step
	for _, s := range steps {
		if _, ok := s.(Defrag); ok {
			out = append(out, AwaitPeer{})
		}
		out = append(out, s)
	}
	return out
}

// Redecide decides an action again after it failed to take the turn, in the world as it is since.
// The action then says why, or does without the turn. Alarm NOSPACE is raised by the first write to
// a full database. That write may be the one that takes the turn, so no earlier look could see the
// alarm. ok is false if the action would only try the same again; its error then stands.
func Redecide(
	act Action, params map[string]any, m Model, since World,
) (steps []Step, result Result, ok bool) {
	steps, result, err := act(params, m, since)
	if err != nil || len(steps) > 0 && steps[0] == Step(TakeTurn{}) {
		return nil, Result{}, false
	}
	return steps, result, true
}

// sizes compares members' databases before and after; only is the members to show, nil is all.
func sizes(before []MemberReport, r Report, only []uint64, of func(MemberReport) int64) Result {
	rows, members := [][]string{{"UNIT", "BEFORE", "AFTER", "FREED"}}, map[string]any{}
	var total int64
	for _, was := range before {
		if only != nil && !slices.Contains(only, was.ID) {
			continue
		}
		row := []string{tail(was.Label), size(of(was)), "-", "-"}
		value := values{"before": strconv.FormatInt(of(was), 10)}
		at := slices.IndexFunc(r.Members, func(mem MemberReport) bool {
			return mem.ID == was.ID && mem.Answers
		})
		if at >= 0 {
			now := of(r.Members[at])
			freed := max(of(was)-now, 0)
			total += freed
			row[2], row[3] = size(now), size(freed)
			value["after"], value["freed"] = strconv.FormatInt(now, 10), strconv.FormatInt(freed, 10)
		}
		rows = append(rows, row)
		members[keyFor(members, was)] = map[string]any(value)
	}
	text := strings.TrimPrefix(grid(rows), "\n")
	return Result{Text: text, Values: map[string]any{
		"members": members, "freed": strconv.FormatInt(total, 10),
	}}
}

// countParam is a parameter that, if it is there, is a whole number of at least low.
func countParam(params map[string]any, name string, low int64) (n int64, there bool, err error) {
	v, there := params[name]
	if !there {
		return 0, false, nil
	}
	o := options{raw: params}
	n = o.integer(name, low, low, 1<<53)
	if o.problem != "" || v == nil {
		return 0, true, fmt.Errorf(
			"cannot use parameter %q: it must be a whole number of at least %d", name, low)
	}
	return n, true, nil
}
