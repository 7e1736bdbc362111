package operator

import (
	"fmt"
	"slices"
)

// Quorum first: no removal, restart or stop leaves fewer ready voters than a quorum. This file alone says what that
// permits; an answer of "" is yes, any other is why not, in words.

// Quorum is how many of n voters decide.
func Quorum(n int) int { return n/2 + 1 }

// votes are the voters of a cluster, and how many of them are ready.
type votes struct{ voters, ready int }

// short says that the ready voters are no quorum; "" is that they are.
func (v votes) short() string {
	if v.ready >= Quorum(v.voters) {
		return ""
	}
	return fmt.Sprintf("it would leave %d of %d voters ready, and %d are needed", v.ready, v.voters, Quorum(v.voters))
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

// mayGoDown says why the member must not stop for a while and stay a member. One or two voters cannot keep a quorum
// without one of them: there it may if all are ready, so that it is back before anything else fails.
func (l look) mayGoDown(id uint64) string {
	voters := l.voters()
	if !slices.ContainsFunc(voters, func(mem Member) bool { return mem.ID == id }) {
		return ""
	}
	why := votes{len(voters), l.ready(id)}.short()
	if why == "" || len(voters) > 2 {
		return why
	}
	own, _ := l.self()
	for _, mem := range voters {
		// Ours must be found where it is listed, and call itself ready too.
		if !mem.Answers || !mem.Ready || mem.ID == own.ID && !l.w.Local.Ready {
			return l.label(mem) + " is not ready"
		}
	}
	return ""
}

// mayRemove says why the members must not be removed: the voters that stay, with one voter less for each, would have no
// quorum. A learner has no vote, and the last voter is never removed.
func (l look) mayRemove(ids ...uint64) string {
	v := l.votesWithout(ids...)
	switch v.voters {
	case len(l.voters()):
		return ""
	case 0:
		return "it is the last voter"
	}
	return v.short()
}
