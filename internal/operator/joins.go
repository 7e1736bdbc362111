package operator

import (
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"
	"golang.org/x/mod/semver"
)

// versionsAllowJoin says why a server of the release that would join must not meet the members that
// are there; none means that it may. etcd's own check does not find out: its lowest cluster version
// is 3.0.0 (api/version). But a member of 3.4 panics at the first entry of one of 3.6 or 3.7, and
// at each start after that, because the entry is in its log. A learner panics at the data of 3.5.
// Measured: three members of 3.4 were lost for good. So every member that answers must be of our
// minor version or the one below. The version of a member that does not answer is not known. Then
// nobody is added, but a member that is already added may start.
func (v view) versionsAllowJoin(adds bool) Reason {
	ours := version(v.desired.Release)
	for _, mem := range v.w.Members {
		switch {
		case mem.Answers && mem.Version != "":
			if !adjacentMinor(ours, mem.Version) {
				return because(joinRefused, v.label(mem), singleLine(mem.Version), ours)
			}
		case adds && mem.Started():
			return because(joinAwaitsVersion, v.label(mem))
		}
	}
	return Reason{}
}

// adjacentMinor reports whether a server of version ours may join one of version theirs.
func adjacentMinor(ours, theirs string) bool {
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
	// Replaced is how often in a row it was replaced since this unit last had a voter. One more
	// than mostReplaced means that it made no progress after the last time either.
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
func (v view) learning() (now Learning, ok bool) {
	own, listed := v.self()
	if !listed || !own.Learner || !v.inCluster() || !v.m.Memory.OK ||
		v.role() != RoleMember || v.leaving() {
		return Learning{}, false
	}
	now = Learning{own.ID, v.w.Local.Applied, v.w.Data.Bytes, v.m.Memory.Value.Learning.Replaced}
	switch v.w.Data.State {
	case OurData:
		return now, v.unfit() == ""
	case NoData:
		return now, v.w.Service.up() && v.w.Service.ails(v.m.Unit).none() &&
			v.inUse().none() && v.versionsAllowJoin(false).none()
	}
	return now, false
}

// stuckLearner reports whether our learner is no further than at the update-status before this one.
func (v view) stuckLearner() bool {
	now, ok := v.learning()
	return ok && v.Kind == hooks.UpdateStatus && now == v.m.Memory.Value.Learning
}

// replaceStuck removes a learner that makes no progress, so that it joins again. A learner has no
// vote, so this costs no quorum. It runs after the waiting for the learner in this hook.
func (v view) replaceStuck(p *Plan) {
	now, ok := v.learning()
	switch {
	case !ok || p.Step != nil:
	case now.Replaced > mostReplaced || now.Replaced == mostReplaced && v.stuckLearner():
		p.say(because(learnerStuck, v.m.Unit, serviceName(v.m.Unit)))
	case v.stuckLearner():
		p.want(v, RemoveMember{ID: now.MemberID, Name: v.m.Unit, Why: noProgress})
	}
}

// rememberLearning keeps Memory.Learning true. A hook that dies after it removed the learner
// remembers nothing: that allows one more replacement.
func (v view) rememberLearning(p *Plan) {
	was := v.m.Memory.Value.Learning
	is := was
	own, listed := v.self()
	now, learns := v.learning()
	replaced := slices.ContainsFunc(v.w.Done, func(s Step) bool {
		r, ok := s.(RemoveMember)
		return ok && r.Why == noProgress
	})
	switch {
	case v.inCluster() && listed && !own.Learner:
		is = Learning{}
	case replaced:
		is = Learning{Replaced: was.Replaced + 1}
	case !learns || v.Kind != hooks.UpdateStatus:
	case v.stuckLearner() && was.Replaced == mostReplaced:
		is.Replaced++
	case was.Replaced > mostReplaced &&
		(Learning{now.MemberID, now.Applied, now.Bytes, 0}) !=
			(Learning{was.MemberID, was.Applied, was.Bytes, 0}):
		is = now
		is.Replaced = mostReplaced
	default:
		is = now
	}
	if is != was {
		p.memory(v).Learning = is
	}
}
