package operator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Result is what an action answers.
type Result struct {
	// Values is nested: each key fits action-set, each leaf is a text that is not empty.
	Values map[string]any
	// Text is the answer for people, in lines. It becomes a result too, under TextKey.
	Text string
	// Failed says why the action did not succeed, or advises against what was asked; "" is success.
	// Values and Text are answered in either case.
	Failed string
	// Finish makes the result from the world as it is once the steps are done. If it is nil, this
	// result stands.
	Finish func(World) Result
	Bags   []BagWrite // bags to write
	Claims bool       // as in Plan
	Status Status     // of the unit, once all is done; the zero value is StatusNow
}

// TextKey is the result key of an answer's text. Juju sorts results by key, and people should see
// the text before the values: no key of a value sorts before TextKey.
const TextKey = "about"

// Action answers an operator: it takes parameters, model and world, and returns the steps to take
// and the result. The error is for parameters that cannot be used; a refusal is in Result.Failed.
type Action func(params map[string]any, m Model, w World) ([]Step, Result, error)

// Actions are the charm's actions by name, as actions.yaml declares them.
var Actions = map[string]Action{
	"health":          Health,
	"list-members":    ListMembers,
	"alarm-list":      AlarmList,
	"check-removal":   CheckRemoval,
	"found-cluster":   FoundCluster,
	"alarm-disarm":    AlarmDisarm,
	"compact":         CompactHistory,
	"defrag":          Defragment,
	"rolling-restart": RollingRestart,
	"operation":       ShowOperation,
	"restore":         Restore,
	"recover":         Recover,
	"snapshot":        TakeSnapshotNow,
	"list-snapshots":  ListSnapshots,
	"verify-snapshot": VerifySnapshotNow,
	"drill":           DrillNow,
	"purge":           PurgeKept,
	"disk-check":      CheckDiskNow,
	"diagnose":        WriteDiagnosis,
}

// Health reports on the cluster, or on what a proxy reaches: as a table for people, or as one JSON
// text for programs. If that is unhealthy the action fails, but it still reports.
func Health(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "format"); err != nil {
		return nil, Result{}, err
	}
	format, err := optionalText(params, "format")
	if err != nil {
		return nil, Result{}, err
	}
	r := Examine(m, w)
	out := Result{Values: r.Values(), Text: r.Table()}
	switch format {
	case "", "text":
	case "json":
		out.Text, out.Values[JSONKey] = "", r.JSON()
	default:
		return nil, Result{}, fmt.Errorf("cannot use parameter %q: it must be text or json", "format")
	}
	if r.Health == Unhealthy {
		out.Failed = refusal(string(Unhealthy), r.only(Unhealthy)...)
	}
	return nil, out, nil
}

// ListMembers lists the members that etcd knows, or those that a proxy may use.
func ListMembers(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params); err != nil {
		return nil, Result{}, err
	}
	r := Examine(m, w)
	out := Result{Values: r.Values(), Text: strings.TrimPrefix(r.memberTable(), "\n")}
	for key := range out.Values {
		if key != "members" && key != "cluster-id" {
			delete(out.Values, key)
		}
	}
	switch {
	case len(r.Members)+len(r.Upstream) == 0:
		out.Text = "no member is known\n"
		out.Failed = refusal("no member is known", r.worst()...)
	case r.Role != RoleProxy && r.Reach != Healthy:
		out.Text += "\nwithout quorum this is one member's view\n"
	}
	return nil, out, nil
}

// AlarmList lists the alarms that are raised. It fails if they are not known: that takes a quorum.
func AlarmList(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params); err != nil {
		return nil, Result{}, err
	}
	r := Examine(m, w)
	if refused := r.refused("the alarms are not known"); refused.Failed != "" {
		return nil, refused, nil
	}
	v := newView(Event{}, m, w)
	rows, alarms := [][]string{{"UNIT", "ALARM", "MEANING"}}, map[string]any{}
	for _, mem := range r.Members {
		if len(mem.Alarms) == 0 {
			continue
		}
		alarms[keyFor(alarms, mem)] = strings.Join(mem.Alarms, ",")
		for _, kind := range mem.Alarms {
			_, meaning, _ := strings.Cut(v.alarm(kind, mem.Label, mem.Unit != "").Text(), ": ")
			rows = append(rows, []string{tail(mem.Label), kind, dash(meaning)})
		}
	}
	for _, a := range w.Alarms {
		if slices.ContainsFunc(r.Members, func(mem MemberReport) bool { return mem.ID == a.MemberID }) {
			continue
		}
		gone := MemberReport{Member: Member{ID: a.MemberID}, Label: unlisted(a.MemberID)}
		why := v.alarm(a.Kind, gone.Label, false)
		if a == unnamedCorrupt {
			why = because(corruptUnnamed, hexID(r.ClusterID))
		}
		_, meaning, _ := strings.Cut(why.Text(), ": ")
		kind := dash(singleLine(a.Kind))
		alarms[keyFor(alarms, gone)] = kind
		rows = append(rows, []string{gone.Label, kind, dash(meaning)})
	}
	out := Result{Text: "no alarm\n", Values: map[string]any{"count": strconv.Itoa(len(rows) - 1)}}
	if len(rows) > 1 {
		out.Text = strings.TrimPrefix(grid(rows), "\n")
		out.Values["alarms"] = alarms
	}
	return nil, out, nil
}

