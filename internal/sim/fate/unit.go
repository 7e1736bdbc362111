package fate

import (
	"cmp"
	"strconv"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

type life int

const (
	alive life = iota
	dying
	dead // no longer in goal-state
)

// unit is one unit of the application with its machine.
type unit struct {
	number int
	name   string
	life   life

	up      bool // the machine runs
	address int  // the last byte of its address
	moved   bool // it had another address before, which bags may still show
	island  int  // machines reach only those on the same island
	disk    disk
	process process
	carried string // the release in the charm directory

	// What Juju knows of the unit.
	words     []operator.UnitBag // each commit of its own peer bag
	memory    operator.Memory
	consumers map[string]told  // what its bags tell consumers
	scopes    map[string]scope // its part in the consumers' relations

	// What its agent has heard: the version of each peer's bag, of the application's bag, of the
	// options and of the charm.
	heard map[string]heardOfPeer // the peers that joined
	// The peer for which relation-changed is due, because joined has run.
	joined                     string
	parted                     bool // it has departed from a peer
	heardApp, heardCfg, heardC int
	toldApp                    int // the version of the application's bag that the last hook was about
	heardLead                  bool
	installed, started         bool
	rebooted, stopped          bool
	poked                      bool            // update-status is due
	last                       operator.Event  // the last hook that ended well
	again                      *operator.Event // a hook to repeat

	hook      *hook
	retry     *operator.Event
	killed    bool // the hook to run again was killed, and did not fail
	retryAt   int64
	fails     int
	fail      error  // of the last hook, while Juju retries it
	deaf      bool   // goal-state fails in the next hook
	unsure    bool   // the reply to the next step at etcd is lost
	back      int64  // when its disk was last set back in time
	rotted    int64  // when its data was last spoilt
	stalls    int    // how many of its next learners make no progress
	restarted string // the operation for which its server last restarted
	had       uint64 // the cluster whose data its server last ran with
	byHand    int64  // the charm has taken its member down, which holds the turn until then
}

// heardOfPeer is what an agent knows of a peer's bag. told is the version that a hook was about.
// kept is the version that the agent has cached; 0 is none. Juju drops the cached version when a
// hook is about the peer, and reads the bag again in the next hook that asks.
type heardOfPeer struct{ told, kept int }

// noOptions is a version of the options that no application has, so that config-changed is due.
const noOptions = -1

// disk is what outlives a power cut of the machine.
type disk struct {
	installed string
	tls       operator.TLS
	written   *operator.Server
	config    string // digest of the written settings
	kind      operator.ServiceKind
	enabled   bool
	schedule  operator.Schedule
	astray    bool // a file or directory of ours is not as it was made
	data      *data
	fence     operator.Fence
	aside     []*data
	work      []operator.Work
	prepared  []prepared
	kept      []operator.Snapshot
	measured  operator.Disk
}

// initial returns how a first start would proceed with the written settings.
func (d *disk) initial() operator.Initial {
	if d.written == nil {
		return operator.Initial{}
	}
	return d.written.Initial
}

// process is the server process.
type process struct {
	running, failing, serving bool
	server                    operator.Server // the settings it was started with
	config                    string
	log                       string // why it fails
	held                      operator.Hold
	again                     int64  // when the machine starts it again
	peerURL, clientURL        string // where it listens; "" while it does not run
	started                   int64
}

func (p process) booted(now int64) bool { return p.running && now-p.started >= bootSeconds }

// hook is one running hook, as a coroutine.
type hook struct {
	event   operator.Event
	coro    *coroutine
	units   int      // how many units had ever existed when Juju was asked
	decided bool     // the pass has reached its flush
	led     bool     // the unit was the leader when Juju was asked
	turn    string   // the holder of the turn at the last look
	full    bool     // alarm NOSPACE was raised at the last look
	keeps   bool     // the reply to giving the turn back was lost, and the hook does not try again
	looked  int      // Sim.faults at the last look
	view    *group   // the cluster that the last look reached
	voters  int      // the voters in that cluster
	urls    []string // clients' URLs that the member list showed in this hook
	hashes  [][]operator.Hash
	shown   []member // the started voters at the last look
	record  operator.AppBag
}

func host(address int) string { return "10.0.0." + strconv.Itoa(address) }

func address(at, port int) string { return "https://" + host(at) + ":" + strconv.Itoa(port) }

// listen sets where the unit's server listens: at the machine's current address, and at the ports
// with which it was started.
func (u *unit) listen() {
	if p := &u.process; p.running {
		p.peerURL, p.clientURL =
			address(u.address, p.server.Config.ManagementPort), address(u.address, p.server.Config.Port)
	}
}

// word returns the unit's peer bag at a version; the zero UnitBag for version 0.
func (u *unit) word(version int) operator.UnitBag {
	if version == 0 {
		return operator.UnitBag{}
	}
	return u.words[version-1]
}

// agent reports whether the unit's agent can run hooks.
func (u *unit) agent() bool { return u.up && u.life != dead }

// runHook begins a hook.
func (s *Sim) runHook(u *unit, e operator.Event) {
	h := &hook{event: e, coro: s.stage.take()}
	u.hook = h
	h.coro.body = func(yield func(point)) {
		defer func() {
			if r := recover(); r != nil && r != any(errKilled) {
				s.broken("%s panics in %s: %v", u.name, e.Kind, r)
			}
		}()
		s.pass(u, h, yield)
	}
}

// cut ends the running hook at its present yield, if it has not ended already.
func (s *Sim) cut(u *unit) {
	if u.hook != nil {
		s.stage.give(u.hook.coro)
		u.hook = nil
	}
}

// kill ends the running hook at its present yield; Juju will run it again.
func (s *Sim) kill(u *unit) {
	if u.hook == nil {
		return
	}
	e := u.hook.event
	s.cut(u)
	u.retry, u.retryAt, u.killed = &e, s.now, true
	if u.life == dying && e.Kind == hooks.Install {
		s.removeMachine(u)
	}
}

// nextEvent returns the hook that the unit's agent runs next, in the order of Juju's
// worker/uniter/resolver.go; false if there is none.
func (s *Sim) nextEvent(u *unit) (operator.Event, bool) {
	switch {
	case u.retry != nil:
		return *u.retry, s.now >= u.retryAt
	case !u.installed:
		return operator.Event{Kind: hooks.Install}, true
	case u.life == dying:
		return s.nextOfDying(u)
	case u.again != nil: // no real Juju does this
		return *u.again, true
	}
	if e, ok := s.nextCreated(u); ok {
		return e, true
	}
	switch {
	case s.leader == u && !u.heardLead:
		return operator.Event{Kind: hooks.LeaderElected}, true
	case u.heardC != s.charm:
		return operator.Event{Kind: hooks.UpgradeCharm}, true
	case u.heardCfg != s.configVersion():
		return operator.Event{Kind: hooks.ConfigChanged}, true
	case !u.started || u.rebooted:
		return operator.Event{Kind: hooks.Start}, true
	}
	if e, ok := s.nextOfConsumers(u); ok {
		return e, true
	}
	if e, ok := s.nextOfPeers(u); ok {
		return e, true
	}
	return operator.Event{Kind: hooks.UpdateStatus}, u.poked
}

// nextOfDying returns the next of a unit's last hooks. The unit departs from its relations, from
// the peer relation last, and never hears that one break.
func (s *Sim) nextOfDying(u *unit) (operator.Event, bool) {
	if e, ok := s.nextOfConsumers(u); ok {
		return e, true
	}
	e := operator.Event{Endpoint: "cluster", RelationID: peerRelation, RemoteApp: app}
	if u.joined != "" {
		e.Kind, e.RemoteUnit = hooks.RelationChanged, u.joined
		return e, true
	}
	for _, p := range s.units {
		if _, joined := u.heard[p.name]; joined {
			e.Kind, e.RemoteUnit, e.Departing = hooks.RelationDeparted, p.name, u.name
			return e, true
		}
	}
	if u.started && !u.stopped {
		return operator.Event{Kind: hooks.Stop}, true
	}
	return operator.Event{Kind: hooks.Remove}, true
}

// nextOfPeers returns the next hook of the peer relation, in the order of Juju's
// worker/uniter/relation/resolver.go.
func (s *Sim) nextOfPeers(u *unit) (operator.Event, bool) {
	if len(u.words) == 0 {
		return operator.Event{}, false
	}
	var gone, fresh, changed *unit
	for _, p := range s.units {
		if p == u {
			continue
		}
		k, joined := u.heard[p.name]
		switch {
		case joined && p.life == dead && s.Departed:
			gone = cmp.Or(gone, p)
		case joined && k.told != len(p.words):
			changed = cmp.Or(changed, p)
		case !joined && p.life != dead && len(p.words) > 0:
			fresh = cmp.Or(fresh, p)
		}
	}
	e := operator.Event{
		Kind: hooks.RelationChanged, Endpoint: "cluster", RelationID: peerRelation, RemoteApp: app,
	}
	switch {
	case u.joined != "":
		e.RemoteUnit = u.joined
	case gone != nil:
		e.Kind, e.RemoteUnit, e.Departing = hooks.RelationDeparted, gone.name, gone.name
	case s.leader != u && u.toldApp != len(s.records):
		// The leader writes the bag itself, so Juju runs no hook for it there.
	case fresh != nil:
		e.Kind, e.RemoteUnit = hooks.RelationJoined, fresh.name
	case changed != nil:
		e.RemoteUnit = changed.name
	default:
		return operator.Event{}, false
	}
	return e, true
}

// heardNow records what the agent has heard once a hook begins.
func (s *Sim) heardNow(u *unit, e operator.Event) {
	if k, joined := u.heard[e.RemoteUnit]; joined {
		u.heard[e.RemoteUnit] = heardOfPeer{told: k.told}
	}
	if u.retry != nil {
		return // Juju runs it again for the version of the first time
	}
	u.killed, u.again = false, nil
	switch {
	case e.Kind == hooks.RelationCreated:
		s.enter(u)
	case e.RelationID != "" && e.RelationID != peerRelation:
		s.begunOf(u, e)
	case e.Kind == hooks.RelationChanged && e.RemoteUnit == "":
		u.heardApp, u.toldApp = len(s.records), len(s.records)
	case e.Kind == hooks.RelationJoined, e.Kind == hooks.RelationChanged:
		if _, joined := u.heard[e.RemoteUnit]; joined || e.Kind == hooks.RelationJoined {
			u.heard[e.RemoteUnit] = heardOfPeer{told: len(s.unit(e.RemoteUnit).words)}
		}
	case e.Kind == hooks.RelationDeparted:
		delete(u.heard, e.RemoteUnit)
		u.parted = u.parted || e.Departing == u.name
	case e.Kind == hooks.ConfigChanged:
		u.heardCfg = s.configVersion()
	case e.Kind == hooks.UpgradeCharm:
		u.carried, u.heardC = releaseOf(s.charm), s.charm
	case e.Kind == hooks.LeaderElected:
		u.heardLead = true
	case e.Kind == hooks.UpdateStatus:
		u.poked = false // a request while the hook runs asks for another one
	}
}

// done records that a hook ended well.
func (s *Sim) done(u *unit, e operator.Event) {
	u.retry, u.killed, u.fails, u.fail, u.last = nil, false, 0, nil, e
	switch {
	case e.RelationID != "" && e.RelationID != peerRelation:
		s.doneOf(u, e)
	case e.Kind == hooks.RelationJoined:
		u.joined = e.RemoteUnit
	case e.Kind == hooks.RelationChanged && e.RemoteUnit == u.joined:
		u.joined = ""
	case e.Kind == hooks.Install:
		u.installed = true
	case e.Kind == hooks.Start:
		u.started, u.rebooted = true, false
	case e.Kind == hooks.Stop:
		u.stopped = true
	case e.Kind == hooks.UpgradeCharm:
		u.heardCfg = noOptions
	case e.Kind == hooks.Remove:
		if d := u.disk; u.process.running || d.enabled || d.installed != "" || d.tls.Peer.Present {
			s.broken("%s is removed and leaves what it installed", u.name)
		}
		s.removeMachine(u)
	}
}
