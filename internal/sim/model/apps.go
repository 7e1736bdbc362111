package model

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/juju/charm/v12"
)

// NewMachine asks AddUnit for a new machine for the unit.
const NewMachine = -1

var appName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*$`)

// Deploy adds an application without units. source is passed to the Runner: the place from which
// the charm's files come. Config values are parsed by the charm's declared types. Peer relations
// are made at once, as in Juju.
func (m *Model) Deploy(name string, ch Charm, source string, config map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !appName.MatchString(name) {
		return fmt.Errorf("invalid application name %q", name)
	}
	if _, ok := m.apps[name]; ok {
		return fmt.Errorf("application %q already exists", name)
	}
	settings, err := parseConfig(ch, config)
	if err != nil {
		return fmt.Errorf("cannot deploy %q: %w", name, err)
	}
	a := &application{
		name: name, release: release{ch, source, 1, 0}, uploads: []release{{ch, source, 1, 0}},
		life: Alive, settings: settings, leaderSettings: map[string]string{},
	}
	m.apps[name] = a
	for _, endpoint := range slices.Sorted(maps.Keys(ch.Meta().Peers)) {
		m.addRelation(true, end{a, ch.Meta().Peers[endpoint]})
	}
	return nil
}

func parseConfig(ch Charm, values map[string]string) (charm.Settings, error) {
	for name, value := range values {
		// Juju keeps an empty string option as an empty string.
		if value == "" && ch.Config().Options[name].Type != "string" {
			return nil, fmt.Errorf("option %q needs a value", name)
		}
	}
	return ch.Config().ParseSettingsStrings(values)
}

// AddUnit adds a unit on machine to, or on a new one if to is NewMachine, and
// returns the unit's name. Numbers are never used twice.
func (m *Model) AddUnit(app string, to int) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return "", err
	}
	if a.life != Alive {
		return "", fmt.Errorf("cannot add unit: application %q is not alive", app)
	}
	var mc *machine
	switch {
	case to == NewMachine:
		mc = &machine{id: len(m.machines), address: m.opts.Address(len(m.machines)), on: true}
		m.machines = append(m.machines, mc)
	case to < 0 || to >= len(m.machines):
		return "", fmt.Errorf("cannot add unit: machine %d not found", to)
	default:
		mc = m.machines[to]
	}
	u := &unit{
		name: fmt.Sprintf("%s/%d", app, a.nextUnit), app: a, number: a.nextUnit, machine: mc, life: Alive,
		release: a.release, configPending: 1,
		workload: StatusInfo{Current: "waiting", Message: "installing agent", Since: m.opts.Now()},
		ports:    map[string]bool{}, state: map[string]string{},
		rels: map[int]*unitRelation{}, ghosts: map[int]string{},
	}
	a.nextUnit++
	m.units[u.name] = u
	a.units = append(a.units, u)
	if a.leader == "" {
		a.leader = u.name
	}
	return u.name, nil
}

// RemoveUnit makes a unit dying: it runs its last hooks and is then gone. With force it is gone at
// once and runs nothing more, as when its machine is lost.
func (m *Model) RemoveUnit(name string, force bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(name)
	if err != nil {
		return err
	}
	m.destroyUnit(u, force)
	return nil
}

func (m *Model) destroyUnit(u *unit, force bool) {
	u.life = Dying
	// A unit that is not installed has nothing to undo, and Juju does not repeat an install hook
	// that was killed. Any other waiting hook runs first (Juju's worker/uniter/resolver.go).
	if force || (!u.installed && !u.running && !u.failed) {
		m.bury(u)
	}
}

// bury ends a unit: it leaves every relation scope, and the leadership passes on.
func (m *Model) bury(u *unit) {
	u.life = Dead
	for id := range u.rels {
		if rel := m.relations[id]; rel != nil {
			delete(rel.scope, u.name)
			m.dropIfDone(rel)
		}
	}
	if u.app.leader == u.name {
		m.electNext(u.app)
	}
	m.dropAppIfDone(u.app)
}

func (m *Model) dropAppIfDone(a *application) {
	if a.life != Dying || len(unitsOf(a)) > 0 {
		return
	}
	if slices.ContainsFunc(a.rels, func(rel *relation) bool {
		return !rel.peer && len(rel.scope) > 0
	}) {
		return
	}
	for _, rel := range a.rels {
		m.drop(rel)
	}
	delete(m.apps, a.name)
}

// electNext gives the leadership to the first living unit on a machine that is on.
func (m *Model) electNext(a *application) {
	old := a.leader
	a.leader = ""
	for _, dying := range []bool{false, true} {
		for _, u := range unitsOf(a) {
			if u.name != old && u.machine.on && (u.life == Dying) == dying {
				m.lead(a, u)
				return
			}
		}
	}
}

func (m *Model) lead(a *application, u *unit) {
	if a.leader == u.name {
		return
	}
	a.leader = u.name
	u.leaderRun = false
}

// SetLeader moves an application's leadership to one of its units.
func (m *Model) SetLeader(app, unitName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return err
	}
	u, err := m.unit(unitName)
	if err != nil {
		return err
	}
	if u.app != a {
		return fmt.Errorf("unit %q is not of application %q", unitName, app)
	}
	m.lead(a, u)
	return nil
}

// Leader returns the name of the leader, "" if there is none.
func (m *Model) Leader(app string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return "", err
	}
	return a.leader, nil
}

// RemoveApplication removes an application with its relations and units.
func (m *Model) RemoveApplication(name string, force bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(name)
	if err != nil {
		return err
	}
	a.life = Dying
	for _, rel := range a.rels {
		if !rel.peer {
			rel.life, rel.since = Dying, m.opts.Now()
			m.dropIfDone(rel)
		}
	}
	for _, u := range unitsOf(a) {
		m.destroyUnit(u, force)
	}
	m.dropAppIfDone(a)
	return nil
}

// Configure sets and resets options, and queues config-changed on every unit, times times (Juju 4.0
// was seen to run it twice).
func (m *Model) Configure(app string, values map[string]string, reset []string, times int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return err
	}
	parsed, err := parseConfig(a.charm, values)
	if err != nil {
		return err
	}
	for _, name := range reset {
		if _, ok := a.charm.Config().Options[name]; !ok {
			return fmt.Errorf("unknown option %q", name)
		}
	}
	next := maps.Clone(a.settings)
	maps.Copy(next, parsed)
	for _, name := range reset {
		delete(next, name)
	}
	a.settings = next
	for _, u := range unitsOf(a) {
		u.configPending = max(u.configPending, times)
	}
	return nil
}

// Config returns the settings a unit of the application sees, defaults included.
func (m *Model) Config(app string) (map[string]any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return nil, err
	}
	return a.config(), nil
}

// config leaves out options that have neither value nor default, as config-get does.
func (a *application) config() map[string]any {
	all := map[string]any{}
	for name, value := range a.charm.Config().DefaultSettings() {
		if value != nil {
			all[name] = value
		}
	}
	for name, value := range a.settings {
		if value != nil {
			all[name] = value
		}
	}
	return all
}
