package etcdproxy

import (
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
)

// The settings in a provider unit's bag.
const (
	KeyCluster    = "cluster"
	KeyClientCert = credentials.KeyCert
	KeyClientKey  = credentials.KeyKey
	KeyClientCA   = credentials.KeyCA
	KeyClientURLs = "client_urls"
	KeyVersion    = "version"
	KeySchema     = "schema"
)

// Schema is the value of KeySchema that this package writes, and the one (besides
// none at all) under which it reads client_urls and version. The four settings from
// 2016 keep their meaning under every schema.
const Schema = "1"

// Data is everything that a provider publishes. The zero value is nothing.
type Data struct {
	// Members are the started voting members, sorted by name in what Decode returns.
	Members []Member
	// ClientURLs are the URLs that clients dial, sorted in what Decode returns. Encode
	// adds the members' own to it. Empty when the provider publishes only the settings
	// from 2016.
	ClientURLs []string
	// Version is etcd's, such as "3.7.3", or empty.
	Version string
	// Credentials are those of a client, or zero in a cluster without TLS.
	Credentials Credentials
}

// Member is one member of the etcd cluster.
type Member struct {
	// Name is etcd's name of the member.
	Name string
	// PeerURL is where members reach it: scheme, host and port, no more.
	PeerURL string
	// ClientURL is where clients reach it. Decode sets it if host names leave no doubt which client
	// URL is this member's; otherwise it is empty. Dial Data.ClientURLs, which is always complete.
	ClientURL string
}

// Cluster renders the members as the cluster setting, sorted by name. It is empty without members,
// and must not be published then.
func (d Data) Cluster() string {
	pieces := make([]string, 0, len(d.Members))
	for _, member := range sortMembers(d.Members) {
		pieces = append(pieces, member.Name+"="+member.PeerURL)
	}
	return strings.Join(pieces, ",")
}

// sortMembers returns the members sorted by name, in a slice of its own.
func sortMembers(members []Member) []Member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Credentials let a client of the cluster in.
type Credentials = credentials.Credentials
