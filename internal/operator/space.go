package operator

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// While alarm NOSPACE is raised the quota is raised, or else space is freed, and the alarm is
// disarmed once every database has room. etcd takes no key meanwhile, so no unit can take the turn.
// Whose turn it is follows from what etcd and the units' bags say.

const (
	// roomUse is how much of its quota a database may take, in percent, before the alarm is
	// disarmed. At the quota etcd raises it again with the next write.
	roomUse = 90
	// worthFreeing is how much of a database must be free for a defragmentation, in percent.
	worthFreeing = 10
	// freeingPause is how long after one round of freeing space the next begins, in seconds.
	freeingPause = 600
	// freeingTime is when its last long step must be over, in seconds after a pass began: a hook
	// has 120.
	freeingTime = 60
	// secondsPerGiB is twice what compacting or defragmenting a GiB took, measured on a busy
	// machine.
	secondsPerGiB = 10
)

// takesQuota is the name in can for the order in which members take a higher quota.
const takesQuota = "quota"

// full reports whether alarm NOSPACE is raised.
func (v view) full() bool {
	return slices.ContainsFunc(v.w.Alarms, func(a Alarm) bool { return a.Kind == noSpace })
}

// hasRoom reports whether the database takes so little of its quota that writes may go on.
func (m Member) hasRoom() bool { return m.Quota <= 0 || m.DBSize*100 < m.Quota*roomUse }

// shortOfSpace reports whether NOSPACE is raised, or would soon be raised again after somebody
// disarmed it by hand.
func (v view) shortOfSpace() bool {
	return v.full() || slices.ContainsFunc(v.voters(), func(mem Member) bool {
		return mem.Answers && !mem.hasRoom()
	})
}

// lowQuota reports whether the member runs with a lower quota than the options say.
func (v view) lowQuota(mem Member) bool {
	return mem.Answers && mem.Quota > 0 && mem.Quota < v.m.Config.QuotaBytes
}

// bagQuota is the quota that a unit's bag says it takes; 0 is none. If can lacks takesQuota, the
// number was left in the bag by another charm of the unit and does not count.
func (v view) bagQuota(unit string) int64 {
	if unit == v.m.Unit {
		return v.takenQuota()
	}
	unitBag := v.m.Cluster.Value.UnitBags[unit]
	if !slices.Contains(unitBag.Can, takesQuota) {
		return 0
	}
	return unitBag.Quota
}

// takenQuota is the quota that our member runs with, or would restart with; 0 means that it keeps
// the quota that it has.
func (v view) takenQuota() int64 {
	if v.role() != RoleMember || !v.usable() || v.foreign() || !v.upgradeProblem().none() {
		return 0
	}
	return v.m.Config.QuotaBytes
}

// raiser is the voter that takes the higher quota next while space is tight. Of the voters whose
// quota, as etcd itself reports it, is below the option's, it is the one with the lowest member ID.
// Every unit computes the same one, whether the turn can be taken or not. So it also holds back a
// unit that has the turn: if somebody disarms the alarm by hand, a unit may take the turn just as
// the raiser restarts without it. There is no raiser while a voter's unit does not know this order.
func (v view) raiser() (Member, bool) {
	if !v.m.Cluster.OK || !v.shortOfSpace() {
		return Member{}, false
	}
	var first Member
	for _, mem := range v.voters() {
		if unit, _ := v.unitOf(mem); v.bagQuota(unit) == 0 {
			return Member{}, false
		}
		if v.lowQuota(mem) && (first.ID == 0 || mem.ID < first.ID) {
			first = mem
		}
	}
	return first, first.ID != 0
}

// mayRestartWithoutTurn reports whether the member may take the higher quota although no unit can
// take the turn. holdRestart has checked before that it is the raiser, and that no other is to be
// waited for.
func (v view) mayRestartWithoutTurn(id uint64) bool {
	first, raises := v.raiser()
	return raises && first.ID == id && v.refusingAlarm() == noSpace &&
		v.w.Turn.Known && v.w.Turn.Holder == ""
}

