package etcdproxy

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// The settings in a provider unit's bag.
const (
	KeyCluster    = "cluster"
	KeyClientCert = "client_cert"
	KeyClientKey  = "client_key"
	KeyClientCA   = "client_ca"
	KeyClientURLs = "client_urls"
	KeyVersion    = "version"
	KeySchema     = "schema"
)

// Schema is the value of KeySchema that this package writes, and the one (besides
// none at all) under which it reads client_urls and version. The four settings from
// 2016 keep their meaning under every schema.
const Schema = "1"

// Data is all that a provider tells. The zero value tells nothing.
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
	// ClientURL is where clients reach it. Decode fills it where host names leave no
	// doubt which of the client URLs is this member's; otherwise it is empty. Dial
	// Data.ClientURLs, which is always whole.
	ClientURL string
}

// Cluster renders the members as the cluster setting has them, sorted by name. It is
// empty without members, and must not be published then.
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

// Credentials let a client of the cluster in. All three are PEM text. It prints,
// logs and marshals without the private key. (Package fmt calls no methods of
// values in unexported struct fields: keep it in exported ones, or do not print the
// holder.)
type Credentials struct {
	// Cert is the client's certificate, perhaps followed by its chain.
	Cert string
	// Key is the certificate's private key.
	Key string
	// CA is the bundle of authorities to check the servers with.
	CA string
}

// IsZero tells whether there is none of the three.
func (c Credentials) IsZero() bool { return c == Credentials{} }

// Complete tells whether there are all three; whether they are any good, Check tells.
func (c Credentials) Complete() bool { return c.Cert != "" && c.Key != "" && c.CA != "" }

// String shows the lengths of the certificates in bytes, and nothing of the key.
func (c Credentials) String() string {
	return fmt.Sprintf("{cert: %d bytes, key: %s, ca: %d bytes}", len(c.Cert), c.hiddenKey(), len(c.CA))
}

// Format prints what String gives, under every verb and flag.
func (c Credentials) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, c.String())
}

// LogValue is the credentials in a structured log, the key redacted.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("cert", len(c.Cert)), slog.String("key", c.hiddenKey()), slog.Int("ca", len(c.CA)))
}

// MarshalText is what JSON and other encoders get: the key redacted. Credentials
// cannot be stored by encoding them; they are stored in a bag (Encode) or in files
// (Requires.SaveClientCredentials).
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Credentials) hiddenKey() string {
	if c.Key == "" {
		return "none"
	}
	return "[redacted]"
}
