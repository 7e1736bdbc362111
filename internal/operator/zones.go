package operator

import (
	"maps"
	"slices"
)

// zones says that a zone has so many voters that its loss would cost the quorum. A cloud of one zone, or one whose zones are
// not known, leaves nothing to be done: of that only health speaks.
func (x *examiner) zones() {
	if x.r.Voters < 3 {
		return // any loss costs the quorum of one or two
	}
	in, unknown := map[string][]string{}, false
	for _, m := range x.r.Members {
		if m.Learner {
			continue
		}
		zone := x.m.Cluster.Value.Words[m.Unit].Zone
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
