package operator

import (
	"sort"
	"strconv"
	"strings"
)

// proxy publishes to the consumers: only started voters, only from a linearizable list, the same from every unit.
// Whether a relation's bag is right is told by a digest of what goes into it, so an unchanged bag costs no call.
func proxy(l look, p *Plan) {
	if l.role() != RoleMember {
		return
	}
	// What is on the revocation list need not be remembered here any longer.
	listed := map[string]bool{}
	for _, e := range l.m.Cluster.Value.Record.Revoked {
		listed[e.RelationID] = true
	}
	for _, id := range l.gone() {
		if listed[id] {
			p.Forget = append(p.Forget, "bag."+id)
		}
	}
	l.ports(p)
	if !l.m.Consumers.OK || !l.m.Cluster.OK || !l.m.Authority.OK || l.m.Authority.Value == nil || !l.inCluster() {
		return
	}
	// A cluster that is not on record, by now or with this very commit, may yet have to yield to one that is.
	record := l.m.Cluster.Value.Record
	if p.Record != nil {
		record = *p.Record
	}
	pub := l.publication()
	if pub.Cluster == "" || record.ClusterID != l.w.ClusterID {
		return
	}
	sum := digest(pub.Cluster, strings.Join(pub.ClientURLs, ","), pub.Version, strconv.FormatInt(pub.Period, 10),
		l.m.Authority.Value.Fingerprint, l.m.UUID, strconv.Itoa(Schema))
	for _, id := range l.m.Consumers.Value {
		if l.m.Published["bag."+id] == sum {
			continue
		}
		pub.RelationID = id
		p.Consumers = append(p.Consumers, pub)
		p.Published["bag."+id] = sum
	}
}

// publication is what every consumer is told, but for the certificate.
func (l look) publication() Publication {
	pub := Publication{Period: l.w.Period}
	var pieces []string
	for _, mem := range l.voters() {
		if !mem.Started() || len(mem.PeerURLs) == 0 || len(mem.ClientURLs) == 0 {
			continue
		}
		// Exactly one URL per member: readers in the field split on ",".
		pieces = append(pieces, mem.Name+"="+mem.PeerURLs[0])
		pub.ClientURLs = append(pub.ClientURLs, mem.ClientURLs[0])
		if mem.Answers && (pub.Version == "" || older(mem.Version, pub.Version)) {
			pub.Version = mem.Version
		}
	}
	sort.Strings(pieces)
	sort.Strings(pub.ClientURLs)
	pub.Cluster = strings.Join(pieces, ",")
	return pub
}

// older compares dotted version numbers.
func older(a, b string) bool {
	as, bs := strings.Split(version(a), "."), strings.Split(version(b), ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x < y
		}
	}
	return len(as) < len(bs)
}

// ports keeps the client port open while a member serves.
func (l look) ports(p *Plan) {
	if !l.usable() || l.w.Data.State != OurData || l.leaving() {
		return
	}
	want := []int{l.m.Config.Port}
	if l.m.Config.HTTPPort != 0 {
		want = append(want, l.m.Config.HTTPPort)
	}
	sort.Ints(want)
	var text []string
	for _, n := range want {
		text = append(text, strconv.Itoa(n))
	}
	if sum := strings.Join(text, ","); l.m.Published["ports"] != sum {
		p.Ports, p.Published["ports"] = want, sum
	}
}
