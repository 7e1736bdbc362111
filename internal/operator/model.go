package operator

import (
	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// Event is what a hook name and its environment say: who should hear what. Everybody looks at every event.
// The zero value hears nothing and is a plain "look again".
type Event struct {
	Kind       hooks.Kind // hooks.Action in an action
	Endpoint   string     // relation hooks: our endpoint's name
	RelationID string     // relation hooks: "proxy:3"
	RemoteApp  string     // relation hooks
	RemoteUnit string     // relation hooks; empty on created, broken and application bag changes
	Departing  string     // relation-departed: the unit that leaves, perhaps ourselves
	Action     string     // actions: the action's name
}

// Known is a part of the model that may be Unknown. The zero value is Unknown: a failed hook tool or a
// relation that is not visible yet is never read as "none".
type Known[T any] struct {
	Value T
	OK    bool
	Why   string // when not OK: the reason, in words
	Stuck Stuck  // when not OK: why no later hook will know it either; "" is that one may
}

// Stuck is why something that is not known does not come to be known by waiting.
type Stuck string

// Whoever wrote it is a charm that this one cannot read.
const (
	TooOld Stuck = "too old"
	TooNew Stuck = "too new"
)

// Know returns v as known.
func Know[T any](v T) Known[T] { return Known[T]{Value: v, OK: true} }

// Unknown returns an unknown T, with the reason in words.
func Unknown[T any](why string) Known[T] { return Known[T]{Why: why} }

// Life is a unit's life as goal-state tells it; a dead unit is not listed.
type Life string

// A unit that is listed is alive or dying.
const (
	Alive Life = "alive"
	Dying Life = "dying"
)

// Model is what Juju says. It is read whole before anything is decided and is constant for the hook.
type Model struct {
	UUID string // the model's UUID
	Unit string // our unit's name, "etcd/0"
	App  string // our application's name
	Zone string // the availability zone of our machine; "" is unknown

	Leader Known[bool]
	// Units are our application's units, ourselves included. Unknown when goal-state failed or forgot us.
	Units Known[map[string]Life]
	// Seen are the IDs of the members that etcd listed *before* Units was read. Only those may be judged by
	// Units: a member that came later may belong to a unit that Units does not know yet.
	Seen []uint64

	// SeenTurn is the turn in etcd as it was *before* Units was read. Only that holder may be judged by Units.
	SeenTurn Turn

	Config Config
	// ConfigProblem names the first option that cannot be used and why; Config is then not to be applied.
	ConfigProblem string

	Cluster Known[Cluster] // the peer relation; Unknown while it is not visible

	// Authority is our certificate authorities as committed before this hook; nil is known to be missing.
	Authority Known[*pki.Authority]
	// Secrets reports whether this Juju keeps secrets (else the authorities live in the peer application bag).
	Secrets bool

	// Relations are those of each endpoint but the peers', by the endpoint's name and sorted by ID, as much of each as its row
	// in Endpoints says. Only those that the unit's role has a use for are read.
	Relations map[string]Known[[]databag.Relation]
	// Deserted are the consumer relations without units, whose bag of ours was read: see Memory.
	Deserted map[string]OwnBag

	PeerAddress   Known[Address] // the binding of the endpoint cluster
	ClientAddress Known[Address] // the binding of the endpoint proxy

	Memory Known[Memory]
}

// Address is one binding's network: the address others reach us at, and all of ours there.
type Address struct {
	Ingress string   // IP address or host name
	Bound   string   // the IP address of this machine that Juju names first there; "" if it names none
	All     []string // every bind address and host name, for certificates; sorted
}

// Cluster is the peer relation: the record that the leader keeps, and each unit's own word.
type Cluster struct {
	RelationID string
	Record     Record
	Words      map[string]Word // the other units' bags, for units in goal-state only
}