// awaited is what something waits for, and why. The zero value is nothing.
type awaited struct {
	who, why string
	passes   bool // it passes by itself
}

// turnAwaited is the unit that holds the turn, unless it is the given one.
func (v view) turnAwaited(but string) awaited {
	if holder := v.w.Turn.Holder; holder != "" && holder != but {
		return awaited{clip(singleLine(holder), 16), "has the turn", true}
	}
	return awaited{}
}

// raiseAwaits says what the raiser waits for while no turn can be taken.
func (v view) raiseAwaits() awaited {
	if a := v.turnAwaited(v.m.Unit); a.who != "" {
		return a
	}
	if !v.m.Units.OK || !v.m.Cluster.OK {
		return awaited{v.m.Unit, "does not know the others", true}
	}
	for _, mem := range v.w.Members {
		unit, _ := v.unitOf(mem)
		life, there := v.m.Units.Value[unit]
		told := v.bagQuota(unit)
		switch who := v.label(mem); {
		case mem.Learner:
			return awaited{who, "is joining", true}
		case !v.serves(mem):
			return awaited{who, "is not ready", false}
		case !there:
			return awaited{who, "has no unit", true}
		case life == Dying || v.m.Cluster.Value.UnitBags[unit].Leaving || unit == v.m.Unit && v.leaving():
			return awaited{who, "is leaving", true}
		case told == 0:
			return awaited{who, "cannot take it", false}
		case told != v.m.Config.QuotaBytes:
			return awaited{who, "has the old quota", true}
		}
	}
	return awaited{}
}

// space disarms the alarm and frees space. Any unit that sees that there is room disarms it, which
// is harmless twice; only the leader frees space.
func space(v view, p *Plan) {
	own, listed := v.self()
	if v.role() != RoleMember || v.leaving() || v.w.Data.State != OurData ||
		!v.inCluster() || !listed || own.Learner {
		return
	}
	v.rememberRevision(p)
	// A step that takes too long goes on after the hook.
	if did[Compact](v) || did[Defrag](v) || failed[Compact](v) || failed[Defrag](v) {
		p.memory(v).Freed = v.w.Now
	}
	if v.refusingAlarm() != noSpace {
		return
	}
	if _, raises := v.raiser(); raises && len(v.notReady()) == 0 {
		return // until it runs with the higher quota
	}
	for _, a := range v.w.Alarms {
		if v.hasSpace() && p.want(v, Disarm{a}) {
			return
		}
	}
	if v.hasSpace() || !v.leader() || !v.m.Memory.OK || !v.freesSpace() {
		return
	}
	if v.freeingAwaits().who == "" && !v.freedLately() {
		v.free(p)
	}
}

// hasSpace reports whether every voter that answers has room, even for the largest request.
func (v view) hasSpace() bool {
	for _, mem := range v.voters() {
		if mem.Answers && (!mem.hasRoom() || mem.DBSize+int64(v.m.Config.MaxRequestBytes) > mem.Quota) {
			return false
		}
	}
	return true
}

// freesSpace reports whether the options let the charm free space.
func (v view) freesSpace() bool { return v.usable() && v.m.Config.AutoFreeSpace }

// failed reports whether such a step was tried in this pass and failed.
func failed[S Step](v view) bool {
	return slices.ContainsFunc(v.w.Tried, func(t Attempt) bool { _, ok := t.Step.(S); return ok })
}

// freedLately reports whether the last round of freeing space was too recent for another.
func (v view) freedLately() bool {
	age := v.w.Now - v.m.Memory.Value.Freed
	return v.m.Memory.Value.Freed != 0 && age >= 0 && age < freeingPause
}

