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
	operationStopsUs = "an operation has stopped the cluster"
	dataWasReplaced  = "its data was replaced"
	operationOver    = "its operation is over"
)

// dataDir in an operation's Snapshot means that the data of its source becomes the cluster's.
const dataDir = "data-dir"

// isReplaced reports whether data of that cluster was replaced, and so never serves again.
func (v view) isReplaced(id uint64) bool {
	return slices.Contains(v.m.Cluster.Value.AppBag.Replaced, id)
}

// isTarget reports whether the operation on record will make the cluster of our data the
// application's.
func (v view) isTarget() bool {
	o := v.operation()
	return replaces(o) && v.w.Data.State == OurData && v.w.Data.ClusterID == o.NewCluster()
}

// awaitsData reports whether nothing is founded or joined because the cluster is about to have
// other data. It does not wait if the source, or a unit that holds the present data, is leaving:
// the leave may wait for a new member, and a leader whose hook fails does not move the operation.
func (v view) awaitsData() bool {
	o := v.operation()
	leaves := func(unit string) bool { return !v.stays(unit) }
	return replaces(o) && (!v.m.Units.OK ||
		v.stays(o.Source) && !slices.ContainsFunc(v.dataHolders(), leaves))
}

// halted reports whether our server must not run because an operation has stopped the cluster. A
// unit that is no participant but has data stops too.
func (v view) halted() bool {
	o := v.operation()
	concerned := o.Takes(v.m.Unit) || v.w.Data.State != NoData
	return v.m.Cluster.OK && stops(o) && concerned && !v.isTarget()
}

// leavesHalted reports whether a unit that leaves just stops, because other units carry on an
// operation that replaces the data. Either the operation has the cluster stopped, or there is no
// quorum and a hook that fails sees no newer record. A unit that stopped for this reason does not
// start again: the others may have gone on since.
func (v view) leavesHalted() bool {
	o := v.operation()
	other := func(unit string) bool {
		_, there := v.m.Units.Value[unit]
		return there && unit != v.m.Unit && !slices.Contains(o.Without, unit)
	}
	goes := replaces(o) && (stops(o) || v.w.Reach != Healthy) && !v.isTarget() && !v.alone()
	return goes && slices.ContainsFunc(v.operationUnits(), other)
}

// halt stops our server for as long as an operation has stopped the cluster, and prepares the new
// data on its source.
func (v view) halt(p *Plan) {
	if v.stopFor(p, operationStopsUs); p.Step == nil {
		v.prepare(p)
	}
}

// replacing is how far our unit is with an operation that replaces the data, and what it says of
// it.
func (v view) replacing() (state, said string) {
	o := v.operation()
	source := o.Source == v.m.Unit && o.Snapshot != dataDir
	if why := v.unprepared(); source && replaces(o) && why != "" {
		return unable, clip(singleLine(why), etcdcluster.MaxSaid)
	}
	made, isMade := v.made()
	if source && isMade {
		said = clip(fmt.Sprintf("%x", made.ClusterID)+v.notKept(), etcdcluster.MaxSaid)
	}
	data := v.w.Data
	switch {
	case passed(o) && data.State == OurData && data.ClusterID == o.NewCluster() &&
		v.w.Local.Ready && v.inCluster():
		return finished, ""
	case source && isMade && o.Phase == toPrepare && (!stops(o) || v.still()):
		return prepared, said
	case stops(o) && (v.isTarget() || v.still()):
		return stopped, said
	}
	return answered, ""
}

// still reports whether our server is down and, for a recovery, whether what its log holds is
// known.
func (v view) still() bool {
	return !v.w.Service.up() && (v.operation().Kind != recovering ||
		v.w.Data.State != OurData || v.w.Log != LogState{})
}

// work is our long work of that ID; the zero value is none.
func (v view) work(id string) Work {
	for _, work := range v.w.Work {
		if work.ID == id {
			return work
		}
	}
	return Work{}
}

// made is what was prepared for the operation on record.
func (v view) made() (Prepared, bool) {
	o := v.operation()
	for _, made := range v.w.Prepared {
		if made.ID == o.ID && (o.Target == "" || made.ClusterID == o.NewCluster()) {
			return made, true
		}
	}
	return Prepared{}, false
}

// unprepared says why the source has no new data and will have none; "" means that it has, or may
// still get it.
func (v view) unprepared() string {
	o := v.operation()
	_, isMade := v.made()
	switch work := v.work(o.ID); {
	case isMade, work.State == WorkRuns:
		return ""
	case work.State == WorkFailed:
		return work.Error
	case work.State == WorkDone, o.Target != "":
		return "the prepared data is gone"
	case o.Phase == toPrepare && o.Kind == restoring && v.snapshotOf(o) == "":
		return "there is no such snapshot here"
	}
	return ""
}

