package operator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// LeafKind is what a unit's certificate is for.
type LeafKind string

// The three that each member has. A peer's opens the peer port, the others the client port: a server's has the client usage too.
const (
	PeerLeaf   LeafKind = "peer"
	ServerLeaf LeafKind = "server"
	AdminLeaf  LeafKind = "admin"
)

// Issued is a certificate that a unit issued to itself, and may still be valid though another has replaced it.
type Issued struct {
	Kind   LeafKind
	Serial string // lower-case hexadecimal, without leading zeros
	End    int64  // Unix seconds
}

// UnitLeaves are the certificates of one unit.
type UnitLeaves struct {
	Unit   string
	Leaves []Issued // sorted, as SortIssued has it
}

// Refused are the serials, sorted, of units' certificates that each port refuses.
type Refused struct{ Client, Peer []string }

// A unit issues three certificates a year, and more if its addresses change. Past these bounds those that end first are
// forgotten.
const (
	maxUnitLeaves   = 60
	maxRecordLeaves = 6000
)

// leafSeconds is how long a certificate is valid at most.
const leafSeconds = 365 * 24 * 60 * 60

// EncodeIssued is the one form of a list that DecodeIssued reads: "peer:1f@1796774400,server:2e@1796774400".
func EncodeIssued(leaves []Issued) string {
	parts := make([]string, 0, len(leaves))
	for _, leaf := range leaves {
		parts = append(parts, fmt.Sprintf("%s:%s@%d", leaf.Kind, leaf.Serial, leaf.End))
	}
	return strings.Join(parts, ",")
}

// DecodeIssued reads what EncodeIssued wrote. Its errors quote nothing.
func DecodeIssued(text string) ([]Issued, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > 10*maxUnitLeaves {
		return nil, errors.New("has too many certificates")
	}
	leaves := make([]Issued, 0, len(parts))
	for _, part := range parts {
		kind, rest, _ := strings.Cut(part, ":")
		serial, end, _ := strings.Cut(rest, "@")
		leaf := Issued{Kind: LeafKind(kind), Serial: serial}
		if leaf.Kind != PeerLeaf && leaf.Kind != ServerLeaf && leaf.Kind != AdminLeaf {
			return nil, errors.New("has a certificate of an unknown kind")
		}
		// RFC 5280 has serials of 20 bytes at most.
		if serial == "" || len(serial) > 40 || serial[0] == '0' || strings.Trim(serial, "0123456789abcdef") != "" {
			return nil, errors.New("has a certificate without a serial")
		}
		var err error
		if leaf.End, err = strconv.ParseInt(end, 10, 64); err != nil || strconv.FormatInt(leaf.End, 10) != end {
			return nil, errors.New("has a certificate without an end")
		}
		leaves = append(leaves, leaf)
	}
	return SortIssued(leaves), nil
}

// SortIssued sorts a list and leaves each certificate in it once.
func SortIssued(leaves []Issued) []Issued {
	slices.SortFunc(leaves, func(a, b Issued) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.End, b.End), cmp.Compare(a.Serial, b.Serial))
	})
	return slices.Compact(leaves)
}

// issued are the certificates that our unit tells of: those on its disk, and the former ones that are still valid.
func (l look) issued() []Issued {
	return StillIssued(l.w.TLS.Issued, l.w.Now)
}

// StillIssued are those of a unit's certificates that have not ended at a time, in Unix seconds; of too many those that end
// last.
func StillIssued(leaves []Issued, now int64) []Issued {
	var out []Issued
	for _, leaf := range leaves {
		if leaf.End >= now {
			out = append(out, leaf)
		}
	}
	if out = SortIssued(out); len(out) > maxUnitLeaves {
		slices.SortStableFunc(out, func(a, b Issued) int { return cmp.Compare(b.End, a.End) })
		out = SortIssued(out[:maxUnitLeaves])
	}
	return out
}

// leaves is the record of all units' certificates: grown by what the units that live tell of theirs, since the bag of one
// that is gone can no longer be read, and rid of what has ended.
func (l look) leaves() []UnitLeaves {
	merged := map[string][]Issued{}
	for _, was := range l.m.Cluster.Value.Record.Leaves {
		merged[was.Unit] = slices.Clone(was.Leaves)
	}
	for unit, word := range l.m.Cluster.Value.Words {
		merged[unit] = append(merged[unit], word.Leaves...)
	}
	merged[l.m.Unit] = append(merged[l.m.Unit], l.issued()...)
	bygone, n := l.bygone(), 0
	var out []UnitLeaves
	for _, unit := range sortedKeys(merged) {
		if kept := StillIssued(merged[unit], bygone); len(kept) > 0 {
			out, n = append(out, UnitLeaves{unit, kept}), n+len(kept)
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

// bygone is the time before which certificates have ended. What is dropped is never refused again, so our clock alone does not
// say: another unit has issued a certificate, and it tells the time too.
func (l look) bygone() int64 {
	last := int64(0)
	for _, word := range l.m.Cluster.Value.Words {
		last = max(last, lastEnd(word.Leaves))
	}
	if last == 0 {
		return l.w.Now // no other unit tells
	}
	return min(last-leafSeconds, l.w.Now)
}

func lastEnd(leaves []Issued) int64 {
	last := int64(0)
	for _, leaf := range leaves {
		last = max(last, leaf.End)
	}
	return last
}

// refused are the certificates of units that have left: a believed goal-state does not list them, and etcd lists no member
// of theirs. It is computed anew in each hook, so that a wrong answer does harm for one hook at most. Without an answer from
// both it is what was refused before.
func (l look) refused() Refused {
	if !l.m.Units.OK || !l.m.Cluster.OK || !l.inCluster() {
		return l.w.TLS.Refused
	}
	stays := map[string]bool{}
	for unit := range l.m.Units.Value {
		stays[unit] = true
	}
	for _, mem := range l.w.Members {
		if unit, ok := l.unitOf(mem); ok {
			stays[unit] = true
		}
	}
	var out Refused
	for _, u := range l.m.Cluster.Value.Record.Leaves {
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
