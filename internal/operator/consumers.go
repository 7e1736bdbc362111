package operator

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// goneSum stands in place of a bag's digest once the relation is gone, until its end is on record.
// It is the digest of no bag, so a relation that comes back under its ID is written again.
const goneSum = "gone"

// marked is what is remembered of a bag with credentials of a generation: the digest, and the
// generation unless it is the first.
func marked(sum string, generation int) string {
	if generation == 1 {
		return sum
	}
	return sum + "." + strconv.Itoa(generation)
}

// generationIn is the generation in a text that marked returned; any other text means the first.
func generationIn(sum string) int {
	_, text, _ := strings.Cut(sum, ".")
	if generation, err := strconv.Atoi(text); err == nil && generation > 1 {
		return generation
	}
	return 1
}

// endedIn is, for each relation, the last generation of credentials that is on the revocation list.
// Juju brings a suspended relation back under its ID; its credentials are then of the next
// generation.
func endedIn(r Record) map[string]int {
	out := make(map[string]int, len(r.Revoked))
	for _, e := range r.Revoked {
		out[e.RelationID] = max(out[e.RelationID], e.Generation)
	}
	return out
}

// Told is what one consumer relation is told. It names started voters only, from a linearizable
// list, and is the same from every unit.
type Told struct {
	Members []ToldMember // sorted by name, never empty
	Version string       // the oldest that answers, such as "3.7.3"
	// Credentials are the relation's own.
	Credentials credentials.Credentials
}

// ToldMember is a started voter, with one URL of each kind: existing consumers split lists of URLs
// at ",".
type ToldMember struct{ Name, PeerURL, ClientURL string }

// ClientURLs are the members' client URLs, sorted.
func (t Told) ClientURLs() []string {
	urls := make([]string, 0, len(t.Members))
	for _, m := range t.Members {
		urls = append(urls, m.ClientURL)
	}
	slices.Sort(urls)
	return urls
}

// consumer is one relation of an endpoint that hands out credentials.
type consumer struct {
	id string
	at Endpoint
}

// consumersOf are the relations of all endpoints that hand out credentials, sorted by endpoint and
// ID. They are known all together or not at all: relations of an endpoint that could not be read
// would be taken for gone.
func consumersOf(m *Model) Known[[]consumer] {
	out := Know([]consumer{})
	var whys []string
	for _, at := range Endpoints() {
		if at.Tell == nil {
			continue
		}
		relations := m.Relations[at.Name]
		if !relations.OK {
			whys = append(whys, relations.Why)
		}
		for _, r := range relations.Value {
			out.Value = append(out.Value, consumer{r.ID, at})
		}
	}
	slices.Sort(whys)
	if whys = slices.Compact(whys); len(whys) > 0 {
		return Unknown[[]consumer](strings.Join(whys, "; "))
	}
	return out
}

// tell publishes to the consumers. A digest of what goes into a relation's bag says whether the bag
// is right, so an unchanged bag costs no call.
func tell(l look, p *Plan) {
	if l.role() != RoleMember {
		return
	}
	record := l.m.Cluster.Value.Record
	if p.record != nil {
		record = *p.record
	}
	ended := endedIn(record)
	for _, id := range l.gone() {
		if generation := generationIn(l.m.Memory.Value.Bags[id]); generation <= ended[id] {
			delete(p.memory(l).Bags, id) // it need not be remembered any longer
		} else {
			p.memory(l).Bags[id] = marked(goneSum, generation)
		}
	}
	for _, c := range l.consumers.Value {
		if was := l.m.Memory.Value.Bags[c.id]; l.entered(c.id) && was != "" {
			p.memory(l).Bags[c.id] = marked(goneSum, generationIn(was)) // it may not be written in this hook
		}
	}
	l.rememberDeserted(p)
	l.ports(p)
	if l.consumers.OK && len(l.consumers.Value) == 0 {
		return
	}
	if !p.need(l, "nothing new is published to consumers", consumersUnknown, peersUnknown, authoritiesUnknown) || l.m.Authority.Value == nil || !l.inCluster() {
		return
	}
	// A cluster that is neither on record nor put on record by this hook may still have to yield to
	// one that is.
	told := l.told()
	if len(told.Members) == 0 || record.ClusterID != l.w.ClusterID {
		return
	}
	sum := l.sumOf(told)
	for _, c := range l.consumers.Value {
		if !l.writable(c.id) || l.awaitsUnits(p, c) {
			continue
		}
		generation := ended[c.id] + 1
		p.publish(l, BagWrite{Relation: c.id, Owns: c.at.Owns}, marked(sum, generation), func() (databag.Bag, error) {
			told := told
			var err error
			if told.Credentials, err = l.m.Authority.Value.Credentials(l.m.UUID, c.id, generation, l.w.Period); err != nil {
				return nil, err
			}
			return c.at.Tell(told)
		})
	}
}

