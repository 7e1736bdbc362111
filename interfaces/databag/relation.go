package databag

import (
	"cmp"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// A Relation is what one unit sees of one relation. The zero value is no relation: no unit has
// joined it and all its bags are empty.
type Relation struct {
	// ID is Juju's name for it, "<endpoint>:<number>", for example "proxy:3".
	ID string
	// Endpoint is our side's name of it in metadata.yaml, for example "proxy".
	Endpoint string
	// App is the remote application's name; in a peer relation it is our own.
	App string
	// Local is the bag our own unit has written.
	Local Bag
	// LocalApp is our application's bag, which only the leader writes. Juju lets
	// other units read it in peer relations only; elsewhere it is empty for them.
	LocalApp Bag
	// Units holds the bag of every remote unit that has joined and not departed, by
	// unit name. An empty bag means that the unit is there and has said nothing.
	Units map[string]Bag
	// RemoteApp is the remote application's bag.
	RemoteApp Bag
}

// UnitNames returns the names of the joined remote units in their natural order:
// etcd/2 comes before etcd/10.
func (r Relation) UnitNames() []string {
	return slices.SortedFunc(maps.Keys(r.Units), CompareUnits)
}

// All ranges over the joined remote units and their bags, in the order of
// UnitNames. The bags are the relation's own: clone before changing one.
func (r Relation) All() iter.Seq2[string, Bag] {
	return func(yield func(string, Bag) bool) {
		for _, name := range r.UnitNames() {
			if !yield(name, r.Units[name]) {
				return
			}
		}
	}
}

// LogValue shows the relation with keys and lengths only.
func (r Relation) LogValue() slog.Value {
	units := make([]slog.Attr, 0, len(r.Units))
	for name, bag := range r.All() {
		units = append(units, slog.Any(name, bag))
	}
	return slog.GroupValue(
		slog.String("id", r.ID),
		slog.String("app", r.App),
		slog.Any("local", r.Local),
		slog.Any("local-app", r.LocalApp),
		slog.Attr{Key: "units", Value: slog.GroupValue(units...)},
		slog.Any("remote-app", r.RemoteApp),
	)
}

// CompareUnits orders unit names as people read them: by application, then by the unit's number as
// a number. A name without a number comes before those with one. Different names never compare as
// equal.
func CompareUnits(a, b string) int {
	// Numbers are compared as text without leading zeros, the longer one being greater, so that no
	// number is too large.
	nameA, numberA := cutNumber(a)
	nameB, numberB := cutNumber(b)
	return cmp.Or(
		strings.Compare(nameA, nameB),
		cmp.Compare(len(numberA), len(numberB)),
		strings.Compare(numberA, numberB),
		strings.Compare(a, b),
	)
}

// cutNumber splits a name at its last "/" when nothing but digits follows;
// otherwise the number is empty. The number 0 is "0".
func cutNumber(name string) (string, string) {
	at := strings.LastIndexByte(name, '/')
	if at < 0 || at == len(name)-1 {
		return name, ""
	}
	digits := name[at+1:]
	if strings.Trim(digits, "0123456789") != "" {
		return name, ""
	}
	number := strings.TrimLeft(digits, "0")
	if number == "" {
		number = "0"
	}
	return name[:at], number
}
