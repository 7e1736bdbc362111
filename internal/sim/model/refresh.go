package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/juju/charm/v12"
)

// release is one upload of a charm.
type release struct {
	charm    Charm
	source   string // where its files come from
	charmSeq int    // 1 for the deployed charm; each refresh adds 1
	revision int    // number of the upload, which Juju counts from 0
}

// url returns Juju's URL of an uploaded charm.
func (r release) url() string { return fmt.Sprintf("local:%s-%d", r.charm.Meta().Name, r.revision) }

// Refresh replaces an application's charm; each unit then runs upgrade-charm and config-changed.
// Settings that the new charm does not know are dropped. The units in except stay behind: they keep
// their charm, whatever is refreshed meanwhile, until Follow. Their options are those of the
// application's charm, as in Juju 4.0. A charm that would break a relation or lose storage is
// refused.
func (m *Model) Refresh(app string, ch Charm, source string, except ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return err
	}
	if got, want := ch.Meta().Name, a.charm.Meta().Name; got != want {
		return fmt.Errorf("cannot refresh %q to charm %q: it runs charm %q", app, got, want)
	}
	next := release{ch, source, a.charmSeq + 1, len(a.uploads)}
	if err := m.refresh(a, next, except); err != nil {
		return err
	}
	a.uploads = append(a.uploads, next)
	return nil
}

// RefreshTo gives an application the charm of an earlier upload again, as Juju does with revisions
// from a charm store.
func (m *Model) RefreshTo(app string, revision int, except ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	switch {
	case err != nil:
		return err
	case revision < 0 || revision >= len(a.uploads):
		return fmt.Errorf("charm %q has no revision %d: it has 0 to %d",
			a.charm.Meta().Name, revision, len(a.uploads)-1)
	case revision == a.revision:
		return fmt.Errorf("already running specified charm %q, revision %d",
			a.charm.Meta().Name, revision)
	}
	next := a.uploads[revision]
	next.charmSeq = a.charmSeq + 1
	return m.refresh(a, next, except)
}

// Revision returns the name and the revision of an application's charm.
func (m *Model) Revision(app string) (string, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return "", 0, err
	}
	return a.charm.Meta().Name, a.revision, nil
}

func (m *Model) refresh(a *application, next release, except []string) error {
	if err := m.refuses(a, next); err != nil {
		return err
	}
	var behind []*unit
	for _, name := range except {
		u, err := m.unit(name)
		if err == nil && u.app != a {
			err = fmt.Errorf("unit %q is not of application %q", name, a.name)
		}
		if err != nil {
			return err
		}
		behind = append(behind, u)
	}
	for _, u := range behind {
		u.behind = true
	}
	a.release = next
	a.settings = next.charm.Config().FilterSettings(a.settings)
	peers := next.charm.Meta().Peers
	for _, endpoint := range slices.Sorted(maps.Keys(peers)) {
		if !slices.ContainsFunc(a.rels, func(r *relation) bool {
			return r.peer && r.ends[0].Name == endpoint
		}) {
			m.addRelation(true, end{a, peers[endpoint]})
		}
	}
	return nil
}

// Follow makes a unit that a refresh left behind take its application's charm.
func (m *Model) Follow(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(name)
	if err != nil {
		return err
	}
	if !u.behind {
		return fmt.Errorf("unit %q is not left behind", name)
	}
	u.behind = false
	return nil
}

// refuses returns, in Juju's words, why an application may not have a charm; nil if it may. Up to
// 3.6 that is state/application.go (SetCharm), in 4.0 domain/application (SetApplicationCharm).
func (m *Model) refuses(a *application, next release) error {
	since40 := strings.HasPrefix(m.Rules.Version, "4.")
	wrapped := func(err error) error {
		if since40 {
			return fmt.Errorf("setting application %q charm: %w", a.name, err)
		}
		return fmt.Errorf("cannot upgrade application %q to charm %q: %w", a.name, next.url(), err)
	}
	for _, rel := range a.rels {
		e, _ := rel.side(a.name)
		switch {
		case rel.peer || e.ImplementedBy(ch2{next.charm}): // a peer relation may go with its charm
		case since40:
			return wrapped(fmt.Errorf("would break relation %s", e.key()))
		default:
			return wrapped(fmt.Errorf("would break relation %q", rel.name()))
		}
	}
	if err := losesStorage(a.charm.Meta().Storage, next.charm.Meta().Storage); err != nil {
		return wrapped(err)
	}
	return nil
}

// losesStorage returns why units that have storage by one charm cannot go on with another
// (state/application.go, checkStorageUpgrade). The model itself has no storage, so no storage that
// a charm drops is ever in use.
func losesStorage(before, after map[string]charm.Storage) error {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		was := before[name]
		is, stays := after[name]
		changed := func(what, verb string, from, to any) error {
			return fmt.Errorf("existing storage %q "+what+" changed from "+verb+" to "+verb, name, from, to)
		}
		switch {
		case !stays && was.CountMin > 0:
			return fmt.Errorf("required storage %q removed", name)
		case !stays:
		case is.Type != was.Type:
			return changed("type", "%q", was.Type, is.Type)
		case is.Shared != was.Shared:
			return changed("shared", "%v", was.Shared, is.Shared)
		case is.ReadOnly != was.ReadOnly:
			return changed("read-only", "%v", was.ReadOnly, is.ReadOnly)
		case is.Location != was.Location:
			return changed("location", "%q", was.Location, is.Location)
		case is.CountMax != unbounded && was.CountMax == unbounded:
			return fmt.Errorf("existing storage %q range contracted: max decreased from <unbounded> to %d",
				name, is.CountMax)
		case is.CountMax != unbounded && is.CountMax < was.CountMax:
			return fmt.Errorf("existing storage %q range contracted: max decreased from %d to %d",
				name, was.CountMax, is.CountMax)
		}
	}
	return nil
}

// unbounded is the CountMax of a storage without an upper limit.
const unbounded = -1

// ch2 adapts a Charm for charm.Relation.ImplementedBy, which reads only Meta.
type ch2 struct{ Charm }

func (ch2) Manifest() *charm.Manifest { return nil }
func (ch2) Metrics() *charm.Metrics   { return nil }
func (ch2) Revision() int             { return 0 }
