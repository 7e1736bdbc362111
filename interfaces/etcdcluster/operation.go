package etcdcluster

import (
	"encoding/json"
	"slices"
	"strings"
)

// Operation is a deed of several units: the leader keeps it in the application bag, and each unit that takes part shows
// how far it is in its own. There is at most one at a time. The zero value is none.
type Operation struct {
	ID    string `json:"id"`    // "restart-3f2a91", never digits alone
	Kind  string `json:"kind"`  // what the units that take part list in can
	Phase string `json:"phase"` // one of the kind's phases
	// Units take part: those whose bag named the cluster when it began; sorted.
	Units []string `json:"units,omitempty"`
	// Without are those among them that an administrator let go; sorted.
	Without []string `json:"without,omitempty"`
	Began   int64    `json:"began,omitempty"` // Unix seconds
	Moved   int64    `json:"moved,omitempty"` // when it came to its phase, in Unix seconds
	Outcome string   `json:"outcome,omitempty"`
}

// Going reports whether the operation has begun and is not over.
func (o Operation) Going() bool { return o.ID != "" && o.Outcome == "" }

// Takes reports whether the unit takes part.
func (o Operation) Takes(unit string) bool {
	return slices.Contains(o.Units, unit) && !slices.Contains(o.Without, unit)
}

// Part is how far a unit is with an operation. The zero value is that it has not answered.
type Part struct {
	ID    string // the operation's
	State string // one of the states that the kind has
}

// String is the form in which a part stands in the bag; "" is none.
func (p Part) String() string { return strings.TrimSpace(p.ID + " " + p.State) }

// encodeOperation is the operation as it stands in the bag. An older charm reads what a newer one wrote: it leaves alone what
// it does not know.
func encodeOperation(o Operation) string {
	if o.ID == "" {
		return ""
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "" // texts and numbers: it cannot happen
	}
	return string(text)
}

func (d *decoder) operation(key string) Operation {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return Operation{}
	}
	var o Operation
	if err := json.Unmarshal([]byte(value), &o); err != nil || !name(o.ID) || !name(o.Kind) || !name(o.Phase) {
		d.fail(key, "is no operation")
		return Operation{}
	}
	for _, units := range [][]string{o.Units, o.Without} {
		if len(units) > maxUnits || slices.ContainsFunc(units, func(u string) bool { return !unitName(u) }) {
			d.fail(key, "names a unit that is none")
			return Operation{}
		}
	}
	o.Outcome = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, o.Outcome)
	return o
}

// unitName reports whether the text is a unit's name as Juju has it.
func unitName(text string) bool {
	app, number, found := strings.Cut(text, "/")
	return found && name(app) && number != "" && strings.Trim(number, "0123456789") == ""
}

func (d *decoder) part(key string) Part {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return Part{}
	}
	id, state, _ := strings.Cut(value, " ")
	if !name(id) || !name(state) {
		d.fail(key, "is no operation's ID and a state")
		return Part{}
	}
	return Part{id, state}
}
