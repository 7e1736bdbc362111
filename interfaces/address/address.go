// Package address judges addresses that another machine names: in a bag, in a member list, in an
// answer. All code that dials such an address asks this package first, because some addresses lead
// back to the machine that dials, which is not what the other machine meant.
package address

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
)

// Kind is what an address is to the machine that dials it, in words that may follow the address.
type Kind string

// Kinds. Only Fit is to be dialled.
const (
	Fit         Kind = ""
	Own         Kind = "this machine's own"
	Loopback    Kind = "a loopback address"
	LinkLocal   Kind = "a link-local address"
	Unspecified Kind = "an unspecified address"
	Multicast   Kind = "a multicast address"
	Zoned       Kind = "tied to an interface"
	Malformed   Kind = "neither an address nor a host name"
)

// Judge is what a machine knows about itself. The zero value knows nothing, and accepts no loopback
// and no link-local address.
type Judge struct {
	// Listens are where this machine's own servers accept connections that they pass on, as
	// host:port. The host may be empty or unspecified, and then only loopback addresses count. What
	// is not host:port is ignored.
	Listens []string
	// Near are hosts that this machine names itself: its own address, or what its administrator
	// configured. If one is a loopback address, others may be too, because all units then share one
	// machine; likewise with link-local addresses.
	Near []string
	// Names are this machine's own host names. Its hosts file may give them a loopback address
	// (Debian's 127.0.1.1), and a server on the same machine may be named so.
	Names []string
}

// URL judges where a URL leads. Without a port the URL is not compared with Listens.
func (j Judge) URL(text string) Kind {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return Malformed
	}
	return j.Place(u.Hostname(), u.Port())
}

// HostPort judges "host:port".
func (j Judge) HostPort(text string) Kind {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Malformed
	}
	return j.Place(host, port)
}

// Place judges a host, a name or an IP address without brackets, and a port.
func (j Judge) Place(host, port string) Kind {
	kind := kindOf(host)
	switch {
	case j.listens(host, kind, port):
		return Own
	case (kind == Loopback || kind == LinkLocal) &&
		slices.ContainsFunc(j.Near, func(n string) bool { return kindOf(n) == kind }):
		return Fit
	default:
		return kind
	}
}

// Leads judges the "host:port" that a host, usually a name, was resolved to.
func (j Judge) Leads(host, place string) Kind {
	kind := j.HostPort(place)
	if kind == Loopback && slices.ContainsFunc(j.Names, func(own string) bool {
		return sameMachine(canonical(host), canonical(own))
	}) {
		return Fit
	}
	return kind
}

// sameMachine reports whether a host's name is the machine's, with or without its domain.
func sameMachine(host, own string) bool {
	return own != "" && (host == own || strings.HasPrefix(host, own+"."))
}

// listens reports whether one of our listeners accepts what is sent to that place. An unspecified
// address leads to this machine too.
func (j Judge) listens(host string, kind Kind, port string) bool {
	return slices.ContainsFunc(j.Listens, func(listen string) bool {
		at, on, err := net.SplitHostPort(listen)
		if err != nil || on != port {
			return false
		}
		switch {
		case canonical(at) == canonical(host):
			return true
		case at == "" || kindOf(at) == Unspecified:
			return kind == Loopback || kind == Unspecified
		case kind == Unspecified:
			return true
		}
		_, err = netip.ParseAddr(host)
		return kind == Loopback && err != nil && kindOf(at) == Loopback // localhost is 127.0.0.1 or ::1
	})
}

// canonical is a host in one spelling.
func canonical(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// loopbackNames are the names that RFC 6761 and the hosts files of distributions give to loopback
// addresses.
var loopbackNames = []string{
	"localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6",
	"localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
}

// kindOf is the kind of a host, judged without a port.
func kindOf(host string) Kind {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return kindOfName(canonical(host))
	}
	zoned := ip.Zone() != ""
	ip = ip.Unmap().WithZone("")
	switch {
	case ip.IsUnspecified() || ip.Is4() && ip.As4()[0] == 0:
		return Unspecified
	case ip.IsLoopback():
		return Loopback
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Multicast
	case zoned:
		return Zoned
	case ip.IsLinkLocalUnicast():
		return LinkLocal
	default:
		return Fit
	}
}

func kindOfName(name string) Kind {
	// The C library reads 0x7f000001 as 127.0.0.1.
	_, number := strconv.ParseUint(name[strings.LastIndexByte(name, '.')+1:], 0, 64)
	switch {
	case slices.Contains(loopbackNames, name) || strings.HasSuffix(name, ".localhost"):
		return Loopback
	case !hostname.Valid(name) || number == nil:
		return Malformed
	default:
		return Fit
	}
}
