package operator

import "slices"

// Hash is what a member says of its data up to a revision.
type Hash struct {
	MemberID  uint64
	Revision  int64 // up to which
	Compacted int64 // from which on: members that have compacted to different revisions cannot be compared
	Hash      uint32
}

const differs = "not what the others have"

// repair has our member leave and join again because alarm CORRUPT names it: etcd takes no write as long as that stands. A member
// that is given up so may be the only one whose data is right, so a majority of all voters without it has to have the same data,
// by what they say to this unit twice; and all of it hangs on the alarm: a server that ends at its start because its data differs
// may be the good one, for then no majority is asked, and that is never answered here.
func (l look) repair(p *Plan, own Member) {
	if !l.repairs() || !l.accused(own.ID) {
		return
	}
	healed := l.m.Memory.Value.Healed
	switch {
	case healed != 0 && l.w.Now-healed < healedEvery:
		p.say(because(dataUnfitAgain, l.m.Unit, differs))
	case !l.m.Memory.OK || !l.mayForget(own.ID).none():
		p.say(because(corruptAwaitsQuorum, l.m.Unit))
	case len(l.w.Hashes) < asksTwice:
		p.want(l, AskHashes{l.commonRevision(own.ID), len(l.w.Hashes) + 1})
	case !l.majorityAgrees(own.ID):
		p.say(because(corruptDisputed, l.m.Unit))
	default:
		p.want(l, RemoveMember{ID: own.ID, Name: l.m.Unit, Why: "data is " + differs + joinsAgain})
	}
}

// asksTwice is how often the members are asked before one is given up.
const asksTwice = 2

// repairs reports whether members with bad data are replaced by themselves. With two voters nobody knows whose data is bad.
func (l look) repairs() bool {
	return l.usable() && l.m.Config.AutoRepair && l.inCluster() && len(l.voters()) > 2
}

// accused reports whether our member is the next that alarm CORRUPT asks for: one after another, by member ID. An alarm of no
// member says that nobody knows whose data is bad.
func (l look) accused(own uint64) bool {
	var first *Alarm
	for i, a := range l.w.Alarms {
		if a.Kind == corrupt && (first == nil || a.MemberID < first.MemberID) {
			first = &l.w.Alarms[i]
		}
	}
	return first != nil && first.MemberID == own
}

// commonRevision is the latest that all voters have which answer, but ours.
func (l look) commonRevision(own uint64) int64 {
	var common int64
	for _, mem := range l.voters() {
		if mem.ID != own && mem.Answers && (common == 0 || mem.Revision < common) {
			common = mem.Revision
		}
	}
	return common
}

// majorityAgrees reports whether a majority of all voters, without the one named, said the same each time it was asked.
func (l look) majorityAgrees(without uint64) bool {
	voters := l.voters()
	said := map[Hash][]uint64{} // who said it each time
	for i, asking := range l.w.Hashes {
		now := map[Hash][]uint64{}
		for _, h := range asking {
			votes := slices.ContainsFunc(voters, func(mem Member) bool { return mem.ID == h.MemberID })
			what := Hash{Compacted: h.Compacted, Revision: h.Revision, Hash: h.Hash}
			if votes && h.MemberID != without && (i == 0 || slices.Contains(said[what], h.MemberID)) {
				now[what] = append(now[what], h.MemberID)
			}
		}
		said = now
	}
	for _, who := range said {
		if len(who) >= Quorum(len(voters)) {
			return len(l.w.Hashes) >= asksTwice
		}
	}
	return false
}

// disarm takes back the alarm that our member has left behind, which was removed on account of it. It reports whether the unit may
// go on and join again.
func (l look) disarm(p *Plan) bool {
	left := Alarm{l.w.Data.MemberID, corrupt}
	if !l.usable() || !l.m.Config.AutoRepair || !slices.Contains(l.w.Alarms, left) {
		return true
	}
	p.want(l, Disarm{left})
	return false
}

// disarmGone has the leader take alarm CORRUPT back of a member that is gone: its data went with it. The unit that its member was
// may have died before it did so, or have left. A leader that leaves does so too: the alarm would keep it here.
func disarmGone(l look, p *Plan) {
	if !l.leader() || l.role() != RoleMember || !l.usable() || !l.m.Config.AutoRepair || !l.inCluster() {
		return
	}
	for _, a := range l.w.Alarms {
		listed := slices.ContainsFunc(l.w.Members, func(mem Member) bool { return mem.ID == a.MemberID })
		if a.Kind == corrupt && a.MemberID != 0 && !listed && p.want(l, Disarm{a}) {
			return
		}
	}
}
