package fate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/charm"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// settings returns the parsed options of a version. Two of three versions also change a port: of
// the clients, or of the peers.
func settings(version int) operator.Config {
	c := base
	c.SnapshotCount = 10000 + version
	c.CompactionMode, c.CompactionRetention, c.QuotaBytes = "revision", "100", 16<<20
	switch version % 3 {
	case 1:
		c.Port = 2379 + version*100
	case 2:
		c.ManagementPort = 2380 + version*100
	}
	return c
}

var base = func() operator.Config {
	c, problem := operator.ParseConfig(nil)
	if problem != "" {
		panic(problem)
	}
	return c
}()

// pass runs one hook: the charm's real one, and what Juju does at its end.
func (s *Sim) pass(u *unit, h *hook, yield func(point)) {
	m := &machine{s: s, u: u, h: h, yield: yield}
	decide := s.Decide
	if decide == nil {
		decide = operator.Decide
	}
	if err := charm.Hook(
		context.Background(), h.event, (*controller)(m), m, decide, s.clock,
	); err != nil {
		if !h.decided {
			yield(point{at: "decided"})
		}
		s.tell("%s: the hook fails: %v", u.name, err)
		e := h.event
		u.retry, u.fail, u.killed = &e, err, false
		u.fails++
		u.retryAt = s.now + int64(min(5<<min(u.fails-1, 10), 300))
		return
	}
	yield(point{at: "committed"})
	s.done(u, h.event)
}

// clock returns the simulation's time.
func (s *Sim) clock() time.Time { return time.Unix(s.now, 0) }

// authority makes the authority that every application here uses. It is a real one, the same in
// every process, and made once in each. Two authorities in one model would differ in their
// fingerprints, but no application makes a second one.
var authority = sync.OnceValue(func() *pki.Authority {
	a, err := pki.NewAuthority(rand.NewChaCha8([32]byte{}), time.Unix(0, 0), app)
	if err != nil {
		panic(err)
	}
	return a
})

// controller is Juju as charm.Juju sees it, for one hook.
type controller machine

var _ charm.Juju = (*controller)(nil)

// Observe reads the model, after the members were seen.
func (c *controller) Observe(
	_ context.Context, e operator.Event, seen []uint64,
) (operator.Model, error) {
	s, u, h := c.s, c.u, c.h
	c.yield(point{at: "seen"})
	m := s.model(u, e, seen)
	h.led, h.units, h.record = s.leader == u, len(s.units), m.Cluster.Value.AppBag
	c.yield(point{at: "read"})
	c.began = s.now
	return m, nil
}

// Flush is the commit. A plan that fails the hook publishes nothing.
func (c *controller) Flush(_ context.Context, _ operator.Model, p operator.Plan) error {
	c.h.decided = true
	c.yield(point{at: "decided"})
	if p.Fail != nil {
		return p.Fail
	}
	if err := c.s.flush(c.u, p, c.yield); err != nil {
		return err
	}
	if c.s.Trace != nil {
		c.s.tell("%s: %s%s: %s", c.u.name, doneMark, p.Status.Level, p.Status.Message)
	}
	return nil
}

// model returns what Juju tells a hook at its start. Only the leader can know that no authorities
// exist, and it knows that only from the application's bag.
func (s *Sim) model(u *unit, e operator.Event, seen []uint64) operator.Model {
	m := s.observe(u, e, seen)
	switch {
	case s.authority == nil && s.leader != u:
		m.Authority = operator.Unknown[*pki.Authority]("waiting for the leader to make them")
	case s.authority == nil && !m.Cluster.OK:
		m.Authority = operator.Unknown[*pki.Authority](m.Cluster.Why)
	default:
		m.Authority = operator.Know(s.authority)
	}
	return m
}