// freeingAwaits says what freeing space waits for. A voter that does not answer is no reason by
// itself: safety.go decides whether another may be made to stop answering.
func (v view) freeingAwaits() awaited {
	if a := v.turnAwaited(""); a.who != "" {
		return a
	}
	for _, mem := range v.w.Members {
		unit, _ := v.unitOf(mem)
		switch told := v.bagQuota(unit); {
		case mem.Learner:
			return awaited{v.label(mem), "is joining", true}
		case told != 0 && told != v.m.Config.QuotaBytes:
			// It may restart at any moment.
			return awaited{v.label(mem), "takes another quota", true}
		}
	}
	return awaited{}
}

// free does the next step of a round: compact as far as retention allows, then defragment one
// member after another, the raft leader last. What does not fit into this pass is left for the next
// round.
func (v view) free(p *Plan) {
	if to := v.compactable(); to > 0 && !did[Compact](v) &&
		v.inTime(v.largest()) && p.want(v, Compact{to}) {
		return
	}
	for _, mem := range v.fragmented() {
		if slices.Contains(v.w.Done, Step(Defrag{mem.ID, v.label(mem)})) || !v.inTime(mem) {
			continue
		}
		if !v.mayGoDown(mem.ID).none() {
			return
		}
		if p.want(v, Defrag{mem.ID, v.label(mem)}) {
			return
		}
	}
}

// fragmented are the voters whose defragmentation would free enough, by ID, the raft leader last.
func (v view) fragmented() []Member {
	voters := slices.DeleteFunc(v.voters(), func(mem Member) bool {
		return !mem.Answers || mem.DBSize <= 0 || (mem.DBSize-mem.DBInUse)*100 < mem.DBSize*worthFreeing
	})
	leads := func(mem Member) int {
		if mem.Leader == mem.ID {
			return 1
		}
		return 0
	}
	slices.SortFunc(voters, func(a, b Member) int {
		return cmp.Or(leads(a)-leads(b), cmp.Compare(a.ID, b.ID))
	})
	return voters
}

// largest is the voter with the largest database.
func (v view) largest() Member {
	var out Member
	for _, mem := range v.voters() {
		if mem.Answers && mem.DBSize > out.DBSize {
			out = mem
		}
	}
	return out
}

// inTime reports whether a step that reads all of the member's database would end in time if it
// began now.
func (v view) inTime(mem Member) bool {
	return v.w.Now-v.w.Began+mem.freeingSeconds() <= freeingTime
}

// freeingSeconds is how long compacting or defragmenting the member's database may take.
func (m Member) freeingSeconds() int64 { return m.DBSize * secondsPerGiB >> 30 }

// Sample is the revision of the key space at a time.
type Sample struct{ At, Revision int64 }

// leastSampling is the shortest time between two samples, in seconds, so that most quiet hooks add
// none.
const leastSampling = 600

// retention is how long history is kept in mode periodic, in seconds; 0 means all of it, or that
// time does not decide.
func (c Config) retention() int64 {
	if c.CompactionMode != "periodic" {
		return 0
	}
	d, _ := time.ParseDuration(c.CompactionRetention) // "0" is none, and 0
	return int64(d / time.Second)
}

// revision is the revision of the key space, as far as it is known.
func (v view) revision() int64 {
	var out int64
	for _, mem := range v.w.Members {
		out = max(out, mem.Revision)
	}
	return out
}

// sampling is the shortest time between two samples, in seconds.
func (c Config) sampling() int64 { return max(c.retention()/10, leastSampling) }

// samples are the remembered samples of our cluster. Those with a later revision or time than now
// are left out: the clock was ahead.
func (v view) samples() []Sample {
	memory, revision := v.m.Memory.Value, v.revision()
	if memory.Sampled != v.w.ClusterID {
		return nil
	}
	later := func(s Sample) bool { return s.At > v.w.Now || s.Revision > revision }
	return slices.DeleteFunc(slices.Clone(memory.Revisions), later)
}

