package operator

import "cmp"

// Seen is how far our member's data had come when it was last noted. Data never goes back by itself: what is committed stays in
// every log that has it. So data that ends before this is a disk's of another time, and has forgotten votes and promises.
type Seen struct {
	ClusterID, MemberID uint64 // whose data; others begin a new memory
	Term, Index         uint64 // of the last entry that was committed here
	Revision            int64  // of the key space
	At                  int64  // when it was noted, in Unix seconds
}

// of reports whether the memory is of that data.
func (s Seen) of(clusterID, memberID uint64) bool {
	return s.ClusterID != 0 && s.ClusterID == clusterID && s.MemberID == memberID
}

// notedEvery is how old what is remembered may be if no more has changed than that entries came: a write to Juju's database in
// each quiet hook would cost more than it tells.
const notedEvery = 3600 // seconds

// AgeInDoubt reports whether only the data itself can tell that it is not older than what is remembered of it: its server does
// not say that it has come as far. After a start etcd's own word may lag behind its log (the log's commit index is written late),
// so a server that says less is no proof.
func AgeInDoubt(m Memory, d Data, local Local) bool {
	seen := m.Seen
	return d.State == OurData && seen.of(d.ClusterID, d.MemberID) &&
		(local.ClusterID != d.ClusterID || local.MemberID != d.MemberID || local.Index < seen.Index || local.Term < seen.Term)
}

// older reports whether the data here ends before what this unit once had of it.
func (l look) older() bool {
	d, seen := l.w.Data, l.m.Memory.Value.Seen
	return d.Index != 0 && AgeInDoubt(l.m.Memory.Value, d, l.w.Local) && (d.Index < seen.Index || d.Term < seen.Term)
}

// rememberAge keeps Memory.Healed, Memory.Learning and Memory.Seen true: Seen with what is remembered anyhow, or if it tells something new.
func rememberAge(l look, p *Plan) {
	l.rememberHealed(p)
	l.rememberLearning(p)
	d, local, was := l.w.Data, l.w.Local, l.m.Memory.Value.Seen
	if !l.m.Memory.OK || d.State != OurData || local.Index == 0 || local.ClusterID != d.ClusterID || local.MemberID != d.MemberID {
		return
	}
	is := Seen{d.ClusterID, d.MemberID, local.Term, local.Index, local.Revision, l.w.Now}
	fresh := !was.of(d.ClusterID, d.MemberID)
	if !fresh {
		is.Term, is.Index, is.Revision = max(is.Term, was.Term), max(is.Index, was.Index), max(is.Revision, was.Revision)
	}
	further := cmp.Or(cmp.Compare(is.Term, was.Term), cmp.Compare(is.Index, was.Index), cmp.Compare(is.Revision, was.Revision)) != 0
	elapsed := l.w.Now - was.At
	if fresh || is.Term != was.Term || further && (p.Memory != nil || elapsed >= notedEvery || elapsed < 0) {
		p.memory(l).Seen = is
	}
}
