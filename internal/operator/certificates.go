package operator

import "slices"

// certificates keeps the unit's certificates what they should be: issued by the committed authorities, naming every
// address, well before they are due. Leaves and revocation lists are swapped by rename and need no restart; trust
// bundles do (etcd loads them once), which roll sees in the settings.
func certificates(l look, p *Plan) {
	if l.role() != RoleMember {
		return
	}
	// A unit that leaves needs no new certificates. Its leave may take long, though, and meanwhile
	// its server must refuse what is revoked: so its revocation lists are still written.
	if !l.leaving() && !p.need(l, "certificates are not issued", authoritiesUnknown, peersUnknown, peerAddressUnknown, clientAddressUnknown) ||
		!l.m.Authority.OK || l.m.Authority.Value == nil || !l.m.Cluster.OK {
		return
	}
	if left, _, known := l.authoritiesLeft(); known && left < 0 {
		return // nothing that they issue would be valid; the examination says so
	}
	authority := l.m.Authority.Value
	step := WriteTLS{Authority: authority, CommonName: memberName(l.m.Unit)}
	refused := l.refused()
	if l.leaving() {
		if step.Revoked = l.lists(refused); step.Revoked != nil && l.w.Service.Running {
			p.want(l, step)
		}
		return
	}
	step.Trust = l.w.TLS.Trust != authority.Trust()

	step.ServerSANs = l.sans()
	if !l.usable() && l.w.TLS.Server.Present {
		step.ServerSANs = l.w.TLS.Server.SANs
	}
	step.PeerSANs = l.peerSANs(step.ServerSANs)
	peer, server, admin := l.w.TLS.Peer, l.w.TLS.Server, l.w.TLS.Admin
	step.Peer = stale(peer, step.PeerSANs) || slices.Contains(refused.Peer, peer.Serial)
	step.Server = stale(server, step.ServerSANs) || slices.Contains(refused.Client, server.Serial)
	step.Admin = stale(admin, nil) || slices.Contains(refused.Client, admin.Serial)
	if !slices.Contains(refused.Peer, peer.Serial) && !slices.Contains(refused.Client, server.Serial) &&
		!slices.Contains(refused.Client, admin.Serial) { // else new leaves come first, or we lock ourselves out
		step.Revoked = l.lists(refused)
	}
	if step.Trust || step.Revoked != nil || step.Peer || step.Server || step.Admin {
		p.want(l, step)
	}
}

// lists are the revocation lists, if those on disk differ or are missing: etcd refuses every client
// if a list is missing. Relations that have just ended are included, because no later hook calls
// the leader once they are on record.
func (l look) lists(refused Refused) *Revoked {
	r := Revoked{ModelUUID: l.m.UUID, Relations: l.revoked(), Refused: refused}
	if l.w.TLS.Revoked == RevokedDigest(r.Relations) && l.w.TLS.PeerList && l.w.TLS.Refused.equal(refused) {
		return nil
	}
	return &r
}

// stale reports whether a leaf must be issued again. A nil sans is not compared.
func stale(leaf Leaf, sans []string) bool {
	return !leaf.Present || leaf.Problem != "" || leaf.Due ||
		(sans != nil && !slices.Equal(leaf.SANs, sans) && !slices.Equal(canonical(leaf.SANs), sans))
}
