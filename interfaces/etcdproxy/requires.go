package etcdproxy

import "github.com/juju-charms/etcd-charm/interfaces/databag"

// Requires is the requirer's side of one relation: a look at what the provider's
// units have published, at one moment. It is a value, made by NewRequires at each
// hook and never kept; its zero value is a relation that is not there.
type Requires struct {
	// App is the provider.
	App string
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
	r := Requires{App: rel.App}
	r.Data, r.Problem = Decode(rel, now)
	r.Connected = len(rel.Units) > 0
	r.Available = len(r.Data.Members) > 0
	r.TLSAvailable = r.Available && r.Data.Credentials.Complete()
	return r
}

// Waiting says what is still missing from the provider, in words for a status line. It is empty if
// a proxy has all it needs: a cluster string, and credentials if a URL in it is https. What was
// published and refused is in Problem.
func (r Requires) Waiting() string {
	provider := r.App
	if provider == "" {
		provider = "etcd"
	}
	switch {
	case !r.Connected:
		return "waiting for a unit of " + provider
	case !r.Available:
		return "waiting for " + provider + " to publish its cluster"
	case !r.TLSAvailable && r.Data.needsTLS():
		return "waiting for " + provider + " to publish client credentials"
	default:
		return ""
	}
}
