package operator

import (
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// Upstream is what the proxy needs to reach the cluster. It holds a private key and prints as [redacted].
type Upstream struct {
	Release   string
	Listen    []string // host:port
	Members   []UpstreamMember
	Cert, Key string // PEM; "" when the provider speaks http
	CA        string
}

// UpstreamMember is one member that the provider told of.
type UpstreamMember struct{ Name, PeerURL, ClientURL string }

// Digest is the digest of all that the proxy follows on disk.
func (u Upstream) Digest() string {
	parts := []string{u.ProcessDigest(), u.Cert, u.Key, u.CA}
	for _, m := range u.Members {
		parts = append(parts, m.Name, m.PeerURL, m.ClientURL)
	}
	return digest(parts...)
}

// Env is what the proxy's process takes at its start only, sorted.
func (u Upstream) Env() []string {
	return []string{"CHARM_LISTEN=http://" + strings.Join(u.Listen, ",http://"), "CHARM_RELEASE=" + u.Release}
}

// ProcessDigest is the digest of Env; it goes into ConfigVar.
func (u Upstream) ProcessDigest() string { return digest(u.Env()...) }

// upstream keeps the local proxy of role proxy: what the provider publishes is written where the proxy follows it, with
// no restart. A broken bag changes nothing: the proxy goes on with what it has.
func upstream(l look, p *Plan) {
	if l.leaving() {
		return
	}
	p.need(l, "the proxy follows no change", upstreamUnread, clientAddressUnknown)
	switch {
	case !l.m.Relations[upstreamEndpoint].OK:
		return
	case len(l.providers) == 0:
		if l.w.Service.Running || l.w.Service.Enabled {
			p.want(l, Stop{"relation upstream is gone"})
		}
		return // the examination says what is needed
	}
	provider := l.providers[0]
	// What is wrong with a bag, or still missing from it, the examination says.
	whole := provider.Problem.IsZero() && provider.Waiting() == ""
	if whole && (l.usable() || len(l.w.Service.Listens) > 0) {
		l.serve(p, provider.Data)
	}
	if l.w.Service.Kind == ProxyService && (!l.w.Service.Running || !l.w.Service.Enabled) {
		p.want(l, Start{})
	}
}

// proxy is what the proxy's process should be started with. With an option that is refused the proxy goes on where it
// listens: members and credentials change all the same.
func (l look) proxy() Upstream {
	up := Upstream{Release: l.w.Carried, Listen: []string{l.proxyListen()}}
	if !l.usable() {
		up.Listen = nil
		for _, at := range addrPorts(l.w.Service.Listens) {
			up.Listen = append(up.Listen, at.String())
		}
	}
	return up
}

// serve brings the proxy's files and process to what data says.
func (l look) serve(p *Plan, data etcdproxy.Data) {
	up := l.proxy()
	up.Members = upstreamMembers(data)
	up.Cert, up.Key, up.CA = data.Credentials.Cert, data.Credentials.Key, data.Credentials.CA
	switch {
	case !l.m.ClientAddress.OK || l.w.Installed != l.w.Carried:
		return
	case l.w.Proxy.Written != up.Digest():
		p.want(l, WriteProxy{up})
	case l.w.Service.Running && l.w.Service.Config != up.ProcessDigest() && !l.foreign():
		p.want(l, Restart{}) // a port or a release is taken up at the start only
	}
}

// upstreamMembers are the members to dial: by client URL where the provider tells them, else by peer URL.
func upstreamMembers(data etcdproxy.Data) []UpstreamMember {
	var out []UpstreamMember
	for _, mem := range data.Members {
		if len(data.ClientURLs) == 0 {
			out = append(out, UpstreamMember{Name: mem.Name, PeerURL: mem.PeerURL})
		} else if mem.ClientURL != "" {
			out = append(out, UpstreamMember{mem.Name, mem.PeerURL, mem.ClientURL})
		}
	}
	for _, url := range data.ClientURLs {
		if !slices.ContainsFunc(out, func(m UpstreamMember) bool { return m.ClientURL == url }) {
			out = append(out, UpstreamMember{ClientURL: url})
		}
	}
	return out
}
