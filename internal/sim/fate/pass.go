package fate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/charm"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// settings are the options as parsed. Every third version changes a port besides.
func settings(version int) operator.Config {
	c := base
	c.SnapshotCount = 10000 + version
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

// pass is one hook: the charm's own, and what Juju makes of its end.
func (s *Sim) pass(u *unit, h *hook, yield func(point)) {
	m := &machine{s: s, u: u, h: h, yield: yield}
	decide := s.Decide
	if decide == nil {
		decide = operator.Decide
	}
	if err := charm.Hook(context.Background(), h.event, (*controller)(m), m, decide, s.clock); err != nil {
		if !h.decided {
			yield(point{at: "decided"})
		}
		s.tell("%s: the hook fails: %v", u.name, err)
		e := h.event
		u.retry, u.fail = &e, err
		u.fails++
		u.retryAt = s.now + int64(min(5<<min(u.fails-1, 10), 300))
		return
	}
	yield(point{at: "committed"})
	s.done(u, h.event)
}

// clock is the simulation's time.
func (s *Sim) clock() time.Time { return time.Unix(s.now, 0) }

// controller is Juju as charm.Juju sees it, for one hook.
type controller machine

var _ charm.Juju = (*controller)(nil)

// Observe reads the model, after the members were seen.
func (c *controller) Observe(_ context.Context, e operator.Event, seen []uint64) (operator.Model, error) {
	s, u, h := c.s, c.u, c.h
	c.yield(point{at: "seen"})
	m := s.model(u, e, seen)
	h.led, h.units, h.record = s.leader == u, len(s.units), m.Cluster.Value.Record
	c.yield(point{at: "read"})
	c.began = s.now
	return m, nil
}

// Flush is the commit. A plan that fails the hook sets the status first and publishes nothing.
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

// model is what Juju tells a hook at its start.
func (s *Sim) model(u *unit, e operator.Event, seen []uint64) operator.Model {
	m := operator.Model{
		UUID: "model-uuid", Unit: u.name, App: app, Seen: seen, Secrets: true,
		Leader:    operator.Know(s.leader == u),
		Config:    settings(s.options),
		Authority: operator.Know(s.authority),
		Published: maps.Clone(u.published),
	}
	ids, answers := s.consumersOf(u, e)
	m.Consumers, m.Deserted = operator.Know(ids), answers
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
	if e.Kind == hooks.Install {
		m.Cluster = operator.Unknown[operator.Cluster]("the peer relation is not visible yet")
		return m
	}
	c := operator.Cluster{RelationID: peerRelation, Record: s.record(), Words: map[string]operator.Word{}}
	if s.Stale && s.leader != u && u.heardApp > 0 {
		c.Record = s.records[u.heardApp-1]
	}
	for _, p := range s.units {
		switch {
		case p.life == dead, p == u:
		default:
			// What an agent keeps is the bag of a unit that joined; any other is read anew in each hook.
			version, joined := u.heard[p.name]
			if !s.Stale || !joined {
				version = len(p.words)
			}
			c.Words[p.name] = p.word(version)
		}
	}
	m.Cluster = operator.Know(c)
	return m
}

// flush commits what the plan publishes, all of it or nothing. Secrets go before the rest, as Juju 3.6 has it.
func (s *Sim) flush(u *unit, p operator.Plan, yield func(point)) error {
	for _, pub := range p.Consumers {
		if u.ghosts[pub.RelationID] {
			return errors.New("cannot write relation " + pub.RelationID + ": relation not found")
		}
	}
	if p.Authority {
		if s.authority != nil {
			return errors.New("secret with that label already exists")
		}
		if s.leader != u {
			return errors.New("permission denied")
		}
		s.authority = &operator.Authority{Fingerprint: fmt.Sprintf("ca%d", s.ticks), Trust: "trust0"}
		s.tell("%s: makes the authorities", u.name)
		yield(point{at: "secrets committed"})
	}
	if (p.Record != nil || p.Authority) && s.leader != u {
		return errors.New("cannot write relation settings: not the leader any more")
	}
	if p.Record != nil {
		s.checkRecord(u.hook, *p.Record)
		if s.Trace != nil {
			s.tell("%s: records %s", u.name, recordText(*p.Record))
		}
		s.records = append(s.records, *p.Record)
		u.heardApp = len(s.records)
	}
	if p.Word != nil {
		u.words = append(u.words, *p.Word)
		if s.Trace != nil {
			s.tell("%s: says %s", u.name, wordText(*p.Word))
		}
	}
	for _, pub := range p.Consumers {
		s.checkPublication(u, pub, cmp.Or(p.Record, &u.hook.record))
		u.hook.view.published = true
		if s.Trace != nil {
			s.tell("%s: tells %s of %s", u.name, pub.RelationID, pub.Cluster)
		}
		if slices.Contains(s.relations, pub.RelationID) && !u.left[pub.RelationID] {
			u.consumers[pub.RelationID] = pub
		}
	}
	for _, key := range p.Forget {
		delete(u.published, key)
	}
	maps.Copy(u.published, p.Published)
	return nil
}

// recordText is the application's bag as a trace has it.
func recordText(r operator.Record) string {
	text := fmt.Sprintf("cluster %x", r.ClusterID)
	if r.Ended != 0 {
		text += fmt.Sprintf(", ended %x", r.Ended)
	}
	for _, e := range r.Revoked {
		text += ", revoked " + e.RelationID
	}
	return text
}

// wordText is a unit's own bag as a trace has it.
func wordText(w operator.Word) string {
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