// CheckRemoval shows what would be left if a unit were removed. It fails if the removal would cost
// the quorum or the last member.
func CheckRemoval(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "unit"); err != nil {
		return nil, Result{}, err
	}
	unit, err := textParam(params, "unit")
	if err != nil {
		return nil, Result{}, err
	}
	r := Examine(m, w)
	if r.Role == RoleProxy {
		return nil, r.refused(""), nil
	}
	v := newView(Event{}, m, w)
	gone := slices.DeleteFunc(slices.Clone(r.Members), func(mem MemberReport) bool {
		return mem.Unit != unit
	})
	if _, listed := m.Units.Value[unit]; !listed && len(gone) == 0 {
		if !m.Units.OK {
			return nil, Result{Failed: v.unknown(unitsUnknown, "the removal cannot be judged").String()}, nil
		}
		return nil, Result{
			Failed: because(noSuchUnit, unit, m.App,
				firstThree(ordered(slices.Collect(maps.Keys(m.Units.Value))))).String(),
		}, nil
	}
	if refused := r.refused("a removal needs a quorum"); refused.Failed != "" {
		return nil, refused, nil
	}
	var ids []uint64
	for _, mem := range gone {
		ids = append(ids, mem.ID)
	}
	left, out := r.without(gone, v.votesWithout(ids...)), Result{}
	if why := v.mayRemove(ids...); !why.none() {
		out.Failed = why.String()
	}
	out.Values = map[string]any{
		"unit": unit, "safe": yesNo(out.Failed == ""),
		"voters": strconv.Itoa(left.Voters), "ready": strconv.Itoa(left.Ready),
		"learners": strconv.Itoa(left.Learners),
	}
	out.Text = fold("", out.Failed, 0)
	if left.Voters > 0 {
		out.Values["quorum"], out.Values["margin"] = strconv.Itoa(left.Quorum), strconv.Itoa(left.Margin)
		out.Values["survival"] = left.survival()
	}
	if out.Failed == "" {
		text := "without %s: %d of %d voters ready, quorum %d: %s"
		out.Text = fold("",
			fmt.Sprintf(text, unit, left.Ready, left.Voters, left.Quorum, left.survival()), 0)
	}
	return nil, out, nil
}

// FoundCluster gives up a cluster of which nothing is left, so that the next hook founds a new one.
// It asks for that cluster's ID, and refuses while anything of it might be left. It takes no step:
// it only changes the record.
func FoundCluster(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "confirm"); err != nil {
		return nil, Result{}, err
	}
	confirm, err := textParam(params, "confirm")
	if err != nil {
		return nil, Result{}, err
	}
	v := newView(Event{}, m, w)
	record := m.Cluster.Value.AppBag
	id := hexID(record.ClusterID)
	why := v.whyNotLost()
	if why.none() && !isID(confirm, record.ClusterID) {
		why = because(confirmDiffers, id)
	}
	if why.none() && !v.leader() {
		why = because(foundOnLeader, m.Unit)
	}
	if !why.none() {
		return nil, Result{Failed: refusal("nothing is founded", why)}, nil
	}
	record.Ended, record.ClusterID = record.ClusterID, 0
	m.Cluster.Value.AppBag, w.Reach = record, Absent
	text := fold("", "cluster "+id+" is given up; "+followLater+" the leader founds a new one", 0)
	return nil, Result{
		Bags: []BagWrite{v.writeRecord(record)}, Claims: true,
		Text: text, Values: map[string]any{"ended": id}, Status: StatusOf(Examine(m, w)),
	}, nil
}

// followLater says when units learn what an action did: Juju runs no hook on them for it.
const followLater = "in its next hook, update-status at the latest,"

// refused is the refusal of an action on members if this unit is a proxy or the cluster has no
// quorum. Otherwise it is the zero value.
func (r Report) refused(what string) Result {
	switch {
	case r.Role == RoleProxy:
		return Result{Failed: because(isProxy, r.Unit).String()}
	case r.Reach != Healthy:
		return Result{Failed: refusal(what, r.worst()...)}
	}
	return Result{}
}

// worst is the first of the reasons for which the report is unhealthy. Alarms do not count: they
// stop writes, but not decisions.
func (r Report) worst() []Reason {
	why := slices.DeleteFunc(r.only(Unhealthy), func(reason Reason) bool {
		return slices.Contains(nospaceKinds, reason.Kind) || slices.Contains(corruptKinds, reason.Kind)
	})
	return why[:min(1, len(why))]
}

// refusal says what is not done, or not done in this way, and why.
func refusal(what string, why ...Reason) string { return what + ": " + texts(why) }

// without is the report with the figures that it would have if those members were gone and those
// votes were left.
func (r Report) without(gone []MemberReport, left votes) Report {
	for _, m := range gone {
		switch {
		case m.Learner:
			r.Learners--
		case m.Answers:
			r.Reachable--
		}
	}
	r.Voters, r.Ready, r.Quorum = left.voters, left.ready, Quorum(left.voters)
	r.Margin = r.margin()
	return r
}

// onlyParams refuses parameters that the action does not have.
func onlyParams(params map[string]any, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("cannot use parameter %q: the action takes %s",
				singleLine(name), cmp.Or(strings.Join(names, ", "), "none"))
		}
	}
	return nil
}

// textParam returns a parameter that must be present and a string.
func textParam(params map[string]any, name string) (string, error) {
	v, there := params[name]
	if !there {
		return "", fmt.Errorf("missing parameter %q", name)
	}
	text, ok := v.(string)
	if !ok {
		return "", fmt.Errorf(
			"cannot use parameter %q: it must be a string, not a %T; pass --string-args", name, v)
	}
	if text == "" {
		return "", fmt.Errorf("cannot use parameter %q: it is empty", name)
	}
	return text, nil
}
