// Package toy is a relation interface for a test: a unit gives its name; its application gives its
// leader, and where the other side finds a password.
package toy

import "github.com/juju-charms/etcd-charm/interfaces/databag"

// The keys of the requirer's bags.
const (
	KeyName   = "name"   // in the unit's bag
	KeyLeader = "leader" // in the application's bag
	// in the application's bag: the URI of a secret, whose content has the same key
	KeyPassword = "password"
	KeyGreeting = "greeting" // in the provider's application bag
)

// EncodeUnit is a unit's bag.
func EncodeUnit(name string) databag.Bag { return databag.Bag{KeyName: name} }

// EncodeApp is the application's bag, without the password.
func EncodeApp(leader string) databag.Bag { return databag.Bag{KeyLeader: leader} }
