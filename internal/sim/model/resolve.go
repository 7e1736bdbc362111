package model

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/juju/charm/v12/hooks"
)

// Hook is one hook of one unit: what happened, and which unit it is about.
type Hook struct {
	Kind hooks.Kind
	// Endpoint and Relation name the relation of a relation hook; Endpoint is ""
	// in any other.
	Endpoint string
	Relation int
	// RemoteUnit is "" on created, broken, and changes of the application's bag.
	RemoteApp, RemoteUnit string
	Departing             string
	Secret                string
	SecretLabel           string
	SecretRevision        int
	// Action is the name of an action; Kind is then hooks.Action.
	Action string

	version int
}

// Name returns the name of the hook as Juju has it: "install",
// "cluster-relation-joined"; of an action the action's name.
func (h Hook) Name() string {
	switch {
	case h.Kind == hooks.Action:
		return h.Action
	case h.Endpoint != "":
		return h.Endpoint + "-" + string(h.Kind)
	}
	return string(h.Kind)
}

// RelationKey returns "endpoint:id" in a relation hook, else "".
func (h Hook) RelationKey() string {
	if h.Endpoint == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", h.Endpoint, h.Relation)
}

func relationNumber(id string) (int, error) {
	n, err := strconv.Atoi(id[strings.LastIndex(id, ":")+1:])
	if err != nil {
		return 0, fmt.Errorf("invalid relation id %q", id)
	}
	return n, nil
}

// next returns the hook the unit would run now, in the order of Juju's
// worker/uniter/resolver.go. A failed hook is not offered again until its retry
// is due.
func (m *Model) next(u *unit) (Hook, bool) {
	switch {
	case u.life == Dead || u.running || !u.machine.on:
		return Hook{}, false
	case u.current != nil:
		return *u.current, !u.failed
	case !u.installed:
		return Hook{Kind: hooks.Install}, true
	case u.life == Dying:
		return m.nextDying(u)
	}
	rels := u.app.rels
	for _, rel := range rels {
		if ur := u.rels[rel.id]; !rel.parts() && (ur == nil || !ur.created || ur.broken) {
			return m.relationHook(u, rel, hooks.RelationCreated), true
		}
	}
	switch {
	case u.app.leader == u.name && !u.leaderRun:
		return Hook{Kind: hooks.LeaderElected}, true
	case u.charmSeq != u.app.charmSeq && !u.behind:
		return Hook{Kind: hooks.UpgradeCharm}, true
	case u.configPending > 0:
		return Hook{Kind: hooks.ConfigChanged}, true
	case !u.started || u.rebooted:
		return Hook{Kind: hooks.Start}, true
	}
	// Peer relations come last, so that hooks of the others can rely on them.
	for _, peers := range []bool{false, true} {
		for _, rel := range rels {
			if rel.peer == peers {
				if h, ok := m.nextRelation(u, rel); ok {
					return h, true
				}
			}
		}
	}
	if h, ok := m.nextSecretChange(u); ok {
		return h, true
	}
	if u.updatePending {
		return Hook{Kind: hooks.UpdateStatus}, true
	}
	return Hook{}, false
}

func (m *Model) relationHook(u *unit, rel *relation, kind hooks.Kind) Hook {
	e, _ := rel.side(u.app.name)
	return Hook{
		Kind: kind, Endpoint: e.Name, Relation: rel.id, RemoteApp: rel.remote(u.app.name).app.name,
	}
}

// unitHook returns a hook about another unit, with the current version of that unit's bag.
func (m *Model) unitHook(u *unit, rel *relation, kind hooks.Kind, name string) Hook {
	h := m.relationHook(u, rel, kind)
	h.RemoteUnit = name
	if b := rel.bags[name]; b != nil {
		h.version = b.version
	}
	return h
}

// nextDying gives the last hooks of a unit. A peer relation is never broken.
func (m *Model) nextDying(u *unit) (Hook, bool) {
	rels := u.app.rels
	for _, peers := range []bool{false, true} {
		for _, rel := range rels {
			ur := u.rels[rel.id]
			if rel.peer != peers || ur == nil || ur.broken {
				continue
			}
			if h, ok := m.nextGone(u, rel, ur); ok {
				return h, true
			}
		}
	}
	if u.started && !u.stopped { // Juju's worker/uniter/resolver.go
		return Hook{Kind: hooks.Stop}, true
	}
	return Hook{Kind: hooks.Remove}, true
}

// nextGone returns the hooks that end a relation for a unit: a changed that follows a joined,
// departed for each member, then broken.
func (m *Model) nextGone(u *unit, rel *relation, ur *unitRelation) (Hook, bool) {
	if ur.changedPending != "" {
		return m.unitHook(u, rel, hooks.RelationChanged, ur.changedPending), true
	}
	if names := slices.SortedFunc(maps.Keys(ur.members), compareUnitNames); len(names) > 0 {
		h := m.relationHook(u, rel, hooks.RelationDeparted)
		h.RemoteUnit, h.Departing = names[0], names[0]
		if u.life != Alive || u.app.life != Alive {
			h.Departing = u.name
		}
		return h, true
	}
	if rel.peer {
		return Hook{}, false
	}
	return m.relationHook(u, rel, hooks.RelationBroken), true
}

