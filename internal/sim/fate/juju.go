package fate

import (
	"fmt"
	"strconv"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

const (
	app          = "etcd"
	modelUUID    = "model-uuid"
	peerRelation = "cluster:0"
	maxUnits     = 5
	turnSeconds  = 180
	daySeconds   = 24 * 60 * 60
	leafSeconds  = 365 * daySeconds
)

// Options are what an application may meet. The zero value is Juju 4.0 with fresh bags.
type Options struct {
	Departed bool // survivors hear departed (Juju 2.9 and 3.x)
	Empty    bool // the first consumer of a random schedule has no unit, which makes a life shorter
	Stale    bool // bags of others are as old as Juju permits: as of the last hook that told of them
	Gone     bool // a unit that has left its peers sees no peer relation in its last hooks (Juju 4.0, at times)
	// Decide stands in for operator.Decide; nil is the real one.
	Decide operator.Decider
	// Trace is told what happens; nil is nobody.
	Trace func(string)
}

// Sim is one application and its fate.
type Sim struct {
	Options
	stage  *stage
	now    int64
	units  []*unit // ever, by number
	groups []*group
	lastID uint64
	// lastLeaf is the serial of the certificate that was issued last.
	lastLeaf int64

	leader    *unit
	records   []operator.Record // each commit of the application's bag
	authority *pki.Authority
	relations []relation // of consumers
	options   int        // version of the options
	raises    int        // how often the quota was doubled
	busy      bool       // clients write all the time
	charm     int        // revision of the charm
	lastRel   int
	period    int64 // of client certificates: the clock moves it
	lag       bool  // followers get only what a quorum needs
	healed    int64
	calm      int64 // since when there are no faults; 0 is not yet
	faults    int   // that happened so far: what a unit saw before the last one may be false by no fault of its own

	named map[uint64]bool // clusters that the record ever named
	ended map[uint64]bool
	// replaced are clusters whose data was replaced, and by which operation.
	replaced map[uint64]operator.Operation
	rescue   bool // an administrator looks after a cluster that is lost
	ticks    int
	wrong    string // the first broken rule
	// Begged tells that the end is one that only an administrator can mend, and that the status line asks for it.
	Begged bool

	// strike is what happens once, when the hooks have come to that many yields; the unit is the one that yielded.
	points, strikeAt int
	strike           func(*Sim, *unit)
}

// New returns an application with no unit.
func New(o Options) *Sim {
	return &Sim{Options: o, stage: &stage{}, now: 1_000_000, period: 230, named: map[uint64]bool{}, ended: map[uint64]bool{}, replaced: map[uint64]operator.Operation{}, lastID: 100}
}

// broken notes the first rule that was broken.
func (s *Sim) broken(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
		s.tell("BROKEN: %s", s.wrong)
	}
}

func (s *Sim) tell(format string, args ...any) {
	if s.Trace != nil {
		s.Trace(fmt.Sprintf("%6d ", s.now-1_000_000) + fmt.Sprintf(format, args...))
	}
}

// releaseOf is what a charm carries. The first has no IDs; of the others every second has the same server and the same proxy
// as the one before.
func releaseOf(charm int) string {
	n := (charm + 1) / 2
	etcd := "3.7." + strconv.Itoa(3+n)
	if charm == 0 {
		return operator.ReleaseName(etcd, "", "0123456789ab")
	}
	return operator.ReleaseName(etcd, fmt.Sprintf("s%012x-p%012x", n, n), fmt.Sprintf("%012x", charm))
}

func (s *Sim) unit(name string) *unit {
	for _, u := range s.units {
		if u.name == name {
			return u
		}
	}
	return nil
}

// reachable reports whether two machines reach each other.
func (s *Sim) reachable(a, b *unit) bool { return a == b || (a.up && b.up && a.island == b.island) }

// record is the application's bag as committed.
func (s *Sim) record() operator.Record {
	if len(s.records) == 0 {
		return operator.Record{}
	}
	return s.records[len(s.records)-1]
}

// living are the units in goal-state.
func (s *Sim) living() []*unit {
	var out []*unit
	for _, u := range s.units {
		if u.life != dead {
			out = append(out, u)
		}
	}
	return out
}

