package model

import (
	"fmt"
	"maps"
	"slices"
)

// Status is the model at one moment.
type Status struct {
	Model        Info                         `json:"model"`
	Machines     map[string]MachineStatus     `json:"machines"`
	Applications map[string]ApplicationStatus `json:"applications"`
	Relations    []RelationInfo               `json:"relations"`
}

// Info names the model.
type Info struct {
	Name    string `json:"name"`
	UUID    string `json:"uuid"`
	Version string `json:"version"`
}

// MachineStatus is a machine and whether it is on.
type MachineStatus struct {
	Address string   `json:"address"`
	State   string   `json:"state"`
	Units   []string `json:"units"`
}

// ApplicationStatus is an application and its units.
type ApplicationStatus struct {
	Charm   string                `json:"charm"`
	Rev     int                   `json:"charm-rev"`
	Life    Life                  `json:"life"`
	Version string                `json:"version"`
	Status  StatusInfo            `json:"application-status"`
	Scale   int                   `json:"scale"`
	Units   map[string]UnitStatus `json:"units"`
}

// UnitStatus is a unit. Agent is idle, executing, error or lost. Attempts says how often a failed
// hook was tried.
type UnitStatus struct {
	Workload StatusInfo `json:"workload-status"`
	Agent    StatusInfo `json:"juju-status"`
	Leader   bool       `json:"leader,omitempty"`
	Life     Life       `json:"life"`
	Machine  string     `json:"machine"`
	Address  string     `json:"public-address"`
	Ports    []string   `json:"open-ports"`
	Queued   string     `json:"queued,omitempty"`
	Attempts int        `json:"attempts,omitempty"`
	// UpgradingFrom is the unit's charm if it differs from its application's, else "".
	UpgradingFrom string `json:"upgrading-from,omitempty"`
}

// Status returns a copy of the model's state.
func (m *Model) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{
		Model:        Info{m.opts.Name, m.uuid, m.Rules.Version},
		Machines:     map[string]MachineStatus{},
		Applications: map[string]ApplicationStatus{},
	}
	for _, mc := range m.machines {
		ms := MachineStatus{Address: mc.address, State: "started", Units: []string{}}
		for _, u := range m.sortedUnits() {
			if u.machine == mc {
				ms.Units = append(ms.Units, u.name)
			}
		}
		switch {
		case !mc.on:
			ms.State = "down"
		case len(ms.Units) == 0:
			ms.State = "removed"
		}
		s.Machines[fmt.Sprint(mc.id)] = ms
	}
	for name, a := range m.apps {
		as := ApplicationStatus{
			Charm: a.charm.Meta().Name, Rev: a.revision, Life: a.life, Version: a.version,
			Status: m.appStatus(a), Units: map[string]UnitStatus{},
		}
		for _, u := range unitsOf(a) {
			as.Units[u.name] = m.unitStatus(u)
		}
		as.Scale = len(as.Units)
		s.Applications[name] = as
	}
	s.Relations = m.relationInfos()
	return s
}

func (m *Model) unitStatus(u *unit) UnitStatus {
	us := UnitStatus{
		Workload: u.workload, Agent: StatusInfo{Current: "idle", Since: u.workload.Since},
		Leader: u.app.leader == u.name, Life: u.life,
		Machine: fmt.Sprint(u.machine.id), Address: u.machine.address,
		Ports: slices.Sorted(maps.Keys(u.ports)), Attempts: u.attempts,
	}
	if u.charmSeq != u.app.charmSeq {
		us.UpgradingFrom = u.url()
	}
	if us.Ports == nil {
		us.Ports = []string{}
	}
	if h, ok := m.next(u); ok {
		us.Queued = h.Name()
	}
	switch {
	case !u.machine.on:
		us.Agent = StatusInfo{Current: "lost", Message: "agent is not communicating with the server"}
		us.Workload.Current, us.Workload.Message =
			"unknown", "agent lost, see 'juju show-status-log "+u.name+"'"
	case u.attempts > 0 && u.current != nil:
		// In error, Juju shows the failure instead of the workload's status.
		us.Agent.Current = "idle"
		us.Workload.Current = "error"
		us.Workload.Message = fmt.Sprintf("hook failed: %q", u.current.Name())
	case u.running:
		us.Agent.Current = "executing"
	}
	return us
}

// severity orders workload statuses as Juju does when it derives an application's status.
var severity = []string{
	"error", "blocked", "maintenance", "waiting", "active", "terminated", "unknown",
}

func (m *Model) appStatus(a *application) StatusInfo {
	if a.status != nil {
		return *a.status
	}
	worst := StatusInfo{Current: "unknown"}
	for _, u := range unitsOf(a) {
		s := m.unitStatus(u).Workload
		if slices.Index(severity, s.Current) < slices.Index(severity, worst.Current) {
			worst = s
		}
	}
	return worst
}

// UnitInfo says where a unit runs.
type UnitInfo struct {
	Name, App, Address string
	Machine            int
	Life               Life
	On                 bool
}

// Unit returns a unit that is not dead.
func (m *Model) Unit(name string) (UnitInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(name)
	if err != nil {
		return UnitInfo{}, err
	}
	return UnitInfo{u.name, u.app.name, u.machine.address, u.machine.id, u.life, u.machine.on}, nil
}

// Units returns the names of all units, or of one application's if app is not "".
func (m *Model) Units(app string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, u := range m.sortedUnits() {
		if app == "" || u.app.name == app {
			names = append(names, u.name)
		}
	}
	return names
}
