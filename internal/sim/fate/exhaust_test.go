package fate

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scenarios are the courses of events that are played in full: the number of units at the
// beginning, and what then happens.
var scenarios = []struct {
	name  string
	units int
	do    func(*Sim)
}{
	{"found", 0, func(s *Sim) { s.AddUnit() }},
	{"found with three", 0, func(s *Sim) { s.AddUnit(); s.AddUnit(); s.AddUnit() }},
	{"join the second", 1, func(s *Sim) { s.AddUnit() }},
	{"join the third", 2, func(s *Sim) { s.AddUnit() }},
	{"join two at once", 1, func(s *Sim) { s.AddUnit(); s.AddUnit() }},
	{"remove the last of three", 3, func(s *Sim) { s.RemoveUnit(s.units[2]) }},
	{"remove the leader of three", 3, func(s *Sim) { s.RemoveUnit(s.units[0]) }},
	{"remove two of three at once", 3, func(s *Sim) { s.RemoveUnit(s.units[0]); s.RemoveUnit(s.units[1]) }},
	{"remove one of two", 2, func(s *Sim) { s.RemoveUnit(s.units[1]) }},
	{"remove the leader of two", 2, func(s *Sim) { s.RemoveUnit(s.units[0]) }},
	{"remove the only one", 1, func(s *Sim) { s.RemoveUnit(s.units[0]) }},
	{"remove all at once, then begin again", 2, func(s *Sim) {
		s.RemoveUnit(s.units[0])
		s.RemoveUnit(s.units[1])
		s.Rest()
		s.Tick(60)
		s.Rest()
		s.AddUnit()
	}},
	{"remove by force", 3, func(s *Sim) { s.ForceRemove(s.units[1], false) }},
	{"remove the leader by force, its machine lives on", 3, func(s *Sim) { s.ForceRemove(s.units[0], true) }},
	{"replace", 3, func(s *Sim) { s.AddUnit(); s.RemoveUnit(s.units[0]) }},
	{"roll tunables", 3, func(s *Sim) { s.options += 2; s.Configure() }},
	{"roll the client port", 3, (*Sim).Configure},
	{"roll the peer port", 3, func(s *Sim) { s.options++; s.Configure() }},
	{"roll two", 2, func(s *Sim) { s.options += 2; s.Configure() }},
	{"roll the only one", 1, (*Sim).Configure},
	{"rolling restart", 3, (*Sim).restart},
	{"rolling restart of two", 2, (*Sim).restart},
	{"rolling restart of the only one", 1, (*Sim).restart},
	{"rolling restart, and new options", 3, func(s *Sim) { s.restart(); s.options++; s.Configure() }},
	{"rolling restart, and one leaves", 3, func(s *Sim) { s.restart(); s.RemoveUnit(s.units[2]) }},
	{"rolling restart, and the leader leaves", 3, func(s *Sim) { s.restart(); s.RemoveUnit(s.units[0]) }},
	{"rolling restart, and one comes", 3, func(s *Sim) { s.restart(); s.AddUnit() }},
	{"rolling restart, and one is removed by force", 3, func(s *Sim) { s.restart(); s.ForceRemove(s.units[1], false) }},
	{"rolling restart, and a refresh", 3, func(s *Sim) { s.restart(); s.Refresh() }},
	{"rolling restart, and another leader", 3, func(s *Sim) { s.restart(); s.SetLeader(s.units[1]) }},
	{"rolling restart, cancelled half-way", 3, func(s *Sim) {
		s.restart()
		for n := 0; s.units[1].restarted == "" && n < 1000; n++ {
			for _, u := range s.units {
				s.Step(u)
			}
		}
		s.cancel()
	}},
	{"restore", 3, func(s *Sim) { s.snapshots(); s.restore(s.units[1]) }},
	{"restore from the leader's disk", 3, func(s *Sim) { s.snapshots(); s.restore(s.units[0]) }},
	{"restore two", 2, func(s *Sim) { s.snapshots(); s.restore(s.units[1]) }},
	{"restore the only one", 1, func(s *Sim) { s.snapshots(); s.restore(s.units[0]) }},
	{"restore, and one comes", 2, func(s *Sim) { s.snapshots(); s.restore(s.units[1]); s.AddUnit() }},
	{"restore while one joins", 2, func(s *Sim) {
		s.snapshots()
		s.AddUnit()
		goOn(s, func() bool { return s.units[2].disk.data != nil })
		s.restore(s.units[1])
	}},
	{"restore, and another leader", 3, func(s *Sim) { s.snapshots(); s.restore(s.units[1]); s.SetLeader(s.units[2]) }},
	{"restore, and new options", 3, func(s *Sim) { s.snapshots(); s.restore(s.units[1]); s.options++; s.Configure() }},
	{"restore, and a refresh", 3, func(s *Sim) { s.snapshots(); s.restore(s.units[1]); s.Refresh() }},
	{"restore, and the source leaves", 3, func(s *Sim) { s.snapshots(); s.restore(s.units[1]); s.RemoveUnit(s.units[1]) }},
	{"restore, and another leaves once it is stopped", 3, func(s *Sim) {
		s.snapshots()
		s.restore(s.units[1])
		goOn(s, func() bool { return s.record().Operation.Phase == "stopping" })
		s.RemoveUnit(s.units[2])
	}},
	{"restore, cancelled once all are stopped", 3, func(s *Sim) {
		s.snapshots()
		s.restore(s.units[1])
		goOn(s, func() bool { return !s.units[0].process.running && !s.units[2].process.running })
		s.cancel()
	}},
	{"restore of what is not there", 3, func(s *Sim) { s.restore(s.units[1]) }},
	{"restore a cluster that is lost altogether", 1, func(s *Sim) {
		s.snapshots()
		u := s.units[0]
		s.Power(u, false)
		u.disk.data = nil
		s.Power(u, true)
		s.restore(u)
	}},
	{"restore without one that is off", 3, func(s *Sim) {
		s.snapshots()
		s.Power(s.units[2], false)
		s.Rest()
		s.restore(s.units[1], s.units[2].name)
		s.Rest()
		s.Power(s.units[2], true)
	}},
	{"recover two of five", 5, func(s *Sim) {
		s.lag = true
		s.write()
		s.loseMajority(true, s.units[2], s.units[3], s.units[4])
		s.recover()
	}},
	{"recover one of three", 3, func(s *Sim) { s.snapshots(); s.loseMajority(true, s.units[1], s.units[2]); s.recover() }},
	{"recover without two that return", 3, func(s *Sim) {
		s.write()
		s.loseMajority(false, s.units[0], s.units[1])
		s.SetLeader(s.units[2])
		s.recover(s.units[0].name, s.units[1].name)
		s.Rest()
		s.Power(s.units[0], true)
		s.Power(s.units[1], true)
	}},
	{"recover, and another leader", 5, func(s *Sim) {
		s.loseMajority(true, s.units[2], s.units[3], s.units[4])
		s.recover()
		s.SetLeader(s.units[1])
	}},
	{"recover, cancelled", 5, func(s *Sim) {
		s.loseMajority(false, s.units[2], s.units[3], s.units[4])
		s.recover(s.units[2].name, s.units[3].name, s.units[4].name)
		goOn(s, func() bool { return !s.units[0].process.running })
		s.cancel()
	}},
	{"refresh", 3, (*Sim).Refresh},
	{"refresh to the same server", 3, func(s *Sim) { s.Refresh(); s.Rest(); s.Refresh() }},
	{"refresh to the same server, and a roll", 2, func(s *Sim) { s.Refresh(); s.Rest(); s.Refresh(); s.Configure() }},
	{"refresh while one joins", 2, func(s *Sim) { s.Refresh(); s.AddUnit() }},
	{"renew leaves", 2, func(s *Sim) { s.units[0].disk.tls.Peer.Due, s.units[1].disk.tls.Server.Due = true, true }},
	{"turn squatted, and a roll", 3, func(s *Sim) { s.Squat("etcd/99", true); s.Configure() }},
	{"turn squatted with a lease, and one leaves", 3, func(s *Sim) { s.Squat("etcd/99", false); s.RemoveUnit(s.units[2]) }},
	{"settings spoilt", 2, func(s *Sim) { s.Spoil(s.units[0]) }},
	{"a server started with spoilt settings", 3, func(s *Sim) {
		config := s.units[1].disk.config
		s.Spoil(s.units[1])
		s.Crash(s.units[1])
		s.units[1].disk.config = config // an administrator has put them right since
		s.Poke(s.units[1])
	}},
	{"publish", 2, func(s *Sim) { s.Relate(false); s.Relate(true) }},
	{"end a consumer", 2, func(s *Sim) { s.Unrelate() }},
	{"suspend a consumer", 2, (*Sim).Suspend},
	{"suspend and resume a consumer", 3, func(s *Sim) { s.Suspend(); s.Rest(); s.Resume() }},
	{"suspend and resume a consumer at once", 2, func(s *Sim) { s.Suspend(); s.Resume() }},
	{"resume what the leader alone has left", 3, func(s *Sim) { s.Suspend(); leaves(s, s.units[0]); s.Resume() }},
	{"resume what the leader alone has not left", 3, func(s *Sim) { s.Suspend(); leaves(s, s.units[1]); leaves(s, s.units[2]); s.Resume() }},
	{"resume and join", 2, func(s *Sim) { s.Suspend(); s.Rest(); s.Resume(); s.AddUnit() }},
	{"suspend, resume and end a consumer", 2, func(s *Sim) { s.Suspend(); s.Rest(); s.Resume(); s.Rest(); s.Unrelate() }},
	{"a consumer vanishes", 3, func(s *Sim) { s.Vanish(func(*unit) bool { return true }) }},
	{"a consumer vanishes for all but the leader", 3, func(s *Sim) { s.Vanish(func(u *unit) bool { return u != s.leader }) }},
	{"a consumer vanishes for the leader, and one joins", 2, func(s *Sim) { s.Vanish(func(u *unit) bool { return u == s.leader }); s.AddUnit() }},
	{"another leader", 3, func(s *Sim) { s.SetLeader(s.units[2]) }},
	{"data lost", 3, func(s *Sim) { s.Wipe(s.units[1], false) }},
	{"machine lost", 3, func(s *Sim) { s.Wipe(s.units[0], true) }},
	{"disk taken back", 3, func(s *Sim) { s.write(); s.write(); s.TakeBack(s.units[1]) }},
	{"disk of the raft leader taken back", 3, func(s *Sim) { s.write(); s.write(); s.TakeBack(s.units[0]) }},
	{"disk taken back while one joins", 3, func(s *Sim) { s.write(); s.write(); s.TakeBack(s.units[2]); s.AddUnit() }},
	{"a copy of another's disk, and its own again", 3, func(s *Sim) {
		u, copied := s.units[1], *s.units[2].disk.data
		own := s.insert(u, &copied)
		s.Rest()
		if u.life == alive {
			s.insert(u, own)
		}
	}},
	{"another address", 3, func(s *Sim) { s.Readdress(s.units[1]) }},
	{"another address, alone", 1, func(s *Sim) { s.Readdress(s.units[0]) }},
	{"full, and the quota is raised", 3, func(s *Sim) { s.Fill(true); s.Raise() }},
	{"full, and the quota is raised, and other options change", 3, func(s *Sim) { s.Fill(true); s.Raise(); s.options++; s.Configure() }},
	{"full, and the quota is raised for two", 2, func(s *Sim) { s.Fill(true); s.Raise() }},
	{"full, and the quota is raised for one", 1, func(s *Sim) { s.Fill(true); s.Raise() }},
	{"full, the quota is raised, and one leaves", 3, func(s *Sim) { s.Fill(true); s.Raise(); s.RemoveUnit(s.units[2]) }},
	{"full, the quota is raised, and the first leaves", 3, func(s *Sim) { s.Fill(true); s.Raise(); s.RemoveUnit(s.units[0]) }},
	{"full, one is removed by force, and the quota is raised", 3, func(s *Sim) { s.Fill(true); s.ForceRemove(s.units[0], false); s.Raise() }},
	{"full, the quota is raised, and one is added", 2, func(s *Sim) { s.Fill(true); s.Raise(); s.AddUnit() }},
	{"full, and one leaves", 3, func(s *Sim) { s.Fill(true); s.Poke(s.units[0]); s.Rest(); s.RemoveUnit(s.units[1]) }},
	{"full of history", 3, func(s *Sim) { s.Fill(false) }},
	{"data rots", 3, func(s *Sim) { s.write(); s.Rot(s.units[1]) }},
	{"data of the raft leader rots", 3, func(s *Sim) { s.write(); s.Rot(s.units[0]) }},
	{"data rots, and the options change", 3, func(s *Sim) { s.Rot(s.units[1]); s.Configure() }},
	{"data rots, and one joins", 3, func(s *Sim) { s.Rot(s.units[1]); s.AddUnit() }},
	{"data rots, and its unit leaves", 3, func(s *Sim) { s.Rot(s.units[1]); s.RemoveUnit(s.units[1]) }},
	{"data rots, and its unit is removed by force", 3, func(s *Sim) { s.Rot(s.units[1]); s.ForceRemove(s.units[1], false) }},
	{"data rots, and another leaves", 3, func(s *Sim) { s.Rot(s.units[1]); s.RemoveUnit(s.units[2]) }},
	{"a learner is stuck", 2, func(s *Sim) { s.write(); s.AddUnit(); s.units[2].stalls = 1 }},
	{"a learner is stuck three times", 1, func(s *Sim) { s.write(); s.AddUnit(); s.units[1].stalls = 3 }},
	{"a learner is stuck, and another joins", 2, func(s *Sim) { s.AddUnit(); s.units[2].stalls = 1; s.AddUnit() }},
	{"full of history, and the quota is raised", 3, func(s *Sim) { s.Fill(false); s.Raise() }},
}