// AddUnit adds a unit on a machine of its own.
func (s *Sim) AddUnit() {
	u := &unit{
		number: len(s.units), name: app + "/" + strconv.Itoa(len(s.units)), up: true, address: 10 + len(s.units), carried: releaseOf(s.charm),
		consumers: map[string]told{}, scopes: map[string]scope{},
		heard: map[string]heardOfPeer{}, heardApp: len(s.records), heardCfg: noOptions, heardC: s.charm,
	}
	if s.leader == nil {
		s.leader = u
	}
	s.units = append(s.units, u)
	s.tell("add %s", u.name)
}

// RemoveUnit asks Juju to remove a unit.
func (s *Sim) RemoveUnit(u *unit) {
	if u.life != alive {
		return
	}
	s.tell("remove %s", u.name)
	u.life, u.again = dying, nil
	if !u.installed && u.hook == nil && (u.retry == nil || u.killed) {
		s.bury(u) // nothing is to be undone: Juju removes it at once
	}
}

// ForceRemove takes a unit out of the model at once; its machine is destroyed, or goes on with nobody to tell it.
func (s *Sim) ForceRemove(u *unit, lingers bool) {
	if u.life == dead {
		return
	}
	s.tell("remove %s by force, lingers %v", u.name, lingers)
	s.faults++
	s.cut(u)
	up := u.up
	s.bury(u)
	u.up = up && lingers
}

// bury takes a unit out of goal-state and its machine away.
func (s *Sim) bury(u *unit) {
	u.life, u.scopes, u.again, u.retry = dead, nil, nil, nil
	u.up = false
	if s.leader == u {
		s.leader = nil
	}
	s.drop()
}

// SetLeader moves the leadership.
func (s *Sim) SetLeader(u *unit) {
	if s.leader == u || !u.agent() || (u.hook != nil && u.hook.led) {
		return // it does not come back to a hook that it was lost in: is-leader holds for 30 s
	}
	s.tell("leader %s", u.name)
	if s.leader != nil {
		s.leader.heardLead = false
	}
	s.leader, u.heardLead = u, false
}

// Power turns a machine on or off. An enabled service starts with it.
func (s *Sim) Power(u *unit, up bool) {
	if u.life == dead || u.up == up {
		return
	}
	s.tell("power of %s: %v", u.name, up)
	s.faults++
	u.process = process{}
	if !up {
		s.kill(u)
		u.dies()
	}
	u.up = up
	if !up {
		return
	}
	s.restarted(u)
	u.rebooted = u.rebooted || u.started
	if u.disk.enabled {
		s.launch(u, false)
	}
}

// Crash kills a unit's server; its supervisor starts it again.
func (s *Sim) Crash(u *unit) {
	if !u.up || !u.process.running {
		return
	}
	s.tell("server of %s crashes", u.name)
	s.faults++
	u.process = process{}
	if u.disk.enabled {
		s.launch(u, false)
	}
}

// Wipe takes what is on a unit's disk: its data only, or everything. The machine is off meanwhile.
func (s *Sim) Wipe(u *unit, all bool) {
	s.Power(u, false)
	s.tell("wipe %s, all %v", u.name, all)
	if all {
		u.disk = disk{}
	} else {
		u.disk.data = nil
	}
	s.Power(u, true)
}

// TakeBack puts an older copy of a unit's data on its disk. The machine is off meanwhile, and the others have all that it had: what
// the rest does not hold, no charm brings back.
func (s *Sim) TakeBack(u *unit) {
	d := u.disk.data
	if d == nil || d.index == 0 {
		return
	}
	g := s.group(d.cluster)
	for _, m := range g.members {
		if o := m.owner.disk.data; m.owner != u && s.ready(g, m) {
			o.index = g.index
		}
	}
	s.Power(u, false)
	s.tell("the disk of %s is taken back from %d to %d", u.name, d.index, d.index/2)
	d.index /= 2
	u.back = s.now
	s.Power(u, true)
}

// insert puts another disk into a unit's machine, and returns the one that was there. The machine is off meanwhile.
func (s *Sim) insert(u *unit, d *data) *data {
	s.Power(u, false)
	s.tell("another disk is put into %s", u.name)
	was := u.disk.data
	u.disk.data = d
	s.Power(u, true)
	s.Poke(u)
	return was
}

// Readdress gives a unit's machine another address.
func (s *Sim) Readdress(u *unit) {
	if u.life == dead || !u.up {
		return
	}
	s.tell("new address for %s", u.name)
	s.faults++
	u.address += 20
	u.listen()
	u.moved = true
	u.heardCfg = noOptions
	if n := len(u.words); n > 0 {
		u.words = append(u.words, u.words[n-1]) // Juju writes the address into the bag
	}
}

