package operator

import "slices"

// certificates keeps the unit's certificates as they should be: issued by the committed
// authorities, naming every address, and renewed well before they expire. Leaves and revocation
// lists are swapped by rename and need no restart. Trust bundles need one, because etcd loads them
// once; roll sees that in the settings.
func certificates(v view, p *Plan) {
	if v.role() != RoleMember {
		return
	}
	// A unit that leaves needs no new certificates. Its leave may take long, though, and meanwhile
	// its server must refuse what is revoked: so its revocation lists are still written.
	if !v.leaving() && !p.need(v, "certificates are not issued",
		authoritiesUnknown, peersUnknown, peerAddressUnknown, clientAddressUnknown) ||
		!v.m.Authority.OK || v.m.Authority.Value == nil || !v.m.Cluster.OK {
		return
	}
	if left, _, known := v.authoritiesLeft(); known && left < 0 {
		return // nothing that they issue would be valid; the report says so
	}
	authority := v.m.Authority.Value
	step := WriteTLS{Authority: authority, CommonName: memberName(v.m.Unit)}
	refused := v.refused()
	if v.leaving() {
		if step.Revoked = v.lists(refused); step.Revoked != nil && v.w.Service.Running {
			p.want(v, step)
		}
		return
	}
	step.Trust = v.w.TLS.Trust != authority.Trust()

	step.ServerSANs = v.sans()
	if !v.usable() && v.w.TLS.Server.Present {
		step.ServerSANs = v.w.TLS.Server.SANs
	}
	step.PeerSANs = v.peerSANs(step.ServerSANs)
	peer, server, admin := v.w.TLS.Peer, v.w.TLS.Server, v.w.TLS.Admin
	step.Peer = stale(peer, step.PeerSANs) || slices.Contains(refused.Peer, peer.Serial)
	step.Server = stale(server, step.ServerSANs) || slices.Contains(refused.Client, server.Serial)
	step.Admin = stale(admin, nil) || slices.Contains(refused.Client, admin.Serial)
	// New leaves come first, or we lock ourselves out.
	if !slices.Contains(refused.Peer, peer.Serial) &&
		!slices.Contains(refused.Client, server.Serial) &&
		!slices.Contains(refused.Client, admin.Serial) {
		step.Revoked = v.lists(refused)
	}
	if step.Trust || step.Revoked != nil || step.Peer || step.Server || step.Admin {
		p.want(v, step)
	}
}

// lists are the revocation lists, if those on disk differ or are missing: etcd refuses every client
// if a list is missing. Relations that have just ended are included, because no later hook calls
// the leader once they are on record.
func (v view) lists(refused Refused) *Revoked {
	r := Revoked{ModelUUID: v.m.UUID, Relations: v.revoked(), Refused: refused}
	if v.w.TLS.Revoked == RevokedDigest(r.Relations) &&
		v.w.TLS.PeerList && v.w.TLS.Refused.equal(refused) {
		return nil
	}
	return &r
}

// stale reports whether a leaf must be issued again. A nil sans is not compared.
func stale(leaf Leaf, sans []string) bool {
	return !leaf.Present || leaf.Problem != "" || leaf.Due ||
		(sans != nil && !slices.Equal(leaf.SANs, sans) && !slices.Equal(canonical(leaf.SANs), sans))
}
