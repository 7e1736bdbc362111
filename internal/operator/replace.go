package operator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// Restore and recover put other data in the place of the cluster's. This file is a unit's part in
// that. What a unit does follows from the record alone, so it survives the failure of any hook.

const (
	operationStopsUs = "an operation has the cluster stopped"
	dataWasReplaced  = "its data was replaced"
	operationOver    = "its operation is over"
)

// dataDir in an operation's Snapshot means that the data of its source becomes the cluster's.
const dataDir = "data-dir"

// isReplaced reports whether data of that cluster was replaced, and so never serves again.
func (l look) isReplaced(id uint64) bool {
	return slices.Contains(l.m.Cluster.Value.Record.Replaced, id)
}

// isTarget reports whether the operation on record will make the cluster of our data the
// application's.
func (l look) isTarget() bool {
	o := l.operation()
	return replaces(o) && l.w.Data.State == OurData && l.w.Data.ClusterID == o.NewCluster()
}

// awaitsData reports whether nothing is founded or joined because the cluster is about to have
// other data. It does not wait if the source, or a unit that holds the present data, is leaving:
// the leave may wait for a new member, and a leader whose hook fails does not move the operation.
func (l look) awaitsData() bool {
	o := l.operation()
	leaves := func(unit string) bool { return !l.stays(unit) }
	return replaces(o) && (!l.m.Units.OK || l.stays(o.Source) && !slices.ContainsFunc(l.holders(), leaves))
}

// halted reports whether our server must not run because an operation has the cluster stopped. A
// unit that is no participant but has data stops too.
func (l look) halted() bool {
	o := l.operation()
	concerned := o.Takes(l.m.Unit) || l.w.Data.State != NoData
	return l.m.Cluster.OK && stops(o) && concerned && !l.isTarget()
}

// leavesHalted reports whether a unit that leaves just stops, because other units carry on an
// operation that replaces the data. Either the operation has the cluster stopped, or there is no
// quorum and a hook that fails sees no newer record. A unit that stopped for this reason does not
// start again: the others may have gone on since.
func (l look) leavesHalted() bool {
	o := l.operation()
	other := func(unit string) bool {
		_, there := l.m.Units.Value[unit]
		return there && unit != l.m.Unit && !slices.Contains(o.Without, unit)
	}
	goes := replaces(o) && (stops(o) || l.w.Reach != Healthy) && !l.isTarget() && !l.alone()
	return goes && slices.ContainsFunc(l.takers(), other)
}

// halt stops our server for as long as an operation has the cluster stopped, and prepares the new data on its source.
func (l look) halt(p *Plan) {
	if l.stopFor(p, operationStopsUs); p.Step == nil {
		l.prepare(p)
	}
}

// replacing is how far our unit is with an operation that replaces the data, and what it says of it.
func (l look) replacing() (state, said string) {
	o := l.operation()
	source := o.Source == l.m.Unit && o.Snapshot != dataDir
	if why := l.unprepared(); source && replaces(o) && why != "" {
		return unable, clip(plain(why), etcdcluster.MaxSaid)
	}
	made, isMade := l.made()
	if source && isMade {
		said = clip(fmt.Sprintf("%x", made.ClusterID)+l.notKept(), etcdcluster.MaxSaid)
	}
	data := l.w.Data
	switch {
	case passed(o) && data.State == OurData && data.ClusterID == o.NewCluster() && l.w.Local.Ready && l.inCluster():
		return finished, ""
	case source && isMade && o.Phase == toPrepare && (!stops(o) || l.still()):
		return prepared, said
	case stops(o) && (l.isTarget() || l.still()):
		return stopped, said
	}
	return answered, ""
}

// still reports whether our server is down and, for a recovery, whether what its log holds is
// known.
func (l look) still() bool {
	return !l.w.Service.up() && (l.operation().Kind != recovering || l.w.Data.State != OurData || l.w.Log != LogState{})
}

// work is our long work of that ID; the zero value is none.
func (l look) work(id string) Work {
	for _, work := range l.w.Work {
		if work.ID == id {
			return work
		}
	}
	return Work{}
}