// Island puts a unit's machine on an island; 0 is the mainland.
func (s *Sim) Island(u *unit, n int) {
	if u.island == n {
		return
	}
	s.tell("%s on island %d", u.name, n)
	s.faults++
	u.island = n
	s.healed = s.now
}

// Configure changes the options: which 0 is a tunable, 1 the client port, 2 the peer port.
func (s *Sim) Configure() { s.options++; s.tell("options %d", s.options) }

// Refresh upgrades the charm.
func (s *Sim) Refresh() { s.charm++; s.tell("charm %d", s.charm) }

// Again has a unit hear once more what it heard last. What makes the unit or takes it away comes once.
func (s *Sim) Again(u *unit) {
	if e := u.last; u.life == alive && e.Kind != "" && e.Kind != hooks.Install && e.Kind != hooks.Remove {
		s.tell("%s hears %s again", u.name, e.Kind)
		u.again = &e
	}
}

// Lose takes from a unit what it would hear next, though its agent takes it for heard. The end of a unit is never lost:
// Juju waits for it.
func (s *Sim) Lose(u *unit) {
	if u.hook != nil || u.retry != nil || u.life != alive {
		return
	}
	if e, ok := s.nextEvent(u); ok && e.Kind != hooks.Install && (e.Endpoint == "" || e.RelationID == peerRelation || u.losable(e)) {
		s.tell("%s never hears %s", u.name, e.Kind)
		s.heardNow(u, e)
		s.done(u, e)
	}
}

// Poke makes update-status due.
func (s *Sim) Poke(u *unit) { u.poked = true }

// Tick lets time pass.
func (s *Sim) Tick(seconds int64) {
	s.now += seconds
	s.works()
	if s.busy {
		s.write()
	}
	for _, g := range s.groups {
		if g.turn != "" && !g.unleased && s.now >= g.turnEnds {
			// A turn that a hook took with it when it failed ends by itself, unless Juju tries again before.
			if holder := s.unit(g.turn); s.calm > 0 && g.size() > 1 && !g.turnKept && g.turnEnds-turnSeconds > s.calm && (holder == nil || holder.fail == nil) {
				s.broken("%s never gave the turn back", g.turn)
			}
			g.turn = ""
		}
	}
	if s.leader == nil {
		for _, u := range s.units {
			if u.agent() {
				s.SetLeader(u)
				break
			}
		}
	}
	for _, u := range s.units {
		if u.up && u.process.failing && u.disk.enabled && s.now >= u.process.again {
			s.launch(u, false)
		}
	}
	s.raft()
	s.check()
}

// What begins and ends a hook in the trace.
const (
	hookMark = "hook "
	doneMark = "done: "
)

// eventText is an event as a trace has it: "cluster-relation-changed of etcd/1".
func eventText(e operator.Event) string {
	text := string(e.Kind)
	if e.Endpoint != "" {
		text = e.Endpoint + "-" + text
	}
	if e.RelationID != "" && e.RelationID != peerRelation {
		text += " " + e.RelationID
	}
	if e.RemoteUnit != "" {
		text += " of " + e.RemoteUnit
	}
	if e.Departing != "" {
		text += ", " + e.Departing + " leaves"
	}
	return text
}

// Step lets a unit's hook go on to its next yield, or begins its next hook. It is false if there is nothing to do.
func (s *Sim) Step(u *unit) bool {
	if !u.agent() {
		return false
	}
	if u.hook == nil {
		e, ok := s.nextEvent(u)
		if !ok {
			return false
		}
		s.heardNow(u, e)
		if s.Trace != nil { // or it costs more than the hook
			s.tell("%s: %s%s", u.name, hookMark, eventText(e))
		}
		s.runHook(u, e)
	}
	h := u.hook
	at, more := h.coro.step()
	if s.points++; s.points == s.strikeAt && s.wrong == "" {
		s.tell("%s: stands at %q", u.name, at)
		s.strike(s, u)
	}
	if !more && u.hook == h { // else it was struck
		s.cut(u)
	}
	s.raft()
	s.check()
	return true
}

// Halt ends the hooks that still run. Clones can go on.
func (s *Sim) Halt() {
	for _, u := range s.units {
		s.cut(u)
	}
}

// Close ends the hooks that still run, and what else it and its clones, which are halted, hold.
func (s *Sim) Close() {
	s.Halt()
	s.stage.close()
}
