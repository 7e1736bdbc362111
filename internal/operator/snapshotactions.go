package operator

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TakeSnapshotNow takes a snapshot from this unit's member. With "to" it also copies the snapshot
// to that path.
func TakeSnapshotNow(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "to"); err != nil {
		return nil, Result{}, err
	}
	to, err := optionalText(params, "to")
	if err != nil {
		return nil, Result{}, err
	}
	if to != "" && (!path.IsAbs(to) || path.Clean(to) != to) {
		return nil, Result{}, fmt.Errorf(
			"cannot use parameter %q: it must be the absolute path of a file", "to")
	}
	const what = "no snapshot is taken"
	if refused := Examine(m, w).refused(what); refused.Failed != "" {
		return nil, refused, nil
	}
	v := newView(Event{}, m, w)
	if why := v.maySnapshot(); !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	r := WorkRequest{ID: v.workID("snapshot"), Kind: TakeSnapshot, To: to}
	return beginAndAwait(r), Result{Finish: func(after World) Result {
		return workResult(m, after, r.ID)
	}}, nil
}

// beginAndAwait are the steps of an action that begins long work and waits for it.
func beginAndAwait(r WorkRequest) []Step { return []Step{StartWork{r}, AwaitWork{ID: r.ID}} }

// workID is the ID of work that begins now. Two that begin in the same second differ in their IDs.
func (v view) workID(what string) string {
	parts := []string{v.m.UUID, v.m.Unit, strconv.FormatInt(v.w.Now, 10)}
	for _, w := range v.w.Work {
		parts = append(parts, w.ID)
	}
	return what + "-" + digest(parts...)[:6]
}

// maySnapshot says why no snapshot can be taken from our member now; none means that one can.
func (v view) maySnapshot() Reason {
	own, listed := v.self()
	if !listed || own.Learner || !v.serves(own) {
		return because(snapshotAwaitsVoter, v.m.Unit)
	}
	for _, w := range v.w.Work {
		if w.Kind == TakeSnapshot && w.State == WorkRuns {
			return because(snapshotRuns, string(w.Kind), w.howFar(v.w.Now))
		}
	}
	return Reason{}
}

// unmoved is for how many seconds work may stand still before that is said.
const unmoved = 300

// howFar is how far work is that runs, and for how long it has not moved.
func (w Work) howFar(now int64) string {
	text := dash(w.Progress)
	if d := now - w.Moved; w.Moved != 0 && d >= unmoved {
		text += ", unchanged for " + ago(time.Duration(d)*time.Second)
	}
	return text
}

// workResult is the answer of an action after it has begun work and waited for it.
func workResult(m Model, w World, id string) Result {
	at := slices.IndexFunc(w.Work, func(work Work) bool { return work.ID == id })
	if at < 0 {
		return Result{Failed: because(workFailed, id, "it has not started").String()}
	}
	work := w.Work[at]
	out := Result{Values: map[string]any{"work": id, "state": string(work.State)}}
	switch work.State {
	case WorkRuns:
		text := fmt.Sprintf("%s runs: %s; follow it: juju run %s list-snapshots",
			work.Kind, dash(work.Progress), m.Unit)
		out.Text = fold("", text, 0)
		out.Values["progress"] = dash(singleLine(work.Progress))
	case WorkFailed:
		out.Failed = because(workFailed, string(work.Kind), work.Error).String()
	case WorkDone:
		out.Text = fold("", singleLine(work.Result), 0)
		out.Values["result"] = dash(singleLine(work.Result))
	}
	for _, s := range w.Kept.Snapshots {
		if s.Work == id && s.Error == "" {
			out.Values["snapshot"] = map[string]any(s.values())
		}
	}
	return out
}

func (s Snapshot) values() values {
	out := values{"taken": moment(s.Taken), "good": yesNo(s.Error == "")}
	out.set("name", s.Name)
	out.set("error", singleLine(s.Error))
	out.set("kept-for", s.Why)
	if s.Error == "" {
		out.set("path", s.Path)
		out["revision"], out["keys"] = strconv.FormatInt(s.Revision, 10), strconv.FormatInt(s.Keys, 10)
		out["size"], out["stored"] = strconv.FormatInt(s.Size, 10), strconv.FormatInt(s.Stored, 10)
	}
	if s.Cluster != 0 {
		out["cluster-id"] = hexID(s.Cluster)
	}
	return out
}

