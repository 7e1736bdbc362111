package etcdcluster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxIssued bounds what is read of one unit's certificates, so that a broken bag costs no memory.
const maxIssued = 600

// LeafKind is what a unit's certificate is for.
type LeafKind string

// The three kinds that each member has. A peer certificate opens the peer port, the other two the
// client port: a server certificate has the client usage too.
const (
	PeerLeaf   LeafKind = "peer"
	ServerLeaf LeafKind = "server"
	AdminLeaf  LeafKind = "admin"
)

// Issued is a certificate that a unit issued to itself. It may still be valid although another one
// has replaced it.
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

// EncodeIssued writes a list in the one form that DecodeIssued reads:
// "peer:1f@1796774400,server:2e@1796774400".
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
	if len(parts) > maxIssued {
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
		if serial == "" || len(serial) > 40 || serial[0] == '0' ||
			strings.Trim(serial, "0123456789abcdef") != "" {
			return nil, errors.New("has a certificate without a serial")
		}
		var err error
		if leaf.End, err = strconv.ParseInt(end, 10, 64); err != nil ||
			strconv.FormatInt(leaf.End, 10) != end {
			return nil, errors.New("has a certificate without an end")
		}
		leaves = append(leaves, leaf)
	}
	return SortIssued(leaves), nil
}

// SortIssued sorts a list and leaves each certificate in it once.
func SortIssued(leaves []Issued) []Issued {
	slices.SortFunc(leaves, func(a, b Issued) int {
		return cmp.Or(
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.End, b.End), cmp.Compare(a.Serial, b.Serial),
		)
	})
	return slices.Compact(leaves)
}
