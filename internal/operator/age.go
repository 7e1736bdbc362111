package operator

import "cmp"

// Seen is how far our member's data had come when that was last noted. Data never goes back by
// itself, because committed entries stay in the log of every member that has them. So data that
// ends before this point is an older copy of the disk, and lacks the votes and promises made since
// then.
type Seen struct {
	ClusterID, MemberID uint64 // whose data; others begin a new memory
	Term, Index         uint64 // of the last entry that was committed here
	Revision            int64  // of the key space
	At                  int64  // when it was noted, in Unix seconds
}

// of reports whether Seen is about that data.
func (s Seen) of(clusterID, memberID uint64) bool {
	return s.ClusterID != 0 && s.ClusterID == clusterID && s.MemberID == memberID
}

// notedEvery is how old Seen may become while nothing but the index grows. To write to Juju's
// database in each quiet hook would cost more than it is worth.
const notedEvery = 3600 // seconds

// AgeInDoubt reports whether the data itself has to be read to prove that it is not older than
// Seen, because its server does not report that it has come that far. A server that reports less
// proves nothing: after a start its commit index may lag behind its log, because etcd writes the
// commit index to the log late.
func AgeInDoubt(m Memory, d Data, local Local) bool {
	seen := m.Seen
	return d.State == OurData && seen.of(d.ClusterID, d.MemberID) &&
		(local.ClusterID != d.ClusterID || local.MemberID != d.MemberID ||
			local.Index < seen.Index || local.Term < seen.Term)
}

// older reports whether the data here ends before the point that this unit once had.
func (v view) older() bool {
	d, seen := v.w.Data, v.m.Memory.Value.Seen
	return d.Index != 0 && AgeInDoubt(v.m.Memory.Value, d, v.w.Local) &&
		(d.Index < seen.Index || d.Term < seen.Term)
}

// rememberAge keeps Memory.Healed, Memory.Learning and Memory.Seen true. Seen is written when the
// memory is written anyway, or when it says something new.
func rememberAge(v view, p *Plan) {
	v.rememberHealed(p)
	v.rememberLearning(p)
	d, local, was := v.w.Data, v.w.Local, v.m.Memory.Value.Seen
	if !v.m.Memory.OK || d.State != OurData || local.Index == 0 ||
		local.ClusterID != d.ClusterID || local.MemberID != d.MemberID {
		return
	}
	is := Seen{d.ClusterID, d.MemberID, local.Term, local.Index, local.Revision, v.w.Now}
	fresh := !was.of(d.ClusterID, d.MemberID)
	if !fresh {
		is.Term, is.Index, is.Revision =
			max(is.Term, was.Term), max(is.Index, was.Index), max(is.Revision, was.Revision)
	}
	further := cmp.Or(
		cmp.Compare(is.Term, was.Term),
		cmp.Compare(is.Index, was.Index),
		cmp.Compare(is.Revision, was.Revision),
	) != 0
	elapsed := v.w.Now - was.At
	if fresh || is.Term != was.Term ||
		further && (p.Memory != nil || elapsed >= notedEvery || elapsed < 0) {
		p.memory(v).Seen = is
	}
}