// made is what was prepared for the operation on record.
func (l look) made() (Prepared, bool) {
	o := l.operation()
	for _, made := range l.w.Prepared {
		if made.ID == o.ID && (o.Target == "" || made.ClusterID == o.NewCluster()) {
			return made, true
		}
	}
	return Prepared{}, false
}

// unprepared says why the source has no new data and will have none; "" means that it has, or may
// still get it.
func (l look) unprepared() string {
	o := l.operation()
	_, isMade := l.made()
	switch work := l.work(o.ID); {
	case isMade, work.State == WorkRuns:
		return ""
	case work.State == WorkFailed:
		return work.Error
	case work.State == WorkDone, o.Target != "":
		return "what was prepared is gone"
	case o.Phase == toPrepare && o.Kind == restoring && l.snapshotOf(o) == "":
		return "there is no such snapshot here"
	}
	return ""
}

// snapshotOf is the name of the operation's snapshot; "" is that there is none. "latest" stands for
// the newest good one or, with Before, the newest good one from before that time.
func (l look) snapshotOf(o Operation) string {
	if o.Snapshot != latest {
		return l.w.Kept.nameOf(o.Snapshot)
	}
	return newest(l.w.Kept.Snapshots, o.Before).Name
}

// latest in an operation's Snapshot means the newest good one that is kept.
const latest = "latest"

// newest is the newest good snapshot taken before that time; 0 is any time, the zero value is none.
// The newest is the last of the list, whatever the clock said. Snapshots of a state that a restore
// replaced do not count: a second attempt at a restore would bring that state back.
func newest(snapshots []Snapshot, before int64) Snapshot {
	for _, s := range slices.Backward(snapshots) {
		if s.Error == "" && s.Why != beforeRestore && (before == 0 || s.Taken < before) {
			return s
		}
	}
	return Snapshot{}
}

// beforeRestore is why a snapshot is kept apart: it was taken of the state that a restore was about
// to replace.
const beforeRestore = "before-restore"

// beforeID is the ID of the work that takes a snapshot of what an operation is about to replace.
func beforeID(o Operation) string { return o.ID + "-before" }

// prepare makes the source prepare the new data by long work, while the cluster goes on if it can.
func (l look) prepare(p *Plan) {
	o := l.operation()
	if !replaces(o) || o.Phase != toPrepare || o.Source != l.m.Unit || o.Target != "" || l.leaving() {
		return
	}
	if _, isMade := l.made(); isMade || l.unprepared() != "" || l.work(o.ID).State != "" {
		return
	}
	if before := l.work(beforeID(o)); before.State == WorkRuns {
		return
	} else if before.State == "" && l.keepable() == "" && o.Kind == restoring {
		why := WorkRequest{ID: beforeID(o), Kind: TakeSnapshot, Why: beforeRestore, Snapshot: l.snapshotOf(o)}
		if p.want(l, StartWork{why}) {
			return
		}
	}
	request := WorkRequest{
		ID: o.ID, Kind: PrepareRestore, Snapshot: l.snapshotOf(o), Unverified: o.Unverified, Name: l.should.Name,
		PeerURL: l.should.PeerURL, Token: o.Token, Seen: max(o.Seen, l.highestRevision()),
	}
	if o.Kind == recovering {
		request.Kind, request.Snapshot = PrepareRecover, ""
	}
	if l.addressed() {
		p.want(l, StartWork{request})
	}
}

// keepable says why no snapshot can be taken of the present state before it is replaced; "" means
// that it can.
func (l look) keepable() string {
	own, listed := l.self()
	if !l.inCluster() || !listed || own.Learner || !l.w.Local.Ready {
		return "no quorum answers"
	}
	kept, used := l.w.Kept, int64(0)
	for _, s := range kept.Snapshots {
		used += s.Stored
	}
	for _, a := range kept.Aside {
		used += a.Bytes
	}
	if used+own.DBSize > kept.Space || own.DBSize > kept.Free {
		return "there is no room"
	}
	return ""
}

