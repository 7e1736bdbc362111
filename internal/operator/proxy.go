package operator

import (
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// goneSum stands in the place of a bag's digest once its relation is gone, until the end is on record: it is that of no bag,
// so that a relation that comes back under its id is written again.
const goneSum = "gone"

// proxy publishes to the consumers: only started voters, only from a linearizable list, the same from every unit.
// Whether a relation's bag is right is told by a digest of what goes into it, so an unchanged bag costs no call.
func proxy(l look, p *Plan) {
	if l.role() != RoleMember {
		return
	}
	record := l.m.Cluster.Value.Record
	if p.Record != nil {
		record = *p.Record
	}
	revoked := revokedIn(record)
	for _, id := range l.gone() {
		if revoked[id] { // it need not be remembered here any longer
			p.Forget = append(p.Forget, "bag."+id)
		} else {
			p.Published["bag."+id] = goneSum
		}
	}
	if key := "bag." + l.RelationID; l.entered(l.RelationID) && l.m.Published[key] != "" {
		p.Published[key] = goneSum // it may not be written in this hook
	}
	l.rememberDeserted(p)
	l.ports(p)
	if l.m.Consumers.OK && len(l.m.Consumers.Value) == 0 {
		return
	}
	if !p.need(l, "consumers hear of no change", consumersUnknown, peersUnknown, authoritiesUnknown) || l.m.Authority.Value == nil || !l.inCluster() {
		return
	}
	// A cluster that is not on record, by now or with this very commit, may yet have to yield to one that is.
	pub := l.publication()
	if pub.Cluster == "" || record.ClusterID != l.w.ClusterID {
		return
	}
	whole, withheld := l.sums(pub)
	for _, id := range l.m.Consumers.Value {
		pub.RelationID, pub.Withheld = id, revoked[id]
		sum := whole
		if pub.Withheld {
			sum = withheld
		}
		if l.writable(id) && (l.m.Published["bag."+id] != sum || l.entered(id)) {
			p.Consumers = append(p.Consumers, pub)
			p.Published["bag."+id] = sum
		}
	}
}

// entered reports whether this hook is the unit's entry into the relation: its bag is empty then, whatever was written to a
// relation of that id before.
func (l look) entered(id string) bool {
	return l.Kind == hooks.RelationCreated && l.Endpoint == "proxy" && l.RelationID == id
}

// sums are the digests of what goes into a consumer's bag, and into one from which credentials are withheld.
func (l look) sums(pub Publication) (whole, withheld string) {
	told := []string{pub.Cluster, strings.Join(pub.ClientURLs, ","), pub.Version, strconv.Itoa(etcdcluster.Schema)}
	keys := []string{strconv.FormatInt(pub.Period, 10), l.m.Authority.Value.Fingerprint, l.m.UUID}
	return digest(append(keys, told...)...), digest(append([]string{"withheld"}, told...)...)
}

// revokedIn are the relations on the revocation list. A relation on it stays there when it comes back under its id, which
// Juju does when it is suspended and resumed: its certificate would be refused.
func revokedIn(r Record) map[string]bool {
	out := make(map[string]bool, len(r.Revoked))
	for _, e := range r.Revoked {
		out[e.RelationID] = true
	}
	return out
}

// withheld are the consumer relations whose certificate is revoked, and that miss it. One without units does not: it may
// be about to end here, as it did where the leader is.
func (l look) withheld() []string {
	revoked := revokedIn(l.m.Cluster.Value.Record)
	return slices.DeleteFunc(slices.Clone(l.m.Consumers.Value), func(id string) bool { return !revoked[id] || l.desertion(id) != "" })
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