// goOn runs the units in turn until so returns true.
func goOn(s *Sim, so func() bool) {
	for n := 0; !so() && n < 1000; n++ {
		for _, u := range s.units {
			s.Step(u)
		}
		if n%10 == 9 {
			s.Tick(1)
		}
	}
}

// leaves runs a unit until it has left all suspended relations.
func leaves(s *Sim, u *unit) {
	stays := func(r relation) bool { return r.parts() && u.scopes[r.id].in }
	for n := 0; n < 2000 && slices.ContainsFunc(s.relations, stays) && s.Step(u); n++ {
	}
}

// other returns the first living unit other than u; u if there is none.
func other(s *Sim, u *unit) *unit {
	for _, v := range s.living() {
		if v != u {
			return v
		}
	}
	return u
}

// strike is an event that happens to a unit once, at a yield.
type strike struct {
	name string
	do   func(*Sim, *unit)
}

// crashes are the deaths that each step must survive; faults are the other events that may happen
// once, at any yield.
var crashes = []strike{
	{"the hook dies", (*Sim).kill},
	{"the machine dies and returns", func(s *Sim, u *unit) { s.Power(u, false); s.Power(u, true) }},
	{"the next reply is lost", func(_ *Sim, u *unit) { u.unsure = true }},
}

var faults = []strike{
	{"the server dies", (*Sim).Crash},
	{"the leadership moves", func(s *Sim, u *unit) {
		if s.leader != u {
			s.SetLeader(u)
		} else {
			s.SetLeader(other(s, u))
		}
	}},
	{"all others go first", func(s *Sim, u *unit) {
		for _, v := range s.living() {
			for n := 0; v != u && n < 2000 && s.Step(v); n++ {
			}
		}
	}},
	{"another goes one step", func(s *Sim, u *unit) {
		if v := other(s, u); v != u {
			s.Poke(v)
			s.Step(v)
		}
	}},
	{"another machine is off for a while", func(s *Sim, u *unit) {
		if v := other(s, u); v != u {
			s.Power(v, false)
		}
	}},
	{"the unit is cut off", func(s *Sim, u *unit) { s.Island(u, 1) }},
	{"the turn runs out", func(s *Sim, _ *unit) { s.Tick(turnSeconds + 1) }},
	{"another loses its data", func(s *Sim, u *unit) {
		if v := other(s, u); v != u && s.spare(v) {
			s.Wipe(v, false)
		}
	}},
	{"a unit is added", func(s *Sim, _ *unit) { s.AddUnit() }},
	{"a unit is added and joins at once", func(s *Sim, _ *unit) {
		s.AddUnit()
		for n := 0; n < 2000 && s.Step(s.units[len(s.units)-1]); n++ {
		}
	}},
	{"the unit is removed", func(s *Sim, u *unit) { s.RemoveUnit(u) }},
	{"another is removed", func(s *Sim, u *unit) { s.RemoveUnit(other(s, u)) }},
	{"another is removed by force", func(s *Sim, u *unit) {
		if v := other(s, u); v != u && s.spare(v) {
			s.ForceRemove(v, false)
		}
	}},
	{"options change", func(s *Sim, _ *unit) { s.Configure() }},
	{"the others lag behind what a client has written", func(s *Sim, u *unit) { s.lag = true; s.write(); s.Crash(u) }},
	{"it hears once more what it heard last", func(s *Sim, u *unit) { s.Again(u) }},
	{"another never hears what it would hear next", func(s *Sim, u *unit) { s.Lose(other(s, u)) }},
	{"goal-state fails", func(s *Sim, u *unit) { u.deaf = true; s.Poke(u) }},
}

