package fate

import (
	"slices"
	"strconv"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// writeTLS writes certificates and lists to the disk.
func (s *Sim) writeTLS(u *unit, step operator.WriteTLS) {
	tls := &u.disk.tls
	if step.Trust {
		tls.Trust = step.Authority.Trust()
	}
	if r := step.Revoked; r != nil {
		s.checkRefused(u, r.Refused)
		tls.Revoked, tls.PeerList, tls.Refused = operator.RevokedDigest(r.Relations), true, r.Refused
	}
	for _, leaf := range []struct {
		wanted bool
		at     *operator.Leaf
		kind   operator.LeafKind
		sans   []string
	}{
		{step.Peer, &tls.Peer, operator.PeerLeaf, step.PeerSANs},
		{step.Server, &tls.Server, operator.ServerLeaf, step.ServerSANs},
		{step.Admin, &tls.Admin, operator.AdminLeaf, nil},
	} {
		if leaf.wanted {
			s.lastLeaf++
			*leaf.at = operator.Leaf{
				Present: true, Signer: step.Authority.Fingerprint(),
				SANs: leaf.sans, Serial: strconv.FormatInt(s.lastLeaf, 16),
			}
			issued := operator.Issued{Kind: leaf.kind, Serial: leaf.at.Serial, End: s.now + leafSeconds}
			tls.Issued = etcdcluster.SortIssued(append(slices.Clone(tls.Issued), issued))
		}
	}
}

// Spoil removes a line from the settings on a unit's disk, and makes them readable by others. A
// server that starts with such settings serves with wrong ones, and does not say so.
func (s *Sim) Spoil(u *unit) {
	if u.disk.config != "" {
		s.tell("the settings of %s are spoilt", u.name)
		u.disk.config, u.disk.astray = operator.Altered, true
	}
}

// Squat makes a user write a name into the turn's key: without a lease, or with one longer than any
// wait of the charm.
func (s *Sim) Squat(name string, unleased bool) {
	for _, g := range s.groups {
		if g.size() > 0 && g.turn == "" {
			s.tell("somebody squats the turn of %x", g.id)
			g.turn, g.unleased, g.turnEnds, g.turnKept = name, unleased, s.now+1_000_000, true
		}
	}
}

// launch starts a unit's server with what is written on its disk. ours means that the charm asks
// for it; otherwise the machine does so by itself.
func (s *Sim) launch(u *unit, ours bool) {
	u.process = process{}
	w := u.disk.written
	switch {
	case w == nil || u.disk.installed == "":
		return
	case u.disk.tls.Revoked == "" || !u.disk.tls.PeerList ||
		!u.disk.tls.Peer.Present || !u.disk.tls.Server.Present:
		s.broken("%s starts without certificates or revocation list", u.name)
	}
	if hold := s.gate(u); hold != operator.NotHeld {
		s.tell("server of %s is held: %s", u.name, hold)
		u.process.held = hold
		return
	}
	if u.disk.data != nil {
		s.checkGate(u, u.disk.data)
	}
	if u.disk.data != nil && u.disk.data.gone {
		u.process.failing = true
		return
	}
	if d := u.disk.data; ours && d != nil {
		s.checkStart(u, d)
	}
	u.process = process{running: true, server: *w, config: u.disk.config, started: s.now}
	u.listen()
	if w.Restart != "" {
		u.restarted = w.Restart
	}
	if u.disk.data == nil && !s.first(u, ours) {
		u.process = process{failing: true}
	} else if d := u.disk.data; d != nil {
		u.had = d.cluster
	}
}

// first is a server's start on an empty data directory. It returns false if the server ends at
// once.
func (s *Sim) first(u *unit, ours bool) bool {
	w := u.process.server
	if w.Initial.New {
		s.found(u, w)
		return true
	}
	for _, g := range s.groups {
		if !sameList(g, w.Initial.Cluster) {
			continue
		}
		heard := false
		for _, m := range g.members {
			heard = heard || (s.runs(g, m) && m.owner != u &&
				s.reachable(u, m.owner) && m.owner.process.peerURL == m.peerURL)
		}
		if !heard {
			continue // the server must learn from a running member which cluster it is
		}
		for _, m := range g.members {
			if m.peerURL != w.PeerURL {
				continue
			}
			if m.name != "" && m.learner && !ours {
				return false // it has no vote to forget: etcd panics
			}
			if m.name != "" {
				s.broken("%s starts member %x of %x on an empty data directory, though it was started before",
					u.name, m.id, g.id)
			}
			u.disk.data = &data{cluster: g.id, member: m.id, size: g.space.inUse, stalled: u.stalls > 0}
			u.stalls = max(u.stalls-1, 0)
			m.owner = u
			return true
		}
	}
	return false
}

// found makes a new cluster. Its ID is a hash of token and URL, as etcd's is: the same two give the
// same cluster.
func (s *Sim) found(u *unit, w operator.Server) {
	id := idOf(w.Initial.Token, w.PeerURL)
	if old := s.group(id); old != nil {
		if s.named[id] {
			s.broken("%s founds cluster %x again", u.name, id)
		}
		*old = group{
			id: id, removed: old.removed,
			members: []*member{{id: id | 2, peerURL: w.PeerURL, owner: u}},
		}
	} else {
		s.groups = append(s.groups, &group{
			id: id, removed: map[uint64]bool{},
			members: []*member{{id: id | 2, peerURL: w.PeerURL, owner: u}},
		})
	}
	u.disk.data = &data{cluster: id, member: id | 2}
	s.tell("%s: founds %x", u.name, id)
	if u.hook != nil && !u.hook.led {
		s.broken("%s founds, but does not lead", u.name)
	}
}
