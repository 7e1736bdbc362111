package operator

import "maps"

// OwnBag is what Juju answers when this unit reads its own bag in a consumer relation that has no units left. The zero
// value says nothing.
type OwnBag int

// The answers.
const (
	BagUnclear  OwnBag = iota // any other error
	BagThere                  // the relation lives on
	BagNotFound               // exactly "relation not found"
)

// Desertion is what is remembered of a consumer relation whose last unit has departed; "" is a
// relation that has units. On the offering side of a cross-model relation Juju may delete the
// relation before relation-broken can run. relation-ids then lists it until the agent restarts, and
// goal-state never names such a relation (seen on 4.0.15).
type Desertion string

const (
	deserted Desertion = "deserted" // it may live on
	missing  Desertion = "missing"  // one hook did not find it
	vanished Desertion = "vanished" // two hooks did not find it, so it has ended
)

// desertion is what to remember of a deserted relation after one more read of our bag.
func desertion(was Desertion, bag OwnBag) Desertion {
	switch {
	case bag == BagThere:
		return deserted
	case bag == BagNotFound && (was == missing || was == vanished):
		return vanished
	case bag == BagNotFound:
		return missing
	case was == "":
		return deserted
	}
	return was
}

// desertion is the state of a consumer relation without units; "" if it has some, or never had any.
func (v view) desertion(id string) Desertion {
	bag, read := v.m.Deserted[id]
	if !read {
		return ""
	}
	return desertion(v.m.Memory.Value.Deserted[id], bag)
}

// vanished reports whether a relation that Juju still lists has ended.
func (v view) vanished(id string) bool { return v.desertion(id) == vanished }

// writable reports whether a consumer relation can be written to. A write to a relation that Juju
// does not find fails the hook, and every hook after it.
func (v view) writable(id string) bool {
	is := v.desertion(id)
	return is != missing && is != vanished
}

// NotFound makes the unit remember that a bag was not written because Juju did not find the
// relation. From the next hook on the relation is treated as if its last unit had departed: Juju
// may delete a relation before this unit has seen any unit of it. Such an end is noticed when there
// is something to write to the relation, or when the agent restarts.
func (p *Plan) NotFound(m Model, relationID string) {
	memory := p.memory(view{m: &m})
	memory.Bags, memory.Deserted = clone(memory.Bags), clone(memory.Deserted)
	if was, told := m.Memory.Value.Bags[relationID]; told {
		memory.Bags[relationID] = was
	} else {
		delete(memory.Bags, relationID)
	}
	memory.Deserted[relationID] = missing
}

// rememberDeserted keeps Memory.Deserted true.
func (v view) rememberDeserted(p *Plan) {
	if !v.consumers.OK {
		return
	}
	now := make(map[string]Desertion, len(v.m.Deserted))
	for id := range v.m.Deserted {
		now[id] = v.desertion(id)
	}
	if !maps.Equal(now, v.m.Memory.Value.Deserted) {
		p.memory(v).Deserted = now
	}
}
