package model

import "fmt"

// SetZone puts a machine into an availability zone, which Juju passes to hooks in their
// environment. In Juju a machine has its zone from the beginning.
func (m *Model) SetZone(id int, zone string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return fmt.Errorf("machine %d not found", id)
	}
	m.machines[id].zone = zone
	return nil
}

// Zone returns a machine's availability zone; "" for none.
func (m *Model) Zone(id int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return ""
	}
	return m.machines[id].zone
}
