package operator

import (
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// Upstream is what the proxy needs to reach the cluster. It holds a private key and prints as [redacted].
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

// Endpoint is the endpoint that an etcd client on this machine is told.
func (u Upstream) Endpoint() string {
	if len(u.Listen) > 0 {
		return "http://" + u.Listen[0]
	}
	return "unix://" + u.Socket.Path
}

// Also are addresses to listen on besides, if the machine has them: it may have no IPv6, and a
// program that asks for localhost may get the IPv6 loopback address first.
func (u Upstream) Also() []string {
	var out []string
	for _, at := range u.Listen {
		if port, is := strings.CutPrefix(at, "127.0.0.1:"); is && !slices.Contains(u.Listen, "[::1]:"+port) {
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

// UpstreamMember is one member that the provider told of.
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
func upstream(l look, p *Plan) {
	if l.leaving() {
		return
	}
	p.need(l, "the proxy is not updated", upstreamUnread, clientAddressUnknown)
	switch {
	case !l.m.Relations[upstreamEndpoint].OK:
		return
	case len(l.providers) == 0:
		if l.w.Service.Running || l.w.Service.Enabled {
			p.want(l, Stop{"relation upstream is gone"})
		}
		return // the report says what is needed
	}
	provider := l.providers[0]
	// The report says what is wrong with a bag, or still missing from it.
	whole := provider.Problem.IsZero() && provider.Waiting() == ""
	if whole && (l.usable() || len(l.w.Service.Listens) > 0) {
		l.serve(p, provider.Data, l.m.Relations[upstreamEndpoint].Value[0].ID)
	}
	stopped := !l.w.Service.Running && !l.startedInVain()
	if l.w.Service.Kind == ProxyService && (stopped || l.w.Service.Running && !l.w.Service.Enabled) {
		p.want(l, Start{})
	}
}

// proxy is what the proxy's process should be started with. While an option is refused the proxy
// stays where it listens; members and credentials still change.
func (l look) proxy() Upstream {
	up := Upstream{Release: l.w.Carried}
	if l.usable() {
		if port := l.m.Config.Port; port != 0 {
			up.Listen = []string{joinHostPort(loopback(l.m.ClientAddress.Value.Ingress), port)}
		}
		if group := l.m.Config.SocketGroup; group != "" {
			up.Socket = Socket{l.w.Socket, group}
		}
	} else {
		for _, at := range addrPorts(l.w.Service.Listens) {
			up.Listen = append(up.Listen, at.String())
		}
		for _, url := range l.w.Service.Listens {
			if socket, is := socketOf(url); is {
				up.Socket = socket
			}
		}
	}
	up.Release = l.release(ProxyID, up.on)
	return up
}

// serve makes the proxy's files and process what data says. If no address in data may be dialled,
// nothing changes.
func (l look) serve(p *Plan, data etcdproxy.Data, relation string) {
	up := l.proxy()
	var misled []string
	up.Members, misled = l.m.fit(upstreamMembers(data), slices.Concat(up.Listen, up.Also()))
	if len(misled) > 0 && l.m.ClientAddress.OK {
		p.say(because(upstreamMisled, relation, few(misled)))
	}
	up.Cert, up.Key, up.CA = data.Credentials.Cert, data.Credentials.Key, data.Credentials.CA
	switch {
	case !l.m.ClientAddress.OK || l.w.Installed != l.w.Carried || len(up.Members) == 0:
		return
	case l.w.Proxy.Written != up.Digest():
		p.want(l, WriteProxy{up})
	case l.w.Service.Running && l.w.Service.Config != up.ProcessDigest() && !l.foreign():
		p.want(l, Restart{}) // a port or a release takes effect only at the start
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
