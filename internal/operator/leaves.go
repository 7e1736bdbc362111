package operator

import (
	"cmp"
	"maps"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// LeafKind is what a unit's certificate is for.
type LeafKind = etcdcluster.LeafKind

// Issued is a certificate that a unit issued to itself.
type Issued = etcdcluster.Issued

// UnitLeaves are the certificates of one unit.
type UnitLeaves = etcdcluster.UnitLeaves

// The kinds of certificates that each member has.
const (
	PeerLeaf   = etcdcluster.PeerLeaf
	ServerLeaf = etcdcluster.ServerLeaf
	AdminLeaf  = etcdcluster.AdminLeaf
)

// Refused are the serials, sorted, of units' certificates that each port refuses.
type Refused struct{ Client, Peer []string }

// A unit issues three certificates a year, and more if its addresses change. Beyond these bounds
// the certificates that end first are forgotten; in the record, all of one unit at a time.
const (
	maxUnitLeaves   = 60
	maxRecordLeaves = 6000
)

// leafSeconds is how long a certificate is valid at most.
const leafSeconds = 365 * 24 * 60 * 60

// issued are the certificates that our unit publishes: those on its disk, and the former ones that
// are still valid.
func (v view) issued() []Issued {
	return StillIssued(v.w.TLS.Issued, v.w.Now)
}

// StillIssued are those of a unit's certificates that have not ended at a time, in Unix seconds. If
// they are too many, those that end last are kept.
func StillIssued(leaves []Issued, now int64) []Issued {
	var out []Issued
	for _, leaf := range leaves {
		if leaf.End >= now {
			out = append(out, leaf)
		}
	}
	if out = etcdcluster.SortIssued(out); len(out) > maxUnitLeaves {
		slices.SortStableFunc(out, func(a, b Issued) int { return cmp.Compare(b.End, a.End) })
		out = etcdcluster.SortIssued(out[:maxUnitLeaves])
	}
	return out
}

// leaves is the record of all units' certificates. It takes in what the bags of living units name,
// because the bag of a unit that is gone can no longer be read. It drops certificates that have
// ended.
func (v view) leaves() []UnitLeaves {
	merged := map[string][]Issued{}
	for _, was := range v.m.Cluster.Value.AppBag.Leaves {
		merged[was.Unit] = slices.Clone(was.Leaves)
	}
	for unit, unitBag := range v.m.Cluster.Value.UnitBags {
		merged[unit] = append(merged[unit], unitBag.Leaves...)
	}
	merged[v.m.Unit] = append(merged[v.m.Unit], v.issued()...)
	before, n := v.forgetBefore(), 0
	var out []UnitLeaves
	for _, unit := range slices.Sorted(maps.Keys(merged)) {
		if kept := StillIssued(merged[unit], before); len(kept) > 0 {
			out, n = append(out, UnitLeaves{Unit: unit, Leaves: kept}), n+len(kept)
		}
	}
	for n > maxRecordLeaves {
		first := 0
		for i, u := range out {
			if lastEnd(u.Leaves) < lastEnd(out[first].Leaves) {
				first = i
			}
		}
		n -= len(out[first].Leaves)
		out = slices.Delete(out, first, first+1)
	}
	return out
}

// forgetBefore is a time, in Unix seconds: certificates that ended before it are dropped. A dropped
// certificate is never refused again, so our own clock alone does not decide. The last certificate
// that another unit has issued shows that unit's clock.
func (v view) forgetBefore() int64 {
	last := int64(0)
	for _, unitBag := range v.m.Cluster.Value.UnitBags {
		last = max(last, lastEnd(unitBag.Leaves))
	}
	if last == 0 {
		return v.w.Now // no other unit has issued one
	}
	return min(last-leafSeconds, v.w.Now)
}

func lastEnd(leaves []Issued) int64 {
	last := int64(0)
	for _, leaf := range leaves {
		last = max(last, leaf.End)
	}
	return last
}

// refused are the certificates of units that have left: goal-state does not list the unit, and etcd
// lists no member of it. The list is computed again in each hook, so a wrong answer does harm for
// one hook at most. If either answer is missing, the list stays as it was.
func (v view) refused() Refused {
	if !v.m.Units.OK || !v.m.Cluster.OK || !v.inCluster() {
		return v.w.TLS.Refused
	}
	stays := map[string]bool{}
	for unit := range v.m.Units.Value {
		stays[unit] = true
	}
	for _, mem := range v.w.Members {
		if unit, ok := v.unitOf(mem); ok {
			stays[unit] = true
		}
	}
	var out Refused
	for _, u := range v.m.Cluster.Value.AppBag.Leaves {
		if stays[u.Unit] {
			continue
		}
		for _, leaf := range u.Leaves {
			if leaf.Kind == PeerLeaf {
				out.Peer = append(out.Peer, leaf.Serial)
			} else {
				out.Client = append(out.Client, leaf.Serial)
			}
		}
	}
	for _, serials := range []*[]string{&out.Client, &out.Peer} {
		slices.Sort(*serials)
		*serials = slices.Compact(*serials)
	}
	return out
}

// equal reports whether both name the same certificates.
func (r Refused) equal(other Refused) bool {
	return slices.Equal(r.Client, other.Client) && slices.Equal(r.Peer, other.Peer)
}
