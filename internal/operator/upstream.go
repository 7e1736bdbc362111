package operator

// Upstream is what the proxy needs to reach the cluster.
type Upstream struct {
	Release   string
	Listen    []string // host:port
	Members   []UpstreamMember
	Cert, Key string // PEM; "" when the provider speaks http
	CA        string
}

// UpstreamMember is one member that the provider told of.
type UpstreamMember struct{ Name, PeerURL, ClientURL string }

// String redacts.
func (Upstream) String() string { return "[redacted]" }

// GoString redacts.
func (Upstream) GoString() string { return "[redacted]" }

// Digest is the digest of all that the proxy follows on disk.
func (u Upstream) Digest() string {
	parts := []string{u.ProcessDigest(), u.Cert, u.Key, u.CA}
	for _, m := range u.Members {
		parts = append(parts, m.Name, m.PeerURL, m.ClientURL)
	}
	return digest(parts...)
}

// ProcessDigest is the digest of what the proxy's process takes at its start only; it goes into ConfigVar.
func (u Upstream) ProcessDigest() string {
	return digest(append([]string{u.Release}, u.Listen...)...)
}
