package operator

import (
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// Upstream is what the proxy needs to reach the cluster. It holds a private key and prints as
// [redacted].
type Upstream struct {
	Release   string
	Listen    []string // host:port; empty if only the socket is served
	Socket    Socket
	Members   []UpstreamMember
	Cert, Key string // PEM; "" when the provider speaks http
	CA        string
}

// Socket is a unix socket for those users of a machine that are in one group. The zero value is
// none.
type Socket struct{ Path, Group string }

// String is the socket as a URL. What a process was told about its socket is read back from it.
func (s Socket) String() string { return "unix://" + s.Path + "?group=" + s.Group }

// socketOf is the inverse of String.
func socketOf(text string) (Socket, bool) {
	path, isSocket := strings.CutPrefix(text, "unix://")
	path, group, whole := strings.Cut(path, "?group=")
	return Socket{path, group}, isSocket && whole
}

// Dialled says how to dial an address in Service.Listens.
func Dialled(url string) (network, address string) {
	if s, is := socketOf(url); is {
		return "unix", s.Path
	}
	return "tcp", strings.TrimPrefix(url, "http://")
}

// place is an address that the proxy listens on, for people.
func place(url string) string {
	_, address := Dialled(url)
	return address
}

// Endpoint is the endpoint that etcd clients on this machine use.
func (u Upstream) Endpoint() string {
	if len(u.Listen) > 0 {
		return "http://" + u.Listen[0]
	}
	return "unix://" + u.Socket.Path
}

// Also are further addresses to listen on, if the machine has them: it may have no IPv6, and a
// program that asks for localhost may get the IPv6 loopback address first.
func (u Upstream) Also() []string {
	var out []string
	for _, at := range u.Listen {
		if port, is := strings.CutPrefix(at, "127.0.0.1:"); is &&
			!slices.Contains(u.Listen, "[::1]:"+port) {
			out = append(out, "[::1]:"+port)
		}
	}
	return out
}

// URLs are the addresses that the proxy must have, as Service.Listens has them.
func (u Upstream) URLs() []string {
	var out []string
	for _, at := range u.Listen {
		out = append(out, "http://"+at)
	}
	if u.Socket != (Socket{}) {
		out = append(out, u.Socket.String())
	}
	return out
}

// UpstreamMember is one member that the provider named.
type UpstreamMember struct{ Name, PeerURL, ClientURL string }

// Digest is the digest of everything on disk that the proxy follows.
func (u Upstream) Digest() string {
	parts := []string{u.ProcessDigest(), u.Cert, u.Key, u.CA}
	for _, m := range u.Members {
		parts = append(parts, m.Name, m.PeerURL, m.ClientURL)
	}
	return digest(parts...)
}

// Env is what the proxy's process reads only at its start, sorted.
func (u Upstream) Env() []string {
	return []string{"CHARM_LISTEN=" + strings.Join(u.URLs(), ","), "CHARM_RELEASE=" + u.Release}
}

// ProcessDigest is the digest of Env; it goes into ConfigVar.
func (u Upstream) ProcessDigest() string { return digest(u.Env()...) }

// on is ProcessDigest with another release.
func (u Upstream) on(release string) string {
	u.Release = release
	return u.ProcessDigest()
}

// upstream keeps the local proxy of role proxy running. What the provider publishes is written to
// files that the proxy follows without a restart. A broken bag changes nothing: the proxy goes on
// with what it has.
func upstream(v view, p *Plan) {
	if v.leaving() {
		return
	}
	p.need(v, "the proxy is not updated", upstreamUnread, clientAddressUnknown)
	switch {
	case !v.m.Relations[upstreamEndpoint].OK:
		return
	case len(v.providers) == 0:
		if v.w.Service.Running || v.w.Service.Enabled {
			p.want(v, Stop{"relation upstream is gone"})
		}
		return // the report says what is needed
	}
	provider := v.providers[0]
	// The report says what is wrong with a bag, or still missing from it.
	whole := provider.Problem.IsZero() && provider.Waiting() == ""
	if whole && (v.usable() || len(v.w.Service.Listens) > 0) {
		v.serve(p, provider.Data, v.m.Relations[upstreamEndpoint].Value[0].ID)
	}
	stopped := !v.w.Service.Running && !v.startedInVain()
	if v.w.Service.Kind == ProxyService && (stopped || v.w.Service.Running && !v.w.Service.Enabled) {
		p.want(v, Start{})
	}
}

// proxy is what the proxy's process should be started with. While an option is refused the proxy
// stays where it listens; members and credentials still change.
func (v view) proxy() Upstream {
	up := Upstream{Release: v.w.Carried}
	if v.usable() {
		if port := v.m.Config.Port; port != 0 {
			up.Listen = []string{joinHostPort(loopback(v.m.ClientAddress.Value.Ingress), port)}
		}
		if group := v.m.Config.SocketGroup; group != "" {
			up.Socket = Socket{v.w.Socket, group}
		}
	} else {
		for _, at := range addrPorts(v.w.Service.Listens) {
			up.Listen = append(up.Listen, at.String())
		}
		for _, url := range v.w.Service.Listens {
			if socket, is := socketOf(url); is {
				up.Socket = socket
			}
		}
	}
	up.Release = v.release(ProxyID, up.on)
	return up
}

// serve makes the proxy's files and process what data says. If no address in data may be dialled,
// nothing changes.
func (v view) serve(p *Plan, data etcdproxy.Data, relation string) {
	up := v.proxy()
	var misled []string
	up.Members, misled = v.m.fit(upstreamMembers(data), slices.Concat(up.Listen, up.Also()))
	if len(misled) > 0 && v.m.ClientAddress.OK {
		p.say(because(upstreamMisled, relation, firstThree(misled)))
	}
	up.Cert, up.Key, up.CA = data.Credentials.Cert, data.Credentials.Key, data.Credentials.CA
	switch {
	case !v.m.ClientAddress.OK || v.w.Installed != v.w.Carried || len(up.Members) == 0:
		return
	case v.w.Proxy.Written != up.Digest():
		p.want(v, WriteProxy{up})
	case v.w.Service.Running && v.w.Service.Config != up.ProcessDigest() && !v.foreign():
		p.want(v, Restart{}) // a port or a release takes effect only at the start
	}
}

// upstreamMembers are the members to dial: by client URL if the provider publishes it, else by peer
// URL.
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
