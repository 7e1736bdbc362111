package etcdproxy

import (
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Side is one of the two sides of the relation. The zero value is neither.
type Side int

// The two sides.
const (
	ProvidesSide Side = iota + 1
	RequiresSide
)

// State is how far a relation has come. It is computed from the bags at each look and
// never kept. The zero value is that of a relation that is not there.
type State struct {
	// Connected: at least one unit of the other side has joined and not departed.
	Connected bool
	// Available: there is a valid cluster string. Requires side only.
	Available bool
	// TLSAvailable: Available, and there are all three credentials, in good order.
	// Requires side only.
	TLSAvailable bool
}

// Connected tells whether a unit of the other side has joined and not departed. A
// relation in its broken hook has no units left, and is not connected.
func Connected(rel databag.Relation) bool { return len(rel.Units) > 0 }

// States names the states that are on for an endpoint, sorted, as the interface has
// had them since 2016: "proxy.connected", "upstream.tls.available". An endpoint may
// have several relations: a state is on when it is on for one of them. Without
// relations there is no state.
func States(endpoint string, side Side, relations ...State) []string {
	var on State
	for _, state := range relations {
		on.Connected = on.Connected || state.Connected
		on.Available = on.Available || state.Available
		on.TLSAvailable = on.TLSAvailable || state.TLSAvailable
	}
	var names []string
	if on.Connected && (side == ProvidesSide || side == RequiresSide) {
		names = append(names, endpoint+".connected")
	}
	if on.Available && side == RequiresSide {
		names = append(names, endpoint+".available")
	}
	if on.TLSAvailable && side == RequiresSide {
		names = append(names, endpoint+".tls.available")
	}
	slices.Sort(names)
	return names
}