// nextRelation resolves one relation in the order of Juju's own resolver:
// pending changed, departed, broken, application changed, joined, changed.
func (m *Model) nextRelation(u *unit, rel *relation) (Hook, bool) {
	ur := u.rels[rel.id]
	if ur == nil || ur.broken {
		return Hook{}, false
	}
	if rel.parts() || ur.changedPending != "" {
		return m.nextGone(u, rel, ur)
	}
	remote := m.remoteMembers(u, rel)
	known := slices.SortedFunc(maps.Keys(ur.members), compareUnitNames)
	for _, name := range known {
		if _, ok := remote[name]; !ok && m.tellsDeparted(name) {
			h := m.unitHook(u, rel, hooks.RelationDeparted, name)
			h.Departing = name
			return h, true
		}
	}
	app := rel.remote(u.app.name).app
	// The leader itself writes the application's bag of a peer relation, so Juju runs no hook for
	// it there.
	if v := rel.bags[app.name].version; v != ur.appVersion && (!rel.peer || app.leader != u.name) {
		h := m.relationHook(u, rel, hooks.RelationChanged)
		h.version = v
		return h, true
	}
	for _, name := range slices.SortedFunc(maps.Keys(remote), compareUnitNames) {
		if _, ok := ur.members[name]; !ok {
			return m.unitHook(u, rel, hooks.RelationJoined, name), true
		}
	}
	for _, name := range known {
		if b := rel.bags[name]; b != nil && b.version != ur.members[name] {
			return m.unitHook(u, rel, hooks.RelationChanged, name), true
		}
	}
	return Hook{}, false
}

// tellsDeparted reports whether units hear that this member has gone: always for a living one that
// left the relation, for a removed one as the version's rule says.
func (m *Model) tellsDeparted(name string) bool {
	v := m.units[name]
	return m.Rules.Departed || v != nil && v.life == Alive
}

// begun does what Juju's agent does right before a hook runs.
func (m *Model) begun(u *unit, h Hook) {
	switch h.Kind {
	case hooks.ConfigChanged:
		u.configPending-- // a change while the hook runs needs another one
	case hooks.LeaderElected:
		u.leaderRun = true // a unit that loses the leadership meanwhile hears of the next election
	case hooks.UpgradeCharm:
		u.release = u.app.release
	case hooks.UpdateStatus:
		u.updatePending = false // a request from juju-exec while the hook runs gets another one
	case hooks.RelationCreated:
		// All new relations are entered together, before the first hook.
		for _, rel := range u.app.rels {
			if ur := u.rels[rel.id]; !rel.parts() && (ur == nil || ur.broken) {
				u.rels[rel.id] = &unitRelation{members: map[string]int{}, cache: map[string]map[string]string{}}
				rel.enter(u, m.ingress(u, rel))
			}
		}
	case hooks.RelationJoined:
		u.rels[h.Relation].members[h.RemoteUnit] = h.version
	case hooks.RelationDeparted:
		delete(u.rels[h.Relation].members, h.RemoteUnit)
	}
}

// forget drops what the agent had cached of the remote side that the hook is about. It does so each
// time the hook is run (Juju's worker/uniter/runner/context/contextfactory.go, HookContext).
func (u *unit) forget(h Hook) {
	switch h.Kind {
	case hooks.RelationJoined, hooks.RelationChanged, hooks.RelationDeparted:
		delete(u.rels[h.Relation].cache, h.RemoteUnit)
		if h.Kind == hooks.RelationChanged && h.RemoteUnit == "" {
			delete(u.rels[h.Relation].cache, h.RemoteApp)
		}
	}
}

// finished records that a hook is done: it ran and was committed, or the charm
// has no such hook.
func (m *Model) finished(u *unit, h Hook) {
	ur := u.rels[h.Relation]
	if h.Endpoint == "" {
		ur = nil
	}
	switch h.Kind {
	case hooks.Install:
		u.installed = true
	case hooks.Start:
		u.started, u.rebooted = true, false
	case hooks.UpgradeCharm:
		u.configPending = max(u.configPending, 1)
	case hooks.SecretChanged:
		m.secretTold(u, h)
	case hooks.RelationCreated:
		ur.created = true
	case hooks.RelationJoined:
		ur.changedPending = h.RemoteUnit
	case hooks.RelationChanged:
		if h.RemoteUnit == "" {
			ur.appVersion = h.version
			break
		}
		ur.changedPending = ""
		if _, ok := ur.members[h.RemoteUnit]; ok {
			ur.members[h.RemoteUnit] = h.version
		}
	case hooks.RelationDeparted:
		if rel := m.relations[h.Relation]; rel != nil {
			m.vanish(u, rel)
		}
	case hooks.RelationBroken:
		ur.broken = true
		if rel := m.relations[h.Relation]; rel != nil {
			delete(rel.scope, u.name)
			m.dropIfDone(rel)
		}
	case hooks.Stop:
		u.stopped = true
	case hooks.Remove:
		m.bury(u)
	}
}
