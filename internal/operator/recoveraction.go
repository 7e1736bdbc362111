package operator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Recover makes the cluster go on from the best of the members that are left, when a majority is
// lost for good. No write is lost that is on the disk of one of them.
func Recover(params map[string]any, m Model, w World) ([]Step, Result, error) {
	want, err := recoverParams(params)
	if err != nil {
		return nil, Result{}, err
	}
	v := newView(Event{}, m, w)
	const what = "nothing is recovered"
	if v.role() == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	ranked, silent, why := v.mayRecover(want)
	if want.dryRun && why.none() {
		return nil, v.tryRecover(want, ranked, silent), nil
	}
	var o Operation
	if why.none() && len(silent) > 0 {
		want.without = ordered(append(silent, want.without...))
		why = because(logUnread, firstThree(silent),
			v.command(want, v.m.App+"/leader", hexID(v.givenUp()), false))
	}
	if why.none() {
		o = v.newOperation(recovering, want.name,
			ordered(append(v.dataHolders(), want.without...)), want.without)
		o.Source, o.Token, o.Seen =
			ranked[0].Unit, digest(o.ID, m.UUID, strconv.FormatInt(w.Now, 10))[:16], v.highestRevision()
		for _, s := range ranked {
			o.Order = append(o.Order, s.Unit)
		}
		why = v.mayConfirm(o, want)
	}
	if !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	out := v.begin(o, "and "+o.Source+" makes the new data from its own")
	out.Text += fold("", v.mayLose(ranked), 0)
	return []Step{v.lookAgain(o)}, out, nil
}

func recoverParams(params map[string]any) (dataRequest, error) {
	want := dataRequest{name: "recover"}
	err := onlyParams(params, "without", "confirm", "dry-run")
	if err == nil {
		want.confirm, err = optionalText(params, "confirm")
	}
	if err == nil {
		want.without, err = unitsParam(params, "without")
	}
	if err == nil {
		want.dryRun, err = boolParam(params, "dry-run")
	}
	return want, err
}

// mayRecover says why there is nothing to recover, or nothing to recover from. Otherwise it returns
// the units with a log, the best first, and the silent ones, whose log is not known: as a rule
// these are dead.
func (v view) mayRecover(want dataRequest) (ranked []Survivor, silent []string, why Reason) {
	id := v.givenUp()
	switch {
	case !v.m.Cluster.OK:
		return nil, nil, v.unknown(peersUnknown, "no operation begins")
	case !v.m.Units.OK:
		return nil, nil, v.unknown(unitsUnknown, "no operation begins")
	case id == 0:
		return nil, nil, because(notLostUnrecorded, v.m.App)
	case v.w.Reach == Healthy && v.w.ClusterID == id:
		return nil, nil, because(quorumAnswers, hexID(id))
	}
	all := ordered(slices.Collect(maps.Keys(v.m.Units.Value)))
	for _, unit := range want.without {
		if !slices.Contains(all, unit) {
			return nil, nil, because(noSuchUnit, unit, v.m.App, firstThree(all))
		}
	}
	if why := v.mayGo(Operation{Kind: recovering}, want.without); !why.none() {
		return nil, nil, why
	}
	left := slices.DeleteFunc(v.dataHolders(), func(unit string) bool {
		return slices.Contains(want.without, unit) || !v.stays(unit)
	})
	survivors := v.survivors(left)
	for _, s := range survivors {
		if s.Log == (LogState{}) {
			silent = append(silent, s.Unit)
		}
	}
	if ranked = Rank(survivors, id, v.leaderFirst()); len(ranked) == 0 {
		return nil, nil, because(survivorMissing, v.m.App)
	}
	return ranked, silent, Reason{}
}

// leaderFirst names the unit that is first among equals: this unit, if it leads.
func (v view) leaderFirst() []string {
	if v.leader() {
		return []string{v.m.Unit}
	}
	return nil
}

// mayConfirm says why the recovery cannot begin although there is something to recover from.
func (v view) mayConfirm(o Operation, want dataRequest) Reason {
	id := v.givenUp()
	elsewhere := because(operationBegun, v.m.App, v.command(want, v.m.App+"/leader", hexID(id), false))
	// An operation past its point of no return ends only with a quorum, and a recovery is the way
	// to one.
	if why := v.mayOperate(elsewhere); !why.none() && why.Kind != operationPassed {
		return why
	}
	if why := v.mayTake(o, taking(o)); !why.none() {
		return why
	}
	if !isID(want.confirm, id) {
		return because(replacedDiffers, hexID(id))
	}
	return Reason{}
}

// mayLose says which writes are gone if only the lost members had them.
func (v view) mayLose(ranked []Survivor) string {
	best := ranked[0]
	text := fmt.Sprintf(
		"%s is the best: term %d, index %d, revision %d; writes after index %d that only the lost members have are gone",
		best.Unit, best.Log.Term, best.Log.Index, best.Log.Revision, best.Log.Index)
	if best.Log.Torn {
		text += "; its log is damaged: what came after that is gone too"
	}
	return text
}

// tryRecover shows whose data would be recovered, and what may be lost. A unit that has shown
// nothing is taken for dead in the command, and the text says so.
func (v view) tryRecover(want dataRequest, ranked []Survivor, silent []string) Result {
	rows, units := [][]string{{"UNIT", "TERM", "INDEX", "BEHIND", "LOG", "REVISION"}}, map[string]any{}
	for _, s := range ranked {
		state, behind := "intact", "another term"
		if s.Log.Torn {
			state = "torn"
		}
		if s.Log.Learner {
			state += ", learner"
		}
		switch best := ranked[0].Log; {
		case s.Log.Term != best.Term:
		case s.Log.Index > best.Index:
			behind = "ahead"
		default:
			behind = number(best.Index - s.Log.Index)
		}
		rows = append(rows, []string{
			clip(s.Unit, 24), number(s.Log.Term), number(s.Log.Index), behind, state,
			strconv.FormatInt(s.Log.Revision, 10),
		})
		units[memberName(s.Unit)] = s.Log.String()
	}
	text := ""
	for _, unit := range silent {
		rows = append(rows, []string{clip(unit, 24), "-", "-", "-", "not known", "-"})
		units[memberName(unit)] = "not known"
	}
	if len(silent) > 0 {
		text = fold("", "leave out "+firstThree(silent)+
			" only if dead for good: a unit that runs has to show its log first, in its next hook", 0)
		want.without = ordered(append(silent, want.without...))
	}
	command := v.command(want, v.m.App+"/leader", hexID(v.givenUp()), false)
	text = strings.TrimPrefix(grid(rows), "\n") + "\n" +
		fold("", v.mayLose(ranked)+"; "+leasesBack, 0) + text
	text += "recover from it: " + command + "\n"
	return Result{Text: text, Values: map[string]any{
		"best": ranked[0].Unit, "units": units, "command": command,
	}}
}