// hands are an administrator's acts on a full database, at any yield.
var hands = []strike{
	{"the alarm is taken back by hand", func(s *Sim, _ *unit) { s.Disarm() }},
	{"the alarm is taken back by hand, and another goes until its server is down", func(s *Sim, u *unit) {
		s.Disarm()
		s.busy = false // otherwise it would be full again at once
		for _, v := range s.living() {
			s.Poke(v)
			for n := 0; v != u && n < 400 && (v.process.serving || !v.process.running) && s.Step(v); n++ {
			}
		}
	}},
	{"the alarm is taken back by hand, and the others leave", func(s *Sim, u *unit) {
		s.Disarm()
		s.busy = false
		if v := other(s, u); v != u {
			s.RemoveUnit(v)
			for n := 0; n < 400 && v.process.serving && s.Step(v); n++ {
			}
		}
	}},
	{"the quota is raised again", func(s *Sim, _ *unit) { s.Raise() }},
	{"clients fill it again", func(s *Sim, _ *unit) { s.Fill(true) }},
}

// beginning returns an application of n units at rest.
func beginning(t *testing.T, o Options, n int) *Sim {
	t.Helper()
	s := New(o)
	for range n {
		s.AddUnit()
	}
	if n > 0 {
		s.Relate(false)
	}
	require.Empty(t, s.Calm())
	return s
}

