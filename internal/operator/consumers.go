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

// goneDigest replaces a bag's digest once the relation is gone, until its end is on
// record. It is the digest of no bag, so a relation that comes back under its ID is written again.
const goneDigest = "gone"

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
func endedIn(r AppBag) map[string]int {
	out := make(map[string]int, len(r.Revoked))
	for _, e := range r.Revoked {
		out[e.RelationID] = max(out[e.RelationID], e.Generation)
	}
	return out
}

// ConsumerData is what one consumer relation is told. It names started voters only, from a
// linearizable list, and is the same from every unit.
type ConsumerData struct {
	Members []ConsumerMember // sorted by name, never empty
	Version string           // the oldest that answers, such as "3.7.3"
	// Credentials are the relation's own.
	Credentials credentials.Credentials
}

// ConsumerMember is a started voter, with one URL of each kind: existing consumers split lists of
// URLs at ",".
type ConsumerMember struct{ Name, PeerURL, ClientURL string }

// ClientURLs are the members' client URLs, sorted.
func (t ConsumerData) ClientURLs() []string {
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
		if at.Encode == nil {
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

// publishToConsumers publishes to the consumers. A digest of what goes into a relation's bag shows
// whether the bag is right, so an unchanged bag costs no call.
func publishToConsumers(v view, p *Plan) {
	if v.role() != RoleMember {
		return
	}
	record := v.m.Cluster.Value.AppBag
	if p.record != nil {
		record = *p.record
	}
	ended := endedIn(record)
	for _, id := range v.gone() {
		if generation := generationIn(v.m.Memory.Value.Bags[id]); generation <= ended[id] {
			delete(p.memory(v).Bags, id) // it need not be remembered any longer
		} else {
			p.memory(v).Bags[id] = marked(goneDigest, generation)
		}
	}
	for _, c := range v.consumers.Value {
		if was := v.m.Memory.Value.Bags[c.id]; v.entered(c.id) && was != "" {
			// It may not be written in this hook.
			p.memory(v).Bags[c.id] = marked(goneDigest, generationIn(was))
		}
	}
	v.rememberDeserted(p)
	v.ports(p)
	if v.consumers.OK && len(v.consumers.Value) == 0 {
		return
	}
	if !p.need(v, "nothing new is published to consumers",
		consumersUnknown, peersUnknown, authoritiesUnknown) ||
		v.m.Authority.Value == nil || !v.inCluster() {
		return
	}
	// A cluster that is neither on record nor put on record by this hook may still have to yield to
	// one that is.
	told := v.consumerData()
	if len(told.Members) == 0 || record.ClusterID != v.w.ClusterID {
		return
	}
	sum := v.digestOf(told)
	for _, c := range v.consumers.Value {
		if !v.writable(c.id) || v.awaitsUnits(p, c) {
			continue
		}
		generation := ended[c.id] + 1
		p.publish(v, BagWrite{Relation: c.id, Owns: c.at.Owns}, marked(sum, generation),
			func() (databag.Bag, error) {
				told := told
				var err error
				if told.Credentials, err = v.m.Authority.Value.Credentials(
					v.m.UUID, c.id, generation, v.w.Period); err != nil {
					return nil, err
				}
				return c.at.Encode(told)
			})
	}
}

// awaitsUnits reports whether a consumer is not told because a unit's charm does not know its
// endpoint, and says so. A consumer that was told once stays told: rolling a charm back takes
// nothing back.
func (v view) awaitsUnits(p *Plan, c consumer) bool {
	if was := v.m.Memory.Value.Bags[c.id]; was != "" && !strings.HasPrefix(was, goneDigest) {
		return false
	}
	unitBags := v.m.Cluster.Value.UnitBags
	for _, unit := range slices.Sorted(maps.Keys(unitBags)) {
		if unitBags[unit].Schema != 0 && !slices.Contains(unitBags[unit].Can, c.at.Name) {
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
	names = slices.AppendSeq(names, maps.Keys(procedures))
	for _, at := range Endpoints() {
		if at.Encode != nil {
			names = append(names, at.Name)
		}
	}
	slices.Sort(names)
	return names
}

// digestOf is the digest of what goes into a consumer's bag, without its generation. It is the same
// for all relations: the relation's name goes only into the certificate, and does not change.
func (v view) digestOf(told ConsumerData) string {
	pieces := make([]string, 0, len(told.Members))
	for _, m := range told.Members {
		pieces = append(pieces, m.Name+"="+m.PeerURL)
	}
	return digest(
		strconv.FormatInt(v.w.Period, 10), v.m.Authority.Value.Fingerprint(), v.m.UUID,
		strings.Join(pieces, ","), strings.Join(told.ClientURLs(), ","),
		told.Version, strconv.Itoa(etcdcluster.Schema),
	)
}

// consumerData is what every consumer gets, without the certificate.
func (v view) consumerData() ConsumerData {
	var told ConsumerData
	for _, mem := range v.voters() {
		if !mem.Started() || len(mem.PeerURLs) == 0 || len(mem.ClientURLs) == 0 {
			continue
		}
		told.Members = append(told.Members, ConsumerMember{mem.Name, mem.PeerURLs[0], mem.ClientURLs[0]})
		if mem.Answers && (told.Version == "" || older(mem.Version, told.Version)) {
			told.Version = mem.Version
		}
	}
	slices.SortFunc(told.Members, func(a, b ConsumerMember) int {
		return strings.Compare(a.Name, b.Name)
	})
	return told
}

// gone are the consumer relations that this unit published to and that Juju no longer lists, or
// lists although they have ended.
func (v view) gone() []string {
	if !v.consumers.OK || v.leaving() {
		return nil // a leaving unit sees its relations break though they live on
	}
	there := make(map[string]bool, len(v.consumers.Value))
	for _, c := range v.consumers.Value {
		there[c.id] = !v.vanished(c.id)
	}
	var out []string
	for _, at := range Endpoints() {
		for id := range v.m.Memory.Value.Bags {
			if at.Encode != nil && strings.HasPrefix(id, at.Name+":") && !there[id] {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}
