package fate

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const (
	// youngSeconds is the age from which a connection counts in strict reconfiguration (server.go,
	// HealthInterval).
	youngSeconds = 5
	// bootSeconds is how long a server takes from its start until it serves.
	bootSeconds = 2
	// againSeconds is how long a server that ended by itself stays down. Hooks look every three
	// seconds, so they see it down.
	againSeconds = 4
)

// group is one etcd cluster, as committed. A member may see less of it; that is not modelled.
type group struct {
	id       uint64
	members  []*member
	index    int // of the last committed, so acknowledged, entry
	leader   uint64
	turn     string
	turnEnds int64
	unleased bool // a user put the key there by hand, without a lease: it does not expire
	turnKept bool // the holder's request to give it back failed, and the holder does not try again
	removed  map[uint64]bool
	space    space
	accused  []uint64 // members that alarm CORRUPT names; sorted
	// published means that consumers were told of the cluster, so what it acknowledges counts.
	published bool
}

// member is one entry of the member list. owner is the unit that it was added for; etcd does not
// know it, but the checks do.
type member struct {
	id                       uint64
	name, peerURL, clientURL string
	learner                  bool
	owner                    *unit
	// match is how much of the log, as far as the leader knows, the member holds; a new leader
	// knows nothing.
	match int
	// changed is when its URL last changed: before that the others could not dial it.
	changed int64
}

// data is a data directory. index is how much of the cluster's log it holds.
type data struct {
	cluster, member uint64
	index           int
	owner           operator.Owner // as the owner file in it says
	size            int64          // of the database
	rot             bool           // the content differs from what was agreed
	stalled         bool           // no entry is replicated here
	// The server knows that its member was removed: it never starts again.
	gone bool
}

func quorum(n int) int { return n/2 + 1 }

func (g *group) find(id uint64) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// size returns the number of voters.
func (g *group) size() int {
	n := 0
	for _, m := range g.members {
		if !m.learner {
			n++
		}
	}
	return n
}

func (g *group) voters() []*member {
	out := make([]*member, 0, len(g.members))
	for _, m := range g.members {
		if !m.learner {
			out = append(out, m)
		}
	}
	return out
}

// runs reports whether a server runs as m.
func (s *Sim) runs(g *group, m *member) bool {
	u := m.owner
	return u.up && u.process.running &&
		u.disk.data != nil && u.disk.data.cluster == g.id && u.disk.data.member == m.id
}

// linked reports whether two running members hear each other. A peer that does not listen where it
// is listed still dials out, so a link needs one true URL of the two.
func (s *Sim) linked(a, b *member) bool {
	return a == b || (s.reachable(a.owner, b.owner) &&
		(a.owner.process.peerURL == a.peerURL || b.owner.process.peerURL == b.peerURL))
}

// dialled reports whether others have a stream of their own to m. Only such a stream counts in
// strict reconfiguration: a member under a false URL does take part, over the streams that it
// dials, but is not active (rafthttp, peerStatus).
func (s *Sim) dialled(at, m *member) bool {
	return at == m || (s.reachable(at.owner, m.owner) && m.owner.process.peerURL == m.peerURL)
}

// heard yields the voters that run and hear m, including m itself.
func (s *Sim) heard(g *group, m *member) iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for _, v := range g.members {
			if !v.learner && s.runs(g, v) && s.linked(v, m) && !yield(v) {
				return
			}
		}
	}
}

// leads reports whether a quorum hears m.
func (s *Sim) leads(g *group, m *member) bool {
	n := 0
	for range s.heard(g, m) {
		n++
	}
	return n >= quorum(g.size())
}

// led returns the member that leads a quorum now; nil if none does.
func (s *Sim) led(g *group) *member {
	m := g.find(g.leader)
	if m == nil || m.learner || !s.runs(g, m) || !m.owner.process.booted(s.now) || !s.leads(g, m) {
		return nil
	}
	return m
}

// ready reports whether a member answers a linearizable read.
func (s *Sim) ready(g *group, m *member) bool {
	l := s.led(g)
	return l != nil && !m.learner && s.runs(g, m) && m.owner.process.booted(s.now) && s.linked(l, m)
}

func (s *Sim) readyVoters(g *group) int {
	n := 0
	for _, m := range g.members {
		if s.ready(g, m) {
			n++
		}
	}
	return n
}

