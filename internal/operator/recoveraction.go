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
	l := lookAt(Event{}, m, w)
	const what = "nothing is recovered"
	if l.role() == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	ranked, silent, why := l.mayRecover(want)
	if want.dryRun && why.none() {
		return nil, l.tryRecover(want, ranked, silent), nil
	}
	var o Operation
	if why.none() && len(silent) > 0 {
		want.without = ordered(append(silent, want.without...))
		why = because(logUnread, few(silent), l.command(want, l.m.App+"/leader", hexID(l.givenUp()), false))
	}
	if why.none() {
		o = l.newOperation(recovering, want.name, ordered(append(l.holders(), want.without...)), want.without)
		o.Source, o.Token, o.Seen = ranked[0].Unit, digest(o.ID, m.UUID, strconv.FormatInt(w.Now, 10))[:16], l.highestRevision()
		for _, s := range ranked {
			o.Order = append(o.Order, s.Unit)
		}
		why = l.mayConfirm(o, want)
	}
	if !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	out := l.begin(o, "and "+o.Source+" makes the new data from its own")
	out.Text += fold("", l.mayLose(ranked), 0)
	return []Step{l.lookAgain(o)}, out, nil
}

func recoverParams(params map[string]any) (wish, error) {
	want := wish{name: "recover"}
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
func (l look) mayRecover(want wish) (ranked []Survivor, silent []string, why Reason) {
	id := l.givenUp()
	switch {
	case !l.m.Cluster.OK:
		return nil, nil, l.unknown(peersUnknown, "no operation begins")
	case !l.m.Units.OK:
		return nil, nil, l.unknown(unitsUnknown, "no operation begins")
	case id == 0:
		return nil, nil, because(notLostUnrecorded, l.m.App)
	case l.w.Reach == Healthy && l.w.ClusterID == id:
		return nil, nil, because(quorumAnswers, hexID(id))
	}
	all := ordered(slices.Collect(maps.Keys(l.m.Units.Value)))
	for _, unit := range want.without {
		if !slices.Contains(all, unit) {
			return nil, nil, because(noSuchUnit, unit, l.m.App, few(all))
		}
	}
	if why := l.mayGo(Operation{Kind: recovering}, want.without); !why.none() {
		return nil, nil, why
	}
	left := slices.DeleteFunc(l.holders(), func(unit string) bool {
		return slices.Contains(want.without, unit) || !l.stays(unit)
	})
	survivors := l.survivors(left)
	for _, s := range survivors {
		if s.Log == (LogState{}) {
			silent = append(silent, s.Unit)
		}
	}
	if ranked = Rank(survivors, id, l.leaderFirst()); len(ranked) == 0 {
		return nil, nil, because(survivorMissing, l.m.App)
	}
	return ranked, silent, Reason{}
}

// leaderFirst names the unit that is first among equals: this unit, if it leads.
func (l look) leaderFirst() []string {
	if l.leader() {
		return []string{l.m.Unit}
	}
	return nil
}

// mayConfirm says why the recovery cannot begin although there is something to recover from.
func (l look) mayConfirm(o Operation, want wish) Reason {
	id := l.givenUp()
	elsewhere := because(operationBegun, l.m.App, l.command(want, l.m.App+"/leader", hexID(id), false))
	// An operation past its point of no return ends only with a quorum, and a recovery is the way
	// to one.
	if why := l.mayOperate(elsewhere); !why.none() && why.Kind != operationPassed {
		return why
	}
	if why := l.mayTake(o, taking(o)); !why.none() {
		return why
	}
	if !isID(want.confirm, id) {
		return because(replacedDiffers, hexID(id))
	}
	return Reason{}
}

// mayLose says which writes are gone if only the lost members had them.
func (l look) mayLose(ranked []Survivor) string {
	best := ranked[0]
	text := fmt.Sprintf("%s is the best: term %d, index %d, revision %d; writes after index %d that only the lost members have are gone",
		best.Unit, best.Log.Term, best.Log.Index, best.Log.Revision, best.Log.Index)
	if best.Log.Torn {
		text += "; its log is damaged: what came after that is gone too"
	}
	return text
}

// tryRecover shows whose data would be recovered, and what may be lost. Whoever has shown nothing is taken for dead in the command, and
// said to be.
func (l look) tryRecover(want wish, ranked []Survivor, silent []string) Result {
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
		rows = append(rows, []string{clip(s.Unit, 24), number(s.Log.Term), number(s.Log.Index), behind, state, strconv.FormatInt(s.Log.Revision, 10)})
		units[memberName(s.Unit)] = s.Log.String()
	}
	text := ""
	for _, unit := range silent {
		rows = append(rows, []string{clip(unit, 24), "-", "-", "-", "not known", "-"})
		units[memberName(unit)] = "not known"
	}
	if len(silent) > 0 {
		text = fold("", "leave out "+few(silent)+" only if dead for good: a unit that runs has to show its log first, in its next hook", 0)
		want.without = ordered(append(silent, want.without...))
	}
	command := l.command(want, l.m.App+"/leader", hexID(l.givenUp()), false)
	text = strings.TrimPrefix(grid(rows), "\n") + "\n" + fold("", l.mayLose(ranked)+"; "+leasesBack, 0) + text
	text += "recover from it: " + command + "\n"
	return Result{Text: text, Values: map[string]any{"best": ranked[0].Unit, "units": units, "command": command}}
}
