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
func (v view) refuse() Reason {
	switch {
	case v.m.ConfigProblem != "":
		return v.invalid()
	case v.role() != v.m.Config.Role:
		return because(roleFixed, v.m.Unit, string(v.role()), string(v.m.Config.Role))
	case v.leaving(),
		v.w.Service.Running && !v.w.Service.Failing && v.w.Service.Config == v.desiredDigest:
		return Reason{}
	}
	if why := v.refusedPort(); !why.none() {
		return why
	}
	if v.w.Machine.NoGroup {
		return because(groupUnknown, v.m.Config.SocketGroup)
	}
	if why := v.refusedDisk(); !why.none() {
		return why
	}
	return v.refusedQuota()
}

// invalid says which option cannot be used, or that none could be read.
func (v view) invalid() Reason {
	if name, is := strings.CutPrefix(v.m.ConfigProblem, "option "); is {
		if option, problem, is := strings.Cut(name, ": "); is {
			return because(optionInvalid, option, problem)
		}
	}
	return because(optionsUnread, v.m.Unit, v.m.ConfigProblem)
}

// binding is what an option has our service listen on.
type binding struct {
	option string
	at     []netip.AddrPort
}

// bindings are where our service is to listen; none while our own addresses are not known.
func (v view) bindings() []binding {
	switch {
	case v.role() == RoleProxy && v.m.ClientAddress.OK && v.m.Config.Port != 0:
		at := joinHostPort(loopback(v.m.ClientAddress.Value.Ingress), v.m.Config.Port)
		return []binding{{"port", addrPorts([]string{"http://" + at})}}
	case v.role() == RoleProxy, !v.addressed():
		return nil
	}
	return []binding{
		{"port", addrPorts(v.desired.ListenClient)},
		{"management_port", addrPorts(v.desired.ListenPeer)},
		{"metrics_port", addrPorts([]string{v.desired.ListenMetric})},
		{"http_port", addrPorts(v.desired.ListenHTTP)},
	}
}

// refusedPort says which port this machine does not let our service use, and why.
func (v view) refusedPort() Reason {
	own := addrPorts(v.w.Service.Listens)
	knows := len(own) > 0 || !v.w.Service.Running // otherwise the process that listens may be ours
	for _, b := range v.bindings() {
		for _, want := range b.at {
			port := int(want.Port())
			if port < v.w.Machine.LowestPort {
				return because(portForbidden, b.option,
					strconv.Itoa(port), strconv.Itoa(v.w.Machine.LowestPort))
			}
			for _, taken := range v.w.Machine.Listening {
				if knows && collide(want, taken) &&
					!slices.ContainsFunc(own, func(o netip.AddrPort) bool { return same(o, taken) }) {
					return because(portTaken, b.option, taken.String(), v.m.App)
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
func (v view) inUse() Reason {
	if !v.w.Service.Failing || v.m.ConfigProblem != "" {
		return Reason{}
	}
	_, told, listens := strings.Cut(v.w.Service.Log, "listen tcp ")
	address, _, taken := strings.Cut(told, ": bind: address already in use")
	at, err := netip.ParseAddrPort(address)
	if !listens || !taken || err != nil {
		return Reason{}
	}
	for _, b := range v.bindings() {
		for _, want := range b.at {
			if want.Port() == at.Port() {
				return because(portTaken, b.option, at.String(), v.m.App)
			}
		}
	}
	return Reason{}
}

// same reports whether a socket is the one that a process was told to listen on. If Go is told
// 0.0.0.0 it listens on [::], which takes IPv4 connections too (net, favoriteAddrFamily).
func same(told, socket netip.AddrPort) bool {
	return told == socket || told.Port() == socket.Port() &&
		told.Addr().IsUnspecified() && socket.Addr().IsUnspecified()
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
func (v view) refusedQuota() Reason {
	quota, fullest := v.m.Config.QuotaBytes, Member{}
	for _, mem := range v.w.Members {
		if mem.Answers && mem.Quota > quota && mem.DBSize >= quota && mem.DBSize > fullest.DBSize {
			fullest = mem
		}
	}
	if v.role() != RoleMember || fullest.ID == 0 {
		return Reason{}
	}
	return because(quotaTooLow, v.label(fullest),
		strconv.FormatInt(quota, 10), strconv.FormatInt(fullest.DBSize, 10))
}