// notKept says that no snapshot was taken of what is replaced, and why; "" means that one was
// taken.
func (l look) notKept() string {
	o := l.operation()
	taken := func(s Snapshot) bool { return s.Work == beforeID(o) && s.Error == "" } // its work may be forgotten
	if o.Kind != restoring || slices.ContainsFunc(l.w.Kept.Snapshots, taken) {
		return ""
	}
	switch before := l.work(beforeID(o)); before.State {
	case WorkDone:
		return ""
	case WorkFailed:
		return " (none was taken of what it replaces: " + plain(before.Error) + ")"
	}
	return " (none was taken of what it replaces)"
}

// highestRevision is the highest revision of the key space that this unit knows of.
func (l look) highestRevision() int64 {
	out := max(l.m.Memory.Value.Seen.Revision, l.w.Local.Revision, l.w.Log.Revision)
	for _, mem := range l.w.Members {
		out = max(out, mem.Revision)
	}
	for _, word := range l.m.Cluster.Value.Words {
		out = max(out, word.Log.Revision)
	}
	return out
}

// unserved is data that was prepared here and that, by the record, is now the application's
// cluster, but was never served. If another unit has that cluster already, or this unit once had
// it, this data is not served: it would be a member that has forgotten everything.
func (l look) unserved() (Prepared, bool) {
	id := l.m.Cluster.Value.Record.ClusterID
	if !l.unborn() || !l.m.Memory.OK {
		return Prepared{}, false
	}
	for _, made := range l.w.Prepared {
		if made.ClusterID == id && l.m.Memory.Value.Seen.ClusterID != id {
			return made, true
		}
	}
	return Prepared{}, false
}

// unborn reports whether no unit is known to hold data of the cluster on record, or to serve it.
func (l look) unborn() bool {
	record := l.m.Cluster.Value.Record
	id := record.ClusterID
	if !l.m.Cluster.OK || id == 0 || id == record.Ended || l.w.ClusterID == id || l.w.Data.State == OurData && l.w.Data.ClusterID == id {
		return false
	}
	for _, word := range l.m.Cluster.Value.Words {
		if word.ClusterID == id {
			return false
		}
	}
	return true
}

// serveNew puts the prepared data into the place of our data. It reports whether there is such data
// to serve.
func (l look) serveNew(p *Plan) bool {
	made, due := l.unserved()
	if state := l.w.Data.State; !due || state == AlienData || state == ForeignData {
		return false
	}
	if l.stopFor(p, operationStopsUs); p.Step == nil && !l.w.Service.up() {
		p.want(l, ServePrepared{made.ID})
	}
	return true
}

// giveUpReplaced keeps replaced data from being served. The server is stopped at once. The data is
// moved aside once the cluster that took its place answers with a quorum, however many voters the
// replaced one has.
func (l look) giveUpReplaced(p *Plan) {
	named := l.named()
	switch {
	case l.w.Service.up():
		p.want(l, Stop{dataWasReplaced})
	case l.w.Reach == Healthy && l.w.ClusterID == named:
		p.want(l, MoveAside{dataWasReplaced})
	default:
		p.say(because(dataGivenUp, hexID(l.w.Data.ClusterID), hexID(named)))
	}
}

// leftovers ends work and drops data that an operation began and no longer needs.
func leftovers(l look, p *Plan) {
	if !l.m.Cluster.OK {
		return
	}
	o, record := l.operation(), l.m.Cluster.Value.Record
	goes := o.Going() && !l.leaving() && (!knows(o) || !passed(o))
	needed := func(id string) bool { return goes && strings.TrimSuffix(id, "-before") == o.ID }
	for _, work := range l.w.Work {
		ours := work.Kind == PrepareRestore || work.Kind == PrepareRecover || strings.HasSuffix(work.ID, "-before")
		if ours && work.State == WorkRuns && !needed(work.ID) {
			p.want(l, EndWork{work.ID, operationOver})
			return
		}
	}
	if l.leaving() {
		return // it may be the application's data now, and a unit that leaves may not know that
	}
	for _, made := range l.w.Prepared {
		isOurs := l.w.Data.State == OurData && l.w.Data.ClusterID == made.ClusterID
		// To be served, whatever became of the operation.
		waits := made.ClusterID == record.ClusterID && !isOurs
		if !needed(made.ID) && !waits {
			p.want(l, DropPrepared{made.ID})
			return
		}
	}
}
