package operator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leasesBack is what a client that holds a lock has to know about restored data.
const leasesBack = "leases come back with their full time, those too that had run out since; watches begin again"

// wish is what an operator asks of restore or recover.
type wish struct {
	name       string // of the action
	snapshot   string // "" with from=data-dir, and of recover
	before     int64
	dataDir    bool
	source     string
	unverified bool
	without    []string
	confirm    string
	dryRun     bool
}

// restoreParams reads the parameters of restore.
func restoreParams(params map[string]any) (wish, error) {
	want := wish{name: "restore"}
	if err := onlyParams(params, "snapshot", "before", "from", "source", "unverified", "without", "confirm", "dry-run"); err != nil {
		return want, err
	}
	var before, from string
	for name, at := range map[string]*string{
		"snapshot": &want.snapshot, "before": &before, "from": &from, "source": &want.source, "confirm": &want.confirm,
	} {
		text, err := optionalText(params, name)
		if err != nil {
			return want, err
		}
		*at = text
	}
	var err error
	if want.unverified, err = boolParam(params, "unverified"); err != nil {
		return want, err
	}
	if want.dryRun, err = boolParam(params, "dry-run"); err != nil {
		return want, err
	}
	if want.without, err = unitsParam(params, "without"); err != nil {
		return want, err
	}
	want.dataDir = from == dataDir
	return want, want.settle(before, from)
}

// settle checks that the parameters name one thing to restore, and only one.
func (want *wish) settle(before, from string) error {
	switch {
	case from != "" && from != dataDir:
		return fmt.Errorf("cannot use parameter %q: it takes %q alone", "from", dataDir)
	case want.dataDir && (want.snapshot != "" || before != "" || want.unverified):
		return fmt.Errorf("cannot use parameter %q together with a snapshot", "from")
	case want.dataDir:
		return nil
	case before != "" && want.snapshot != "" && want.snapshot != latest:
		return fmt.Errorf("cannot use parameter %q together with a snapshot that has a name", "before")
	case before != "":
		at, err := time.Parse(time.RFC3339, before)
		if err != nil || at.Unix() <= 0 {
			return fmt.Errorf("cannot use parameter %q: it wants a time like 2026-01-31T23:59:00Z", "before")
		}
		want.snapshot, want.before = latest, at.Unix()
	case want.snapshot == "":
		return fmt.Errorf("cannot do without one of the parameters %q, %q and %q", "snapshot", "before", "from")
	case len(want.snapshot) > 4096 || plain(want.snapshot) != want.snapshot:
		return fmt.Errorf("cannot use parameter %q: it is no name and no path", "snapshot")
	}
	return nil
}

// command is the command that does what was asked, on that unit, with what is known so far.
func (l look) command(want wish, unit, confirm string, dryRun bool) string {
	parts := []string{"juju run", unit, want.name}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	if want.before == 0 {
		add("snapshot", shellQuoted(want.snapshot))
	} else {
		add("before", moment(want.before))
	}
	if want.dataDir {
		add("from", dataDir)
	}
	if want.unverified {
		add("unverified", "true")
	}
	add("source", want.source)
	add("without", strings.Join(want.without, ","))
	if dryRun {
		add("dry-run", "true")
	} else if confirm != "" {
		add("confirm", "id-"+confirm)
	}
	return strings.Join(parts, " ")
}

// shellQuoted is a word quoted for a shell.
func shellQuoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+@%=,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// givenUp is the cluster whose data would be given up; 0 is none.
func (l look) givenUp() uint64 {
	record := l.m.Cluster.Value.Record
	if record.ClusterID == record.Ended {
		return 0
	}
	return record.ClusterID
}

// confirms is the ID to confirm what is given up; "" is that nothing is.
func (l look) confirms() string { return idText(l.givenUp()) }

