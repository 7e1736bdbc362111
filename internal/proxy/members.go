package proxy

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/address"
)

// The port on which etcd serves clients unless told otherwise.
const defaultClientPort = "2379"

// target is one place to dial. Two targets are the same place if their URLs
// are equal.
type target struct {
	name string // the member's name, for logs
	url  string // scheme://host:port
	addr string // host:port
	host string // the server's certificate must be valid for it
	tls  bool

	spare bool           // known from the cluster's member list alone
	judge *address.Judge // judges what the name resolves to; nil accepts anything
}

// newTarget turns a member's URL into a place to dial.
func newTarget(name string, u *url.URL) target {
	port := u.Port()
	if port == "" {
		port = defaultClientPort
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	return target{
		name: name, url: u.Scheme + "://" + addr,
		addr: addr, host: u.Hostname(), tls: u.Scheme == "https",
	}
}

// listedMember is one member as etcd lists it at GET <peer URL>/members
// (server/etcdserver/api/etcdhttp/peer.go, membership.Member).
type listedMember struct {
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
	IsLearner  bool     `json:"isLearner"`
}

// decodeMembers decodes the body of GET /members. A list without members is an error: a running
// etcd never gives one.
func decodeMembers(body []byte) ([]listedMember, error) {
	var ms []listedMember
	if err := json.Unmarshal(body, &ms); err != nil {
		return nil, fmt.Errorf("cannot decode member list: %w", err)
	}
	if len(ms) == 0 {
		return nil, fmt.Errorf("cannot use member list: it is empty")
	}
	return ms, nil
}

// needsListing reports whether some member's client URL must be asked for.
func needsListing(c Config) bool {
	return slices.ContainsFunc(c.Members, func(m Member) bool { return m.ClientURL == "" })
}

// places are where to dial, and the named addresses that must not be dialled.
type places struct {
	judge   address.Judge
	found   []target
	refused []refused
}

// refused is a named address that must not be dialled, and why.
type refused struct {
	url string
	why address.Kind
}

// add takes a target, once, if it may be dialled.
func (p *places) add(t target) {
	if why := p.judge.HostPort(t.addr); why != address.Fit {
		if r := (refused{t.url, why}); !slices.Contains(p.refused, r) {
			p.refused = append(p.refused, r)
		}
		return
	}
	t.judge = &p.judge
	if !slices.ContainsFunc(p.found, func(o target) bool { return o.url == t.url }) {
		p.found = append(p.found, t)
	}
}

// split separates the configured targets from the spare ones.
func (p places) split() (configured, spare []target) {
	for _, t := range p.found {
		if t.spare {
			spare = append(spare, t)
		} else {
			configured = append(configured, t)
		}
	}
	return configured, spare
}

// targets returns where to dial. The configuration decides which members there are. listed, the
// cluster's own answer (nil if there is none), gives the client URLs of members configured without
// one, and says which must not be dialled: a learner, or a member that has not started. For a
// member that the answer does not know, the guess is its peer host and the usual port, and voters
// that match no configured member stand in for it: a provider may name hosts where etcd lists
// addresses.
//
// By what was learned, configured members that have left are not dialled. Voters that are not
// configured, or not among the targets, become spare ones: for connections that no configured
// member takes.
func targets(c Config, listed []listedMember, l learned) places {
	out := places{judge: c.judge()}
	secure := c.Credentials != (Credentials{})
	claimed := make([]bool, len(listed))
	unknown := false
	for _, m := range c.Members {
		if l.lost(m, c) {
			continue
		}
		i := match(m, listed)
		if i >= 0 {
			claimed[i] = true
		}
		if m.ClientURL != "" {
			if u, err := parseURL(m.ClientURL); err == nil {
				out.add(newTarget(m.Name, u))
			}
			continue
		}
		if i >= 0 {
			if t, ok := listedTarget(listed[i], secure); ok {
				out.add(t)
			}
			continue
		}
		unknown = true
		if u, err := parseURL(m.PeerURL); err == nil {
			u.Host = net.JoinHostPort(u.Hostname(), defaultClientPort)
			out.add(newTarget(m.Name, u))
		}
	}
	for i, m := range listed {
		if t, ok := listedTarget(m, secure); ok && unknown && !claimed[i] {
			out.add(t)
		}
	}
	for _, m := range l.Members {
		if t, ok := listedTarget(m, secure); ok {
			t.spare = true
			out.add(t)
		}
	}
	return out
}

// match finds the configured member in the list, by peer URL, else by name, else by client URL.
func match(m Member, listed []listedMember) int {
	i := slices.IndexFunc(listed, func(l listedMember) bool {
		return m.PeerURL != "" && slices.Contains(l.PeerURLs, m.PeerURL)
	})
	if i < 0 && m.Name != "" {
		i = slices.IndexFunc(listed, func(l listedMember) bool { return l.Name == m.Name })
	}
	if i < 0 && m.ClientURL != "" {
		i = slices.IndexFunc(listed, func(l listedMember) bool {
			return slices.Contains(l.ClientURLs, m.ClientURL)
		})
	}
	return i
}

// listedTarget picks the client URL of a voter: one of the scheme that our credentials call for if
// there is one, and one that names a usable host before one whose host must be replaced.
func listedTarget(l listedMember, secure bool) (target, bool) {
	if l.IsLearner {
		return target{}, false
	}
	peerHost := ""
	if len(l.PeerURLs) > 0 {
		if u, err := parseURL(l.PeerURLs[0]); err == nil {
			peerHost = u.Hostname()
		}
	}
	best, bestRank := target{}, -1
	for _, s := range l.ClientURLs {
		u, err := parseURL(s)
		if err != nil {
			continue
		}
		rank := 1
		if h := mendedHost(u.Hostname(), peerHost); h != u.Hostname() {
			port := u.Port()
			if port == "" {
				port = defaultClientPort
			}
			u.Host, rank = net.JoinHostPort(h, port), 0
		}
		if (u.Scheme == "https") == secure {
			rank += 2
		}
		if rank > bestRank {
			best, bestRank = newTarget(l.Name, u), rank
		}
	}
	return best, bestRank >= 0
}

// mendedHost replaces a host that only means something on the member's own
// machine (0.0.0.0, localhost, a loopback address) by the member's peer host.
func mendedHost(host, peerHost string) string {
	if peerHost == "" {
		return host
	}
	if host == "localhost" {
		return peerHost
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	peerIP, err := netip.ParseAddr(peerHost)
	peerLocal := err == nil && peerIP.IsLoopback()
	if ip.IsUnspecified() || (ip.IsLoopback() && !peerLocal) {
		return peerHost
	}
	return host
}
