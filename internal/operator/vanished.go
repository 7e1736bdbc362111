package operator

import (
	"maps"
	"slices"
	"strings"
)

// OwnBag is what Juju answers when this unit reads its own bag in a consumer relation that has no units left. The zero
// value says nothing.
type OwnBag int

// The answers.
const (
	BagUnclear  OwnBag = iota // any other error
	BagThere                  // the relation lives on
	BagNotFound               // exactly "relation not found"
)

// What is remembered under DesertedKey of a consumer relation whose last unit has departed. On the offering side of a
// relation between two models Juju may delete the relation before broken can run: relation-ids goes on listing it until
// the agent starts again, and goal-state never names such a relation (seen on 4.0.15).
const (
	deserted = "deserted" // it may live on
	missing  = "missing"  // it was not found in one hook
	vanished = "vanished" // it was not found in two, and so has ended
)

const desertedPrefix = "deserted."

// DesertedKey is the key in Model.Published of a consumer relation whose last unit this unit has heard depart. It is kept
// until the relation has units again, or is not listed any more.
func DesertedKey(relationID string) string { return desertedPrefix + relationID }

// desertion is what to remember of a deserted relation after one more answer.
func desertion(was string, bag OwnBag) string {
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
func (l look) desertion(id string) string {
	bag, read := l.m.Deserted[id]
	if !read {
		return ""
	}
	return desertion(l.m.Published[DesertedKey(id)], bag)
}

// vanished reports whether a relation that Juju still lists has ended.
func (l look) vanished(id string) bool { return l.desertion(id) == vanished }

// writable reports whether a consumer relation can be written to: a write where the relation is not found fails the hook,
// and every hook after it.
func (l look) writable(id string) bool {
	is := l.desertion(id)
	return is != missing && is != vanished
}

// rememberDeserted keeps what is under DesertedKey true.
func (l look) rememberDeserted(p *Plan) {
	if !l.m.Consumers.OK {
		return
	}
	for id := range l.m.Deserted {
		p.Published[DesertedKey(id)] = l.desertion(id)
	}
	for _, key := range slices.Sorted(maps.Keys(l.m.Published)) {
		if id, ok := strings.CutPrefix(key, desertedPrefix); ok {
			if _, read := l.m.Deserted[id]; !read {
				p.Forget = append(p.Forget, key)
			}
		}
	}
}
