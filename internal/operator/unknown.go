package operator

import "strings"

// part is a part of what a look shows that may be unknown. Their order is the order in which they are shown: a later one is
// often unknown because an earlier one is.
type part int

const (
	theUnits part = iota
	theLeader
	thePeers
	theAuthorities
	theConsumers
	theUpstream
	thePeerAddress
	theClientAddress
	theTurn
	parts // how many there are
)

// maxWaitBrief is in characters: what waits stands first in the status line, and has to leave room.
const maxWaitBrief = 80

// need reports whether all those parts are known. Work that waits for one that is not is told in the report: what keeps a
// renewal, a publication or a repair from happening must not stay unsaid until it has become an outage.
func (p *Plan) need(l look, work string, of ...part) bool {
	known := true
	for _, x := range of {
		if ok, _, _ := l.lacks(x); !ok {
			continue
		}
		known = false
		if p.waits == nil {
			p.waits = map[part][]string{}
		}
		p.waits[x] = append(p.waits[x], work)
	}
	return known
}

// lacks reports whether a part is not known, what people call it, and why it is not.
func (l look) lacks(x part) (unknown bool, name, why string) {
	m := l.m
	switch x {
	case theUnits:
		return !m.Units.OK, "units", m.Units.Why
	case theLeader:
		return !m.Leader.OK, "leader", m.Leader.Why
	case thePeers:
		return !m.Cluster.OK, "peers", m.Cluster.Why
	case theAuthorities:
		if m.Authority.OK && m.Authority.Value == nil && l.w.Data.State == OurData {
			return true, "certificate authorities", "there are none, though there were when the cluster was founded"
		}
		return !m.Authority.OK, "certificate authorities", m.Authority.Why
	case theConsumers:
		return !l.consumers.OK, "consumers", l.consumers.Why
	case theUpstream:
		return !m.Relations[upstreamEndpoint].OK, "upstream", m.Relations[upstreamEndpoint].Why
	case thePeerAddress:
		return !m.PeerAddress.OK, "address for peers", m.PeerAddress.Why
	case theClientAddress:
		return !m.ClientAddress.OK, "address for clients", m.ClientAddress.Why
	case theTurn:
		return !l.w.Turn.Known, "turn to restart", "etcd did not say who holds it"
	}
	return false, "", ""
}

// waiting gives a reason for each part that work waits for.
func (x *examiner) waiting(waits map[part][]string) {
	for of := range parts {
		if len(waits[of]) == 0 {
			continue
		}
		_, name, why := x.lacks(of)
		why = plain(why)
		level := Waiting
		if of == theTurn {
			level = Active // it has a lease
		}
		x.because(Degraded, level, clip(name+" unknown: "+why, maxWaitBrief),
			"%s unknown: %s; until then: %s", name, why, strings.Join(once(waits[of]), ", "))
		x.r.Reasons[len(x.r.Reasons)-1].Unknown = true
	}
}

// once is the texts without repetition, in their order.
func once(texts []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, text := range texts {
		if !seen[text] {
			out = append(out, text)
		}
		seen[text] = true
	}
	return out
}
