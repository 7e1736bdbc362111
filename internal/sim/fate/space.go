package fate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// errNoSpace is etcd's answer to whoever would write while NOSPACE is raised (api/v3rpc/rpctypes).
var errNoSpace = errors.New("etcdserver: mvcc: database space exceeded")

// space is what lies in the databases of a cluster. Sizes are bytes.
type space struct {
	live, inUse int64    // without history, and with it
	alarms      []uint64 // members that raised NOSPACE; sorted
}

// raise has a member raise NOSPACE.
func (s *space) raise(id uint64) {
	if at, raised := slices.BinarySearch(s.alarms, id); !raised {
		s.alarms = slices.Insert(s.alarms, at, id)
	}
}

// quotaOf is the quota that a running member was started with.
func quotaOf(m *member) int64 { return m.owner.process.server.Config.QuotaBytes }

// What clients write at a time, and what the turn takes: a full database may have room for the turn, once somebody has taken
// the alarm back.
const (
	clientBytes = 1 << 20
	turnBytes   = 1 << 10
)

// fits reports whether a running member has room for so much more.
func fits(m *member, bytes int64) bool { return m.owner.disk.data.size+bytes <= quotaOf(m) }

// put is a write at a member. etcd takes none while NOSPACE is raised. The member that is asked raises it in place of a
// write for which it has no room, and so does every other that has none when it applies the write (etcdserver/apply,
// quotaApplierV3): one with a low quota is enough.
func (s *Sim) put(g *group, at *member, bytes int64) error {
	switch {
	case len(g.accused) > 0:
		return errCorrupt
	case len(g.space.alarms) > 0:
		return errNoSpace
	case !fits(at, bytes):
		g.space.raise(at.id)
		return errNoSpace
	}
	s.commit(g)
	for _, m := range g.members {
		if s.runs(g, m) && s.linked(at, m) && !fits(m, bytes) {
			g.space.raise(m.id)
		}
	}
	return nil
}

// recorded is the cluster of the record; nil if there is none, or none with a quorum.
func (s *Sim) recorded() *group {
	g := s.group(s.record().ClusterID)
	if g == nil || s.ended[g.id] || s.led(g) == nil {
		return nil
	}
	return g
}

// Fill has clients write until a database is full, and write on: data that lives, or history.
func (s *Sim) Fill(live bool) {
	g := s.recorded()
	if g == nil || s.raises >= mostRaises {
		return
	}
	quota := quotaOf(s.led(g))
	for _, m := range g.members {
		if s.runs(g, m) {
			quota = min(quota, quotaOf(m))
		}
	}
	if g.space.inUse+clientBytes > quota {
		return
	}
	s.tell("clients fill the databases, live %v", live)
	s.busy = true
	g.space.inUse = quota - clientBytes/2
	if live {
		g.space.live = g.space.inUse
	}
	for _, m := range g.members {
		if d := m.owner.disk.data; d != nil && d.member == m.id {
			d.size = g.space.inUse
		}
	}
	s.write()
}

// Disarm has somebody take the alarm back by hand. Nobody else is to blame for what that does.
func (s *Sim) Disarm() {
	if g := s.recorded(); g != nil && len(g.space.alarms) > 0 {
		s.tell("somebody takes alarm NOSPACE back")
		g.space.alarms = nil
	}
}

// mostRaises bounds how often the quota is doubled by chance: what is too large for a hook the charm leaves to actions.
const mostRaises = 6

// Raise doubles the quota.
func (s *Sim) Raise() {
	s.raises++
	s.tell("quota %d", s.config().QuotaBytes)
}

// config is the options as they are now.
func (s *Sim) config() operator.Config {
	c := settings(s.options)
	c.QuotaBytes <<= s.raises
	return c
}

// configVersion tells one set of options from another.
func (s *Sim) configVersion() int { return s.options + s.raises<<16 }

// relieve raises the quota if nothing else makes room: the data lives.
func (s *Sim) relieve() {
	if g := s.recorded(); g != nil && len(g.space.alarms) > 0 && g.space.live*10 >= s.config().QuotaBytes*9 {
		s.Raise()
	}
}

// stats is what a member says of its database, and of the alarms.
func (g *group) stats(m *member, self *operator.Member) {
	d := m.owner.disk.data
	self.Quota, self.DBSize, self.DBInUse, self.Revision = quotaOf(m), d.size, min(d.size, g.space.inUse), int64(1000+g.index)
	for _, id := range g.space.alarms {
		self.Errors = append(self.Errors, fmt.Sprintf("memberID:%d alarm:NOSPACE", id))
	}
	for _, id := range g.accused {
		self.Errors = append(self.Errors, fmt.Sprintf("memberID:%d alarm:%s", id, corrupt))
	}
}

// compact drops history, as all members do.
func (s *Sim) compact(g *group) {
	s.commit(g)
	g.space.inUse = g.space.live
}

// defrag gives back what a member's database does not use. The member answers nobody meanwhile.
func (s *Sim) defrag(u *unit, g *group, m *member) error {
	if m == nil || !s.runs(g, m) || !s.reachable(u, m.owner) {
		return errors.New("it did not answer the last look")
	}
	for _, v := range g.voters() {
		if v != m && s.now < v.owner.byHand && !s.ready(g, v) && v.owner.life != dead {
			s.broken("%s is defragmented while %s is down by our hand", m.name, v.owner.name)
		}
	}
	if n, after := g.size(), s.readyVoters(g)-1; u.hook.looked == s.faults && n > 2 && s.ready(g, m) && after < quorum(n) {
		s.broken("the defragmentation of %s costs the quorum", m.name)
	}
	m.owner.disk.data.size = min(m.owner.disk.data.size, g.space.inUse)
	return nil
}

// hidden reports whether a unit whose hook fails cannot find a member: it has another address than the list says, until it
// restarts, and alarm NOSPACE keeps it from that as long as somebody leaves.
func (s *Sim) hidden(u *unit) bool {
	g := s.group(u.disk.data.cluster)
	return s.Stale && u.fail != nil && g != nil && len(g.space.alarms) > 0 &&
		slices.ContainsFunc(g.members, func(m *member) bool { return m.owner.process.clientURL != m.clientURL })
}

// settledSpace says what is wrong with space once nothing happens any more.
func (s *Sim) settledSpace(g *group) string {
	if len(g.space.alarms) > 0 {
		return "alarm NOSPACE is raised"
	}
	if len(g.accused) > 0 {
		return "alarm CORRUPT is raised"
	}
	return ""
}