// raft makes every cluster elect, replicate and apply as much as it can now.
func (s *Sim) raft() {
	for _, g := range s.groups {
		if s.led(g) == nil {
			s.elect(g)
		}
		l := s.led(g)
		if l == nil {
			continue
		}
		for _, m := range g.members {
			if !s.runs(g, m) || !m.owner.process.booted(s.now) || !s.linked(l, m) {
				continue
			}
			p := &m.owner.process
			if d := m.owner.disk.data; d.index < m.match { // otherwise raft panics: tocommit is out of range
				s.tell("server of %s ends: its log is %d, and was %d", m.owner.name, d.index, m.match)
				*p = process{
					failing: true, again: s.now + againSeconds,
					log: fmt.Sprintf("tocommit(%d) is out of range [lastIndex(%d)]", m.match, d.index),
				}
				continue
			}
			p.serving, m.owner.byHand = true, 0
			m.name, m.clientURL = p.server.Name, p.server.ClientURL // the attributes that a server publishes
			if !s.lag && !m.owner.disk.data.stalled {
				m.owner.disk.data.index = g.index
			}
			m.match = m.owner.disk.data.index
		}
	}
	for _, u := range s.units {
		s.expel(u)
	}
}

func (s *Sim) elect(g *group) {
	need := quorum(g.size())
	for _, c := range g.members {
		if c.learner || !s.runs(g, c) || !c.owner.process.booted(s.now) {
			continue
		}
		votes := 0
		for v := range s.heard(g, c) {
			if v.owner.disk.data.index <= c.owner.disk.data.index {
				votes++
			}
		}
		if votes < need {
			continue
		}
		g.lead(c)
		if c.owner.disk.data.index < g.index {
			s.broken("acknowledged entry %d is lost: %s leads %x with %d",
				g.index, c.owner.name, g.id, c.owner.disk.data.index)
		}
		g.index = c.owner.disk.data.index
		return
	}
}

// lead makes m the leader.
func (g *group) lead(m *member) {
	g.leader = m.id
	for _, other := range g.members {
		other.match = 0
	}
}

// expel ends the server of a removed member, once any member can tell it of the removal. The server
// ends by itself with status 0, so it is not started again; every later start on that directory
// fails.
func (s *Sim) expel(u *unit) {
	if !u.up || !u.process.running || u.disk.data == nil {
		return
	}
	g := s.group(u.disk.data.cluster)
	if g == nil || !g.removed[u.disk.data.member] {
		return
	}
	for _, m := range g.members {
		// The member closes its connections, so the server never learns of the removal.
		refused := slices.Contains(m.owner.disk.tls.Refused.Peer, u.disk.tls.Peer.Serial)
		if s.runs(g, m) && s.reachable(u, m.owner) && !refused {
			u.disk.data.gone = true
			u.process = process{}
			return
		}
	}
}

// commit appends one entry to the log: on the leader and on just enough others for a quorum.
// Without a quorum it does nothing.
func (s *Sim) commit(g *group) {
	l := s.led(g)
	if l == nil {
		return
	}
	g.index++
	l.owner.disk.data.index = g.index
	n := 1
	for v := range s.heard(g, l) {
		if v != l && n < quorum(g.size()) {
			v.owner.disk.data.index = g.index
			n++
		}
	}
}

// write makes a client write to each cluster that accepts a write.
func (s *Sim) write() {
	for _, g := range s.groups {
		if l := s.led(g); l != nil {
			_ = s.put(g, l, clientBytes)
		}
	}
}

// asked returns a member with a quorum that u can ask; nil if there is none. If others is set, it
// is not the unit's own.
func (s *Sim) asked(g *group, u *unit, others bool) *member {
	for _, m := range g.members {
		if s.ready(g, m) && s.reachable(u, m.owner) && (!others || m.owner != u) {
			return m
		}
	}
	return nil
}

// sameList reports whether --initial-cluster is the member list exactly: etcd compares count and
// URLs.
func sameList(g *group, initial string) bool {
	var want, got []string
	for _, m := range g.members {
		want = append(want, m.peerURL)
	}
	for part := range strings.SplitSeq(initial, ",") {
		_, url, _ := strings.Cut(part, "=")
		got = append(got, url)
	}
	slices.Sort(want)
	slices.Sort(got)
	return slices.Equal(want, got)
}

// group returns the cluster with that ID; nil if it never existed.
func (s *Sim) group(id uint64) *group {
	for _, g := range s.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

// list returns the member list in operator's form.
func (g *group) list() []operator.Member {
	out := make([]operator.Member, 0, len(g.members))
	for _, m := range g.members {
		o := operator.Member{ID: m.id, Name: m.name, Learner: m.learner, PeerURLs: []string{m.peerURL}}
		if m.clientURL != "" {
			o.ClientURLs = []string{m.clientURL}
		}
		out = append(out, o)
	}
	return out
}
