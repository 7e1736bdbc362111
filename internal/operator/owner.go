package operator

import (
	"maps"
	"slices"
)

// Owner is the unit that the data belongs to, as a file among the data says. The zero value means
// that there is no such file, or that it says nothing.
type Owner struct{ Model, Unit string }

// foreignOwner says in words whose data is here, if it is not this unit's. "" means that it is
// ours, that nothing shows otherwise, or that its cluster ended in order: then the storage was
// moved here on purpose.
func (v view) foreignOwner() string {
	d, record := v.w.Data, v.m.Cluster.Value.AppBag
	switch owner := d.Owner; {
	case d.State != OurData || v.m.Cluster.OK && record.Ended == d.ClusterID:
		return ""
	case owner.Unit != "" && v.m.UUID != "" && owner.Model != v.m.UUID:
		return owner.Unit + " of another model"
	case owner.Unit != "" && owner.Unit != v.m.Unit:
		return owner.Unit
	case owner.Unit != "" || v.provablyOurs():
		return ""
	}
	for _, unit := range slices.Sorted(maps.Keys(v.m.Cluster.Value.UnitBags)) {
		if unitBag := v.m.Cluster.Value.UnitBags[unit]; unitBag.ClusterID == d.ClusterID &&
			unitBag.MemberID == d.MemberID {
			return unit
		}
	}
	if v.newcomer() {
		return "a former unit on this machine"
	}
	return ""
}

// provablyOurs reports whether we remember the data, or its cluster lists its member at our URL. A
// member's name proves nothing: it comes from the settings of whichever unit started it last.
func (v view) provablyOurs() bool {
	d := v.w.Data
	if v.m.Memory.Value.Seen.of(d.ClusterID, d.MemberID) {
		return true
	}
	return v.addressed() && v.w.Reach == Healthy && v.w.ClusterID == d.ClusterID &&
		slices.ContainsFunc(v.w.Members, func(mem Member) bool {
			return mem.ID == d.MemberID && slices.Contains(mem.PeerURLs, v.desired.PeerURL)
		})
}

// newcomer reports whether the data was there before this unit: no settings and no service of a
// member are written here, and either the unit has published nothing yet or the data is not of the
// cluster on record.
func (v view) newcomer() bool {
	unheard := len(v.m.Memory.Value.Bags) == 0 ||
		v.m.Cluster.OK && v.m.Cluster.Value.AppBag.ClusterID != v.w.Data.ClusterID
	return v.m.Memory.OK && unheard && v.w.Service.Kind == NoService && v.w.WrittenConfig == ""
}

// claim writes a file among our data that says whose data it is, once. The file moves with the
// data.
func (v view) claim(p *Plan) {
	if v.w.Data.Owner == (Owner{}) && v.m.UUID != "" && v.provablyOurs() {
		p.want(v, Claim{Owner{v.m.UUID, v.m.Unit}})
	}
}

const foreignData = "its data is another unit's"

// withForeignData keeps data of another unit from being served here, if the machine has started it.
// Nothing is moved, so that an operator who mixed up the disks can put them back. A member that
// votes with this data may be needed: it is stopped only in its turn, or not at all.
func withForeignData(v view, p *Plan) {
	d := v.w.Data
	ours := d.ClusterID == v.named() || d.ClusterID == v.w.ClusterID
	votes := ours && slices.ContainsFunc(v.voters(), func(mem Member) bool {
		return mem.ID == d.MemberID
	})
	switch {
	case !v.w.Service.up():
		if v.w.Turn.Holder == v.m.Unit {
			p.want(v, ReleaseTurn{})
		}
	case !v.m.Cluster.OK: // the record may say that its cluster has ended
	case !ours, v.w.Local.Twin, v.w.Reach == Healthy && (!votes || !v.w.Local.Ready):
		p.want(v, Stop{foreignData}) // a second server of one member must not vote
	case v.w.Reach != Healthy || !v.mayForget(d.MemberID).none():
		// Without a quorum nothing is stopped.
	case len(v.voters()) > 1 && !v.hasTurn():
		v.takeTurn(p)
	default:
		p.want(v, Stop{foreignData})
	}
}
