package fate

import (
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// gate judges a start as the gate of a real service does, by the answers of the peers in the unit's
// fence.
func (s *Sim) gate(u *unit) operator.Hold {
	d := u.disk.data
	if d == nil {
		return operator.NotHeld
	}
	var answers []operator.PeerAnswer
	data := operator.Data{State: operator.OurData, ClusterID: d.cluster, MemberID: d.member}
	for _, url := range u.disk.fence.Asks(data) {
		answers = append(answers, s.peerAnswer(u, url))
	}
	hold, _ := u.disk.fence.Hold(data, answers)
	return hold
}

// peerAnswer returns what the server at a peer URL answers u; it answers without a quorum too.
func (s *Sim) peerAnswer(u *unit, url string) operator.PeerAnswer {
	out := operator.PeerAnswer{URL: url}
	for _, p := range s.units {
		if p == u || !p.up || !p.process.booted(s.now) || p.process.peerURL != url ||
			p.disk.data == nil || !s.reachable(u, p) {
			continue
		}
		if slices.Contains(p.disk.tls.Refused.Peer, u.disk.tls.Peer.Serial) {
			out.Reply = operator.PeerRefuses
			continue
		}
		out.Reply, out.ClusterID = operator.PeerAnswers, p.disk.data.cluster
		for _, m := range s.group(out.ClusterID).members {
			out.Members = append(out.Members, m.id)
		}
		return out
	}
	return out
}

// checkGate checks that no server starts on the data of a removed member while the gate can reach a
// listed member that knows of the removal.
func (s *Sim) checkGate(u *unit, d *data) {
	g := s.group(d.cluster)
	if g == nil || !g.removed[d.member] {
		return
	}
	for _, m := range g.members {
		listed := slices.Contains(u.disk.fence.Peers, m.peerURL) && u.disk.fence.MemberID == d.member
		p := m.owner
		if listed && s.runs(g, m) && p.process.booted(s.now) &&
			p.process.peerURL == m.peerURL && s.reachable(u, p) {
			s.broken("%s starts member %x, which %s knows to be removed", u.name, d.member, p.name)
		}
	}
}
