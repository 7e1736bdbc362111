package operator

import (
	"strings"

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