// isID reports whether the text is that ID. Juju's client reads key=value as YAML, where 1234 and
// 1e5 are numbers, which it refuses for a string; so an ID may have the prefix "id-".
func isID(text string, id uint64) bool {
	number, err := strconv.ParseUint(strings.TrimPrefix(text, "id-"), 16, 64)
	return err == nil && number == id
}

// Restore makes the cluster go on from a snapshot, or from the data of one unit. It puts that on
// record and ends. The units carry it out; until the new data serves, it can be cancelled.
func Restore(params map[string]any, m Model, w World) ([]Step, Result, error) {
	want, err := restoreParams(params)
	if err != nil {
		return nil, Result{}, err
	}
	l := lookAt(Event{}, m, w)
	const what = "nothing is restored"
	switch {
	case l.role() == RoleProxy:
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	case !m.Cluster.OK:
		return nil, Result{Failed: refusal(what, l.unknown(peersUnknown, "no operation begins"))}, nil
	}
	want.snapshot = w.Kept.nameOf(want.snapshot)
	if want.source == "" { // the name of a kept snapshot begins with its unit
		want.source = cmp.Or(l.unitOfSnapshot(want.snapshot), m.Unit)
	}
	if want.dryRun {
		steps, result := l.tryRestore(want)
		return steps, result, nil
	}
	o := l.newOperation(restoring, want.name, ordered(slices.Concat(l.holders(), []string{want.source}, want.without)), want.without)
	o.Source, o.Snapshot, o.Before, o.Unverified = want.source, want.snapshot, want.before, want.unverified
	o.Token, o.Seen = digest(o.ID, m.UUID, strconv.FormatInt(w.Now, 10))[:16], l.highestRevision()
	if want.dataDir {
		o.Snapshot = dataDir
		if id := l.dataOf(want.source); id != 0 {
			o.Target = hexID(id)
		}
	}
	if why := l.mayRestore(o, want); !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	return []Step{l.lookAgain(o)}, l.begin(o, "once "+want.source+" has prepared the new data"), nil
}

// dataOf is the cluster of a unit's data, as far as it is known; 0 is none.
func (l look) dataOf(unit string) uint64 {
	switch {
	case unit != l.m.Unit:
		return l.m.Cluster.Value.Words[unit].ClusterID
	case l.w.Data.State == OurData:
		return l.w.Data.ClusterID
	}
	return 0
}

// begin is the answer of an action that has put an operation on record that replaces the data.
func (l look) begin(o Operation, when string) Result {
	record := l.m.Cluster.Value.Record
	record.Operation = o
	takes := taking(o)
	text := fold("", fmt.Sprintf("%s is on record: %s stop their etcd %s, then %s serves it and the others join", o.ID, strings.Join(takes, ", "), when, o.Source), 0)
	text += fold("", leasesBack, 0)
	text += fmt.Sprintf("until it serves, cancel it: juju run %s/leader operation cancel=%s\n", l.m.App, o.ID)
	text += fmt.Sprintf("follow it: juju run %s/leader operation\n", l.m.App)
	values := map[string]any{"operation": o.ID, "units": strings.Join(takes, ","), "source": o.Source}
	return Result{Bags: []BagWrite{l.writeRecord(record)}, Text: text, Values: values}
}

