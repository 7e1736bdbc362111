package operator

// need reports whether everything is known that those kinds are about. If something is not, the
// report says which work waits for it: an unknown that keeps a renewal, a publication or a repair
// from happening must be reported before it causes an outage.
func (p *Plan) need(v view, work string, kinds ...Kind) bool {
	known := true
	for _, kind := range kinds {
		if why := v.unknown(kind, work); !why.none() {
			known = false
			p.say(why)
		}
	}
	return known
}

// unknown is the reason that work waits for what the kind is about; none means that it is known.
func (v view) unknown(kind Kind, work string) Reason {
	unknown, why := v.isUnknown(kind)
	switch {
	case !unknown:
		return Reason{}
	case kind == peersUnknown && v.m.Cluster.Stuck == TooOld:
		return because(peersTooOld, work, why)
	case kind == peersUnknown && v.m.Cluster.Stuck == TooNew:
		return because(peersTooNew, work, why, v.m.App)
	}
	return because(kind, work, why)
}

// isUnknown reports whether what the kind is about is unknown, and why.
func (v view) isUnknown(kind Kind) (unknown bool, why string) {
	m := v.m
	switch kind {
	case unitsUnknown:
		return !m.Units.OK, m.Units.Why
	case leaderUnknown:
		return !m.Leader.OK, m.Leader.Why
	case peersUnknown:
		return !m.Cluster.OK, m.Cluster.Why
	case authoritiesUnknown:
		if m.Authority.OK && m.Authority.Value == nil && v.w.Data.State == OurData {
			return true, "there are none, though there were when the cluster was founded"
		}
		return !m.Authority.OK, m.Authority.Why
	case consumersUnknown:
		return !v.consumers.OK, v.consumers.Why
	case upstreamUnread:
		return !m.Relations[upstreamEndpoint].OK, m.Relations[upstreamEndpoint].Why
	case peerAddressUnknown:
		return !m.PeerAddress.OK, m.PeerAddress.Why
	case clientAddressUnknown:
		return !m.ClientAddress.OK, m.ClientAddress.Why
	case turnUnknown:
		return !v.w.Turn.Known, "etcd did not say who holds it"
	default:
		return false, ""
	}
}