// live plays a scenario from its beginning, with a strike at a yield (0 for none). It returns the
// number of yields and what went wrong.
func live(begun *Sim, do func(*Sim), at int, strike func(*Sim, *unit)) (int, string) {
	s := begun.Clone()
	defer s.Halt()
	s.points, s.strikeAt, s.strike, s.calm = 0, at, strike, 0
	do(s)
	for _, u := range s.units {
		s.Poke(u)
	}
	s.Rest()
	points := s.points
	s.strikeAt = 0
	return points, s.Calm()
}

var lives = map[string]Options{
	"Juju 4.0":           {},
	"Juju 3.6, old bags": {Departed: true, Stale: true},
}

// exhaust lets each strike happen at one yield in every of each scenario whose name begins with of,
// in each Juju. The yields differ from one Juju to the next.
func exhaust(t *testing.T, of string, strikes []strike, every int) {
	t.Helper()
	var points, runs atomic.Int64
	t.Run("of", func(t *testing.T) {
		for k, name := range slices.Sorted(maps.Keys(lives)) {
			o := lives[name]
			for i, scenario := range scenarios {
				if !strings.HasPrefix(scenario.name, of) {
					continue
				}
				t.Run(name+"/"+scenario.name, func(t *testing.T) {
					t.Parallel()
					begun := beginning(t, o, scenario.units)
					defer begun.Close()
					n, problem := live(begun, scenario.do, 0, nil)
					require.Empty(t, problem)
					points.Add(int64(n))
					for j, strike := range strikes {
						for at := 1 + (i+j+k)%every; at <= n; at += every {
							runs.Add(1)
							_, problem := live(begun, scenario.do, at, strike.do)
							require.Empty(t, problem, "at yield %d %s: go test -run TestLife -scenario %q -strike %q -at %d", at, strike.name, scenario.name, strike.name, at)
						}
					}
				})
			}
		}
	})
	t.Logf("%d scenarios in %d Jujus, %d points, %d strikes, at one point of %d: %d lives",
		len(scenarios), len(lives), points.Load(), len(strikes), every, runs.Load())
}

