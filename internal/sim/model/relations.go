package model

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/juju/charm/v12"
)

// end is an application's side of a relation.
type end struct {
	app *application
	charm.Relation
}

func (e end) key() string { return e.app.name + ":" + e.Name }

type relation struct {
	id    int
	peer  bool
	life  Life
	since time.Time // when that life began
	// suspended means that the units leave the relation, and may enter it again.
	suspended bool
	// deaf is the application whose units never hear that the relation is broken; "" for none.
	deaf  string
	ends  []end
	bags  map[string]*bag
	scope map[string]bool
}

// parts reports whether units leave the relation.
func (r *relation) parts() bool { return r.life != Alive || r.suspended }

// bag is one databag; version counts the commits that changed it.
type bag struct {
	values  map[string]string
	version int
}

func (m *Model) addRelation(peer bool, ends ...end) *relation {
	rel := &relation{
		id: m.nextRel, peer: peer, life: Alive, since: m.opts.Now(),
		ends: ends, bags: map[string]*bag{}, scope: map[string]bool{},
	}
	for _, e := range ends {
		rel.bags[e.app.name] = &bag{values: map[string]string{}}
	}
	m.nextRel++
	m.relations[rel.id] = rel
	for _, e := range ends {
		e.app.rels = append(e.app.rels, rel)
	}
	return rel
}

// drop removes a relation from the model.
func (m *Model) drop(rel *relation) {
	delete(m.relations, rel.id)
	for _, e := range rel.ends {
		e.app.rels = slices.DeleteFunc(slices.Clone(e.app.rels), func(r *relation) bool {
			return r == rel
		})
	}
}

func (r *relation) has(app string) bool {
	_, ok := r.side(app)
	return ok
}

// side returns the application's own end; ok is false if it has none.
func (r *relation) side(app string) (end, bool) {
	for _, e := range r.ends {
		if e.app.name == app {
			return e, true
		}
	}
	return end{}, false
}

// remote returns the end on the other side; of a peer relation, the same.
func (r *relation) remote(app string) end {
	for _, e := range r.ends {
		if e.app.name != app {
			return e
		}
	}
	return r.ends[0]
}

// key returns the relation's ID as the given application's units see it: "proxy:3".
func (r *relation) key(app string) string {
	e, _ := r.side(app)
	return e.Name + ":" + strconv.Itoa(r.id)
}

// name returns Juju's name of the relation: its requirer's end comes first (state/endpoint.go,
// roleOrder).
func (r *relation) name() string {
	keys := make([]string, 0, len(r.ends))
	for _, role := range []charm.RelationRole{charm.RoleRequirer, charm.RoleProvider, charm.RolePeer} {
		for _, e := range r.ends {
			if e.Role == role {
				keys = append(keys, e.key())
			}
		}
	}
	return strings.Join(keys, " ")
}

// enter puts a unit in the relation's scope, with the settings that Juju gives it. A unit that was
// in it before starts with new settings: Juju replaces the old ones (state/relationunit.go,
// EnterScope).
func (r *relation) enter(u *unit, address string) {
	r.scope[u.name] = true
	next := &bag{version: 1}
	if was := r.bags[u.name]; was != nil {
		next.version = was.version + 1
	}
	next.address(address)
	r.bags[u.name] = next
}

// Relate joins two endpoints, each "app" or "app:endpoint", and returns the
// relation's id as "endpoint:number" of the first.
func (m *Model) Relate(a, b string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first, second, err := m.match(a, b)
	if err != nil {
		return "", fmt.Errorf("cannot relate %s and %s: %w", a, b, err)
	}
	if m.find(first, second) != nil {
		return "", fmt.Errorf("cannot relate %s and %s: relation already exists", a, b)
	}
	return m.addRelation(false, first, second).key(first.app.name), nil
}

func (m *Model) match(a, b string) (end, end, error) {
	as, err := m.endpoints(a)
	if err != nil {
		return end{}, end{}, err
	}
	bs, err := m.endpoints(b)
	if err != nil {
		return end{}, end{}, err
	}
	type pair struct{ a, b end }
	var found []pair
	for _, x := range as {
		for _, y := range bs {
			if x.app != y.app && x.Interface == y.Interface && opposite(x.Role, y.Role) {
				found = append(found, pair{x, y})
			}
		}
	}
	switch len(found) {
	case 0:
		return end{}, end{}, errors.New("no relations found")
	case 1:
		return found[0].a, found[0].b, nil
	default:
		return end{}, end{}, errors.New("ambiguous relation: name the endpoints")
	}
}

func opposite(a, b charm.RelationRole) bool {
	return a == charm.RoleProvider && b == charm.RoleRequirer ||
		a == charm.RoleRequirer && b == charm.RoleProvider
}

// endpoints returns the non-peer endpoints that "app" or "app:endpoint" may mean.
func (m *Model) endpoints(spec string) ([]end, error) {
	name, endpoint, given := strings.Cut(spec, ":")
	a, err := m.app(name)
	if err != nil {
		return nil, err
	}
	if a.life != Alive {
		return nil, fmt.Errorf("application %q is not alive", name)
	}
	all := maps.Clone(a.charm.Meta().Provides)
	if all == nil {
		all = map[string]charm.Relation{}
	}
	maps.Copy(all, a.charm.Meta().Requires)
	var ends []end
	for _, n := range slices.Sorted(maps.Keys(all)) {
		if !given || n == endpoint {
			ends = append(ends, end{a, all[n]})
		}
	}
	if given && len(ends) == 0 {
		return nil, fmt.Errorf("application %q has no %q relation", name, endpoint)
	}
	return ends, nil
}

