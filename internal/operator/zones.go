package operator

import (
	"maps"
	"slices"
)

// zones says that a zone has so many voters that its loss would cost the quorum. If all voters are
// in one zone, the cloud may have no other: only health reports that, and only if every voter's
// zone is known.
func (x *examiner) zones() {
	if x.r.Voters < 3 {
		return // with one or two voters any loss costs the quorum
	}
	in, unknown := map[string][]string{}, false
	for _, m := range x.r.Members {
		if m.Learner {
			continue
		}
		zone := x.m.Cluster.Value.UnitBags[m.Unit].Zone
		if m.Unit == x.m.Unit {
			zone = x.m.Zone
		}
		if zone == "" {
			unknown = true
			continue
		}
		in[zone] = append(in[zone], m.Unit)
	}
	for _, zone := range slices.Sorted(maps.Keys(in)) {
		switch {
		case x.r.Voters-len(in[zone]) >= x.r.Quorum:
		case len(in) > 1:
			for _, unit := range in[zone] {
				x.say(because(zoneShared, unit, zone))
			}
		case !unknown:
			x.say(because(zoneAlone, zone))
		}
	}
}
