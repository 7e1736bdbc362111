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
const leasesBack = "leases come back with their full time, even those expired since; watches start again"

// dataRequest is what an operator asks of restore or recover.
type dataRequest struct {
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
func restoreParams(params map[string]any) (dataRequest, error) {
	want := dataRequest{name: "restore"}
	if err := onlyParams(params, "snapshot", "before", "from",
		"source", "unverified", "without", "confirm", "dry-run"); err != nil {
		return want, err
	}
	var before, from string
	for name, at := range map[string]*string{
		"snapshot": &want.snapshot, "before": &before, "from": &from,
		"source": &want.source, "confirm": &want.confirm,
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
func (want *dataRequest) settle(before, from string) error {
	switch {
	case from != "" && from != dataDir:
		return fmt.Errorf("cannot use parameter %q: it must be %q", "from", dataDir)
	case want.dataDir && (want.snapshot != "" || before != "" || want.unverified):
		return fmt.Errorf("cannot use parameter %q together with a snapshot", "from")
	case want.dataDir:
		return nil
	case before != "" && want.snapshot != "" && want.snapshot != latest:
		return fmt.Errorf("cannot use parameter %q together with a snapshot that has a name", "before")
	case before != "":
		at, err := time.Parse(time.RFC3339, before)
		if err != nil || at.Unix() <= 0 {
			return fmt.Errorf(
				"cannot use parameter %q: it must be a time such as 2026-01-31T23:59:00Z", "before")
		}
		want.snapshot, want.before = latest, at.Unix()
	case want.snapshot == "":
		return fmt.Errorf("missing parameter: one of %q, %q and %q is needed",
			"snapshot", "before", "from")
	case len(want.snapshot) > 4096 || singleLine(want.snapshot) != want.snapshot:
		return fmt.Errorf("cannot use parameter %q: it is neither a name nor a path", "snapshot")
	}
	return nil
}

// command is the command that does what was asked, on that unit, with what is known so far.
func (v view) command(want dataRequest, unit, confirm string, dryRun bool) string {
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
	if strings.Trim(word,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+@%=,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// givenUp is the cluster whose data would be given up; 0 is none.
func (v view) givenUp() uint64 {
	record := v.m.Cluster.Value.AppBag
	if record.ClusterID == record.Ended {
		return 0
	}
	return record.ClusterID
}

// confirms is the ID with which to confirm what is given up; "" means that nothing is.
func (v view) confirms() string { return idText(v.givenUp()) }

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
	v := newView(Event{}, m, w)
	const what = "nothing is restored"
	switch {
	case v.role() == RoleProxy:
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	case !m.Cluster.OK:
		return nil, Result{Failed: refusal(what, v.unknown(peersUnknown, "no operation begins"))}, nil
	}
	want.snapshot = w.Kept.nameOf(want.snapshot)
	if want.source == "" { // the name of a kept snapshot begins with its unit
		want.source = cmp.Or(v.unitOfSnapshot(want.snapshot), m.Unit)
	}
	if want.dryRun {
		steps, result := v.tryRestore(want)
		return steps, result, nil
	}
	o := v.newOperation(restoring, want.name,
		ordered(slices.Concat(v.dataHolders(), []string{want.source}, want.without)), want.without)
	o.Source, o.Snapshot, o.Before, o.Unverified =
		want.source, want.snapshot, want.before, want.unverified
	o.Token, o.Seen = digest(o.ID, m.UUID, strconv.FormatInt(w.Now, 10))[:16], v.highestRevision()
	if want.dataDir {
		o.Snapshot = dataDir
		if id := v.dataOf(want.source); id != 0 {
			o.Target = hexID(id)
		}
	}
	if why := v.mayRestore(o, want); !why.none() {
		return nil, Result{Failed: refusal(what, why)}, nil
	}
	return []Step{v.lookAgain(o)}, v.begin(o, "once "+want.source+" has prepared the new data"), nil
}

// dataOf is the cluster of a unit's data, as far as it is known; 0 is none.
func (v view) dataOf(unit string) uint64 {
	switch {
	case unit != v.m.Unit:
		return v.m.Cluster.Value.UnitBags[unit].ClusterID
	case v.w.Data.State == OurData:
		return v.w.Data.ClusterID
	}
	return 0
}

// begin is the answer of an action that has put an operation on record that replaces the data.
func (v view) begin(o Operation, when string) Result {
	record := v.m.Cluster.Value.AppBag
	record.Operation = o
	takes := taking(o)
	stop := "stop their etcd"
	if len(takes) == 1 {
		stop = "stops its etcd"
	}
	text := fold("", fmt.Sprintf("%s is on record: %s %s %s, then %s serves it and the others join",
		o.ID, strings.Join(takes, ", "), stop, when, o.Source), 0)
	text += fold("", leasesBack, 0)
	text += fmt.Sprintf("until it serves, cancel it: juju run %s/leader operation cancel=%s\n",
		v.m.App, o.ID)
	text += fmt.Sprintf("follow it: juju run %s/leader operation\n", v.m.App)
	values := map[string]any{"operation": o.ID, "units": strings.Join(takes, ","), "source": o.Source}
	return Result{Bags: []BagWrite{v.writeRecord(record)}, Text: text, Values: values}
}

// mayRestore says why the restore cannot begin.
func (v view) mayRestore(o Operation, want dataRequest) Reason {
	id := v.givenUp()
	elsewhere := because(operationBegun, v.m.App,
		v.command(want, v.m.App+"/leader", v.confirms(), false))
	if why := v.mayOperate(elsewhere); !why.none() {
		return why
	}
	all := ordered(slices.Collect(maps.Keys(v.m.Units.Value)))
	for _, unit := range append([]string{o.Source}, o.Without...) {
		if !slices.Contains(all, unit) {
			return because(noSuchUnit, unit, v.m.App, firstThree(all))
		}
	}
	switch {
	case !v.stays(o.Source):
		return because(sourceLeaves, o.Source)
	case want.dataDir && o.Target == "":
		return because(dataMissing, o.Source)
	case want.dataDir && o.NewCluster() == id:
		return because(clusterStays, hexID(id))
	case slices.Contains(o.Without, o.Source):
		return because(operationSource, o.Source, o.ID)
	}
	if o.Source == v.m.Unit && !want.dataDir && !strings.HasPrefix(want.snapshot, "/") &&
		v.keptAs(want).Name == "" {
		return because(snapshotMissing, want.named())
	}
	if why := v.mayGo(o, o.Without); !why.none() {
		return why
	}
	if why := v.mayTake(o, taking(o)); !why.none() {
		return why
	}
	if id != 0 && !isID(want.confirm, id) {
		return because(replacedDiffers, hexID(id))
	}
	return Reason{}
}

// keptAs is the kept snapshot that is asked for; the zero value is none.
func (v view) keptAs(want dataRequest) Snapshot {
	if want.snapshot == latest {
		return newest(v.w.Kept.Snapshots, want.before)
	}
	for _, s := range v.w.Kept.Snapshots {
		if s.Name == want.snapshot && s.Error == "" {
			return s
		}
	}
	return Snapshot{}
}

// tryRestore says what a restore would do, on the unit that has the snapshot. A file that is not a
// kept snapshot is read first, by long work.
func (v view) tryRestore(want dataRequest) ([]Step, Result) {
	const what = "nothing is shown"
	if want.source != v.m.Unit {
		elsewhere := because(sourceElsewhere, want.source, v.command(want, want.source, "", true))
		return nil, Result{Failed: refusal(what, elsewhere)}
	}
	command := v.command(want, v.m.App+"/leader", v.confirms(), false)
	lines := restoreIt(command)
	switch {
	case want.dataDir && v.dataOf(v.m.Unit) == 0:
		return nil, Result{Failed: refusal(what, because(dataMissing, v.m.Unit))}
	case want.dataDir:
		id := hexID(v.dataOf(v.m.Unit))
		text := fold("", "the data here belongs to cluster "+id+
			", which would become the application's; "+v.loses(0), 0) + lines
		return nil, Result{Text: text, Values: map[string]any{"cluster-id": id, "command": command}}
	case strings.HasPrefix(want.snapshot, "/"):
		return v.readForeign(want, command)
	}
	s := v.keptAs(want)
	if s.Name == "" {
		return nil, Result{Failed: refusal(what, because(snapshotMissing, want.named()))}
	}
	taken := moment(s.Taken)
	text := grid([][]string{
		{"SNAPSHOT", "TAKEN", "REVISION", "KEYS", "BYTES"},
		{
			s.Name, taken, strconv.FormatInt(s.Revision, 10),
			strconv.FormatInt(s.Keys, 10), strconv.FormatInt(s.Size, 10),
		},
	})
	text = strings.TrimPrefix(text, "\n") + "\n" + fold("", s.holds(), 0) +
		fold("", v.loses(s.Revision)+"; "+leasesBack, 0) + lines
	values := map[string]any{
		"snapshot": s.Name, "taken": taken, "revision": strconv.FormatInt(s.Revision, 10),
		"keys": strconv.FormatInt(s.Keys, 10), "bytes": strconv.FormatInt(s.Size, 10),
		"command": command,
	}
	s.Users.tell(values)
	return nil, Result{Text: text, Values: values}
}

// restoreIt is the last line of a dry run. It is not folded, so that it can be copied whole.
func restoreIt(command string) string { return "restore it: " + command + "\n" }

// holds says which users the snapshot lets in, and whether that stays so.
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

// String names the users, in words.
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
		return singleLine(text) + "; authentication is on"
	}
	return singleLine(text) + "; authentication is off"
}

func (u Users) tell(values map[string]any) {
	if !u.Known {
		values["users"] = "not known"
		return
	}
	values["users"], values["authentication"] = strconv.Itoa(u.Count), yesNo(u.Auth)
	if len(u.Names) > 0 {
		values["user-names"] = singleLine(strings.Join(u.Names, ","))
	}
}

// named is the snapshot that is wished for, in words.
func (want dataRequest) named() string {
	switch {
	case want.before != 0:
		return "from before " + moment(want.before)
	case want.snapshot == latest:
		return "to restore"
	}
	return want.snapshot
}

// loses says what is lost of the members' present data if the data goes back to a revision; 0 is
// not known.
func (v view) loses(revision int64) string {
	seen := v.highestRevision()
	switch {
	case v.givenUp() == 0:
		return "no cluster is given up for it"
	case revision == 0 || seen == 0:
		return "what was written only to cluster " + v.confirms() + " is lost"
	case seen <= revision:
		return "nothing is known to be lost"
	case seen == revision+1:
		return fmt.Sprintf("revision %d is lost, and what is written until the restore begins", seen)
	}
	return fmt.Sprintf(
		"%d revisions are lost: from %d to %d, and what is written until the restore begins",
		seen-revision, revision+1, seen)
}

// An action waits for work that takes less than slowRead. The result of longer work is shown to a
// repeated action, for as long as freshRead.
const (
	slowRead  = 60  // seconds
	freshRead = 600 // seconds
)

// readForeign has a file read, and shows what it holds.
func (v view) readForeign(want dataRequest, command string) ([]Step, Result) {
	request := WorkRequest{
		ID: v.workID("verify"), Kind: VerifySnapshot,
		Snapshot: want.snapshot, Unverified: want.unverified,
	}
	steps := beginAndAwait(request)
	for _, work := range slices.Backward(v.w.Work) {
		if work.Kind != request.Kind || work.Snapshot != request.Snapshot ||
			work.Unverified != request.Unverified {
			continue
		}
		if work.State == WorkRuns {
			steps, request.ID = []Step{AwaitWork{ID: work.ID}}, work.ID
		} else if work.Ended-work.Began >= slowRead && v.w.Now-work.Ended < freshRead {
			steps, request.ID = nil, work.ID
		}
		break
	}
	show := func(w World) Result {
		out := workResult(*v.m, w, request.ID)
		switch {
		case out.Failed != "":
			why := strings.TrimPrefix(newView(Event{}, *v.m, w).work(request.ID).Error, want.snapshot)
			out.Failed = because(snapshotUnfit, want.snapshot, strings.TrimLeft(why, ": ")).String()
		case out.Values["state"] == string(WorkRuns):
			out.Text += "run it again: " + v.command(want, v.m.Unit, "", true) + "\n"
		default:
			out.Text += fold("", v.loses(0)+"; "+leasesBack, 0) + restoreIt(command)
			out.Values["command"] = command
		}
		return out
	}
	if steps == nil {
		return nil, show(*v.w)
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
	return false, fmt.Errorf("cannot use parameter %q: it must be true or false", name)
}