// mayRestore says why the restore cannot begin.
func (l look) mayRestore(o Operation, want wish) Reason {
	id := l.givenUp()
	elsewhere := because(operationBegun, l.m.App, l.command(want, l.m.App+"/leader", l.confirms(), false))
	if why := l.mayOperate(elsewhere); !why.none() {
		return why
	}
	all := ordered(slices.Collect(maps.Keys(l.m.Units.Value)))
	for _, unit := range append([]string{o.Source}, o.Without...) {
		if !slices.Contains(all, unit) {
			return because(noSuchUnit, unit, l.m.App, few(all))
		}
	}
	switch {
	case !l.stays(o.Source):
		return because(sourceLeaves, o.Source)
	case want.dataDir && o.Target == "":
		return because(dataMissing, o.Source)
	case want.dataDir && o.NewCluster() == id:
		return because(clusterStays, hexID(id))
	case slices.Contains(o.Without, o.Source):
		return because(operationSource, o.Source, o.ID)
	}
	if o.Source == l.m.Unit && !want.dataDir && !strings.HasPrefix(want.snapshot, "/") && l.keptAs(want).Name == "" {
		return because(snapshotMissing, want.named())
	}
	if why := l.mayGo(o, o.Without); !why.none() {
		return why
	}
	if why := l.mayTake(o, taking(o)); !why.none() {
		return why
	}
	if id != 0 && !isID(want.confirm, id) {
		return because(replacedDiffers, hexID(id))
	}
	return Reason{}
}

// keptAs is the kept snapshot that is asked for; the zero value is none.
func (l look) keptAs(want wish) Snapshot {
	if want.snapshot == latest {
		return newest(l.w.Kept.Snapshots, want.before)
	}
	for _, s := range l.w.Kept.Snapshots {
		if s.Name == want.snapshot && s.Error == "" {
			return s
		}
	}
	return Snapshot{}
}

// tryRestore says what a restore would do, on the unit that has the snapshot. A file that is not a
// kept snapshot is read first, by long work.
func (l look) tryRestore(want wish) ([]Step, Result) {
	const what = "nothing is shown"
	if want.source != l.m.Unit {
		elsewhere := because(sourceElsewhere, want.source, l.command(want, want.source, "", true))
		return nil, Result{Failed: refusal(what, elsewhere)}
	}
	command := l.command(want, l.m.App+"/leader", l.confirms(), false)
	deed := restoreIt(command)
	switch {
	case want.dataDir && l.dataOf(l.m.Unit) == 0:
		return nil, Result{Failed: refusal(what, because(dataMissing, l.m.Unit))}
	case want.dataDir:
		id := hexID(l.dataOf(l.m.Unit))
		text := fold("", "the data here is of cluster "+id+", which would be the application's; "+l.loses(0), 0) + deed
		return nil, Result{Text: text, Values: map[string]any{"cluster-id": id, "command": command}}
	case strings.HasPrefix(want.snapshot, "/"):
		return l.readForeign(want, command)
	}
	s := l.keptAs(want)
	if s.Name == "" {
		return nil, Result{Failed: refusal(what, because(snapshotMissing, want.named()))}
	}
	taken := moment(s.Taken)
	text := grid([][]string{
		{"SNAPSHOT", "TAKEN", "REVISION", "KEYS", "BYTES"},
		{s.Name, taken, strconv.FormatInt(s.Revision, 10), strconv.FormatInt(s.Keys, 10), strconv.FormatInt(s.Size, 10)},
	})
	text = strings.TrimPrefix(text, "\n") + "\n" + fold("", s.holds(), 0) + fold("", l.loses(s.Revision)+"; "+leasesBack, 0) + deed
	values := map[string]any{
		"snapshot": s.Name, "taken": taken, "revision": strconv.FormatInt(s.Revision, 10), "keys": strconv.FormatInt(s.Keys, 10),
		"bytes": strconv.FormatInt(s.Size, 10), "command": command,
	}
	s.Users.tell(values)
	return nil, Result{Text: text, Values: values}
}

// restoreIt is the last line of a dry run. It is not folded: whoever copies it needs it whole.
func restoreIt(command string) string { return "restore it: " + command + "\n" }

// holds says whom the snapshot lets in, and what becomes of that.
func (s Snapshot) holds() string {
	text := "it holds " + s.Users.String()
	switch {
	case !s.Users.Known:
		return s.Users.String() + ": action verify-snapshot reads them"
	case s.Users.Auth:
		text += " in it, and off once it is restored"
	}
	return text
}

