package operator

import "slices"

// certificates keeps the unit's certificates what they should be: issued by the committed authorities, naming every
// address, well before they are due. Leaves and the revocation list are swapped by rename and need no restart; trust
// bundles do (etcd loads them once), which roll sees in the settings.
func certificates(l look, p *Plan) {
	if l.role() != RoleMember || l.leaving() {
		return
	}
	if !p.need(l, "certificates are not issued", theAuthorities, thePeers, thePeerAddress, theClientAddress) ||
		l.m.Authority.Value == nil {
		return
	}
	authority := *l.m.Authority.Value
	step := WriteTLS{Authority: authority, CommonName: memberName(l.m.Unit)}
	step.Trust = l.w.TLS.Trust != authority.Trust

	// With those that ended by now: nothing calls the leader again once it has put them on record.
	revoked := Revoked{ModelUUID: l.m.UUID, Relations: l.revoked()}
	// The list must exist before etcd's first start: a missing one refuses every client.
	if l.w.TLS.Revoked != RevokedDigest(revoked.Relations) {
		step.Revoked = &revoked
	}

	step.ServerSANs = l.sans()
	if !l.usable() && l.w.TLS.Server.Present {
		step.ServerSANs = l.w.TLS.Server.SANs
	}
	step.PeerSANs = l.peerSANs(step.ServerSANs)
	step.Peer = stale(l.w.TLS.Peer, step.PeerSANs)
	step.Server = stale(l.w.TLS.Server, step.ServerSANs)
	step.Admin = stale(l.w.TLS.Admin, nil)
	if step.Trust || step.Revoked != nil || step.Peer || step.Server || step.Admin {
		p.want(l, step)
	}
}

// stale tells whether a leaf must be issued anew. A nil sans is not compared.
func stale(leaf Leaf, sans []string) bool {
	return !leaf.Present || leaf.Problem != "" || leaf.Due ||
		(sans != nil && !slices.Equal(leaf.SANs, sans) && !slices.Equal(canonical(leaf.SANs), sans))
}
