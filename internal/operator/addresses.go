package operator

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
)

// joinHostPort is net.JoinHostPort of a number.
func joinHostPort(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// peerURL is where other members reach us.
func (v view) peerURL() string {
	if !v.m.PeerAddress.OK {
		return ""
	}
	return "https://" + joinHostPort(v.m.PeerAddress.Value.Ingress, v.m.Config.ManagementPort)
}

// clientURL is where clients reach us.
func (v view) clientURL() string {
	if !v.m.ClientAddress.OK {
		return ""
	}
	return "https://" + joinHostPort(v.m.ClientAddress.Value.Ingress, v.m.Config.Port)
}

// servedURLs are the URLs where members and clients reach us now. Until it is restarted, our server
// keeps the ports that it was started with. It keeps the address too, unless it listens on all
// addresses of the machine.
func (v view) servedURLs() (peer, client string) {
	peer, client = v.peerURL(), v.clientURL()
	if !v.w.Service.Running || v.w.Service.Config == v.desiredDigest {
		return peer, client
	}
	if peer != "" {
		peer = v.servedURL(v.m.PeerAddress.Value, v.w.Service.PeerURL, peer)
	}
	if client != "" {
		client = v.servedURL(v.m.ClientAddress.Value, v.w.Service.ClientURL, client)
	}
	return peer, client
}

func (v view) servedURL(a Address, started, fallback string) string {
	port, ok := portOf(started)
	if !ok {
		return fallback
	}
	if u, err := url.Parse(v.listen(a, port)[0]); err == nil {
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
			return "https://" + joinHostPort(a.Ingress, port)
		}
	}
	return started
}

// portOf is a URL's port.
func portOf(text string) (int, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return 0, false
	}
	port, err := strconv.Atoi(u.Port())
	return port, err == nil
}

// addressed reports whether both bindings are known.
func (v view) addressed() bool { return v.m.PeerAddress.OK && v.m.ClientAddress.OK }

// loopback is the address to serve on for this machine only. A unit whose own address is a loopback
// address uses that one, so that many units can share a machine; every other unit uses 127.0.0.1.
func loopback(own string) string {
	if ip, err := netip.ParseAddr(own); err == nil && ip.IsLoopback() {
		return own
	}
	return "127.0.0.1"
}

// listen is the URLs to bind for an address of ours: the wildcard, or the address itself and
// loopback.
func (v view) listen(a Address, port int) []string {
	host := a.Ingress
	ip, err := netip.ParseAddr(host)
	if err != nil || !slices.Contains(a.All, host) {
		// A host name, or an address that this machine does not have (a floating one), cannot be
		// bound; the address behind it can.
		host = a.Bound
	}
	bound, unbound := netip.ParseAddr(host)
	if unbound != nil || v.m.Config.BindToAllInterfaces && !bound.IsLoopback() {
		host = "0.0.0.0"
		if err == nil && ip.Is6() {
			host = "::"
		}
	}
	urls := []string{"https://" + joinHostPort(host, port)}
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() && !ip.IsLoopback() {
		urls = append(urls, "https://"+joinHostPort("127.0.0.1", port))
	}
	return urls
}

// sans are the names that our certificates must contain: every address of every binding, extras,
// and loopback.
func (v view) sans() []string {
	out := []string{
		"127.0.0.1", "::1", "localhost",
		v.m.PeerAddress.Value.Ingress, v.m.ClientAddress.Value.Ingress,
	}
	out = append(out, v.m.PeerAddress.Value.All...)
	out = append(out, v.m.ClientAddress.Value.All...)
	return canonical(append(out, v.m.Config.ExtraSANs...))
}

// peerSANs are the names for the peer certificate: all addresses, and the host name that peers dial
// if there is one. If a caller's address is not in its certificate, etcd looks up the DNS names in
// it (checkCertSAN). A member whose address changed would then hang at its peers for as long as DNS
// takes, instead of being refused at once; so no other host names are included.
func (v view) peerSANs(all []string) []string {
	dialled := canonical([]string{v.m.PeerAddress.Value.Ingress})
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		_, err := netip.ParseAddr(name)
		return err != nil && !slices.Contains(dialled, name)
	})
}

// canonical sorts names and addresses, each in the spelling in which it is read back from a
// certificate. What is neither an address nor a host name cannot be in a certificate and is left
// out.
func canonical(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if ip, err := netip.ParseAddr(n); err == nil {
			out = append(out, ip.Unmap().WithZone("").String())
		} else if n = strings.TrimSuffix(n, "."); hostname.ValidPattern(n) {
			out = append(out, strings.ToLower(n))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// settings are our member's settings as they should be, without those of a first start.
func (v view) settings() Server {
	c := v.m.Config
	s := Server{
		Name:         memberName(v.m.Unit),
		Release:      v.w.Carried,
		ListenPeer:   v.listen(v.m.PeerAddress.Value, c.ManagementPort),
		ListenClient: v.listen(v.m.ClientAddress.Value, c.Port),
		ListenMetric: "http://" + joinHostPort(loopback(v.m.ClientAddress.Value.Ingress), c.MetricsPort),
		PeerURL:      v.peerURL(),
		ClientURL:    v.clientURL(),
		Trust:        v.w.TLS.Trust,
		Config:       c,
		Paths:        v.w.Paths,
		Restart:      v.restartMark(),
	}
	if c.HTTPPort != 0 {
		s.ListenHTTP = v.listen(v.m.ClientAddress.Value, c.HTTPPort)
	}
	if v.m.Authority.OK && v.m.Authority.Value != nil {
		s.Trust = v.m.Authority.Value.Trust()
	}
	return s
}
