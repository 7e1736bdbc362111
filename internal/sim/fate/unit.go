package fate

import (
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
	consumers map[string]told // what its bags say
	left      map[string]bool // consumers that its agent does not list, for they are suspended, or were
	ghosts    map[string]bool // consumers that its agent lists though Juju has deleted them; not yet while it is false

	// What its agent has heard: the version of each peer's bag, of the application's, of options and charm.
	heard                      map[string]int
	heardApp, heardCfg, heardC int
	heardGone                  map[string]bool
	heardLead                  bool
	queue                      []operator.Event // the unit's own life
	last                       operator.Event   // the last hook that ended well
	poked                      bool             // update-status is due

	hook    *hook
	retry   *operator.Event
	retryAt int64
	fails   int
	fail    error // of the last hook, while it is being retried
	deaf    bool  // goal-state fails in the next hook
	unsure  bool  // the reply to the next step at etcd is lost
	byHand  int64 // its member is down by our hand, and has the turn until then
}

// disk outlives the machine's power.
type disk struct {
	installed string
	tls       operator.TLS
	written   *operator.Server
	config    string // digest of what is written
	kind      operator.ServiceKind
	enabled   bool
	data      *data
	aside     []*data
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
	keeps   bool     // it was not heard that the turn was given back, which is not tried again
	looked  int      // Sim.faults at the last look
	view    *group   // the cluster that the last look reached
	voters  int      // in it
	urls    []string // clients' URLs that the list gave in this hook
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

// agent tells whether the unit's agent can run hooks.
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
	u.retry, u.retryAt = &e, s.now
}

// nextEvent is the hook that the unit's agent runs next; false if there is none.
func (s *Sim) nextEvent(u *unit) (operator.Event, bool) {
	switch {
	case u.retry != nil:
		return *u.retry, s.now >= u.retryAt
	case len(u.queue) > 0:
		return u.queue[0], true
	case u.life == dying:
		return operator.Event{}, false
	case u.heardC != s.charm:
		return operator.Event{Kind: hooks.UpgradeCharm}, true
	case u.heardCfg != s.options:
		return operator.Event{Kind: hooks.ConfigChanged}, true
	case s.leader == u && !u.heardLead:
		return operator.Event{Kind: hooks.LeaderElected}, true
	case u.heardApp != len(s.records):
		return operator.Event{Kind: hooks.RelationChanged, Endpoint: "cluster", RelationID: peerRelation, RemoteApp: app}, true
	}
	for _, p := range s.units {
		if p == u || len(p.words) == 0 {
			continue
		}
		e := operator.Event{Endpoint: "cluster", RelationID: peerRelation, RemoteApp: app, RemoteUnit: p.name}
		version, known := u.heard[p.name]
		switch {
		case p.life == dead && s.Departed && known && !u.heardGone[p.name]:
			e.Kind, e.Departing = hooks.RelationDeparted, p.name
			return e, true
		case p.life == dead && !known:
			continue
		case !known:
			e.Kind = hooks.RelationJoined
			return e, true
		case version != len(p.words) && !u.heardGone[p.name]:
			e.Kind = hooks.RelationChanged
			return e, true
		}
	}
	if u.poked {
		return operator.Event{Kind: hooks.UpdateStatus}, true
	}
	return operator.Event{}, false
}

// heardNow notes what a hook that begins makes known to the agent.
func (s *Sim) heardNow(u *unit, e operator.Event) {
	if u.retry == nil && len(u.queue) > 0 {
		u.queue = u.queue[1:]
	}
	s.heardOf(u, e)
	switch {
	case e.Kind == hooks.RelationChanged && e.RemoteUnit == "":
		u.heardApp = len(s.records)
	case e.Kind == hooks.RelationChanged:
		u.heard[e.RemoteUnit] = len(s.unit(e.RemoteUnit).words)
	case e.Kind == hooks.RelationJoined:
		u.heard[e.RemoteUnit] = max(1, len(s.unit(e.RemoteUnit).words)-1) // changed follows
	case e.Kind == hooks.ConfigChanged:
		u.heardCfg = s.options
	case e.Kind == hooks.UpgradeCharm:
		u.carried, u.heardC = releaseOf(s.charm), s.charm
	case e.Kind == hooks.LeaderElected:
		u.heardLead = true
	}
}

// done notes that a hook ended well.
func (s *Sim) done(u *unit, e operator.Event) {
	u.retry, u.fails, u.fail, u.last = nil, 0, nil, e
	switch {
	case e.Kind == hooks.RelationDeparted && e.Endpoint == "cluster" && e.Departing != u.name:
		u.heardGone[e.RemoteUnit] = true
	case e.Kind == hooks.UpgradeCharm:
		u.queue = append(u.queue, operator.Event{Kind: hooks.ConfigChanged})
	case e.Kind == hooks.UpdateStatus:
		u.poked = false
	case e.Kind == hooks.Remove:
		if d := u.disk; u.process.running || d.enabled || d.installed != "" || d.tls.Peer.Present {
			s.broken("%s is removed and leaves what it installed", u.name)
		}
		s.bury(u)
	}
}
