package etcdproxy

// State is how far a relation has come. It is computed from the bags at each look and never stored.
// The zero value is that of a relation that is not there.
type State struct {
	// Connected: at least one unit of the other side has joined and not departed. A
	// relation in its broken hook has no units left, and is not connected.
	Connected bool
	// Available: there is a valid cluster string. Never so on the provides side.
	Available bool
	// TLSAvailable: Available, and all three credentials are there and valid. Never so on the
	// provides side.
	TLSAvailable bool
}

// States names the states that are on for an endpoint, sorted, as the interface has
// had them since 2016: "proxy.connected", "upstream.tls.available". An endpoint may
// have several relations: a state is on when it is on for one of them. Without
// relations there is no state.
func States(endpoint string, relations ...State) []string {
	var on State
	for _, state := range relations {
		on.Connected = on.Connected || state.Connected
		on.Available = on.Available || state.Available
		on.TLSAvailable = on.TLSAvailable || state.TLSAvailable
	}
	var names []string
	if on.Available {
		names = append(names, endpoint+".available")
	}
	if on.Connected {
		names = append(names, endpoint+".connected")
	}
	if on.TLSAvailable {
		names = append(names, endpoint+".tls.available")
	}
	return names
}
