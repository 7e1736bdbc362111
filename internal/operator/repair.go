package operator

import "slices"

// Hash is what a member reports about its data up to a revision.
type Hash struct {
	MemberID uint64
	Revision int64 // up to which
	// From which on: members that have compacted to different revisions cannot be compared.
	Compacted int64
	Hash      uint32
}

// corruptKinds are what a report says of alarm CORRUPT.
var corruptKinds = []Kind{corruptRepaired, alarmCorrupt, alarmCorruptUnowned, corruptUnnamed}

const differs = "not what the others have"

// repair makes our member leave and join again because alarm CORRUPT names it: etcd takes no write
// while that alarm is raised. The member may be the only one whose data is right. So a majority of
// all voters without it must have the same data, and each must say so to this unit twice. The alarm
// is required: a server that exits at its start because its data differs may be the good one,
// because that check asks no majority. repair never acts on it.
func (v view) repair(p *Plan, own Member) {
	if !v.repairs() || !v.accused(own.ID) {
		return
	}
	healed := v.m.Memory.Value.Healed
	switch {
	case healed != 0 && v.w.Now-healed < healedEvery:
		p.say(because(dataUnfitAgain, v.m.Unit, differs))
	case !v.m.Memory.OK || !v.mayForget(own.ID).none():
		p.say(because(corruptAwaitsQuorum, v.m.Unit))
	case len(v.w.Hashes) < asksTwice:
		p.want(v, AskHashes{v.commonRevision(own.ID), len(v.w.Hashes) + 1})
	case len(v.agreeing(own.ID)) == 0:
		p.say(because(corruptDisputed, v.m.Unit))
	default:
		p.want(v, RemoveMember{ID: own.ID, Name: v.m.Unit, Why: "data is " + differs + joinsAgain})
	}
}

// asksTwice is how often the members are asked before one is given up.
const asksTwice = 2

// repairs reports whether the charm replaces members with bad data by itself. With two voters it is
// not known whose data is bad.
func (v view) repairs() bool {
	return v.usable() && v.m.Config.AutoRepair && v.inCluster() && len(v.voters()) > 2
}

// accused reports whether our member is the next that alarm CORRUPT calls for: they go one after
// another, by member ID, and the leader's unit first disarms one that names no member.
func (v view) accused(own uint64) bool {
	var first *Alarm
	for i, a := range v.w.Alarms {
		if a.Kind == corrupt && (first == nil || a.MemberID < first.MemberID) {
			first = &v.w.Alarms[i]
		}
	}
	return first != nil && first.MemberID == own
}

// commonRevision is the latest revision that all voters that answer have, without ours.
func (v view) commonRevision(own uint64) int64 {
	var common int64
	for _, mem := range v.voters() {
		if mem.ID != own && mem.Answers && (common == 0 || mem.Revision < common) {
			common = mem.Revision
		}
	}
	return common
}

// agreeing are the voters that said the same each time they were asked, not counting the given one;
// nil if they are no majority of all voters, or were not asked twice.
func (v view) agreeing(without uint64) []uint64 {
	if len(v.w.Hashes) < asksTwice {
		return nil
	}
	voters := v.voters()
	said := map[Hash][]uint64{} // the members that said it each time
	for i, asking := range v.w.Hashes {
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
			return who
		}
	}
	return nil
}

// differing are the voters that said, when they were last asked, what those do not say.
func (v view) differing(agree []uint64) []uint64 {
	var out []uint64
	for _, mem := range v.voters() {
		says := func(h Hash) bool { return h.MemberID == mem.ID }
		if len(v.w.Hashes) > 0 && slices.ContainsFunc(v.w.Hashes[len(v.w.Hashes)-1], says) &&
			!slices.Contains(agree, mem.ID) {
			out = append(out, mem.ID)
		}
	}
	return out
}

// disarm disarms the alarm that our member left behind; the member was removed because of it. It
// reports whether the unit may go on and join again.
func (v view) disarm(p *Plan) bool {
	left := Alarm{v.w.Data.MemberID, corrupt}
	if !v.usable() || !v.m.Config.AutoRepair || !slices.Contains(v.w.Alarms, left) {
		return true
	}
	p.want(v, Disarm{left})
	return false
}

// disarmGone makes the leader disarm alarm CORRUPT of a member that is gone: the bad data went with
// it. That member's unit may have died before it could do so, or may have left. A leader that
// leaves does so too, because the alarm would keep it here.
func disarmGone(v view, p *Plan) {
	if !v.leader() || v.role() != RoleMember || !v.usable() ||
		!v.m.Config.AutoRepair || !v.inCluster() {
		return
	}
	for _, a := range v.w.Alarms {
		listed := slices.ContainsFunc(v.w.Members, func(mem Member) bool { return mem.ID == a.MemberID })
		if a.Kind == corrupt && a.MemberID != 0 && !listed && p.want(v, Disarm{a}) {
			return
		}
	}
}

// unnamedCorrupt is alarm CORRUPT without a member: etcd does not know whose data is bad.
var unnamedCorrupt = Alarm{0, corrupt}

// clearsEvery is how long the leader waits before it clears an alarm that names no member again, in
// seconds. Between a clearing and etcd's next comparison clients write to all members.
const clearsEvery = 3600

// disarmUnnamed makes the leader answer an alarm CORRUPT that names no member. etcd names none if
// too few members answer when it compares, for example because one has not compacted yet
// (etcdserver/corrupt.go, checkPeerHashes). If a majority of all voters has twice said the same
// about its data, the alarm is cleared: etcd compares again a minute later, and then names each
// member that differs. It may never do so, because a member that was started while it compacted
// does not take part. So the charm says itself which one differs. It removes none for that.
func disarmUnnamed(v view, p *Plan) {
	if !v.leader() || v.role() != RoleMember {
		return
	}
	cleared := v.m.Memory.Value.Cleared
	if slices.Contains(v.w.Done, Step(Disarm{unnamedCorrupt})) {
		p.memory(v).Cleared = v.w.Now
	}
	if !v.usable() || !v.inCluster() || !slices.Contains(v.w.Alarms, unnamedCorrupt) {
		return
	}
	agree := v.agreeing(0)
	differ := v.differing(agree)
	lately := cleared != 0 && v.w.Now-cleared < clearsEvery
	switch {
	case len(v.w.Hashes) < asksTwice:
		p.want(v, AskHashes{v.commonRevision(0), len(v.w.Hashes) + 1})
	case len(agree) == 0:
		p.say(because(corruptSplit, hexID(v.w.ClusterID)))
	case len(differ) > 0 && lately:
		p.say(because(corruptFound, v.names(differ[0])))
	default:
		p.want(v, Disarm{unnamedCorrupt})
	}
}
