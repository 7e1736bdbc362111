package operator

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// refuse says why the options may not be applied: they cannot be used as they are (ParseConfig), or
// the unit, this machine or the data would refuse them. An option that our process already runs
// with has shown that it works.
func (l look) refuse() Reason {
	switch {
	case l.m.ConfigProblem != "":
		return l.invalid()
	case l.role() != l.m.Config.Role:
		return because(roleFixed, l.m.Unit, string(l.role()), string(l.m.Config.Role))
	case l.leaving(), l.w.Service.Running && !l.w.Service.Failing && l.w.Service.Config == l.sum:
		return Reason{}
	}
	if why := l.refusedPort(); !why.none() {
		return why
	}
	if l.w.Machine.NoGroup {
		return because(groupUnknown, l.m.Config.SocketGroup)
	}
	if why := l.refusedDisk(); !why.none() {
		return why
	}
	return l.refusedQuota()
}

// invalid says which option cannot be used, or that none could be read.
func (l look) invalid() Reason {
	if name, is := strings.CutPrefix(l.m.ConfigProblem, "option "); is {
		if option, problem, is := strings.Cut(name, ": "); is {
			return because(optionInvalid, option, problem)
		}
	}
	return because(optionsUnread, l.m.Unit, l.m.ConfigProblem)
}

// binding is what an option has our service listen on.
type binding struct {
	option string
	at     []netip.AddrPort
}

// bindings are where our service is to listen; none while our own addresses are not known.
func (l look) bindings() []binding {
	switch {
	case l.role() == RoleProxy && l.m.ClientAddress.OK && l.m.Config.Port != 0:
		at := joinHostPort(loopback(l.m.ClientAddress.Value.Ingress), l.m.Config.Port)
		return []binding{{"port", addrPorts([]string{"http://" + at})}}
	case l.role() == RoleProxy, !l.addressed():
		return nil
	}
	return []binding{
		{"port", addrPorts(l.should.ListenClient)},
		{"management_port", addrPorts(l.should.ListenPeer)},
		{"metrics_port", addrPorts([]string{l.should.ListenMetric})},
		{"http_port", addrPorts(l.should.ListenHTTP)},
	}
}

// refusedPort says which port this machine does not let our service use, and why.
func (l look) refusedPort() Reason {
	own := addrPorts(l.w.Service.Listens)
	knows := len(own) > 0 || !l.w.Service.Running // otherwise the process that listens may be ours
	for _, b := range l.bindings() {
		for _, want := range b.at {
			port := int(want.Port())
			if port < l.w.Machine.LowestPort {
				return because(portForbidden, b.option, strconv.Itoa(port), strconv.Itoa(l.w.Machine.LowestPort))
			}
			for _, taken := range l.w.Machine.Listening {
				if knows && collide(want, taken) && !slices.ContainsFunc(own, func(o netip.AddrPort) bool { return same(o, taken) }) {
					return because(portTaken, b.option, taken.String(), l.m.App)
				}
			}
		}
	}
	return Reason{}
}

// inUse says that our service keeps failing because another process has one of its ports. The
// service's log proves it: a socket that is bound but does not listen is in no list, and our own is
// bound for a moment at each attempt. It is none while the options are refused, because the log may
// then be about another port.
func (l look) inUse() Reason {
	if !l.w.Service.Failing || l.m.ConfigProblem != "" {
		return Reason{}
	}
	_, told, listens := strings.Cut(l.w.Service.Log, "listen tcp ")
	address, _, taken := strings.Cut(told, ": bind: address already in use")
	at, err := netip.ParseAddrPort(address)
	if !listens || !taken || err != nil {
		return Reason{}
	}
	for _, b := range l.bindings() {
		for _, want := range b.at {
			if want.Port() == at.Port() {
				return because(portTaken, b.option, at.String(), l.m.App)
			}
		}
	}
	return Reason{}
}

// same reports whether a socket is the one that a process was told to listen on. If Go is told
// 0.0.0.0 it listens on [::], which takes IPv4 connections too (net, favoriteAddrFamily).
func same(told, socket netip.AddrPort) bool {
	return told == socket || told.Port() == socket.Port() && told.Addr().IsUnspecified() && socket.Addr().IsUnspecified()
}

// collide reports whether one socket cannot listen where the other does. A socket on [::] takes
// IPv4 connections too, unless it was told not to, which cannot be seen.
func collide(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() {
		return false
	}
	for _, pair := range [][2]netip.Addr{{a.Addr(), b.Addr()}, {b.Addr(), a.Addr()}} {
		if pair[0] == pair[1] || (pair[0].IsUnspecified() && (pair[0].Is6() || pair[1].Is4())) {
			return true
		}
	}
	return false
}

// addrPorts are the addresses in URLs that have one.
func addrPorts(urls []string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		ip, notIP := netip.ParseAddr(u.Hostname())
		port, notPort := strconv.ParseUint(u.Port(), 10, 16)
		if notIP == nil && notPort == nil {
			out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
		}
	}
	return out
}

// refusedQuota says that the data would not fit a lowered quota: the first member to take it would
// raise alarm NOSPACE, and all writes would be refused. If the database has outgrown a quota by
// itself, the alarm reports that.
func (l look) refusedQuota() Reason {
	quota, fullest := l.m.Config.QuotaBytes, Member{}
	for _, mem := range l.w.Members {
		if mem.Answers && mem.Quota > quota && mem.DBSize >= quota && mem.DBSize > fullest.DBSize {
			fullest = mem
		}
	}
	if l.role() != RoleMember || fullest.ID == 0 {
		return Reason{}
	}
	return because(quotaTooLow, l.label(fullest), strconv.FormatInt(quota, 10), strconv.FormatInt(fullest.DBSize, 10))
}
