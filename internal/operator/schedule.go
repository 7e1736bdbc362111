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

// schedule has our member's snapshots taken by a timer of the machine, not in a hook.
func schedule(v view, p *Plan) {
	if v.role() != RoleMember || v.leaving() || v.w.Installed != v.w.Carried ||
		!v.usable() || !v.w.Service.Running || !v.inCluster() {
		return
	}
	if _, listed := v.self(); !listed {
		return
	}
	if want := v.schedule(); v.w.Schedule != want {
		p.want(v, WriteSchedule{want})
	}
}

// schedule is how snapshots should be taken here.
func (v view) schedule() Schedule {
	c := v.m.Config
	return Schedule{
		Interval: c.SnapshotSeconds, Keep: c.SnapshotKeep, Space: c.KeepBytes, Wanted: v.wanted(),
	}
}

// wanted is the snapshot kept here that the operation on record is to restore; "" is none. The work
// that restores it names it too, but may begin long after, because all units have to answer first.
func (v view) wanted() string {
	o := v.operation()
	if !replaces(o) || o.Kind != restoring || o.Source != v.m.Unit {
		return ""
	}
	name := v.snapshotOf(o)
	for _, s := range v.w.Kept.Snapshots {
		if s.Name == name && s.Error == "" {
			return name
		}
	}
	return ""
}

