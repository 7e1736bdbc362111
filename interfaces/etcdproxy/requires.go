package etcdproxy

import (
	"errors"
	"fmt"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Requires is the requirer's side of one relation: a look at what the provider's
// units have published, at one moment. It is a value, made by NewRequires at each
// hook and never kept; its zero value is a relation that is not there.
type Requires struct {
	// Relation is the relation's ID, Endpoint our name of it, App the provider.
	Relation, Endpoint, App string
	// State is how far the relation has come.
	State
	// Data is what has been published and found valid.
	Data Data
	// Problem is what has been published and refused, if anything.
	Problem Problem
}

// NewRequires looks at a relation. now is in seconds since the Unix epoch. For a
// relation whose broken hook runs, give it no units.
func NewRequires(rel databag.Relation, now int64) Requires {
	data, problem := Decode(rel, now)
	r := Requires{Relation: rel.ID, Endpoint: rel.Endpoint, App: rel.App, Data: data, Problem: problem}
	r.Connected = Connected(rel)
	r.Available = len(data.Members) > 0
	r.TLSAvailable = r.Available && data.Credentials.Complete()
	return r
}

// States names the states that are on, sorted: "upstream.available" and so on.
func (r Requires) States() []string { return States(r.Endpoint, RequiresSide, r.State) }

// Waiting says what is still to come from the provider, in words for a status line. It
// is empty when a proxy has all it needs: a cluster string, and credentials if a URL
// in it is https. What has come and was refused is in Problem.
func (r Requires) Waiting() string {
	switch {
	case !r.Connected:
		return "waiting for a unit of " + r.provider()
	case !r.Available:
		return "waiting for " + r.provider() + " to publish its cluster"
	case !r.TLSAvailable && r.Data.needsTLS():
		return "waiting for " + r.provider() + " to publish client credentials"
	default:
		return ""
	}
}

func (r Requires) provider() string {
	if r.App == "" {
		return "etcd"
	}
	return r.App
}

// ClusterString is the cluster setting, "name=peer URL,…", sorted by name; empty when
// not Available.
func (r Requires) ClusterString() string { return r.Data.Cluster() }

// ClientCA is the PEM bundle to check the servers with; empty when there are no
// credentials.
func (r Requires) ClientCA() string { return r.Data.Credentials.CA }

// ClientCert is the client's certificate in PEM; empty when there are no credentials.
func (r Requires) ClientCert() string { return r.Data.Credentials.Cert }

// ClientKey is the certificate's private key in PEM; empty when there are no
// credentials. It must not be printed.
func (r Requires) ClientKey() string { return r.Data.Credentials.Key }

// credentials are the ones to save, or an error that says why there are none.
func (r Requires) credentials() (Credentials, error) {
	switch {
	case r.Data.Credentials.Complete():
		return r.Data.Credentials, nil
	case !r.Problem.IsZero():
		return Credentials{}, r.Problem.Err()
	case r.Relation == "":
		return Credentials{}, errors.New("there is no relation")
	default:
		return Credentials{}, fmt.Errorf("relation %s: %s has published none", r.Relation, r.provider())
	}
}