// thinned returns 1, or the given number when the race detector is on.
func thinned(whenRaced int) int {
	if raced {
		return whenRaced
	}
	return 1
}

// TestEveryCrashPoint lets the charm die at every yield of every scenario: before and after each
// step, before the commit, during it, and after it. Everything must end as it would have ended
// without the crash.
func TestEveryCrashPoint(t *testing.T) {
	t.Parallel()
	exhaust(t, "", crashes, thinned(23))
}

// TestEveryFaultAtEveryPoint lets each fault happen once at every yield of every scenario if FATE
// gives it time, else at one yield of sixteen. The yields differ from one fault and one Juju to the
// next.
func TestEveryFaultAtEveryPoint(t *testing.T) {
	t.Parallel()
	every := 1
	if *long == 0 {
		every = 8 * len(lives)
	}
	exhaust(t, "", faults, every*thinned(311))
}

// TestEveryHandAtEveryPoint does the same with an administrator's acts on a full database. No two
// members may be down at once when one of them restarts with the turn and the other without.
func TestEveryHandAtEveryPoint(t *testing.T) {
	t.Parallel()
	exhaust(t, "full", hands, thinned(37))
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, scenario := range scenarios {
		for name, o := range lives {
			points, problem := live(beginning(t, o, scenario.units), scenario.do, 0, nil)
			require.Empty(t, problem, "%s, %s", scenario.name, name)
			assert.Positive(t, points)
		}
	}
}

// TestLife prints one course, as the flags select it: go test -run TestLife -v -scenario … -strike
// … -at N.
func TestLife(t *testing.T) {
	strikes := slices.Concat(crashes, faults, hands)
	for name, o := range lives {
		for _, scenario := range scenarios {
			for _, strike := range strikes {
				if scenario.name != *lifeScenario || strike.name != *lifeStrike {
					continue
				}
				begun := beginning(t, o, scenario.units)
				var told []string
				begun.Trace = func(line string) { told = append(told, line) }
				if _, problem := live(begun, scenario.do, *lifeAt, strike.do); problem != "" {
					t.Log(strings.Join(told, "\n"))
					t.Errorf("%s: %s", name, problem)
				}
			}
		}
	}
}

var (
	lifeScenario = flag.String("scenario", "found", "the scenario that TestLife goes through")
	lifeStrike   = flag.String("strike", "the hook dies", "what happens in it")
	lifeAt       = flag.Int("at", 0, "at which yield; 0 is never")
)
