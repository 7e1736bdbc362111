package operator

import (
	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
)

// Endpoint is one row for each endpoint of metadata.yaml; a test compares the two. A row either
// hands out credentials to consumers (Encode), or has a handler of its own (Handle).
type Endpoint struct {
	Name string
	For  Role // the role of the units that use it
	Read Read
	// Encode makes our bag for one consumer relation. The relation's certificate, its revocation
	// and the time of writing are handled alike for all such endpoints: see publishToConsumers.
	Encode func(ConsumerData) (databag.Bag, error)
	// Owns are the keys that Encode may write: those that Encode leaves out are removed from the
	// bag.
	Owns []string
	// Handle runs in every pass in which no handler before it wants a step.
	Handle func(view, *Plan)
}

// Read says how much of an endpoint's relations is read in each hook. The zero value reads IDs
// only: one call for the endpoint, however many relations it has.
type Read int

// What is read.
const (
	IDs          Read = iota // the relations' IDs
	Units                    // and the bags of the units that joined
	UnitsAndApps             // and the other application's bag, and as leader our own application's
	// Of our own peers: the application's bag and every unit's, into Model.Cluster.
	Peers
)

// Endpoints that other parts of the charm know by name. The bindings of the first two say where
// this unit is reached.
const (
	PeerEndpoint     = "cluster"
	ClientEndpoint   = "proxy"
	upstreamEndpoint = "upstream"
)

// Endpoints is the table, in the order in which handlers run: peers writes the record that
// consumers are told of.
func Endpoints() []Endpoint {
	return []Endpoint{
		{Name: PeerEndpoint, For: RoleMember, Read: Peers, Handle: peers},
		{Name: ClientEndpoint, For: RoleMember, Encode: encodeProxy, Owns: proxyKeys()},
		{Name: "db", For: RoleMember, Encode: encodeDB, Owns: etcd.Keys()},
		{Name: upstreamEndpoint, For: RoleProxy, Read: Units, Handle: upstream},
	}
}
