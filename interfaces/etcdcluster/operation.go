package etcdcluster

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Operation is an action that involves several units. The leader keeps it in the application bag,
// and each unit that takes part shows in its own bag how far it is. There is at most one at a time.
// The zero value is none.
type Operation struct {
	ID    string `json:"id"`    // "restart-3f2a91", never digits alone
	Kind  string `json:"kind"`  // units that take part list it in can
	Phase string `json:"phase"` // one of the kind's phases
	// Units take part: those whose bag named the cluster when it began; sorted.
	Units []string `json:"units,omitempty"`
	// Without are the participants that an operator told the operation to go on without; sorted.
	Without []string `json:"without,omitempty"`
	Began   int64    `json:"began,omitempty"` // Unix seconds
	Moved   int64    `json:"moved,omitempty"` // when it came to its phase, in Unix seconds
	Outcome string   `json:"outcome,omitempty"`

	// The rest is of operations that replace the cluster's data.

	// the unit that prepares the new data, and serves it first
	Source string `json:"source,omitempty"`
	// which: "latest", a kept one's name, the path of a file, or "data-dir"
	Snapshot string `json:"snapshot,omitempty"`
	// with "latest": the newest taken before, in Unix seconds; 0 is any
	Before int64 `json:"before,omitempty"`
	// the file may lack a hash
	Unverified bool `json:"unverified,omitempty"`
	// unique: it makes the new cluster's ID
	Token string `json:"token,omitempty"`
	// the highest revision that was known when it began
	Seen int64 `json:"seen,omitempty"`
	// the new cluster's ID in hex, once its data is there; "" is not yet
	Target string `json:"target,omitempty"`
	// Order are the units as they ranked when a recovery was confirmed, the best first.
	Order []string `json:"order,omitempty"`

	// later are fields that a later charm added: a leader that writes the record writes them again.
	later map[string]json.RawMessage
}

const (
	// maxWord bounds an operation's ID, kind and phase and a part's state, because the ID goes into
	// a process's environment.
	maxWord = 64
	// maxPath bounds the path of a snapshot: Linux allows no longer one.
	maxPath = 4096
	// MaxSaid bounds what a unit says about its part.
	MaxSaid = 200
)

func word(text string) bool { return name(text) && len(text) <= maxWord }

// Going reports whether the operation has begun and is not over.
func (o Operation) Going() bool { return o.ID != "" && o.Outcome == "" }

// Takes reports whether the unit takes part.
func (o Operation) Takes(unit string) bool {
	return slices.Contains(o.Units, unit) && !slices.Contains(o.Without, unit)
}

// Part is how far a unit is with an operation. The zero value means that it has not answered.
type Part struct {
	ID    string // the operation's
	State string // one of the states that the kind has
	// more of it, in one plain line of at most MaxSaid characters: an ID, or why it failed; "" is
	// nothing
	Said string
}

// String is a part as it is in the bag; "" is none.
func (p Part) String() string { return strings.TrimSpace(p.ID + " " + p.State) }

// encodeOperation is the operation as it is in the bag.
func encodeOperation(o Operation) string {
	if o.ID == "" {
		return ""
	}
	text, err := json.Marshal(o)
	if err == nil && len(o.later) > 0 {
		all := maps.Clone(o.later)
		if err = json.Unmarshal(text, &all); err == nil {
			text, err = json.Marshal(all)
		}
	}
	if err != nil {
		return "" // texts, numbers, and JSON that was read: it cannot happen
	}
	return string(text)
}

// laterFields are the fields of an operation in JSON that this charm does not know; nil is none.
func laterFields(text string) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil
	}
	known := []string{
		"id", "kind", "phase", "units", "without", "began", "moved", "outcome",
		"source", "snapshot", "before", "unverified", "token", "seen", "target", "order",
	}
	maps.DeleteFunc(all, func(field string, _ json.RawMessage) bool {
		return slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, field) })
	})
	if len(all) == 0 {
		return nil
	}
	// as encodeOperation has them, so that two records that say the same are equal
	form, err := json.Marshal(all)
	var out map[string]json.RawMessage
	if err != nil || json.Unmarshal(form, &out) != nil {
		return nil
	}
	return out
}

func (d *decoder) operation(key string) Operation {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return Operation{}
	}
	var o Operation
	if err := json.Unmarshal([]byte(value), &o); err != nil ||
		!word(o.ID) || !word(o.Kind) || !word(o.Phase) {
		d.fail(key, "is not an operation")
		return Operation{}
	}
	o.later = laterFields(value)
	if !o.sound() {
		d.fail(key, "has a value that no operation has")
		return Operation{}
	}
	for _, units := range []*[]string{&o.Units, &o.Without, &o.Order} {
		if len(*units) == 0 {
			*units = nil
		}
		if len(*units) > maxUnits ||
			slices.ContainsFunc(*units, func(u string) bool { return !unitName(u) }) {
			d.fail(key, "names something that is not a unit")
			return Operation{}
		}
	}
	o.Outcome = strings.Map(func(r rune) rune {
		if control(r) {
			return ' '
		}
		return r
	}, o.Outcome)
	return o
}

// sound reports whether the fields about new data are as a leader writes them.
func (o Operation) sound() bool {
	return (o.Source == "" || unitName(o.Source)) &&
		(o.Token == "" || word(o.Token)) &&
		(o.Target == "" || hexID(o.Target)) &&
		o.Before >= 0 && o.Seen >= 0 &&
		len(o.Snapshot) <= maxPath && !strings.ContainsFunc(o.Snapshot, control)
}

// NewCluster is Target as a number; 0 is none.
func (o Operation) NewCluster() uint64 {
	id, _ := strconv.ParseUint(o.Target, 16, 64)
	return id
}

// hexID reports whether the text is an ID as encodeID writes it.
func hexID(text string) bool {
	id, err := strconv.ParseUint(text, 16, 64)
	return err == nil && encodeID(id) == text && id != 0
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// unitName reports whether the text is a unit's name in Juju's form.
func unitName(text string) bool {
	app, number, found := strings.Cut(text, "/")
	return found && name(app) && number != "" && strings.Trim(number, "0123456789") == ""
}

// part reads a unit's part, and what the unit says about it. A charm that does not know the second
// key leaves it as it is. So the second key repeats the operation's ID and the state, and does not
// count if they are not those of the part.
func (d *decoder) part(key, keySaid string) Part {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return Part{}
	}
	id, state, _ := strings.Cut(value, " ")
	if !word(id) || !word(state) {
		d.fail(key, "is not an operation's ID and a state")
		return Part{}
	}
	part := Part{ID: id, State: state}
	if said, ours := strings.CutPrefix(d.text(keySaid), part.String()+": "); ours {
		part.Said = said
	}
	if len([]rune(part.Said)) > MaxSaid {
		d.fail(keySaid, "is too long")
		return Part{}
	}
	return part
}

// encodeSaid is what the part says besides its state.
func encodeSaid(p Part) string {
	if p.ID == "" || p.Said == "" {
		return ""
	}
	return p.String() + ": " + p.Said
}
