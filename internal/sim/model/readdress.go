package model

import (
	"fmt"
	"maps"
)

// movedAddresses is where the numbers begin with which Options.Address is asked for a machine's new
// address.
const movedAddresses = 1000

// Readdress gives a machine a new address and returns it. Its units hear of it as in Juju: their
// own bags have the new address, and config-changed is queued.
func (m *Model) Readdress(id int) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || id >= len(m.machines) {
		return "", fmt.Errorf("machine %d not found", id)
	}
	mc := m.machines[id]
	mc.address = m.opts.Address(movedAddresses + m.moved)
	m.moved++
	for _, u := range m.sortedUnits() {
		if u.machine != mc {
			continue
		}
		u.configPending = max(u.configPending, 1)
		for _, rel := range m.relations {
			if b := rel.bags[u.name]; b != nil && rel.scope[u.name] {
				b.address(m.ingress(u, rel))
				b.version++
			}
		}
	}
	return mc.address, nil
}

// reached is where others reach a machine through a binding.
func (m *Model) reached(mc *machine, binding string) string {
	if m.opts.Ingress == nil {
		return mc.address
	}
	return m.opts.Ingress(mc.address, binding)
}

// ingress is where the other side of a relation reaches a unit.
func (m *Model) ingress(u *unit, rel *relation) string {
	e, _ := rel.side(u.app.name)
	return m.reached(u.machine, e.Name)
}

// address puts what Juju reports of a unit's address into its bag.
func (b *bag) address(addr string) {
	values := maps.Clone(b.values) // a hook may be reading them
	if values == nil {
		values = map[string]string{}
	}
	values["egress-subnets"], values["ingress-address"], values["private-address"] =
		addr+"/32", addr, addr
	b.values = values
}
