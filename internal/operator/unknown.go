package operator

// need reports whether everything is known that those kinds are about. If something is not, the
// report says which work waits for it: an unknown that keeps a renewal, a publication or a repair
// from happening must be reported before it causes an outage.
func (p *Plan) need(l look, work string, kinds ...Kind) bool {
	known := true
	for _, kind := range kinds {
		if why := l.unknown(kind, work); !why.none() {
			known = false
			p.say(why)
		}
	}
	return known
}

// unknown is the reason that work waits for what the kind is about; none means that it is known.
func (l look) unknown(kind Kind, work string) Reason {
	unknown, why := l.lacks(kind)
	switch {
	case !unknown:
		return Reason{}
	case kind == peersUnknown && l.m.Cluster.Stuck == TooOld:
		return because(peersTooOld, work, why)
	case kind == peersUnknown && l.m.Cluster.Stuck == TooNew:
		return because(peersTooNew, work, why, l.m.App)
	}
	return because(kind, work, why)
}

// lacks reports whether what the kind is about is unknown, and why.
func (l look) lacks(kind Kind) (unknown bool, why string) {
	m := l.m
	switch kind {
	case unitsUnknown:
		return !m.Units.OK, m.Units.Why
	case leaderUnknown:
		return !m.Leader.OK, m.Leader.Why
	case peersUnknown:
		return !m.Cluster.OK, m.Cluster.Why
	case authoritiesUnknown:
		if m.Authority.OK && m.Authority.Value == nil && l.w.Data.State == OurData {
			return true, "there are none, though there were when the cluster was founded"
		}
		return !m.Authority.OK, m.Authority.Why
	case consumersUnknown:
		return !l.consumers.OK, l.consumers.Why
	case upstreamUnread:
		return !m.Relations[upstreamEndpoint].OK, m.Relations[upstreamEndpoint].Why
	case peerAddressUnknown:
		return !m.PeerAddress.OK, m.PeerAddress.Why
	case clientAddressUnknown:
		return !m.ClientAddress.OK, m.ClientAddress.Why
	case turnUnknown:
		return !l.w.Turn.Known, "etcd did not say who holds it"
	default:
		return false, ""
	}
}