// seconds is a time in words: "6h", "1m30s".
func seconds(n int64) string {
	text := (time.Duration(n) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// streams reports whether work reads our member's database from it: later it reads its own copy.
func (w Work) streams() bool {
	return w.Kind == TakeSnapshot && w.State == WorkRuns && !strings.HasPrefix(w.Progress, "check") &&
		!strings.HasPrefix(w.Progress, "compress")
}

// first is the step that has to come before a step. There is one upkeep at a time on a member, and
// a snapshot gives way. bbolt does not close its file before all its readers are gone, so a
// defragmentation, or a server that ends, would have to wait until the snapshot is read.
func (v view) first(s Step) Step {
	switch s.(type) {
	case Restart, Stop, Uninstall, Defrag:
	default:
		return s
	}
	for _, w := range v.w.Work {
		end := EndWork{w.ID, "it gives way to: " + s.String()}
		if tried, _ := v.tried(end); w.streams() && !tried {
			return end
		}
	}
	return s
}

// beforeUpgrade is why a snapshot is kept apart: it was taken before an upgrade of the server.
const beforeUpgrade = "before-upgrade"

// saved has a snapshot taken before the first member restarts with another server, and reports
// whether the restart waits for it. The restart waits only in the hook that began the snapshot. No
// snapshot is taken while a unit has the turn.
func (v view) saved(p *Plan) bool {
	server := func(release string) string { return cmp.Or(ServerID(release), release) }
	if v.refusingAlarm() != "" || !v.w.Turn.Known || v.w.Turn.Holder != "" ||
		server(v.w.Service.Release) == server(v.desired.Release) || v.rollBegan() {
		return false
	}
	id := upgradeID(v.w.Carried)
	if slices.ContainsFunc(v.w.Kept.Snapshots, func(s Snapshot) bool { return s.Work == id }) {
		return false
	}
	at := slices.IndexFunc(v.w.Work, func(w Work) bool { return w.ID == id })
	switch {
	case at < 0:
		return p.want(v, StartWork{WorkRequest{ID: id, Kind: TakeSnapshot, Why: beforeUpgrade}})
	case v.w.Work[at].State != WorkRuns || !did[StartWork](v):
		return false
	case !did[AwaitWork](v):
		return p.want(v, AwaitWork{ID: id, Hook: true})
	}
	p.say(because(restartAwaitsSnapshot, string(TakeSnapshot), dash(v.w.Work[at].Progress)))
	return true
}

// upgradeID is the ID of the work that takes a snapshot before the upgrade to a release.
func upgradeID(release string) string { return "upgrade-" + digest(release)[:6] }

// rollBegan reports whether another voter already runs what ours should run: the first such member
// arranged for a snapshot.
func (v view) rollBegan() bool {
	own, _ := v.self()
	return slices.ContainsFunc(v.voters(), func(mem Member) bool {
		name, ok := v.unitOf(mem)
		return ok && mem.ID != own.ID &&
			v.m.Cluster.Value.UnitBags[name].Running == v.desired.Generation()
	})
}

// lastGood is the newest good snapshot of our cluster, and whether there is any.
func (k Kept) lastGood(cluster uint64) (Snapshot, bool) {
	for _, s := range slices.Backward(k.Snapshots) {
		if s.Error == "" && (s.Cluster == cluster || s.Cluster == 0 || cluster == 0) {
			return s, true
		}
	}
	return Snapshot{}, false
}

// newest is the name of the newest good snapshot of any cluster, which is never deleted.
func (k Kept) newest() string {
	s, _ := k.lastGood(0)
	return s.Name
}

// snapshots is the state of this unit's snapshots.
type snapshots struct {
	good    Snapshot // the last
	found   bool     // there is a good one
	age     time.Duration
	overdue bool
	failure string // of the last one that was tried since; "" is none
}

// snapshots judges the kept snapshots by the interval. The next is overdue after two intervals and
// the time that it may have had to wait: one more interval, but at most an hour.
func (v view) snapshots() snapshots {
	var s snapshots
	if s.good, s.found = v.w.Kept.lastGood(v.w.Data.ClusterID); s.found {
		s.age = max(time.Duration(v.w.Now-s.good.Taken)*time.Second, 0) // a clock may have gone back
	}
	for _, w := range v.w.Work {
		if w.Kind == TakeSnapshot && w.Why == "" &&
			w.State == WorkFailed && !strings.HasPrefix(w.Error, EndedWork) &&
			(!s.found || w.Ended > s.good.Taken) {
			s.failure = w.Error
		}
	}
	if kept := v.w.Kept.Snapshots; len(kept) > 0 &&
		kept[len(kept)-1].Why == "" && kept[len(kept)-1].Error != "" {
		s.failure = kept[len(kept)-1].Error
	}
	every := time.Duration(v.m.Config.SnapshotSeconds) * time.Second
	late := 2*every + min(every, time.Hour)
	switch {
	case every == 0:
	case s.found:
		s.overdue = s.age > late
	default:
		s.overdue = v.w.Service.Age > late
	}
	return s
}

// keeping reports what is wrong with what the unit keeps beside its data, and what is worth knowing
// of it.
func (x *examiner) keeping() {
	if x.role() != RoleMember {
		return
	}
	own, listed := x.self()
	s := x.snapshots()
	x.r.kept, x.r.snapshots = x.w.Kept, s
	switch {
	case s.failure != "":
		x.say(because(snapshotFailed, x.m.Unit, s.failure))
	case !listed || own.Learner: // a learner takes none
	case s.overdue && s.found:
		x.say(because(snapshotOld, x.m.Unit, ago(s.age)))
	case s.overdue:
		x.say(because(snapshotNone, x.m.Unit))
	}
	if x.m.Config.SnapshotSeconds == 0 {
		x.say(because(snapshotsOff, "snapshot_interval"))
	}
	for _, a := range x.w.Kept.Aside {
		x.say(because(asideKept, path.Base(a.Path), size(a.Bytes)))
	}
	for _, w := range x.w.Work {
		switch {
		case w.Kind == LookAgain:
		case w.State == WorkRuns:
			x.say(because(workRuns, string(w.Kind), w.howFar(x.w.Now)))
		case w.State == WorkFailed && w.Why != "":
			x.say(because(snapshotMissed, x.m.Unit, w.Why, w.Error))
		}
	}
}

// ago is how long ago something was, in words.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// snapshotLine is this unit's snapshots in words; "" is that there is none.
func (r Report) snapshotLine() string {
	if !r.snapshots.found {
		return ""
	}
	text := fmt.Sprintf("the last is %s old, revision %d; %d kept here",
		ago(r.snapshots.age), r.snapshots.good.Revision, r.kept.good())
	if r.kept.Drilled != 0 {
		text += "; drilled on " + time.Unix(r.kept.Drilled, 0).UTC().Format(time.DateOnly)
	}
	return text
}

// good counts the good ones.
func (k Kept) good() int {
	n := 0
	for _, s := range k.Snapshots {
		if s.Error == "" {
			n++
		}
	}
	return n
}

// used is how much all that is kept takes, in bytes.
func (k Kept) used() int64 {
	var n int64
	for _, s := range k.Snapshots {
		n += s.Stored
	}
	for _, a := range k.Aside {
		n += a.Bytes
	}
	return n
}

// keptValues adds what this unit keeps beside its data.
func (r Report) keptValues(out values) {
	s := values{}
	if r.snapshots.found {
		s["age"] = strconv.Itoa(int(r.snapshots.age / time.Second))
		s["last"], s["revision"] = r.snapshots.good.Name, strconv.FormatInt(r.snapshots.good.Revision, 10)
		s["count"] = strconv.Itoa(r.kept.good())
	}
	s.set("failed", singleLine(r.snapshots.failure))
	if r.kept.Drilled > 0 {
		s["drilled"] = moment(r.kept.Drilled)
	}
	if len(r.kept.Aside) > 0 {
		var bytes int64
		for _, a := range r.kept.Aside {
			bytes += a.Bytes
		}
		s["moved-aside"], s["moved-aside-bytes"] =
			strconv.Itoa(len(r.kept.Aside)), strconv.FormatInt(bytes, 10)
	}
	if len(s) > 0 {
		s["space"], s["used"] = strconv.FormatInt(r.kept.Space, 10), strconv.FormatInt(r.kept.used(), 10)
		out["snapshots"] = map[string]any(s)
	}
}