// awaitsUnits reports whether a consumer is not told because a unit's charm does not know its
// endpoint, and says so. A consumer that was told once stays told: rolling a charm back takes
// nothing back.
func (l look) awaitsUnits(p *Plan, c consumer) bool {
	if was := l.m.Memory.Value.Bags[c.id]; was != "" && !strings.HasPrefix(was, goneSum) {
		return false
	}
	words := l.m.Cluster.Value.Words
	for _, unit := range slices.Sorted(maps.Keys(words)) {
		if words[unit].Schema != 0 && !slices.Contains(words[unit].Can, c.at.Name) {
			p.say(because(consumerAwaitsCharm, c.id, unit, c.at.Name))
			return true
		}
	}
	return false
}

// can names what this charm can do that all units must do alike: tell the consumers of each
// endpoint, take a higher quota in an order that all units compute, and take part in each kind of
// operation.
func can() []string {
	names := []string{takesQuota}
	names = slices.AppendSeq(names, maps.Keys(deeds))
	for _, at := range Endpoints() {
		if at.Tell != nil {
			names = append(names, at.Name)
		}
	}
	slices.Sort(names)
	return names
}

// sumOf is the digest of what goes into a consumer's bag, without its generation. It is the same
// for all relations: the relation's name goes only into the certificate, and does not change.
func (l look) sumOf(told Told) string {
	pieces := make([]string, 0, len(told.Members))
	for _, m := range told.Members {
		pieces = append(pieces, m.Name+"="+m.PeerURL)
	}
	return digest(
		strconv.FormatInt(l.w.Period, 10), l.m.Authority.Value.Fingerprint(), l.m.UUID,
		strings.Join(pieces, ","), strings.Join(told.ClientURLs(), ","), told.Version, strconv.Itoa(etcdcluster.Schema),
	)
}

// told is what every consumer is told, but for the certificate.
func (l look) told() Told {
	var told Told
	for _, mem := range l.voters() {
		if !mem.Started() || len(mem.PeerURLs) == 0 || len(mem.ClientURLs) == 0 {
			continue
		}
		told.Members = append(told.Members, ToldMember{mem.Name, mem.PeerURLs[0], mem.ClientURLs[0]})
		if mem.Answers && (told.Version == "" || older(mem.Version, told.Version)) {
			told.Version = mem.Version
		}
	}
	slices.SortFunc(told.Members, func(a, b ToldMember) int { return strings.Compare(a.Name, b.Name) })
	return told
}

// gone are the consumer relations that this unit published to and that Juju no longer lists, or
// lists although they have ended.
func (l look) gone() []string {
	if !l.consumers.OK || l.leaving() {
		return nil // a leaving unit sees its relations break though they live on
	}
	there := make(map[string]bool, len(l.consumers.Value))
	for _, c := range l.consumers.Value {
		there[c.id] = !l.vanished(c.id)
	}
	var out []string
	for _, at := range Endpoints() {
		for id := range l.m.Memory.Value.Bags {
			if at.Tell != nil && strings.HasPrefix(id, at.Name+":") && !there[id] {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}
