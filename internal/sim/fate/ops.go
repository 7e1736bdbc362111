package fate

import (
	"fmt"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Op is one event, as three small numbers. Any three numbers are an op, and an op that does not fit
// the moment does nothing. So a schedule can be cut anywhere and remains one.
type Op struct{ Kind, A, B uint8 }

// kinds are the events, each with its weight: how often it is picked.
var kinds = []struct {
	name   string
	weight int
	do     func(*Sim, Op)
}{
	{"go", 60, func(s *Sim, o Op) {
		if u := s.pick(o.A); u != nil {
			for range 1 + o.B%8 {
				s.Step(u)
			}
		}
	}},
	{"finish", 30, func(s *Sim, o Op) {
		if u := s.pick(o.A); u != nil {
			for n := 0; s.Step(u) && u.hook != nil && n < 400; n++ {
			}
		}
	}},
	{"time", 8, func(s *Sim, o Op) { s.Tick(int64(1 + o.A%60)) }},
	{"poke", 4, func(s *Sim, o Op) { s.with(o.A, s.Poke) }},
	{"write", 4, func(s *Sim, _ Op) { s.write() }},
	{"lag", 2, func(s *Sim, o Op) { s.lag = o.A%2 == 0 }},
	{"add", 3, func(s *Sim, _ Op) {
		if len(s.living()) < maxUnits && len(s.units) < 9 {
			s.AddUnit()
		}
	}},
	{"remove", 2, func(s *Sim, o Op) { s.with(o.A, s.RemoveUnit) }},
	{"force", 1, func(s *Sim, o Op) {
		if u := s.pick(o.A); u != nil && s.spare(u) {
			s.ForceRemove(u, o.B%2 == 0)
		}
	}},
	{"lead", 3, func(s *Sim, o Op) { s.with(o.A, s.SetLeader) }},
	{"kill", 4, func(s *Sim, o Op) { s.with(o.A, s.kill) }},
	{"power", 3, func(s *Sim, o Op) { s.with(o.A, func(u *unit) { s.Power(u, !u.up) }) }},
	{"crash", 2, func(s *Sim, o Op) { s.with(o.A, s.Crash) }},
	{"wipe", 1, func(s *Sim, o Op) {
		if u := s.pick(o.A); u != nil && s.spare(u) {
			s.Wipe(u, o.B%2 == 0)
		}
	}},
	{"back", 1, func(s *Sim, o Op) {
		if u := s.pick(o.A); u != nil && s.spare(u) && (u.back == 0 || s.now-u.back > 2*daySeconds) {
			s.TakeBack(u)
		}
	}},
	{"address", 1, func(s *Sim, o Op) {
		if u := s.pick(o.A); u != nil && u.disk.data != nil && s.spare(u) {
			s.Readdress(u)
		}
	}},
	{"island", 2, func(s *Sim, o Op) { s.with(o.A, func(u *unit) { s.Island(u, int(o.B%2)) }) }},
	{"unsure", 3, func(s *Sim, o Op) { s.with(o.A, func(u *unit) { u.unsure = true }) }},
	{"deaf", 2, func(s *Sim, o Op) { s.with(o.A, func(u *unit) { u.deaf = true }) }},
	{"due", 1, func(s *Sim, o Op) {
		s.with(o.A, func(u *unit) { u.disk.tls.Peer.Due, u.disk.tls.Server.Due = true, true })
	}},
	{"again", 2, func(s *Sim, o Op) { s.with(o.A, s.Again) }},
	{"lose", 2, func(s *Sim, o Op) { s.with(o.A, s.Lose) }},
	{"period", 1, func(s *Sim, _ Op) { s.period++ }},
	{"options", 1, func(s *Sim, _ Op) { s.Configure() }},
	{"refresh", 1, func(s *Sim, _ Op) { s.Refresh() }},
	{"relate", 1, func(s *Sim, o Op) {
		if len(s.relations) < 2 { // counting those that end
			s.Relate(o.A%2 == 1)
		}
	}},
	{"unrelate", 1, func(s *Sim, _ Op) { s.Unrelate() }},
	{"suspend", 1, func(s *Sim, _ Op) { s.Suspend() }},
	{"resume", 1, func(s *Sim, _ Op) { s.Resume() }},
	{"vanish", 1, func(s *Sim, o Op) {
		s.Vanish(func(u *unit) bool { return o.B>>(u.number%8)&1 == 0 })
	}},
	{"squat", 1, func(s *Sim, o Op) {
		name := "etcd/99"
		if u := s.pick(o.B); u != nil && o.A%4 == 0 {
			name = u.name
		}
		s.Squat(name, o.A%2 == 0)
	}},
	{"restart", 2, func(s *Sim, o Op) {
		params := map[string]any{}
		if u := s.pick(o.A); u != nil && o.B%4 == 0 {
			params[[]string{"from", "without"}[o.B/4%2]] = u.name
		}
		s.Operate(operator.RollingRestart, params)
	}},
	{"cancel", 1, func(s *Sim, _ Op) { s.cancel() }},
	{"let go", 1, func(s *Sim, o Op) {
		s.with(o.A, func(u *unit) {
			s.Operate(operator.ShowOperation, map[string]any{"without": u.name})
		})
	}},
	{"rot", 1, func(s *Sim, o Op) { s.with(o.A, s.Rot) }},
	{"stall", 1, func(s *Sim, o Op) {
		s.with(o.A, func(u *unit) { u.stalls = max(u.stalls, int(o.B%2)) })
	}},
	{"restore", 1, func(s *Sim, o Op) {
		s.with(o.A, func(u *unit) {
			s.keep(u, operator.WorkRequest{})
			s.Tick(1)
			s.restore(u)
		})
	}},
	{"spoil", 2, func(s *Sim, o Op) { s.with(o.A, s.Spoil) }},
	{"fill", 1, func(s *Sim, o Op) { s.Fill(o.A%2 == 0) }},
	{"raise", 1, func(s *Sim, _ Op) {
		if s.raises < mostRaises {
			s.Raise()
		}
	}},
	{"disarm", 1, func(s *Sim, _ Op) { s.Disarm() }},
}

// weights lists the index of each kind as often as its weight says, so that a number below its
// length picks a kind.
var weights = func() []int {
	var out []int
	for i, k := range kinds {
		for range k.weight {
			out = append(out, i)
		}
	}
	return out
}()

func (o Op) String() string {
	return fmt.Sprintf("%s(%d,%d)", kinds[weights[int(o.Kind)%len(weights)]].name, o.A, o.B)
}

// Apply makes an op happen.
func (s *Sim) Apply(o Op) {
	k := kinds[weights[int(o.Kind)%len(weights)]]
	k.do(s, o)
	s.raft()
	s.check()
}

// pick returns the nth of the living units; nil if there is none.
func (s *Sim) pick(n uint8) *unit {
	units := s.living()
	if len(units) == 0 {
		return nil
	}
	return units[int(n)%len(units)]
}

func (s *Sim) with(n uint8, do func(*unit)) {
	if u := s.pick(n); u != nil {
		do(u)
	}
}

// spare reports whether the cluster can lose a unit's member for good: no charm brings back more
// than a lost minority. A cluster that no consumer was told of yet may lose everything.
func (s *Sim) spare(u *unit) bool {
	if id := s.record().ClusterID; id != 0 && s.group(id) == nil {
		return false // prepared data that is not served yet lies on only one disk
	}
	for _, g := range s.groups {
		if s.ended[g.id] {
			continue
		}
		voters := g.voters()
		mine, left := false, 0
		for _, m := range voters {
			d := m.owner.disk.data
			switch {
			case m.owner == u:
				mine = true
			case d != nil && d.member == m.id && !d.gone && m.owner.life != dead &&
				m.owner.process.peerURL == m.peerURL && s.ready(g, m):
				left++
			}
		}
		if mine && left < quorum(len(voters)) && s.named[g.id] {
			return false
		}
		if mine && (len(voters) == 1 || len(g.accused) > 0) {
			return false
		}
	}
	return true
}

// Calm ends all faults and lets everything come to rest. In each round every unit's update-status
// runs and five minutes pass. It returns what is still wrong.
func (s *Sim) Calm() string {
	s.tell("calm")
	s.lag, s.calm = false, s.now
	for _, u := range s.units {
		u.unsure, u.deaf = false, false
		s.Island(u, 0)
		if u.life != dead {
			s.Power(u, true)
		}
	}
	problem := ""
	for range 12 {
		s.relieve()
		s.administer()
		for _, u := range s.units {
			s.mendStalled(u)
			s.Poke(u)
		}
		s.Rest()
		if problem = s.Settled(); problem == "" || s.wrong != "" {
			break
		}
		s.Tick(300)
	}
	if s.wrong != "" {
		return s.wrong
	}
	return problem
}

// Rest runs the units in turn until none has anything to do.
func (s *Sim) Rest() {
	for n := 0; n < 200 && s.wrong == ""; n++ {
		idle := true
		for _, u := range s.units {
			for i := 0; s.Step(u); i++ {
				idle = false
				if u.hook == nil || i > 400 {
					break
				}
			}
		}
		s.Tick(1)
		if idle {
			return
		}
	}
}
