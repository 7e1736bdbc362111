package databag_test

import (
	"fmt"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// A charm writes what has changed, and nothing when nothing has.
func ExampleDiff() {
	written := databag.Bag{"cluster": "etcd0=https://10.0.0.5:2380", "old": "x"}
	wanted := databag.Bag{"cluster": "etcd0=https://10.0.0.5:2380,etcd1=https://10.0.0.6:2380"}

	change := databag.Diff(written, wanted)
	fmt.Println("set", change.Set, "delete", change.Delete)
	fmt.Println("again:", databag.Diff(wanted, wanted).IsZero())
	// Output:
	// set {cluster: 55 bytes} delete [old]
	// again: true
}

// Units are looked at in the same order everywhere, numbers as numbers.
func ExampleRelation_All() {
	relation := databag.Relation{ID: "upstream:3", Units: map[string]databag.Bag{
		"etcd/10": {"version": "3.7.3"},
		"etcd/9":  {"version": "3.7.3"},
	}}
	for unit, bag := range relation.All() {
		fmt.Println(unit, bag)
	}
	// Output:
	// etcd/9 {version: 5 bytes}
	// etcd/10 {version: 5 bytes}
}
