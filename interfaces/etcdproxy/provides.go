package etcdproxy

import (
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Provides is the provider's side of one relation. It starts from what our unit has
// already written, takes the calls that the interface has had since 2016, and yields
// the bag to write. A call that fails leaves it as it was: what is published stays
// true, or at least what it was. It is made by NewProvides.
type Provides struct {
	rel databag.Relation
	bag databag.Bag
}

// NewProvides takes the relation as our unit sees it. It keeps no hold on its bags.
func NewProvides(rel databag.Relation) *Provides {
	rel = rel.Clone()
	return &Provides{rel: rel, bag: rel.Local.Clone()}
}

// String shows the relation, and the bag to write with keys and lengths only.
func (p Provides) String() string { return "relation " + p.rel.ID + ": " + p.bag.String() }

// Format prints what String gives, under every verb and flag: package fmt would
// look into the unexported fields by itself and find a private key.
func (p Provides) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, p.String()) }

// Connected tells whether a unit of the consumer has joined and not departed.
func (p *Provides) Connected() bool { return Connected(p.rel) }

// States names the states that are on: "<endpoint>.connected", or none.
func (p *Provides) States() []string {
	return States(p.rel.Endpoint, ProvidesSide, State{Connected: p.Connected()})
}

// Set publishes all of the data, and takes back what an earlier Set or an earlier
// charm published and the data does not have, such as the credentials of a cluster
// that has none any more. Settings that are not of this interface stay. It fails
// as Encode does, and then changes nothing.
func (p *Provides) Set(d Data) error {
	encoded, err := Encode(d)
	if err != nil {
		return fmt.Errorf("relation %s: %w", p.rel.ID, err)
	}
	for _, key := range []string{
		KeyCluster, KeyClientCert, KeyClientKey, KeyClientCA, KeyClientURLs, KeyVersion, KeySchema,
	} {
		delete(p.bag, key)
	}
	maps.Copy(p.bag, encoded)
	return nil
}

// SetClusterString publishes a cluster string, "name=peer URL,…", sorted by name. It
// is the old call set_cluster_string, and leaves the credentials alone. An empty or
// broken string is an error and changes nothing.
func (p *Provides) SetClusterString(cluster string) error {
	members, err := ParseCluster(cluster)
	if err != nil {
		return fmt.Errorf("relation %s: %w", p.rel.ID, err)
	}
	p.bag[KeyCluster] = Data{Members: members}.Cluster()
	return nil
}

// ProvideClusterString is SetClusterString under its older name.
func (p *Provides) ProvideClusterString(cluster string) error { return p.SetClusterString(cluster) }

// SetClientCredentials publishes a client's credentials, all of them PEM, in the
// order of the old call set_client_credentials: key, cert, ca. Anything missing or
// not belonging together is an error and changes nothing.
func (p *Provides) SetClientCredentials(key, cert, ca string) error {
	if err := (Credentials{Cert: cert, Key: key, CA: ca}).Into(p.bag); err != nil {
		return fmt.Errorf("relation %s: %w", p.rel.ID, err)
	}
	return nil
}

// Bag is our unit's bag as it is to be: what was written before, with the calls
// applied. It is a copy.
func (p *Provides) Bag() databag.Bag { return p.bag.Clone() }

// Change is what to write for the bag to be so; zero when it is so already. An error
// says that there is something to publish but no cluster string, which the readers
// of this interface would take for no etcd at all.
func (p *Provides) Change() (databag.Change, error) {
	change := databag.Diff(p.rel.Local, p.bag)
	if !change.IsZero() && p.bag[KeyCluster] == "" {
		return databag.Change{}, errors.New("relation " + p.rel.ID + ": cannot publish credentials without a cluster string")
	}
	return change, nil
}
