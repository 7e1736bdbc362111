package fate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// errNoSpace is etcd's answer to writes while NOSPACE is raised (api/v3rpc/rpctypes).
var errNoSpace = errors.New("etcdserver: mvcc: database space exceeded")

// space is the content of a cluster's databases, in bytes.
type space struct {
	live, inUse int64    // live is without history, inUse with it
	alarms      []uint64 // members that raised NOSPACE; sorted
}

// raise makes a member raise NOSPACE.
func (s *space) raise(id uint64) {
	if at, raised := slices.BinarySearch(s.alarms, id); !raised {
		s.alarms = slices.Insert(s.alarms, at, id)
	}
}

// quotaOf returns the quota with which a running member was started.
func quotaOf(m *member) int64 { return m.owner.process.server.Config.QuotaBytes }

// The size of a client's write, and of the turn's key. A full database may have room for the turn
// once the alarm is disarmed.
const (
	clientBytes = 1 << 20
	turnBytes   = 1 << 10
)

// fits reports whether a running member has room for that many more bytes.
func fits(m *member, bytes int64) bool { return m.owner.disk.data.size+bytes <= quotaOf(m) }

// put is a write at a member. etcd accepts none while NOSPACE is raised. The member that is asked
// raises the alarm instead of a write for which it has no room. Every other member without room
// raises it when it applies the write (etcdserver/apply, quotaApplierV3). So one member with a low
// quota is enough.
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

// recorded returns the cluster on record; nil if there is none, or if it has no quorum.
func (s *Sim) recorded() *group {
	g := s.group(s.record().ClusterID)
	if g == nil || s.ended[g.id] || s.led(g) == nil {
		return nil
	}
	return g
}

// Fill makes clients write until a database is full, and go on writing. live says whether they
// write live data or history.
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

// Disarm makes a user disarm the alarm by hand. The charm is not to blame for the consequences.
func (s *Sim) Disarm() {
	if g := s.recorded(); g != nil && len(g.space.alarms) > 0 {
		s.tell("somebody takes alarm NOSPACE back")
		g.space.alarms = nil
	}
}

// mostRaises bounds how often the quota is doubled at random: the charm leaves a database that is
// too large for a hook to actions.
const mostRaises = 6

// Raise doubles the quota.
func (s *Sim) Raise() {
	s.raises++
	s.tell("quota %d", s.config().QuotaBytes)
}

// config returns the current options.
func (s *Sim) config() operator.Config {
	c := settings(s.options)
	c.QuotaBytes <<= s.raises
	return c
}

// configVersion returns a number that differs for each set of options.
func (s *Sim) configVersion() int { return s.options + s.raises<<16 }

// relieve raises the quota if nothing else makes room, because the data is live.
func (s *Sim) relieve() {
	if g := s.recorded(); g != nil && len(g.space.alarms) > 0 &&
		g.space.live*10 >= s.config().QuotaBytes*9 {
		s.Raise()
	}
}

// stats adds what a member's status says of its database and of the alarms.
func (g *group) stats(m *member, self *operator.Member) {
	d := m.owner.disk.data
	self.Quota, self.DBSize, self.DBInUse, self.Revision =
		quotaOf(m), d.size, min(d.size, g.space.inUse), int64(1000+g.index)
	for _, id := range g.space.alarms {
		self.Errors = append(self.Errors, fmt.Sprintf("memberID:%d alarm:NOSPACE", id))
	}
	for _, id := range g.accused {
		self.Errors = append(self.Errors, fmt.Sprintf("memberID:%d alarm:%s", id, corrupt))
	}
}

// compact drops the history, on all members.
func (s *Sim) compact(g *group) {
	s.commit(g)
	g.space.inUse = g.space.live
}

// defrag gives back what a member's database does not use. The member answers no request meanwhile.
func (s *Sim) defrag(u *unit, g *group, m *member) error {
	if m == nil || !s.runs(g, m) || !s.reachable(u, m.owner) {
		return errors.New("it did not answer the last look")
	}
	for _, v := range g.voters() {
		if v != m && s.now < v.owner.byHand && !s.ready(g, v) && v.owner.life != dead {
			s.broken("%s is defragmented while %s is down by our hand", m.name, v.owner.name)
		}
	}
	if n, after := g.size(), s.readyVoters(g)-1; u.hook.looked == s.faults && n > 2 &&
		s.ready(g, m) && after < quorum(n) {
		s.broken("the defragmentation of %s costs the quorum", m.name)
	}
	m.owner.disk.data.size = min(m.owner.disk.data.size, g.space.inUse)
	return nil
}

// hidden reports whether a unit whose hook fails cannot find a member. The member has another
// address than the list shows until it restarts, and alarm NOSPACE keeps it from restarting while a
// unit leaves.
func (s *Sim) hidden(u *unit) bool {
	g := s.group(u.disk.data.cluster)
	return s.Stale && u.fail != nil && g != nil && len(g.space.alarms) > 0 &&
		slices.ContainsFunc(g.members, func(m *member) bool {
			return m.owner.process.clientURL != m.clientURL
		})
}

// settledSpace returns what is wrong with space once nothing happens any more.
func (s *Sim) settledSpace(g *group) string {
	if len(g.space.alarms) > 0 {
		return "alarm NOSPACE is raised"
	}
	if len(g.accused) > 0 {
		return "alarm CORRUPT is raised"
	}
	return ""
}
