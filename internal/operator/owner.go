package operator

import (
	"maps"
	"slices"
)

// Owner is the unit that the data belongs to, as a file among the data says. The zero value means
// that there is no such file, or that it says nothing.
type Owner struct{ Model, Unit string }

// strangers says in words whose data is here, if it is not this unit's. "" means that it is ours,
// that nothing speaks against that, or that its cluster ended in order: then the storage was moved
// here on purpose.
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

// provablyOurs reports whether we remember the data, or its cluster lists its member at our URL. A
// member's name proves nothing: it comes from the settings of whichever unit started it last.
func (l look) provablyOurs() bool {
	d := l.w.Data
	if l.m.Memory.Value.Seen.of(d.ClusterID, d.MemberID) {
		return true
	}
	return l.addressed() && l.w.Reach == Healthy && l.w.ClusterID == d.ClusterID && slices.ContainsFunc(l.w.Members, func(mem Member) bool {
		return mem.ID == d.MemberID && slices.Contains(mem.PeerURLs, l.should.PeerURL)
	})
}

// newcomer reports whether the data was there before this unit: no settings and no service of a
// member are written here, and either the unit has published nothing yet or the data is not of the
// cluster on record.
func (l look) newcomer() bool {
	unheard := len(l.m.Memory.Value.Bags) == 0 || l.m.Cluster.OK && l.m.Cluster.Value.Record.ClusterID != l.w.Data.ClusterID
	return l.m.Memory.OK && unheard && l.w.Service.Kind == NoService && l.w.WrittenConfig == ""
}

// claim writes a file among our data that says whose data it is, once. The file moves with the
// data.
func (l look) claim(p *Plan) {
	if l.w.Data.Owner == (Owner{}) && l.m.UUID != "" && l.provablyOurs() {
		p.want(l, Claim{Owner{l.m.UUID, l.m.Unit}})
	}
}

const foreignData = "its data is another unit's"

// withForeignData keeps data of another unit from being served here, if the machine has started it.
// Nothing is moved, so that an operator who mixed up the disks can put them back. A member that
// votes with this data may be needed: it is stopped only in its turn, or not at all.
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
		p.want(l, Stop{foreignData}) // a second server of one member must not vote
	case l.w.Reach != Healthy || !l.mayForget(d.MemberID).none():
		// Without a quorum nothing is stopped.
	case len(l.voters()) > 1 && !l.hasTurn():
		l.takeTurn(p)
	default:
		p.want(l, Stop{foreignData})
	}
}
