package fate

import (
	"errors"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const corrupt = "CORRUPT"

// errCorrupt is etcd's answer to reads and writes while CORRUPT is raised (api/v3rpc/rpctypes).
var errCorrupt = errors.New("etcdserver: corrupt cluster")

// Rot spoils the data of a unit's member, and etcd notices. It does so only with three voters or
// more, when all others have what was agreed.
func (s *Sim) Rot(u *unit) {
	g, m := s.own(u)
	if m == nil || m.learner || g != s.recorded() ||
		g.size() < 3 || !s.spare(u) || s.readyVoters(g) < g.size() {
		return
	}
	if u.rotted != 0 && s.now-u.rotted < 2*daySeconds {
		return // a unit replaces such data only once a day
	}
	for _, v := range g.members {
		if v.owner.disk.data == nil || v.owner.disk.data.rot {
			return
		}
	}
	s.tell("the data of %s rots", u.name)
	u.rotted, u.disk.data.rot = s.now, true
	if s.rots++; s.rots%3 == 0 {
		g.accuse(0) // etcd compared while too few members answered
		return
	}
	g.accuse(m.id)
}

// accuse makes alarm CORRUPT name a member.
func (g *group) accuse(id uint64) {
	g.accused = append(g.accused, id)
	slices.Sort(g.accused)
}

// hashes returns the hashes of the voters that u reaches.
func (s *Sim) hashes(u *unit, g *group, revision int64) []operator.Hash {
	if g == nil {
		return nil
	}
	var out []operator.Hash
	for _, v := range g.voters() {
		if s.runs(g, v) && v.owner.process.serving && s.reachable(u, v.owner) {
			hash := operator.Hash{MemberID: v.id, Revision: revision, Hash: 1}
			if v.owner.disk.data.rot {
				hash.Hash = uint32(2 + v.owner.number)
			}
			out = append(out, hash)
		}
	}
	return out
}

// mendStalled makes an administrator attend to a unit whose learner was replaced as often as the
// charm does that and still makes no progress.
func (s *Sim) mendStalled(u *unit) {
	const most = 3
	if d := u.disk.data; d != nil && d.stalled && u.memory.Learning.Replaced > most {
		u.stalls, d.stalled = 0, false
	}
}

// checkGivenUp checks when a unit that stays gives up data that CORRUPT names: only if the others
// that have what was agreed are a majority of all voters.
func (s *Sim) checkGivenUp(u *unit, g *group, id uint64) {
	m := g.find(id)
	if m == nil || m.learner || m.owner != u || u.life != alive ||
		u.disk.data == nil || !slices.Contains(g.accused, id) {
		return
	}
	right := 0
	for _, v := range g.voters() {
		if d := v.owner.disk.data; v != m && d != nil && d.member == v.id && !d.rot {
			right++
		}
	}
	if right < quorum(g.size()) {
		s.broken("%s gives its data up though %d others of %d voters have what was agreed",
			u.name, right, g.size())
	}
}

// checkDisarm checks when the charm disarms CORRUPT: for a member that is gone, because the data of
// one that is listed is not trusted; or if the alarm names none and a majority has what was agreed.
func (s *Sim) checkDisarm(u *unit, g *group, id uint64) {
	right := 0
	for _, v := range g.voters() {
		if d := v.owner.disk.data; d != nil && d.member == v.id && !d.rot {
			right++
		}
	}
	switch {
	case id == 0 && right < quorum(g.size()):
		s.broken("%s takes alarm CORRUPT back though %d of %d voters have what was agreed",
			u.name, right, g.size())
	case g.find(id) != nil:
		s.broken("%s takes alarm CORRUPT back of member %x, which is there", u.name, id)
	}
}

// compare is etcd's next look at its members' data, after an alarm that named none.
func (g *group) compare() {
	for _, v := range g.voters() {
		if d := v.owner.disk.data; d != nil && d.member == v.id && d.rot {
			g.accuse(v.id)
		}
	}
}
