package operator

import (
	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// Event is what a hook's name and environment say. Every handler looks at every event. The zero
// value is a plain "look again".
type Event struct {
	Kind       hooks.Kind // hooks.Action in an action
	Endpoint   string     // relation hooks: our endpoint's name
	RelationID string     // relation hooks: "proxy:3"
	RemoteApp  string     // relation hooks
	RemoteUnit string     // relation hooks; empty on created, broken and application bag changes
	Departing  string     // relation-departed: the unit that leaves, perhaps ourselves
	Action     string     // actions: the action's name
}

// Known is a part of the model that may be unknown. The zero value is unknown: if a hook tool
// failed or a relation is not visible yet, that is never read as "none".
type Known[T any] struct {
	Value T
	OK    bool
	Why   string // when not OK: the reason, in words
	Stuck Stuck  // when not OK: why no later hook will know it either; "" is that one may
}

// Stuck is why an unknown value will not become known by waiting.
type Stuck string

// It was written by a charm that this one cannot read.
const (
	TooOld Stuck = "too old"
	TooNew Stuck = "too new"
)

// Know returns v as known.
func Know[T any](v T) Known[T] { return Known[T]{Value: v, OK: true} }

// Unknown returns an unknown T, with the reason in words.
func Unknown[T any](why string) Known[T] { return Known[T]{Why: why} }

// Life is a unit's life as goal-state reports it; a dead unit is not listed.
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
	// Units are our application's units, ours included. Unknown if goal-state failed or did not
	// list our unit.
	Units Known[map[string]Life]
	// Seen are the IDs of the members that etcd listed *before* Units was read. Only those may be
	// judged by Units: a later member may belong to a unit that Units does not know yet.
	Seen []uint64

	// SeenTurn is the turn in etcd as it was *before* Units was read. Only its holder may be judged
	// by Units.
	SeenTurn Turn

	Config Config
	// ConfigProblem names the first option that cannot be used and says why; Config must not be
	// applied then.
	ConfigProblem string

	Cluster Known[Cluster] // the peer relation; Unknown while it is not visible

	// Authority is our certificate authorities as committed before this hook; a known nil means
	// that there are none yet.
	Authority Known[*pki.Authority]
	// Secrets reports whether this Juju keeps secrets (else the authorities live in the peer application bag).
	Secrets bool

	// Relations are those of each endpoint except the peers', by the endpoint's name, sorted by ID.
	// How much of each is read is in its row in Endpoints. Only endpoints that the unit's role uses
	// are read.
	Relations map[string]Known[[]databag.Relation]
	// Deserted says, for each consumer relation that has no units, what came of reading our own bag
	// in it: see Memory.
	Deserted map[string]OwnBag

	PeerAddress   Known[Address] // the binding of the endpoint cluster
	ClientAddress Known[Address] // the binding of the endpoint proxy

	Memory Known[Memory]
}

// Address is one binding's network: the address where others reach us, and all of ours there.
type Address struct {
	Ingress string   // IP address or host name
	Bound   string   // the IP address of this machine that Juju names first there; "" if it names none
	All     []string // every bind address and host name, for certificates; sorted
}

// Cluster is the peer relation: the record that the leader keeps, and each unit's own word.
type Cluster struct {
	RelationID string
	AppBag     AppBag
	UnitBags   map[string]UnitBag // the other units' bags, for units in goal-state only
}