// ListSnapshots lists what this unit keeps, snapshots that failed too, and the work that takes one
// now.
func ListSnapshots(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params); err != nil {
		return nil, Result{}, err
	}
	if Examine(m, w).Role == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	rows, snapshots := [][]string{
		{"SNAPSHOT", "AGE", "REVISION", "KEYS", "SIZE", "KEPT", "FOR"},
	}, map[string]any{}
	var failed strings.Builder
	for _, s := range w.Kept.Snapshots {
		snapshots[slug(s.Name)] = map[string]any(s.values())
		if s.Error != "" {
			failed.WriteString(wrap(s.Name, "failed: "+singleLine(s.Error)))
			continue
		}
		rows = append(rows, []string{
			s.Name, ago(max(time.Duration(w.Now-s.Taken)*time.Second, 0)),
			strconv.FormatInt(s.Revision, 10), strconv.FormatInt(s.Keys, 10),
			size(s.Size), size(s.Stored), dash(s.Why),
		})
	}
	out := Result{Values: map[string]any{
		"count": strconv.Itoa(w.Kept.good()),
		"space": strconv.FormatInt(w.Kept.Space, 10),
		"used":  strconv.FormatInt(w.Kept.used(), 10),
	}}
	out.Text = "no snapshot is kept on this unit\n"
	if len(rows) > 1 {
		out.Text = strings.TrimPrefix(grid(rows), "\n")
	}
	if len(snapshots) > 0 {
		out.Values["snapshots"] = snapshots
	}
	out.Text += failed.String()
	for _, work := range w.Work {
		if work.State == WorkRuns && work.Kind != LookAgain {
			out.Text += fmt.Sprintf("%s runs: %s\n", work.Kind, singleLine(work.howFar(w.Now)))
			out.Values["runs"], out.Values["progress"] = string(work.Kind), dash(singleLine(work.Progress))
		}
	}
	out.Text += w.Kept.spaceLine()
	return nil, out, nil
}

// spaceLine says how much space all that is kept takes.
func (k Kept) spaceLine() string {
	text := fmt.Sprintf("%s of %s are used by what is kept, %s are free",
		size(k.used()), size(k.Space), size(k.Free))
	if n := len(k.Aside); n > 0 {
		text += fmt.Sprintf("; data was moved aside %d times: action purge", n)
	}
	return fold("", text, 0)
}

// VerifySnapshotNow reads a snapshot as a restore would.
func VerifySnapshotNow(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "snapshot", "unverified"); err != nil {
		return nil, Result{}, err
	}
	which, err := optionalText(params, "snapshot")
	if err != nil {
		return nil, Result{}, err
	}
	unverified, err := boolParam(params, "unverified")
	if err != nil {
		return nil, Result{}, err
	}
	steps, result := readSnapshot(m, w, WorkRequest{
		Kind: VerifySnapshot, Snapshot: which, Unverified: unverified,
	}, "nothing is verified")
	return steps, result, nil
}

// DrillNow restores a snapshot into data of its own, which no client can reach, reads all of it
// back, and throws it away.
func DrillNow(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "snapshot"); err != nil {
		return nil, Result{}, err
	}
	which, err := optionalText(params, "snapshot")
	if err != nil {
		return nil, Result{}, err
	}
	steps, result := readSnapshot(m, w, WorkRequest{Kind: Drill, Snapshot: which}, "no drill is run")
	return steps, result, nil
}

// readSnapshot has long work read a snapshot; "" is the latest. refused says what is not done if
// there is no such snapshot.
func readSnapshot(m Model, w World, r WorkRequest, refused string) ([]Step, Result) {
	if Examine(m, w).Role == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}
	}
	v := newView(Event{}, m, w)
	r.ID, r.Snapshot = v.workID(string(r.Kind)), w.Kept.nameOf(cmp.Or(r.Snapshot, latest))
	if why := v.findSnapshot(r.Snapshot); !why.none() {
		return nil, Result{Failed: refusal(refused, why)}
	}
	return beginAndAwait(r), Result{Finish: func(after World) Result {
		return workResult(m, after, r.ID)
	}}
}

// findSnapshot says why there is no such snapshot here. It does not check a path: the work does.
func (v view) findSnapshot(which string) Reason {
	if path.IsAbs(which) {
		return Reason{}
	}
	for _, s := range v.w.Kept.Snapshots {
		if s.Error == "" && (s.Name == which || which == latest) {
			return Reason{}
		}
	}
	if unit := v.unitOfSnapshot(which); unit != "" && unit != v.m.Unit {
		return because(snapshotElsewhere, unit, which)
	}
	return because(snapshotUnknown, which, v.m.Unit)
}

// snapshotFile is how the file of a kept snapshot ends.
const snapshotFile = ".db.zst"

// nameOf is the name of the kept snapshot that a text means: its name, or that of its file, with or
// without the directory. Any other text is returned as it is. Everything that compares names of
// snapshots does so after this.
func (k Kept) nameOf(text string) string {
	for _, s := range k.Snapshots {
		if s.Name != "" && (s.Name == text || s.Name+snapshotFile == text || s.Path == text) {
			return s.Name
		}
	}
	return text
}

