package operator

import (
	"slices"
	"strconv"
)

// Quorum first: no removal, restart or stop leaves fewer ready voters than a quorum. Only this file
// decides what that permits. An answer of none permits it; any other answer says why not.

// Quorum is how many of n voters decide.
func Quorum(n int) int { return n/2 + 1 }

// votes are the voters of a cluster, and how many of them are ready.
type votes struct{ voters, ready int }

// decide reports whether the ready voters are a quorum.
func (tally votes) decide() bool { return tally.ready >= Quorum(tally.voters) }

// without is the reason that the voters would have no quorum without those members.
func (tally votes) without(names string) Reason {
	return because(quorumAtStake, names,
		strconv.Itoa(tally.ready), strconv.Itoa(tally.voters), strconv.Itoa(Quorum(tally.voters)))
}

// votesWithout counts the votes once the members with those IDs are removed.
func (v view) votesWithout(ids ...uint64) votes {
	var tally votes
	for _, mem := range v.voters() {
		if slices.Contains(ids, mem.ID) {
			continue
		}
		tally.voters++
		if v.serves(mem) {
			tally.ready++
		}
	}
	return tally
}

// mayGoDown says why the member must not stop for a while and remain a member. A cluster of one or
// two voters has no quorum without one of them: there the member may stop if all are ready, so that
// it is back before anything else fails.
func (v view) mayGoDown(id uint64) Reason {
	voters := v.voters()
	if !slices.ContainsFunc(voters, func(mem Member) bool { return mem.ID == id }) {
		return Reason{}
	}
	switch tally := (votes{len(voters), v.ready(id)}); {
	case tally.decide():
		return Reason{}
	case len(voters) > 2:
		return tally.without(v.names(id))
	}
	own, _ := v.self()
	for _, mem := range voters {
		// Our own member must be found where it is listed, and must report itself ready too.
		if !mem.Answers || !mem.Ready || mem.ID == own.ID && !v.w.Local.Ready {
			return because(voterNotReady, v.label(mem))
		}
	}
	return Reason{}
}

// mayForget says why a member that may have forgotten what it agreed to must not be given up. It
// must not if the ready voters without it are no majority of all voters: what it agreed to with
// others may then be on none of them.
func (v view) mayForget(id uint64) Reason {
	if tally := (votes{len(v.voters()), v.ready(id)}); !tally.decide() {
		return tally.without(v.names(id))
	}
	return v.mayRemove(id)
}

// mayRemove says why the members must not be removed: the voters that stay would have no quorum
// among themselves. A learner has no vote, and the last voter is never removed.
func (v view) mayRemove(ids ...uint64) Reason {
	tally := v.votesWithout(ids...)
	switch {
	case tally.voters == len(v.voters()):
		return Reason{}
	case tally.voters == 0:
		return because(lastVoter, v.names(ids...))
	case tally.decide():
		return Reason{}
	}
	return tally.without(v.names(ids...))
}

// names are those members for people.
func (v view) names(ids ...uint64) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = unlisted(id)
		if at := slices.IndexFunc(v.w.Members, func(mem Member) bool { return mem.ID == id }); at >= 0 {
			out[i] = v.label(v.w.Members[at])
		}
	}
	return firstThree(ordered(out))
}