func (s *Sim) observe(u *unit, e operator.Event, seen []uint64) operator.Model {
	m := operator.Model{
		UUID: modelUUID, Unit: u.name, App: app, Seen: seen, Secrets: true,
		Leader: operator.Know(s.leader == u),
		Config: s.config(),
		Memory: operator.Know(u.memory),
	}
	ids, answers := s.consumersOf(u, e)
	m.Relations, m.Deserted = map[string]operator.Known[[]databag.Relation]{}, answers
	for _, at := range operator.Endpoints() {
		relations := []databag.Relation{}
		for _, id := range ids {
			if endpointOf(id) == at.Name {
				relations = append(relations, databag.Relation{ID: id, Endpoint: at.Name})
			}
		}
		m.Relations[at.Name] = operator.Know(relations)
	}
	at := operator.Address{Ingress: host(u.address), All: []string{host(u.address)}}
	m.PeerAddress, m.ClientAddress = operator.Know(at), operator.Know(at)
	units := map[string]operator.Life{}
	for _, p := range s.units {
		switch p.life {
		case alive:
			units[p.name] = operator.Alive
		case dying:
			units[p.name] = operator.Dying
		}
	}
	m.Units = operator.Know(units)
	if u.deaf {
		u.deaf = false
		m.Units = operator.Unknown[map[string]operator.Life]("goal-state failed")
		m.Cluster = operator.Unknown[operator.Cluster]("goal-state failed")
		return m
	}
	if len(u.words) == 0 { // the unit has not entered the relation
		m.Cluster = operator.Unknown[operator.Cluster]("the peer relation is not visible yet")
		return m
	}
	if s.Gone && u.parted && (e.Kind == hooks.Stop || e.Kind == hooks.Remove) {
		m.Cluster = operator.Unknown[operator.Cluster]("the peer relation is not visible any more")
		return m
	}
	c := operator.Cluster{
		RelationID: peerRelation, AppBag: s.record(), UnitBags: map[string]operator.UnitBag{},
	}
	if s.Stale && s.leader != u && u.heardApp > 0 {
		c.AppBag = s.records[u.heardApp-1]
	}
	for _, p := range s.units {
		switch {
		case p.life == dead, p == u:
		default:
			// What an agent keeps is the bag of a unit that joined; any other is read again in each
			// hook.
			k, joined := u.heard[p.name]
			if !s.Stale || !joined || k.kept == 0 {
				k.kept = len(p.words)
			}
			if joined {
				u.heard[p.name] = k
			}
			c.UnitBags[p.name] = p.word(k.kept)
		}
	}
	m.Cluster = operator.Know(c)
	return m
}

// flush commits what the plan publishes, all of it or nothing. Secrets are committed before the
// rest, as in Juju 3.6.
func (s *Sim) flush(u *unit, p operator.Plan, yield func(point)) error {
	if p.NewAuthority {
		if s.authority != nil {
			return errors.New("secret with that label already exists")
		}
		if s.leader != u {
			return errors.New("permission denied")
		}
		s.authority = authority()
		s.tell("%s: makes the authorities", u.name)
		yield(point{at: "secrets committed"})
	}
	record := u.hook.record
	for _, w := range p.Bags {
		if w.App && s.leader != u {
			return errors.New("cannot write relation settings: not the leader any more")
		}
		if w.Relation == peerRelation && w.App {
			record = decoded(etcdcluster.DecodeApp(w.Relation, app, w.Bag))
		}
	}
	for _, w := range p.Bags {
		switch {
		case w.Relation == peerRelation && w.App:
			s.checkRecord(u.hook, record)
			s.checkOperation(s.record().Operation, record.Operation)
			if s.Trace != nil {
				s.tell("%s: records %s", u.name, recordText(record))
			}
			s.records = append(s.records, record)
			u.heardApp = len(s.records)
		case w.Relation == peerRelation:
			unitBag := decoded(etcdcluster.DecodeUnit(w.Relation, u.name, w.Bag))
			u.words = append(u.words, unitBag)
			if s.Trace != nil {
				s.tell("%s: says %s", u.name, unitBagText(unitBag))
			}
		case u.scopes[w.Relation].ghost:
			p.NotFound(operator.Model{Memory: operator.Know(u.memory)}, w.Relation)
		default:
			s.tellConsumer(u, w, &record)
		}
	}
	if p.Memory != nil {
		u.memory = *p.Memory
	}
	return nil
}

// tellConsumer commits a consumer's bag.
func (s *Sim) tellConsumer(u *unit, w operator.BagWrite, record *operator.AppBag) {
	is := toldBy(w.Bag)
	s.checkPublication(u, w.Relation, is, record)
	u.hook.view.published = true
	if s.Trace != nil {
		s.tell("%s: tells %s of %s", u.name, w.Relation, is.cluster)
	}
	u.consumers[w.Relation] = is
}

// decoded returns a decoded bag of our own; it panics if the bag cannot be read, because that is a
// fault of the charm.
func decoded[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// recordText returns the application's bag as the trace shows it.
func recordText(r operator.AppBag) string {
	text := fmt.Sprintf("cluster %x", r.ClusterID)
	if r.Ended != 0 {
		text += fmt.Sprintf(", ended %x", r.Ended)
	}
	for _, e := range r.Revoked {
		text += ", revoked " + e.RelationID
	}
	return text
}

// unitBagText returns a unit's own bag as the trace shows it.
func unitBagText(w operator.UnitBag) string {
	text := fmt.Sprintf("member %x of %x at %s", w.MemberID, w.ClusterID, w.PeerURL)
	for _, flag := range []struct {
		on   bool
		name string
	}{{w.Running == "", "no settled server"}, {w.Leaving, "leaving"}, {w.Stopped, "stopped"}} {
		if flag.on {
			text += ", " + flag.name
		}
	}
	return text
}
