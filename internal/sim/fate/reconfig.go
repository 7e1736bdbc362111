package fate

import (
	"errors"
	"slices"
)

// The errors of etcd (api/v3rpc/rpctypes). The texts are etcd's; a test compares them with real
// servers.
var (
	errUnhealthy  = errors.New("etcdserver: unhealthy cluster")
	errTooFew     = errors.New("etcdserver: re-configuration failed due to not enough started members")
	errURLExists  = errors.New("etcdserver: Peer URLs already exists")
	errLearners   = errors.New("etcdserver: too many learner members in cluster")
	errNotFound   = errors.New("etcdserver: member not found")
	errNotLearner = errors.New("etcdserver: can only promote a learner member")
	errBehind     = errors.New("etcdserver: can only promote a learner member which is in sync with leader")
	errTimeout    = errors.New("etcdserver: request timed out")
)

// active counts the voters to which at has had a connection for long enough.
func (s *Sim) active(g *group, at *member) int {
	n := 0
	for _, v := range g.voters() {
		if v == at || (s.runs(g, v) && s.dialled(at, v) &&
			s.now-max(v.owner.process.started, at.owner.process.started,
				s.healed, v.changed) >= youngSeconds) {
			n++
		}
	}
	return n
}

// started counts the voters that have published their name, leaving out the member without.
func (g *group) started(without uint64) int {
	n := 0
	for _, v := range g.voters() {
		if v.name != "" && v.id != without {
			n++
		}
	}
	return n
}

// add adds a member for u (server.go, mayAddMember; then, when the entry is applied,
// membership.ValidateConfigurationChange).
func (s *Sim) add(g *group, at *member, u *unit, url string, learner bool) error {
	n := len(g.voters())
	if !learner && n > 1 && g.started(0) < quorum(n+1) {
		return errTooFew
	}
	if n > 1 && s.active(g, at) < quorum(n+1) {
		return errUnhealthy
	}
	for _, m := range g.members {
		if m.peerURL == url {
			return errURLExists
		}
	}
	if learner && len(g.members) > n {
		return errLearners
	}
	s.commit(g)
	s.lastID++
	g.members = append(g.members, &member{id: s.lastID, peerURL: url, learner: learner, owner: u})
	if !learner {
		s.broken("%s was added as a voter", u.name)
	}
	return nil
}

// promote makes a learner a voter. etcd looks only at what the leader knows of the learner, so it
// promotes one that has stopped meanwhile. Other members ask the leader, at its listed URL
// (server.go, PromoteMember).
func (s *Sim) promote(g *group, at *member, id uint64) error {
	l := s.led(g)
	if l != at && !s.dialled(at, l) {
		return errTimeout
	}
	m := g.find(id)
	switch {
	case m == nil:
		return errNotFound
	case m.match*10 < g.index*9:
		return errBehind
	case !m.learner:
		return errNotLearner
	}
	s.commit(g)
	m.learner = false
	return nil
}

// remove removes a member. The check for an active voter is etcd's (server.go, mayRemoveMember).
func (s *Sim) remove(g *group, at *member, id uint64) error {
	m := g.find(id)
	if m == nil {
		return errNotFound
	}
	if n := len(g.voters()); !m.learner {
		if g.started(id) < quorum(n-1) {
			return errTooFew
		}
		if s.runs(g, m) && s.dialled(at, m) && s.active(g, at)-1 < quorum(n-1) {
			return errUnhealthy
		}
	}
	s.commit(g)
	g.members = slices.DeleteFunc(g.members, func(x *member) bool { return x == m })
	g.removed[id] = true
	return nil
}

// update changes a member's listed URL.
func (s *Sim) update(g *group, id uint64, url string) error {
	m := g.find(id)
	if m == nil {
		return errNotFound
	}
	for _, other := range g.members {
		if other != m && other.peerURL == url {
			return errURLExists
		}
	}
	s.commit(g)
	if m.peerURL != url {
		m.peerURL, m.changed = url, s.now
	}
	return nil
}