// snapshotOf is the name of the operation's snapshot; "" is that there is none. "latest" stands for
// the newest good one or, with Before, the newest good one from before that time.
func (v view) snapshotOf(o Operation) string {
	if o.Snapshot != latest {
		return v.w.Kept.nameOf(o.Snapshot)
	}
	return newest(v.w.Kept.Snapshots, o.Before).Name
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
func (v view) prepare(p *Plan) {
	o := v.operation()
	if !replaces(o) || o.Phase != toPrepare || o.Source != v.m.Unit || o.Target != "" || v.leaving() {
		return
	}
	if _, isMade := v.made(); isMade || v.unprepared() != "" || v.work(o.ID).State != "" {
		return
	}
	if before := v.work(beforeID(o)); before.State == WorkRuns {
		return
	} else if before.State == "" && v.keepable() == "" && o.Kind == restoring {
		why := WorkRequest{
			ID: beforeID(o), Kind: TakeSnapshot, Why: beforeRestore, Snapshot: v.snapshotOf(o),
		}
		if p.want(v, StartWork{why}) {
			return
		}
	}
	request := WorkRequest{
		ID: o.ID, Kind: PrepareRestore, Snapshot: v.snapshotOf(o), Unverified: o.Unverified,
		Name: v.desired.Name, PeerURL: v.desired.PeerURL,
		Token: o.Token, Seen: max(o.Seen, v.highestRevision()),
	}
	if o.Kind == recovering {
		request.Kind, request.Snapshot = PrepareRecover, ""
	}
	if v.addressed() {
		p.want(v, StartWork{request})
	}
}

// keepable says why no snapshot can be taken of the present state before it is replaced; "" means
// that it can.
func (v view) keepable() string {
	own, listed := v.self()
	if !v.inCluster() || !listed || own.Learner || !v.w.Local.Ready {
		return "no quorum answers"
	}
	kept, used := v.w.Kept, int64(0)
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
func (v view) notKept() string {
	o := v.operation()
	// Its work may be forgotten.
	taken := func(s Snapshot) bool { return s.Work == beforeID(o) && s.Error == "" }
	if o.Kind != restoring || slices.ContainsFunc(v.w.Kept.Snapshots, taken) {
		return ""
	}
	switch before := v.work(beforeID(o)); before.State {
	case WorkDone:
		return ""
	case WorkFailed:
		return " (no snapshot was taken of the replaced data: " + singleLine(before.Error) + ")"
	}
	return " (no snapshot was taken of the replaced data)"
}

// highestRevision is the highest revision of the key space that this unit knows of.
func (v view) highestRevision() int64 {
	out := max(v.m.Memory.Value.Seen.Revision, v.w.Local.Revision, v.w.Log.Revision)
	for _, mem := range v.w.Members {
		out = max(out, mem.Revision)
	}
	for _, unitBag := range v.m.Cluster.Value.UnitBags {
		out = max(out, unitBag.Log.Revision)
	}
	return out
}

// unservedData is data that was prepared here and that, by the record, is now the application's
// cluster, but was never served. If another unit has that cluster already, or this unit once had
// it, this data is not served: it would be a member that has forgotten everything.
func (v view) unservedData() (Prepared, bool) {
	id := v.m.Cluster.Value.AppBag.ClusterID
	if !v.neverServed() || !v.m.Memory.OK {
		return Prepared{}, false
	}
	for _, made := range v.w.Prepared {
		if made.ClusterID == id && v.m.Memory.Value.Seen.ClusterID != id {
			return made, true
		}
	}
	return Prepared{}, false
}

// neverServed reports whether no unit is known to hold data of the cluster on record, or to serve
// it.
func (v view) neverServed() bool {
	record := v.m.Cluster.Value.AppBag
	id := record.ClusterID
	if !v.m.Cluster.OK || id == 0 || id == record.Ended || v.w.ClusterID == id ||
		v.w.Data.State == OurData && v.w.Data.ClusterID == id {
		return false
	}
	for _, unitBag := range v.m.Cluster.Value.UnitBags {
		if unitBag.ClusterID == id {
			return false
		}
	}
	return true
}

// serveNew puts the prepared data into the place of our data. It reports whether there is such data
// to serve.
func (v view) serveNew(p *Plan) bool {
	made, due := v.unservedData()
	if state := v.w.Data.State; !due || state == AlienData || state == ForeignData {
		return false
	}
	if v.stopFor(p, operationStopsUs); p.Step == nil && !v.w.Service.up() {
		p.want(v, ServePrepared{made.ID})
	}
	return true
}

// giveUpReplaced keeps replaced data from being served. The server is stopped at once. The data is
// moved aside once the cluster that took its place answers with a quorum, however many voters the
// replaced one has.
func (v view) giveUpReplaced(p *Plan) {
	named := v.named()
	switch {
	case v.w.Service.up():
		p.want(v, Stop{dataWasReplaced})
	case v.w.Reach == Healthy && v.w.ClusterID == named:
		p.want(v, MoveAside{dataWasReplaced})
	default:
		p.say(because(dataGivenUp, hexID(v.w.Data.ClusterID), hexID(named)))
	}
}

// leftovers ends work and drops data that an operation began and no longer needs.
func leftovers(v view, p *Plan) {
	if !v.m.Cluster.OK {
		return
	}
	o, record := v.operation(), v.m.Cluster.Value.AppBag
	goes := o.Going() && !v.leaving() && (!isSupported(o) || !passed(o))
	needed := func(id string) bool { return goes && strings.TrimSuffix(id, "-before") == o.ID }
	for _, work := range v.w.Work {
		ours := work.Kind == PrepareRestore || work.Kind == PrepareRecover ||
			strings.HasSuffix(work.ID, "-before")
		if ours && work.State == WorkRuns && !needed(work.ID) {
			p.want(v, EndWork{work.ID, operationOver})
			return
		}
	}
	if v.leaving() {
		return // it may be the application's data now, and a unit that leaves may not know that
	}
	for _, made := range v.w.Prepared {
		isOurs := v.w.Data.State == OurData && v.w.Data.ClusterID == made.ClusterID
		// To be served, whatever became of the operation.
		waits := made.ClusterID == record.ClusterID && !isOurs
		if !needed(made.ID) && !waits {
			p.want(v, DropPrepared{made.ID})
			return
		}
	}
}
