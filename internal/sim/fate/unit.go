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
	dead // not in goal-state any more
)

// unit is one unit of the application with its machine.
type unit struct {
	number int
	name   string
	life   life

	up      bool // the machine runs
	address int  // last byte
	moved   bool // it had another before, by which bags may still tell of it
	island  int  // machines reach each other on the same island only
	disk    disk
	process process
	carried string // the release in the charm directory

	// What Juju knows of the unit.
	words     []operator.Word // each commit of its own peer bag
	memory    operator.Memory
	consumers map[string]told  // what its bags say
	scopes    map[string]scope // its part in the consumers' relations

	// What its agent has heard: the version of each peer's bag, of the application's, of options and charm.
	heard                      map[string]heardOfPeer // the peers that joined
	joined                     string                 // the peer whose changed follows its joined
	parted                     bool                   // it has left a peer
	heardApp, heardCfg, heardC int
	toldApp                    int // the version of the application's bag that a hook told of
	heardLead                  bool
	installed, started         bool
	rebooted, stopped          bool
	poked                      bool            // update-status is due
	last                       operator.Event  // the last hook that ended well
	again                      *operator.Event // that it hears once more

	hook      *hook
	retry     *operator.Event
	killed    bool // and did not fail, the hook that is to be run again
	retryAt   int64
	fails     int
	fail      error  // of the last hook, while it is being retried
	deaf      bool   // goal-state fails in the next hook
	unsure    bool   // the reply to the next step at etcd is lost
	back      int64  // when its disk was last taken back in time
	rotted    int64  // when its data was last spoilt
	stalls    int    // how many of its next learners make no progress
	restarted string // the operation that its server was restarted for last
	had       uint64 // the cluster whose data its server ran with last
	byHand    int64  // its member is down by our hand, and has the turn until then
}

// heardOfPeer is what an agent knows of a peer's bag: the version that a hook told of, and the one that it keeps, which Juju
// forgets when a hook is about the peer, and reads again in the next hook that asks; 0 is not read.
type heardOfPeer struct{ told, kept int }

// noOptions is a version of the options that no application has: config-changed is due.
const noOptions = -1

// disk outlives the machine's power.
type disk struct {
	installed string
	tls       operator.TLS
	written   *operator.Server
	config    string // digest of what is written
	kind      operator.ServiceKind
	enabled   bool
	schedule  operator.Schedule
	astray    bool // something of ours does not lie there as it was made
	data      *data
	fence     operator.Fence
	aside     []*data
	work      []operator.Work
	prepared  []prepared
	kept      []operator.Snapshot
	measured  operator.Disk
}

// initial is how a first start would go by what is written.
func (d *disk) initial() operator.Initial {
	if d.written == nil {
		return operator.Initial{}
	}
	return d.written.Initial
}

// process is the server process.
type process struct {
	running, failing, serving bool
	server                    operator.Server // what it was started with
	config                    string
	log                       string // why it fails
	held                      operator.Hold
	again                     int64  // when the machine starts it again
	peerURL, clientURL        string // where it listens; "" while it does not run
	started                   int64
}

func (p process) booted(now int64) bool { return p.running && now-p.started >= bootSeconds }

// hook is one hook that runs, as a coroutine.
type hook struct {
	event   operator.Event
	coro    *coroutine
	units   int      // how many there had been when Juju was asked
	decided bool     // the pass has come to its flush
	led     bool     // the unit led when Juju was asked
	turn    string   // who held the turn at the last look
	full    bool     // alarm NOSPACE was raised at the last look
	keeps   bool     // it was not heard that the turn was given back, which is not tried again
	looked  int      // Sim.faults at the last look
	view    *group   // the cluster that the last look reached
	voters  int      // in it
	urls    []string // clients' URLs that the list gave in this hook
	hashes  [][]operator.Hash
	shown   []member // the started voters at the last look
	record  operator.Record
}

func host(address int) string { return "10.0.0." + strconv.Itoa(address) }

func address(at, port int) string { return "https://" + host(at) + ":" + strconv.Itoa(port) }

// listen notes where the unit's server listens: at the ports it was started with, wherever the machine is by now.
func (u *unit) listen() {
	if p := &u.process; p.running {
		p.peerURL, p.clientURL = address(u.address, p.server.Config.ManagementPort), address(u.address, p.server.Config.Port)
	}
}

// word is its peer bag at a version; the zero Word before it wrote one.
func (u *unit) word(version int) operator.Word {
	if version == 0 {
		return operator.Word{}
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

// cut ends the hook that runs where it stands, if it has not ended already.
func (s *Sim) cut(u *unit) {
	if u.hook != nil {
		s.stage.give(u.hook.coro)
		u.hook = nil
	}
}

// kill ends the hook that runs, where it stands; Juju will call it again.
func (s *Sim) kill(u *unit) {
	if u.hook == nil {
		return
	}
	e := u.hook.event
	s.cut(u)
	u.retry, u.retryAt, u.killed = &e, s.now, true
	if u.life == dying && e.Kind == hooks.Install {
		s.bury(u)
	}
}

// nextEvent is the hook that the unit's agent runs next, in the order of Juju's worker/uniter/resolver.go; false if there is
// none.
func (s *Sim) nextEvent(u *unit) (operator.Event, bool) {
	switch {
	case u.retry != nil:
		return *u.retry, s.now >= u.retryAt
	case !u.installed:
		return operator.Event{Kind: hooks.Install}, true
	case u.life == dying:
		return s.nextOfDying(u)
	case u.again != nil: // no Juju does
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

// nextOfDying is the next of a unit's last hooks: it leaves its relations, the peers' last, and never breaks that one.
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

// nextOfPeers is the next hook of the peer relation, in the order of Juju's worker/uniter/relation/resolver.go.
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
	e := operator.Event{Kind: hooks.RelationChanged, Endpoint: "cluster", RelationID: peerRelation, RemoteApp: app}
	switch {
	case u.joined != "":
		e.RemoteUnit = u.joined
	case gone != nil:
		e.Kind, e.RemoteUnit, e.Departing = hooks.RelationDeparted, gone.name, gone.name
	case s.leader != u && u.toldApp != len(s.records): // the leader writes it: Juju spares it
	case fresh != nil:
		e.Kind, e.RemoteUnit = hooks.RelationJoined, fresh.name
	case changed != nil:
		e.RemoteUnit = changed.name
	default:
		return operator.Event{}, false
	}
	return e, true
}

// heardNow notes what a hook that begins makes known to the agent.
func (s *Sim) heardNow(u *unit, e operator.Event) {
	if k, joined := u.heard[e.RemoteUnit]; joined {
		u.heard[e.RemoteUnit] = heardOfPeer{told: k.told}
	}
	if u.retry != nil {
		return // Juju runs it for the version of the first time
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
		u.poked = false // who asks while it runs has another one run
	}
}

// done notes that a hook ended well.
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
		s.bury(u)
	}
}
