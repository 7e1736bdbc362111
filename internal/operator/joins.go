package operator

import (
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"
	"golang.org/x/mod/semver"
)

// neighbours says why a server of the release that would join must not meet the members that are there; none is that it may.
// etcd's own check does not know: its lowest cluster version is 3.0.0 (api/version). But a member of 3.4 panics at the first
// entry of one of 3.6 or 3.7, and again at each start, for the entry is in its log; and a learner panics at the data of 3.5.
// Measured: three members of 3.4 were lost for good. So every member that answers must be of our minor version or the one
// below. What one that does not answer runs is not known: nobody is added then, though whoever is added already may start.
func (l look) neighbours(adds bool) Reason {
	ours := version(l.should.Release)
	for _, mem := range l.w.Members {
		switch {
		case mem.Answers && mem.Version != "":
			if !neighbour(ours, mem.Version) {
				return because(joinRefused, l.label(mem), plain(mem.Version), ours)
			}
		case adds && mem.Started():
			return because(joinAwaitsVersion, l.label(mem))
		}
	}
	return Reason{}
}

// neighbour reports whether a server of version ours may join one of version theirs.
func neighbour(ours, theirs string) bool {
	ours, theirs = "v"+ours, "v"+strings.TrimPrefix(theirs, "v")
	if !semver.IsValid(ours) || !semver.IsValid(theirs) {
		return false
	}
	is := semver.MajorMinor(theirs)
	return is == semver.MajorMinor(ours) || nextMinor(theirs) == semver.MajorMinor(ours)
}

// Learning is how far our learner had come at the last update-status.
type Learning struct {
	MemberID uint64
	Applied  uint64 // entries; 0 before it serves
	Bytes    int64  // in its snapshot directory: what its leader sends lies there until it is whole
	// Replaced is how often in a row it was replaced since this unit last had a voter; one more than mostReplaced says that it
	// made no progress after that either.
	Replaced int
}

// mostReplaced is how many times in a row a learner that makes no progress is replaced.
const mostReplaced = 3

const noProgress = "the learner makes no progress" + joinsAgain

// ProgressInDoubt reports whether the size of our member's snapshot directory is needed to see
// whether it makes progress: it is a learner, or has not started yet.
func ProgressInDoubt(d Data, members []Member) bool {
	at := slices.IndexFunc(members, func(mem Member) bool { return mem.ID == d.MemberID })
	return d.State == NoData || at >= 0 && members[at].Learner
}

// learning is how far our learner is now; ok is false if our member is no learner, or is one that
// joining again would not help.
func (l look) learning() (now Learning, ok bool) {
	own, listed := l.self()
	if !listed || !own.Learner || !l.inCluster() || !l.m.Memory.OK || l.role() != RoleMember || l.leaving() {
		return Learning{}, false
	}
	now = Learning{own.ID, l.w.Local.Applied, l.w.Data.Bytes, l.m.Memory.Value.Learning.Replaced}
	switch l.w.Data.State {
	case OurData:
		return now, l.unfit() == ""
	case NoData:
		return now, l.w.Service.up() && l.w.Service.ails(l.m.Unit).none() && l.inUse().none() && l.neighbours(false).none()
	}
	return now, false
}

// stuckLearner reports whether our learner is no further than at the update-status before this one.
func (l look) stuckLearner() bool {
	now, ok := l.learning()
	return ok && l.Kind == hooks.UpdateStatus && now == l.m.Memory.Value.Learning
}

// replaceStuck removes a learner that makes no progress, so that it joins again. A learner has no
// vote, so this costs no quorum. It runs after the waiting for the learner in this hook.
func (l look) replaceStuck(p *Plan) {
	now, ok := l.learning()
	switch {
	case !ok || p.Step != nil:
	case now.Replaced > mostReplaced || now.Replaced == mostReplaced && l.stuckLearner():
		p.say(because(learnerStuck, l.m.Unit, serviceName(l.m.Unit)))
	case l.stuckLearner():
		p.want(l, RemoveMember{ID: now.MemberID, Name: l.m.Unit, Why: noProgress})
	}
}

// rememberLearning keeps Memory.Learning true. A hook that dies after it took the learner out remembers nothing: it costs one more.
func (l look) rememberLearning(p *Plan) {
	was := l.m.Memory.Value.Learning
	is := was
	own, listed := l.self()
	now, learns := l.learning()
	replaced := slices.ContainsFunc(l.w.Done, func(s Step) bool { r, ok := s.(RemoveMember); return ok && r.Why == noProgress })
	switch {
	case l.inCluster() && listed && !own.Learner:
		is = Learning{}
	case replaced:
		is = Learning{Replaced: was.Replaced + 1}
	case !learns || l.Kind != hooks.UpdateStatus:
	case l.stuckLearner() && was.Replaced == mostReplaced:
		is.Replaced++
	case was.Replaced > mostReplaced && (Learning{now.MemberID, now.Applied, now.Bytes, 0}) != (Learning{was.MemberID, was.Applied, was.Bytes, 0}):
		is = now
		is.Replaced = mostReplaced
	default:
		is = now
	}
	if is != was {
		p.memory(l).Learning = is
	}
}