func (m *Model) find(a, b end) *relation {
	for _, rel := range a.app.rels {
		if rel.peer {
			continue
		}
		x, _ := rel.side(a.app.name)
		y, ok := rel.side(b.app.name)
		if ok && x.Name == a.Name && y.Name == b.Name {
			return rel
		}
	}
	return nil
}

// Unrelate removes the relation between two endpoints: the units of both sides
// run departed and broken, and then it is gone.
func (m *Model) Unrelate(a, b string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	first, second, err := m.match(a, b)
	if err != nil {
		return fmt.Errorf("cannot remove relation %s %s: %w", a, b, err)
	}
	rel := m.find(first, second)
	if rel == nil {
		return fmt.Errorf("cannot remove relation %s %s: not found", a, b)
	}
	rel.life, rel.since = Dying, m.opts.Now()
	m.dropIfDone(rel)
	return nil
}

func (m *Model) dropIfDone(rel *relation) {
	if rel.peer || rel.life != Dying || len(rel.scope) > 0 {
		return
	}
	m.drop(rel)
	for _, e := range rel.ends {
		m.dropAppIfDone(e.app)
	}
}

// Suspend makes the units of a relation leave it: they run departed and broken. Juju suspends only
// relations with applications of another model; here any relation but a peer relation can be
// suspended.
func (m *Model) Suspend(id string) error { return m.suspend(id, true) }

// Resume brings a suspended relation back under its ID: its units run created, joined and changed.
// Units that have not left it by then hear nothing.
func (m *Model) Resume(id string) error { return m.suspend(id, false) }

func (m *Model) suspend(id string, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rel, err := m.relation(id)
	switch {
	case err != nil:
		return err
	case rel.peer:
		return fmt.Errorf("relation %q is a peer relation", id)
	case rel.life != Alive:
		return fmt.Errorf("relation %q is %s", id, rel.life)
	}
	rel.suspended, rel.since = on, m.opts.Now()
	return nil
}

// Vanish removes the relation between two endpoints as a controller may do with an application of
// another model. The units of the first application run departed, but Juju deletes the relation
// before they can run broken. Their agents list the relation until they start again, although
// nothing can be read or written there.
func (m *Model) Vanish(a, b string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	first, second, err := m.match(a, b)
	if err != nil {
		return fmt.Errorf("cannot remove relation %s %s: %w", a, b, err)
	}
	rel := m.find(first, second)
	if rel == nil {
		return fmt.Errorf("cannot remove relation %s %s: not found", a, b)
	}
	rel.life, rel.since, rel.deaf = Dying, m.opts.Now(), first.app.name
	for _, u := range unitsOf(first.app) {
		m.vanish(u, rel)
	}
	m.dropIfDone(rel)
	return nil
}

// vanish removes a unit from a relation that Juju deletes, once the unit has run departed for all
// others. Its agent does not notice.
func (m *Model) vanish(u *unit, rel *relation) {
	ur := u.rels[rel.id]
	if rel.deaf != u.app.name || ur == nil || ur.broken || len(ur.members) > 0 {
		return
	}
	ur.broken = true
	u.ghosts[rel.id] = rel.key(u.app.name)
	delete(rel.scope, u.name)
	m.dropIfDone(rel)
}

// remoteMembers returns the units that a unit should see on the other side of a relation, with the
// versions of their bags.
func (m *Model) remoteMembers(u *unit, rel *relation) map[string]int {
	remote := rel.remote(u.app.name).app.name
	members := map[string]int{}
	for name := range rel.scope {
		if name != u.name && appOf(name) == remote {
			members[name] = rel.bags[name].version
		}
	}
	return members
}

// RelationInfo names a relation and its ends.
type RelationInfo struct {
	ID        int      `json:"id"`
	Endpoints []string `json:"endpoints"`
	Interface string   `json:"interface"`
	Peer      bool     `json:"peer,omitempty"`
	Life      Life     `json:"life"`
	Suspended bool     `json:"suspended,omitempty"`
}

// Relations lists all relations by id.
func (m *Model) Relations() []RelationInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.relationInfos()
}

func (m *Model) relationInfos() []RelationInfo {
	all := []RelationInfo{}
	for _, rel := range m.relations {
		info := RelationInfo{
			ID: rel.id, Interface: rel.ends[0].Interface, Peer: rel.peer,
			Life: rel.life, Suspended: rel.suspended,
		}
		for _, e := range rel.ends {
			info.Endpoints = append(info.Endpoints, e.key())
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b RelationInfo) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Bag returns a copy of the committed databag of a unit or application. The
// relation is "endpoint:id", or the id alone.
func (m *Model) Bag(relationID, owner string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rel, err := m.relation(relationID)
	if err != nil {
		return nil, err
	}
	b := rel.bags[owner]
	if b == nil {
		return nil, fmt.Errorf("relation %s has no bag of %q", relationID, owner)
	}
	return maps.Clone(b.values), nil
}

func (m *Model) relation(id string) (*relation, error) {
	n, err := relationNumber(id)
	if err != nil {
		return nil, err
	}
	rel := m.relations[n]
	if rel == nil {
		return nil, fmt.Errorf("relation %q not found", id)
	}
	return rel, nil
}
