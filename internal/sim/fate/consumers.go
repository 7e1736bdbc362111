package fate

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// consumerUnit is the one unit that a consumer has, if any. It exists before the units hear of it,
// and never writes.
const consumerUnit = "consumer/0"

// relation is a consumer's relation, as Juju has it.
type relation struct {
	id               string
	empty            bool // the consumer has no unit
	suspended, dying bool
}

// parts reports whether the relation is suspended or ends, so that units leave it.
func (r relation) parts() bool { return r.suspended || r.dying }

// scope is a unit's part in a consumer's relation, as its agent knows it.
type scope struct {
	in      bool // the unit has entered the relation and not left it
	left    bool // the unit left it before
	created bool // relation-created has run since the unit entered
	joined  bool // relation-joined for the consumer's unit has begun
	changed bool // relation-changed is due, because joined has run
	deaf    bool // the unit will never hear relation-broken
	ghost   bool // Juju has deleted the relation; the agent lists it until it starts again
	silent  bool // a ghost for which no departed hook ran
}

// endpointOf returns the endpoint of a relation.
func endpointOf(id string) string {
	endpoint, _, _ := strings.Cut(id, ":")
	return endpoint
}

// Relate adds a consumer, with its unit or without; every third one is related at db.
func (s *Sim) Relate(empty bool) {
	s.lastRel++
	at := "proxy"
	if s.lastRel%3 == 0 {
		at = "db"
	}
	id := at + ":" + strconv.Itoa(s.lastRel)
	s.relations = append(s.relations, relation{id: id, empty: empty})
	s.tell("relate %s", id)
}

// oldest returns the oldest relation for which is returns true; nil if there is none.
func (s *Sim) oldest(is func(relation) bool) *relation {
	if at := slices.IndexFunc(s.relations, is); at >= 0 {
		return &s.relations[at]
	}
	return nil
}

// Unrelate removes the oldest consumer.
func (s *Sim) Unrelate() {
	if r := s.oldest(func(r relation) bool { return !r.dying }); r != nil {
		s.tell("unrelate %s", r.id)
		r.dying = true
		s.drop()
	}
}

// drop deletes the relations that end and that no unit is in any more.
func (s *Sim) drop() {
	s.relations = slices.DeleteFunc(s.relations, func(r relation) bool {
		return r.dying && !slices.ContainsFunc(s.units, func(u *unit) bool { return u.scopes[r.id].in })
	})
}

// Suspend suspends the oldest relation that is not suspended and does not end.
func (s *Sim) Suspend() {
	if r := s.oldest(func(r relation) bool { return !r.parts() }); r != nil {
		s.tell("suspend %s", r.id)
		r.suspended = true
	}
}

// Resume brings the oldest suspended consumer back under the same relation ID. A unit that has not
// heard of the suspension does not hear of this either.
func (s *Sim) Resume() {
	if r := s.oldest(func(r relation) bool { return r.suspended && !r.dying }); r != nil {
		s.tell("resume %s", r.id)
		r.suspended = false
	}
}

// Vanish removes the newest consumer, as Juju may do between two models. A deaf unit hears
// departed, but not broken. It then lists the relation until its agent starts again, although the
// relation is gone. The others hear broken.
func (s *Sim) Vanish(deaf func(*unit) bool) {
	if len(s.relations) == 0 || s.relations[len(s.relations)-1].parts() {
		return
	}
	r := &s.relations[len(s.relations)-1]
	s.tell("%s vanishes", r.id)
	r.dying = true
	id := r.id
	for _, u := range s.units {
		if sc := u.scopes[id]; sc.in && deaf(u) {
			sc.deaf = true
			u.scopes[id] = sc
			u.vanish(id, false)
		}
	}
	s.drop()
}

// vanish deletes a relation, in Juju, under a deaf unit that knows of no unit in it.
func (u *unit) vanish(id string, departed bool) {
	if sc := u.scopes[id]; sc.in && sc.deaf && !sc.joined {
		u.scopes[id] = scope{left: true, ghost: true, silent: !departed}
		delete(u.consumers, id)
	}
}

