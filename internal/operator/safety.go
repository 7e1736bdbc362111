package operator

import (
	"slices"
	"strconv"
)

// Quorum first: no removal, restart or stop leaves fewer ready voters than a quorum. Only this file
// decides what that permits. An answer of none permits it; any other says why not.

// Quorum is how many of n voters decide.
func Quorum(n int) int { return n/2 + 1 }

// votes are the voters of a cluster, and how many of them are ready.
type votes struct{ voters, ready int }

// decide reports whether the ready voters are a quorum.
func (v votes) decide() bool { return v.ready >= Quorum(v.voters) }

// without is the reason that the voters would have no quorum without those members.
func (v votes) without(names string) Reason {
	return because(quorumAtStake, names, strconv.Itoa(v.ready), strconv.Itoa(v.voters), strconv.Itoa(Quorum(v.voters)))
}

// votesWithout counts the votes once the members with those IDs are removed.
func (l look) votesWithout(ids ...uint64) votes {
	var v votes
	for _, mem := range l.voters() {
		if slices.Contains(ids, mem.ID) {
			continue
		}
		v.voters++
		if l.serves(mem) {
			v.ready++
		}
	}
	return v
}

// mayGoDown says why the member must not stop for a while and remain a member. A cluster of one or
// two voters has no quorum without one of them: there the member may stop if all are ready, so that
// it is back before anything else fails.
func (l look) mayGoDown(id uint64) Reason {
	voters := l.voters()
	if !slices.ContainsFunc(voters, func(mem Member) bool { return mem.ID == id }) {
		return Reason{}
	}
	switch v := (votes{len(voters), l.ready(id)}); {
	case v.decide():
		return Reason{}
	case len(voters) > 2:
		return v.without(l.names(id))
	}
	own, _ := l.self()
	for _, mem := range voters {
		// Our own member must be found where it is listed, and must report itself ready too.
		if !mem.Answers || !mem.Ready || mem.ID == own.ID && !l.w.Local.Ready {
			return because(voterNotReady, l.label(mem))
		}
	}
	return Reason{}
}

// mayForget says why a member that may have forgotten what it agreed to must not be given up. It
// must not if the ready voters without it are no majority of all voters: what it agreed to with
// others may then be on none of them.
func (l look) mayForget(id uint64) Reason {
	if v := (votes{len(l.voters()), l.ready(id)}); !v.decide() {
		return v.without(l.names(id))
	}
	return l.mayRemove(id)
}

// mayRemove says why the members must not be removed: the voters that stay would have no quorum
// among themselves. A learner has no vote, and the last voter is never removed.
func (l look) mayRemove(ids ...uint64) Reason {
	v := l.votesWithout(ids...)
	switch {
	case v.voters == len(l.voters()):
		return Reason{}
	case v.voters == 0:
		return because(lastVoter, l.names(ids...))
	case v.decide():
		return Reason{}
	}
	return v.without(l.names(ids...))
}

// names are those members for people.
func (l look) names(ids ...uint64) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = hexID(id)
		if at := slices.IndexFunc(l.w.Members, func(mem Member) bool { return mem.ID == id }); at >= 0 {
			out[i] = l.label(l.w.Members[at])
		}
	}
	return few(ordered(out))
}