// rememberRevision keeps Memory.Revisions: ten samples in a retention, and the newest of those that
// are older. etcd compacts by such samples itself, but keeps them in process memory, and begins
// again at each start (server/v3 v3compactor/periodic.go).
func (v view) rememberRevision(p *Plan) {
	samples, now, revision, every := v.samples(), v.w.Now, v.revision(), v.m.Config.sampling()
	if !v.freesSpace() || v.m.Config.retention() == 0 || revision == 0 {
		return
	}
	if n := len(samples); n > 0 && now-samples[n-1].At < every {
		return
	}
	memory := p.memory(v)
	memory.Sampled, memory.Revisions =
		v.w.ClusterID, append(samples[max(v.aged(samples), 0):], Sample{now, revision})
}

// aged is the newest sample that is as old as retention; -1 is none. Of the time between two
// samples, at most twice the time that lies between samples while hooks run is counted. etcd counts
// by a clock that cannot be set; ours can be, and setting it, right or wrong, must not make a young
// sample old.
func (v view) aged(samples []Sample) int {
	var age int64
	until, most := v.w.Now, 2*v.m.Config.sampling()
	for i, s := range slices.Backward(samples) {
		if age += min(until-s.At, most); age >= v.m.Config.retention() {
			return i
		}
		until = s.At
	}
	return -1
}

// compactable is the revision up to which retention allows to compact; 0 is none.
func (v view) compactable() int64 {
	c := v.m.Config
	if c.CompactionMode == "revision" {
		count, err := strconv.ParseInt(c.CompactionRetention, 10, 64)
		if err != nil || count <= 0 {
			return 0
		}
		return max(v.revision()-count, 0)
	}
	samples := v.samples()
	if i := v.aged(samples); c.retention() > 0 && i >= 0 {
		return samples[i].Revision
	}
	return 0
}

// level is the status that this calls for: what passes by itself needs no operator.
func (a awaited) level() Level {
	if a.passes {
		return Waiting
	}
	return Blocked
}

// nospace says that alarm NOSPACE is raised on a member, and what is done about it, or has to be.
func (v view) nospace(label string) Reason {
	if slices.ContainsFunc(v.voters(), v.lowQuota) {
		quota := size(v.m.Config.QuotaBytes)
		if a := v.raiseAwaits(); a.who != "" {
			return because(quotaAwaits, label, quota, a.who, a.why).to(a.level())
		}
		first, _ := v.raiser()
		return because(quotaRaised, label, v.label(first), quota)
	}
	var fullest Member
	for _, mem := range v.voters() {
		if mem.Answers && mem.Quota > 0 && (fullest.ID == 0 ||
			mem.DBInUse*(fullest.Quota>>20) > fullest.DBInUse*(mem.Quota>>20)) {
			fullest = mem
		}
	}
	inUse := Member{Quota: fullest.Quota, DBSize: fullest.DBInUse}
	a := v.freeingAwaits()
	if bad := v.notReady(); a.who == "" && len(bad) > 0 && !v.mayGoDown(v.largest().ID).none() {
		a = awaited{v.label(bad[0]), "is not ready", false}
	}
	switch {
	case v.freesSpace() && !v.hasSpace() && v.largest().freeingSeconds() > freeingTime:
		return because(spaceTooLarge, label)
	case !inUse.hasRoom() && v.m.Config.CompactionRetention == "0":
		return because(spaceKeptHistory, label, size(fullest.DBInUse), size(fullest.Quota))
	case !inUse.hasRoom():
		return because(spaceLiveData, label, size(fullest.DBInUse), size(fullest.Quota))
	case v.hasSpace():
		return because(spaceFreed, label)
	case !v.freesSpace():
		return because(alarmNospace, label)
	case a.who != "":
		return because(spaceAwaits, label, a.who, a.why).to(a.level())
	}
	return because(spaceFreed, label)
}

// nospaceKinds are the kinds that nospace returns.
var nospaceKinds = []Kind{
	alarmNospace, quotaAwaits, quotaRaised,
	spaceLiveData, spaceKeptHistory, spaceTooLarge, spaceAwaits, spaceFreed,
}