// unitOfSnapshot is the unit of our application that a snapshot's name begins with; "" is none.
func (v view) unitOfSnapshot(name string) string {
	for unit := range v.m.Units.Value {
		if strings.HasPrefix(name, strings.ReplaceAll(unit, "/", "-")+"-2") {
			return unit
		}
	}
	return ""
}

// PurgeKept deletes snapshots and data that was moved aside. Without confirm it only says what
// would be deleted.
func PurgeKept(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params, "what", "confirm"); err != nil {
		return nil, Result{}, err
	}
	what, err := optionalText(params, "what")
	if err != nil {
		return nil, Result{}, err
	}
	confirm, err := boolParam(params, "confirm")
	if err != nil {
		return nil, Result{}, err
	}
	if Examine(m, w).Role == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	p, why := w.Kept.purge(what, m.Unit)
	if !why.none() {
		return nil, Result{Failed: refusal("nothing is purged", why)}, nil
	}
	if what == "" {
		out := purged(w.Kept, p, "may go", "can be deleted")
		if out.Values["items"] == nil {
			return nil, out, nil
		}
		out.Text += fold("", fmt.Sprintf(
			"name them: juju run %s purge what=NAME,… (or what=aside); confirm=true deletes them",
			m.Unit), 0)
		return nil, out, nil
	}
	if !confirm {
		out := purged(w.Kept, p, "would go", "would be deleted")
		out.Text += fold("", fmt.Sprintf(
			"to delete them: juju run %s purge what=%s confirm=true", m.Unit, what), 0)
		return nil, out, nil
	}
	before := w.Kept
	return []Step{p}, Result{Finish: func(World) Result {
		return purged(before, p, "gone", "deleted")
	}}, nil
}

// allAside stands for all directories of data that was moved aside.
const allAside = "aside"

// purge finds what to delete; with "" everything that may be. The newest good snapshot may not.
func (k Kept) purge(what, unit string) (Purge, Reason) {
	var p Purge
	for _, s := range k.Snapshots {
		if what == "" && s.Name != k.newest() {
			p.Snapshots = append(p.Snapshots, s.Name)
		}
	}
	for _, a := range k.Aside {
		if what == "" {
			p.Aside = append(p.Aside, a.Path)
		}
	}
	for _, name := range strings.FieldsFunc(what, func(r rune) bool { return r == ',' || r == ' ' }) {
		name = k.nameOf(name)
		found := name == allAside && len(k.Aside) > 0
		for _, a := range k.Aside {
			if name == allAside || name == a.Path || name == path.Base(a.Path) {
				p.Aside, found = append(p.Aside, a.Path), true
			}
		}
		for _, s := range k.Snapshots {
			switch {
			case s.Name == name && s.Name == k.newest():
				return Purge{}, because(snapshotNewest, name)
			case s.Name == name:
				p.Snapshots, found = append(p.Snapshots, name), true
			}
		}
		if !found {
			return Purge{}, because(keptUnknown, name, unit)
		}
	}
	slices.Sort(p.Snapshots)
	slices.Sort(p.Aside)
	p.Snapshots, p.Aside = slices.Compact(p.Snapshots), slices.Compact(p.Aside)
	return p, Reason{}
}

// purged lists what is deleted. state is for programs, and says for people.
func purged(k Kept, p Purge, state, says string) Result {
	rows, values := [][]string{{"WHAT", "SIZE", ""}}, map[string]any{}
	var total int64
	add := func(name, kind string, bytes int64) {
		rows = append(rows, []string{name, size(bytes), kind})
		values[free(values, slug(name))] = map[string]any{
			"name": name, "kind": kind, "bytes": strconv.FormatInt(bytes, 10),
		}
		total += bytes
	}
	for _, s := range k.Snapshots {
		if slices.Contains(p.Snapshots, s.Name) {
			kind := "snapshot"
			if s.Error != "" {
				kind = "snapshot that failed"
			}
			add(s.Name, kind, s.Stored)
		}
	}
	for _, a := range k.Aside {
		if slices.Contains(p.Aside, a.Path) {
			add(path.Base(a.Path), "moved aside", a.Bytes)
		}
	}
	out := Result{Values: map[string]any{
		"count": strconv.Itoa(len(rows) - 1),
		"bytes": strconv.FormatInt(total, 10),
		"state": state,
	}}
	if len(rows) == 1 {
		out.Text = "nothing is kept that can be deleted\n"
		return out
	}
	out.Values["items"] = values
	out.Text = strings.TrimPrefix(grid(rows), "\n") + fmt.Sprintf("%s: %s\n", says, size(total))
	return out
}