// enter makes a unit enter all relations that it is not in, at once.
func (s *Sim) enter(u *unit) {
	if len(u.words) == 0 {
		u.words = []operator.UnitBag{{}} // Juju writes the unit's addresses into the new bag
	}
	for _, r := range s.relations {
		if sc := u.scopes[r.id]; !sc.in && !r.parts() {
			u.scopes[r.id] = scope{in: true, left: sc.left}
		}
	}
}

// nextCreated returns the unit's next relation-created hook; that of the peer relation comes first.
func (s *Sim) nextCreated(u *unit) (operator.Event, bool) {
	if len(u.words) == 0 {
		return operator.Event{
			Kind: hooks.RelationCreated, Endpoint: "cluster", RelationID: peerRelation, RemoteApp: app,
		}, true
	}
	for _, r := range s.relations {
		if !r.parts() && !u.scopes[r.id].created {
			return operator.Event{
				Kind: hooks.RelationCreated, Endpoint: endpointOf(r.id),
				RelationID: r.id, RemoteApp: "consumer",
			}, true
		}
	}
	return operator.Event{}, false
}

// nextOfConsumers returns the next hook of the consumers' relations, except relation-created. The
// order is that of Juju's worker/uniter/relation/resolver.go. A unit that leaves departs from all
// of them.
func (s *Sim) nextOfConsumers(u *unit) (operator.Event, bool) {
	for _, r := range s.relations {
		sc := u.scopes[r.id]
		e := operator.Event{
			Endpoint: endpointOf(r.id), RelationID: r.id,
			RemoteApp: "consumer", RemoteUnit: consumerUnit,
		}
		switch parts := r.parts() || u.life == dying; {
		case !sc.in:
			continue
		case sc.changed:
			e.Kind = hooks.RelationChanged
		case parts && sc.joined:
			e.Kind, e.Departing = hooks.RelationDeparted, consumerUnit
			if u.life == dying {
				e.Departing = u.name
			}
		case parts:
			e.Kind, e.RemoteUnit = hooks.RelationBroken, ""
		case !sc.joined && !r.empty:
			e.Kind = hooks.RelationJoined
		default:
			continue
		}
		return e, true
	}
	return operator.Event{}, false
}

// begunOf records what the beginning of a hook changes in the unit's part in a consumer's relation;
// doneOf records what its end changes.
func (s *Sim) begunOf(u *unit, e operator.Event) {
	if sc := u.scopes[e.RelationID]; sc.in && e.RemoteUnit != "" {
		sc.joined = e.Kind != hooks.RelationDeparted
		u.scopes[e.RelationID] = sc
	}
}

func (s *Sim) doneOf(u *unit, e operator.Event) {
	id := e.RelationID
	sc := u.scopes[id]
	if !sc.in {
		return
	}
	switch e.Kind {
	case hooks.RelationCreated:
		sc.created = true
	case hooks.RelationJoined:
		sc.changed = true
	case hooks.RelationChanged:
		sc.changed = false
	case hooks.RelationBroken:
		sc = scope{left: true}
		delete(u.consumers, id)
	}
	u.scopes[id] = sc
	u.vanish(id, e.Kind == hooks.RelationDeparted)
	s.drop()
}

// losable reports whether the charm can do without the next hook of a consumer's relation. It needs
// the departed hook of a deaf unit, because no other follows. It needs relation-created for a
// relation that the unit was in before, because it may have missed that relation's end.
func (u *unit) losable(e operator.Event) bool {
	sc := u.scopes[e.RelationID]
	return !sc.deaf && (e.Kind != hooks.RelationCreated || !sc.left)
}