// String says who they are, in words.
func (u Users) String() string {
	text := fmt.Sprintf("%d users", u.Count)
	if u.Count == 1 {
		text = "1 user"
	}
	switch more := u.Count - len(u.Names); {
	case !u.Known:
		return "users not known"
	case u.Count == 0:
		text = "no users"
	case more > 0:
		text += fmt.Sprintf(": %s and %d more", strings.Join(u.Names, ", "), more)
	default:
		text += ": " + strings.Join(u.Names, ", ")
	}
	if u.Auth {
		return plain(text) + "; authentication is on"
	}
	return plain(text) + "; authentication is off"
}

func (u Users) tell(values map[string]any) {
	if !u.Known {
		values["users"] = "not known"
		return
	}
	values["users"], values["authentication"] = strconv.Itoa(u.Count), yes(u.Auth)
	if len(u.Names) > 0 {
		values["user-names"] = plain(strings.Join(u.Names, ","))
	}
}

// named is the snapshot that is wished for, in words.
func (want wish) named() string {
	switch {
	case want.before != 0:
		return "from before " + moment(want.before)
	case want.snapshot == latest:
		return "to restore"
	}
	return want.snapshot
}

// loses says what is lost of what the members have by now, if the data goes back to a revision; 0 is not known.
func (l look) loses(revision int64) string {
	seen := l.highestRevision()
	switch {
	case l.givenUp() == 0:
		return "no cluster is given up for it"
	case revision == 0 || seen == 0:
		return "what is written to cluster " + l.confirms() + " alone is lost"
	case seen <= revision:
		return "nothing is known to be lost"
	case seen == revision+1:
		return fmt.Sprintf("revision %d is lost, and what is written until it begins", seen)
	}
	return fmt.Sprintf("%d revisions are lost: from %d to %d, and what is written until it begins", seen-revision, revision+1, seen)
}

// An action waits for work of less than slowRead. What work of more than that found is shown to a
// repeated action, for as long as freshRead.
const (
	slowRead  = 60  // seconds
	freshRead = 600 // seconds
)

// readForeign has a file read, and shows what it holds.
func (l look) readForeign(want wish, command string) ([]Step, Result) {
	request := WorkRequest{
		ID: l.workID("verify"), Kind: VerifySnapshot, Snapshot: want.snapshot, Unverified: want.unverified,
	}
	steps := beginAndAwait(request)
	for _, work := range slices.Backward(l.w.Work) {
		if work.Kind != request.Kind || work.Snapshot != request.Snapshot || work.Unverified != request.Unverified {
			continue
		}
		if work.State == WorkRuns {
			steps, request.ID = []Step{AwaitWork{ID: work.ID}}, work.ID
		} else if work.Ended-work.Began >= slowRead && l.w.Now-work.Ended < freshRead {
			steps, request.ID = nil, work.ID
		}
		break
	}
	show := func(w World) Result {
		out := worked(*l.m, w, request.ID)
		switch {
		case out.Failed != "":
			why := strings.TrimPrefix(lookAt(Event{}, *l.m, w).work(request.ID).Error, want.snapshot)
			out.Failed = because(snapshotUnfit, want.snapshot, strings.TrimLeft(why, ": ")).String()
		case out.Values["state"] == string(WorkRuns):
			out.Text += "ask again: " + l.command(want, l.m.Unit, "", true) + "\n"
		default:
			out.Text += fold("", l.loses(0)+"; "+leasesBack, 0) + restoreIt(command)
			out.Values["command"] = command
		}
		return out
	}
	if steps == nil {
		return nil, show(*l.w)
	}
	return steps, Result{Finish: show}
}

// boolParam is a parameter that may be missing; else it is true or false.
func boolParam(params map[string]any, name string) (bool, error) {
	switch v := params[name].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string: // --string-args
		if v == "true" || v == "false" {
			return v == "true", nil
		}
	}
	return false, fmt.Errorf("cannot use parameter %q: it wants true or false", name)
}
