package operator

import (
	"maps"
	"slices"
)

// Owner is the unit that data is of, as a file among the data says. The zero value is no such file, or one that says nothing.
type Owner struct{ Model, Unit string }

// strangers says in words whose the data here is, if it is not this unit's. "" is that it is, that nothing speaks against it, or
// that its cluster ended in order: then it is storage that moved.
func (l look) strangers() string {
	d, record := l.w.Data, l.m.Cluster.Value.Record
	switch owner := d.Owner; {
	case d.State != OurData || l.m.Cluster.OK && record.Ended == d.ClusterID:
		return ""
	case owner.Unit != "" && l.m.UUID != "" && owner.Model != l.m.UUID:
		return owner.Unit + " of another model"
	case owner.Unit != "" && owner.Unit != l.m.Unit:
		return owner.Unit
	case owner.Unit != "" || l.provablyOurs():
		return ""
	}
	for _, unit := range slices.Sorted(maps.Keys(l.m.Cluster.Value.Words)) {
		if word := l.m.Cluster.Value.Words[unit]; word.ClusterID == d.ClusterID && word.MemberID == d.MemberID {
			return unit
		}
	}
	if l.newcomer() {
		return "a former unit on this machine"
	}
	return ""
}

// provablyOurs reports whether we remember the data, or its cluster lists it where we are. A member's name proves nothing: it is
// that of whichever unit's settings started it last.
func (l look) provablyOurs() bool {
	d := l.w.Data
	if l.m.Memory.Value.Seen.of(d.ClusterID, d.MemberID) {
		return true
	}
	return l.addressed() && l.w.Reach == Healthy && l.w.ClusterID == d.ClusterID && slices.ContainsFunc(l.w.Members, func(mem Member) bool {
		return mem.ID == d.MemberID && slices.Contains(mem.PeerURLs, l.should.PeerURL)
	})
}

// newcomer reports whether the data was there before this unit was: nothing is written that would have started a member, and the
// unit has told the peers nothing yet, or the data is of no cluster of theirs.
func (l look) newcomer() bool {
	unheard := len(l.m.Memory.Value.Bags) == 0 || l.m.Cluster.OK && l.m.Cluster.Value.Record.ClusterID != l.w.Data.ClusterID
	return l.m.Memory.OK && unheard && l.w.Service.Kind == NoService && l.w.WrittenConfig == ""
}

// claim has a file among our data say whose it is, once. It moves with the data.
func (l look) claim(p *Plan) {
	if l.w.Data.Owner == (Owner{}) && l.m.UUID != "" && l.provablyOurs() {
		p.want(l, Claim{Owner{l.m.UUID, l.m.Unit}})
	}
}

const foreignData = "its data is another unit's"

// withForeignData keeps the data of another unit from being served here, where the machine has started it. Nothing is moved: whoever
// mixed up the disks can put them back. What votes with it may be needed: then it goes down in its turn, or not at all.
func withForeignData(l look, p *Plan) {
	d := l.w.Data
	ours := d.ClusterID == l.named() || d.ClusterID == l.w.ClusterID
	votes := ours && slices.ContainsFunc(l.voters(), func(mem Member) bool { return mem.ID == d.MemberID })
	switch {
	case !l.w.Service.up():
		if l.w.Turn.Holder == l.m.Unit {
			p.want(l, ReleaseTurn{})
		}
	case !l.m.Cluster.OK: // the record may say that its cluster has ended
	case !ours, l.w.Local.Twin, l.w.Reach == Healthy && (!votes || !l.w.Local.Ready):
		p.want(l, Stop{foreignData}) // who votes twice is one too many
	case l.w.Reach != Healthy || !l.mayForget(d.MemberID).none(): // without quorum nothing is stopped
	case len(l.voters()) > 1 && !l.hasTurn():
		l.takeTurn(p)
	default:
		p.want(l, Stop{foreignData})
	}
}
