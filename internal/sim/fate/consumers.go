package fate

import (
	"maps"
	"slices"
	"strconv"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// consumerUnit is the one unit of each consumer.
const consumerUnit = "consumer/0"

func ofConsumer(kind hooks.Kind, id string) operator.Event {
	e := operator.Event{Kind: kind, Endpoint: "proxy", RelationID: id, RemoteApp: "consumer"}
	if kind == hooks.RelationDeparted {
		e.RemoteUnit, e.Departing = consumerUnit, consumerUnit
	}
	return e
}

// Relate adds a consumer.
func (s *Sim) Relate() {
	s.lastRel++
	id := "proxy:" + strconv.Itoa(s.lastRel)
	s.relations = append(s.relations, id)
	s.tell("relate %s", id)
	for _, u := range s.units {
		u.hear(ofConsumer(hooks.RelationCreated, id))
	}
}

// Unrelate takes the oldest consumer away.
func (s *Sim) Unrelate() {
	if len(s.relations) == 0 {
		return
	}
	id := s.relations[0]
	s.tell("unrelate %s", id)
	s.forget(id)
	for _, u := range s.units {
		entered := u.entered(id)
		u.unhear(id)
		delete(u.consumers, id)
		delete(u.left, id)
		if entered {
			u.hear(ofConsumer(hooks.RelationBroken, id))
		}
	}
}

func (s *Sim) forget(id string) {
	s.relations = slices.DeleteFunc(slices.Clone(s.relations), func(r string) bool { return r == id })
	delete(s.suspended, id)
}

// Suspend has the units leave the oldest consumer that they have not left.
func (s *Sim) Suspend() {
	at := slices.IndexFunc(s.relations, func(id string) bool { return !s.suspended[id] })
	if at < 0 {
		return
	}
	id := s.relations[at]
	s.tell("suspend %s", id)
	s.suspended[id] = true
	for _, u := range s.units {
		entered := u.entered(id)
		u.unhear(id)
		if entered {
			u.hear(ofConsumer(hooks.RelationDeparted, id))
			u.hear(ofConsumer(hooks.RelationBroken, id))
		} else {
			u.left[id] = true
			delete(u.consumers, id)
		}
	}
}

// Resume brings the oldest suspended consumer back under its id. Who has not left it yet hears nothing.
func (s *Sim) Resume() {
	at := slices.IndexFunc(s.relations, func(id string) bool { return s.suspended[id] })
	if at < 0 {
		return
	}
	id := s.relations[at]
	s.tell("resume %s", id)
	delete(s.suspended, id)
	for _, u := range s.units {
		u.unhear(id)
		if u.left[id] {
			u.hear(ofConsumer(hooks.RelationCreated, id))
		}
	}
}

// Vanish takes the newest consumer away, as Juju may do between two models: who is deaf hears departed, and then lists the
// relation until its agent starts again, though it is gone; the others hear broken.
func (s *Sim) Vanish(deaf func(*unit) bool) {
	if len(s.relations) == 0 || s.suspended[s.relations[len(s.relations)-1]] {
		return
	}
	id := s.relations[len(s.relations)-1]
	s.tell("%s vanishes", id)
	s.forget(id)
	for _, u := range s.units {
		entered := u.entered(id)
		u.unhear(id)
		delete(u.left, id)
		switch {
		case !entered:
			delete(u.consumers, id)
		case deaf(u):
			u.ghosts[id] = false
			u.hear(ofConsumer(hooks.RelationDeparted, id))
		default:
			delete(u.consumers, id)
			u.hear(ofConsumer(hooks.RelationDeparted, id))
			u.hear(ofConsumer(hooks.RelationBroken, id))
		}
	}
}

// entered reports whether a unit's agent lists a consumer.
func (u *unit) entered(id string) bool {
	waits := func(e operator.Event) bool { return e.Kind == hooks.RelationCreated && e.RelationID == id }
	return !u.left[id] && !slices.ContainsFunc(u.queue, waits)
}

// hear has a unit that lives hear of something, after all that waits and is of its rank.
func (u *unit) hear(e operator.Event) {
	if u.life != alive {
		return
	}
	at := len(u.queue)
	for at > 0 && rank(u.queue[at-1]) > rank(e) {
		at--
	}
	u.queue = slices.Insert(slices.Clone(u.queue), at, e)
}

// unhear takes from a unit what it has not heard yet of a relation.
func (u *unit) unhear(id string) {
	u.queue = slices.DeleteFunc(slices.Clone(u.queue), func(e operator.Event) bool { return e.RelationID == id })
}

// heardOf notes what a hook that begins means for the unit's bag in a consumer relation.
func (s *Sim) heardOf(u *unit, e operator.Event) {
	id := e.RelationID
	switch _, ghost := u.ghosts[id]; {
	case e.Endpoint != "proxy":
	case e.Kind == hooks.RelationCreated && !s.suspended[id]:
		delete(u.left, id)
	case e.Kind == hooks.RelationBroken && s.suspended[id]:
		u.left[id] = true
		delete(u.consumers, id)
	case e.Kind == hooks.RelationDeparted && ghost:
		u.ghosts[id] = true
		delete(u.consumers, id)
	}
}

// losable reports whether the charm can do without what it would hear next of a consumer: not without the return to a
// relation whose end it may have missed too, nor without the departure after which there is nothing any more.
func (s *Sim) losable(u *unit, e operator.Event) bool {
	_, ghost := u.ghosts[e.RelationID]
	return !ghost && (e.Kind != hooks.RelationCreated || !u.left[e.RelationID])
}

// restarted notes that a unit's agent has started again: it lists only what is there.
func (s *Sim) restarted(u *unit) {
	for name, k := range u.heard {
		if u.heard[name] = (heardOfPeer{told: k.told}); !s.Departed && s.unit(name).life == dead {
			delete(u.heard, name)
		}
	}
	maps.DeleteFunc(u.ghosts, func(_ string, gone bool) bool { return gone })
}

// consumersOf are the consumers that a unit's agent lists, and what it answers of those without units.
func (s *Sim) consumersOf(u *unit, e operator.Event) (ids []string, answers map[string]operator.OwnBag) {
	for _, id := range s.relations {
		if !u.left[id] {
			ids = append(ids, id)
		}
	}
	ids = slices.AppendSeq(ids, maps.Keys(u.ghosts))
	slices.Sort(ids)
	for _, id := range ids {
		if u.memory.Deserted[id] == "" && (e.Kind != hooks.RelationDeparted || e.RelationID != id) {
			continue
		}
		if answers == nil {
			answers = map[string]operator.OwnBag{}
		}
		answers[id] = operator.BagThere
		if u.ghosts[id] {
			answers[id] = operator.BagNotFound
		}
	}
	return ids, answers
}

// revoked reports whether a consumer's certificate is on a record's list.
func revoked(r operator.Record, id string) bool {
	return slices.ContainsFunc(r.Revoked, func(e operator.Ended) bool { return e.RelationID == id })
}

// told is what a unit's bag tells a consumer; the certificate is "" where it is withheld.
type told struct{ cluster, clientURLs, version, cert string }

// toldBy reads a consumer's bag.
func toldBy(bag databag.Bag) told {
	return told{bag[etcdproxy.KeyCluster], bag[etcdproxy.KeyClientURLs], bag[etcdproxy.KeyVersion], bag[etcdproxy.KeyClientCert]}
}

// toldAlike says how what a unit tells the consumers differs from what it should tell; all is what another tells each.
func (s *Sim) toldAlike(u *unit, all *told) (*told, string) {
	record, live := s.record(), 0
	for _, id := range s.relations {
		if s.suspended[id] {
			continue
		}
		live++
		is, ok := u.consumers[id]
		withheld := is.cert == ""
		switch {
		case !ok:
			return all, "publishes nothing to " + id
		case withheld != revoked(record, id):
			return all, "publishes what is revoked, or withholds what is not: " + id
		case !withheld && is.cert != s.certOf(id):
			return all, "publishes a certificate of another period, or of another relation, to " + id
		}
		is.cert = ""
		if all == nil {
			all = &is
		}
		if is != *all {
			return all, "publishes something else than another"
		}
	}
	if len(u.consumers) != live {
		return all, "publishes to consumers that are gone"
	}
	return all, ""
}

// certOf is the certificate that a consumer should have.
func (s *Sim) certOf(id string) string {
	c, err := s.authority.Credentials(modelUUID, id, 1, s.period)
	if err != nil {
		panic(err)
	}
	return c.Cert
}

// forgotten says which consumer relation that is gone a unit has not dealt with.
func (s *Sim) forgotten(u *unit) string {
	gone := 0
	for id, sum := range u.memory.Bags {
		switch {
		case id == peerRelation || slices.Contains(s.relations, id) && !u.left[id]:
		case u == s.leader, u.ghosts[id] && sum != "gone":
			return "holds the end of " + id + " back"
		default:
			gone++
		}
	}
	if want := operator.RevokedDigest(s.record().Revoked); gone == 0 && u.disk.tls.Revoked != want {
		return "refuses other certificates than the record says"
	}
	return ""
}
