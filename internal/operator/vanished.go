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

// Desertion is what is remembered of a consumer relation whose last unit has departed; "" is one that has units. On the offering side of a
// relation between two models Juju may delete the relation before broken can run: relation-ids goes on listing it until
// the agent starts again, and goal-state never names such a relation (seen on 4.0.15).
type Desertion string

const (
	deserted Desertion = "deserted" // it may live on
	missing  Desertion = "missing"  // it was not found in one hook
	vanished Desertion = "vanished" // it was not found in two, and so has ended
)

// desertion is what to remember of a deserted relation after one more answer.
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

// desertion is how a consumer relation stands that has no units; "" if it has some, or never had.
func (l look) desertion(id string) Desertion {
	bag, read := l.m.Deserted[id]
	if !read {
		return ""
	}
	return desertion(l.m.Memory.Value.Deserted[id], bag)
}

// vanished reports whether a relation that Juju still lists has ended.
func (l look) vanished(id string) bool { return l.desertion(id) == vanished }

// writable reports whether a consumer relation can be written to: a write where the relation is not found fails the hook,
// and every hook after it.
func (l look) writable(id string) bool {
	is := l.desertion(id)
	return is != missing && is != vanished
}

// NotFound has the unit remember of a bag that it was not written, for the relation is not found, and look for the relation
// from the next hook on, as if its last unit had departed: Juju may delete one before this unit has heard of any. A relation
// that goes so is noticed when there is something to write to it, or when the agent starts again.
func (p *Plan) NotFound(m Model, relationID string) {
	memory := p.memory(look{m: &m})
	memory.Bags, memory.Deserted = clone(memory.Bags), clone(memory.Deserted)
	if was, told := m.Memory.Value.Bags[relationID]; told {
		memory.Bags[relationID] = was
	} else {
		delete(memory.Bags, relationID)
	}
	memory.Deserted[relationID] = missing
}

// rememberDeserted keeps Memory.Deserted true.
func (l look) rememberDeserted(p *Plan) {
	if !l.consumers.OK {
		return
	}
	now := make(map[string]Desertion, len(l.m.Deserted))
	for id := range l.m.Deserted {
		now[id] = l.desertion(id)
	}
	if !maps.Equal(now, l.m.Memory.Value.Deserted) {
		p.memory(l).Deserted = now
	}
}