// restarted models the restart of a unit's agent: the agent then lists only what exists.
func (s *Sim) restarted(u *unit) {
	for name, k := range u.heard {
		if u.heard[name] = (heardOfPeer{told: k.told}); !s.Departed && s.unit(name).life == dead {
			delete(u.heard, name)
		}
	}
	for id := range u.scopes {
		u.vanish(id, true)
	}
	maps.DeleteFunc(u.scopes, func(_ string, sc scope) bool { return sc.ghost })
	s.drop()
}

// consumersOf returns the consumers that a unit's agent lists, and what it answers about those
// without units. Juju no longer lists a relation that ends once its last unit has departed.
func (s *Sim) consumersOf(
	u *unit, e operator.Event,
) (ids []string, answers map[string]operator.OwnBag) {
	for _, r := range s.relations {
		departs := e.Kind == hooks.RelationDeparted && e.RelationID == r.id
		if sc := u.scopes[r.id]; sc.in && (!r.parts() || sc.joined || departs) {
			ids = append(ids, r.id)
		}
	}
	for id, sc := range u.scopes {
		if sc.ghost {
			ids = append(ids, id)
		}
	}
	ids = slices.DeleteFunc(ids, func(id string) bool {
		return e.Kind == hooks.RelationBroken && e.RelationID == id
	})
	slices.Sort(ids)
	for _, id := range ids {
		if e.RelationID == id && e.RemoteUnit != "" {
			if e.Kind != hooks.RelationDeparted {
				continue // the consumer has a unit
			}
		} else if u.memory.Deserted[id] == "" {
			continue
		}
		if answers == nil {
			answers = map[string]operator.OwnBag{}
		}
		answers[id] = operator.BagThere
		if u.scopes[id].ghost {
			answers[id] = operator.BagNotFound
		}
	}
	return ids, answers
}

// ended returns the last generation of a consumer's credentials that the record lists as revoked.
func ended(r operator.AppBag, id string) int {
	last := 0
	for _, e := range r.Revoked {
		if e.RelationID == id {
			last = max(last, e.Generation)
		}
	}
	return last
}

// told is what a unit's bag says to a consumer. At endpoint db, cluster is "".
type told struct{ cluster, clientURLs, version, cert string }

// toldBy decodes a consumer's bag.
func toldBy(bag databag.Bag) told {
	if urls := bag[etcd.KeyConnectionString]; urls != "" {
		return told{"", urls, bag[etcd.KeyVersion], bag[etcd.KeyClientCert]}
	}
	return told{
		bag[etcdproxy.KeyCluster], bag[etcdproxy.KeyClientURLs],
		bag[etcdproxy.KeyVersion], bag[etcdproxy.KeyClientCert],
	}
}

// toldAlike returns how a unit's bags for consumers differ from what they should say. all is what
// another bag says: all must say the same.
func (s *Sim) toldAlike(u *unit, all *told) (*told, string) {
	record, live := s.record(), 0
	for _, r := range s.relations {
		if r.parts() {
			continue
		}
		live++
		id := r.id
		is, ok := u.consumers[id]
		switch {
		case !ok:
			return all, "publishes nothing to " + id
		case is.cert != s.certOf(id, ended(record, id)+1):
			return all, "publishes a certificate of another period, generation or relation to " + id
		}
		is.cert = ""
		if all == nil {
			all = &is
		}
		if all.cluster == "" {
			all.cluster = is.cluster
		}
		if endpointOf(id) == "db" {
			is.cluster = all.cluster
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

// certOf returns a consumer's certificate of a generation.
func (s *Sim) certOf(id string, generation int) string {
	c, err := s.authority.Credentials(modelUUID, id, generation, s.period)
	if err != nil {
		panic(err)
	}
	return c.Cert
}

// forgotten returns which consumer relation that is gone a unit has not dealt with.
func (s *Sim) forgotten(u *unit) string {
	gone := 0
	for id, sum := range u.memory.Bags {
		switch {
		case id == peerRelation || u.scopes[id].in:
		case u.scopes[id].silent: // the unit may or may not have noticed
			gone++
		case u == s.leader, u.scopes[id].ghost && !strings.HasPrefix(sum, "gone"):
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
