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

// Options are the conditions that an application meets. The zero value is Juju 4.0 with fresh bags.
type Options struct {
	Departed bool // the units that stay hear departed (Juju 2.9 and 3.x)
	// The first consumer of a random schedule has no unit, which makes a schedule shorter.
	Empty bool
	Stale bool // the bags of others are as old as Juju permits: as of the last hook about them
	// A unit that has left its peers sees no peer relation in its last hooks (Juju 4.0, at times).
	Gone bool
	// Decide replaces operator.Decide; nil is the real one.
	Decide operator.Decider
	// Trace receives a line for each event; nil discards them.
	Trace func(string)
}

// Sim is one application and its fate.
type Sim struct {
	Options
	stage  *stage
	now    int64
	units  []*unit // all that ever existed, by number
	groups []*group
	lastID uint64
	// lastLeaf is the serial of the last issued certificate.
	lastLeaf int64

	leader    *unit
	records   []operator.AppBag // each commit of the application's bag
	authority *pki.Authority
	relations []relation // of consumers
	options   int        // version of the options
	raises    int        // how often the quota was doubled
	busy      bool       // clients write all the time
	charm     int        // revision of the charm
	lastRel   int
	period    int64 // of client certificates: the clock advances it
	lag       bool  // followers get only what a quorum needs
	healed    int64
	calm      int64 // when the faults ended; 0 means not yet
	// Number of faults so far: what a unit saw before the last one may have become false since.
	faults int

	named map[uint64]bool // the clusters that the record ever named
	ended map[uint64]bool
	// replaced maps each cluster whose data was replaced to the operation that replaced it.
	replaced map[uint64]operator.Operation
	rescue   bool // an administrator attends to a cluster that is lost
	ticks    int
	wrong    string // the first broken rule
	// NeedsAdministrator means that only an administrator can mend this end, and that the status
	// line asks for it.
	NeedsAdministrator bool

	// strike is called once, when the hooks have yielded strikeAt times in all, with the unit that
	// yielded.
	points, strikeAt int
	strike           func(*Sim, *unit)
	rots             int // how often data went bad
}

// New returns an application with no unit.
func New(o Options) *Sim {
	return &Sim{
		Options: o, stage: &stage{}, now: 1_000_000, period: 230,
		named: map[uint64]bool{}, ended: map[uint64]bool{},
		replaced: map[uint64]operator.Operation{}, lastID: 100,
	}
}

// broken records a broken rule; only the first one counts.
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

// releaseOf names the release that a charm revision carries. The first has no IDs. After that two
// revisions in a row have the same server and the same proxy.
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

// record returns the application's bag as committed.
func (s *Sim) record() operator.AppBag {
	if len(s.records) == 0 {
		return operator.AppBag{}
	}
	return s.records[len(s.records)-1]
}

// living returns the units in goal-state.
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
		number: len(s.units), name: app + "/" + strconv.Itoa(len(s.units)),
		up: true, address: 10 + len(s.units), carried: releaseOf(s.charm),
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
		s.removeMachine(u) // nothing needs undoing: Juju removes it at once
	}
}

// ForceRemove removes a unit from the model at once. Its machine is destroyed or, if lingers is
// set, runs on unattended.
func (s *Sim) ForceRemove(u *unit, lingers bool) {
	if u.life == dead {
		return
	}
	s.tell("remove %s by force, lingers %v", u.name, lingers)
	s.faults++
	s.cut(u)
	up := u.up
	s.removeMachine(u)
	u.up = up && lingers
}

// removeMachine removes a unit from goal-state, and its machine.
func (s *Sim) removeMachine(u *unit) {
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
		// The leadership does not come back to the hook in which it was lost: is-leader holds for 30 s.
		return
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

// Wipe deletes a unit's data, or everything on its disk. The machine is off meanwhile.
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

// TakeBack replaces a unit's data with an older copy. The machine is off meanwhile. The other
// members first receive everything that it had, because no charm can bring back what the others do
// not hold.
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

// insert puts another disk into a unit's machine, and returns the data of the old one. The machine
// is off meanwhile.
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

// Island moves a unit's machine to an island of the network; 0 is the mainland.
func (s *Sim) Island(u *unit, n int) {
	if u.island == n {
		return
	}
	s.tell("%s on island %d", u.name, n)
	s.faults++
	u.island = n
	s.healed = s.now
}

// Configure changes the options: see settings.
func (s *Sim) Configure() { s.options++; s.tell("options %d", s.options) }

// Refresh upgrades the charm.
func (s *Sim) Refresh() { s.charm++; s.tell("charm %d", s.charm) }

// Again repeats the last hook of a unit. Hooks that make or remove a unit are not repeated.
func (s *Sim) Again(u *unit) {
	if e := u.last; u.life == alive && e.Kind != "" &&
		e.Kind != hooks.Install && e.Kind != hooks.Remove {
		s.tell("%s hears %s again", u.name, e.Kind)
		u.again = &e
	}
}

// Lose drops the next hook of a unit, though its agent counts it as run. A unit's last hooks are
// never dropped, because Juju waits for them.
func (s *Sim) Lose(u *unit) {
	if u.hook != nil || u.retry != nil || u.life != alive {
		return
	}
	if e, ok := s.nextEvent(u); ok && e.Kind != hooks.Install &&
		(e.Endpoint == "" || e.RelationID == peerRelation || u.losable(e)) {
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
			// A turn whose hook failed expires by itself, unless Juju retries that hook before.
			if holder := s.unit(g.turn); s.calm > 0 && g.size() > 1 &&
				!g.turnKept && g.turnEnds-turnSeconds > s.calm && (holder == nil || holder.fail == nil) {
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

// Marks in the trace, for a hook's beginning and end.
const (
	hookMark = "hook "
	doneMark = "done: "
)

// eventText returns an event as the trace shows it: "cluster-relation-changed of etcd/1".
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

// Step runs a unit's hook to its next yield, or begins its next hook. It returns false if there is
// nothing to do.
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
		if s.Trace != nil { // the text would cost more than the hook
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
	if !more && u.hook == h { // otherwise strike has ended it
		s.cut(u)
	}
	s.raft()
	s.check()
	return true
}

// Halt ends the hooks that still run. Clones are not affected.
func (s *Sim) Halt() {
	for _, u := range s.units {
		s.cut(u)
	}
}

// Close ends the hooks that still run, and releases what the Sim shares with its clones, which must
// have been halted.
func (s *Sim) Close() {
	s.Halt()
	s.stage.close()
}
