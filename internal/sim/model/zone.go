package model

import "fmt"

// SetZone puts a machine into an availability zone, which Juju tells in the environment of its units' hooks. With Juju a
// machine is in its zone from the beginning.
func (m *Model) SetZone(id int, zone string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return fmt.Errorf("machine %d not found", id)
	}
	m.machines[id].zone = zone
	return nil
}

// Zone is a machine's availability zone; "" is none.
func (m *Model) Zone(id int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return ""
	}
	return m.machines[id].zone
}
