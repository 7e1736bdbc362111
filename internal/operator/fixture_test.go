package operator

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

const (
	clusterID = 0xc1
	release   = "3.7.3-0123456789ab"
)

var lookAgain = Event{Kind: hooks.UpdateStatus}

func address(n int) string { return fmt.Sprintf("10.0.0.%d", 10+n) }

func unitName(n int) string { return fmt.Sprintf("etcd/%d", n) }

func config() Config {
	c, problem := ParseConfig(nil)
	if problem != "" {
		panic(problem)
	}
	return c
}

// related are a model's relations, with the given ones at one endpoint.
func related(m Model, endpoint string, relations ...databag.Relation) map[string]Known[[]databag.Relation] {
	out := maps.Clone(m.Relations)
	if out == nil {
		out = map[string]Known[[]databag.Relation]{}
	}
	out[endpoint] = Know(relations)
	return out
}

// consuming are a model's relations, with the given ones as consumers: "proxy:1".
func consuming(m Model, ids ...string) map[string]Known[[]databag.Relation] {
	for _, at := range Endpoints() {
		if at.Encode == nil {
			continue
		}
		var relations []databag.Relation
		for _, id := range ids {
			if strings.HasPrefix(id, at.Name+":") {
				relations = append(relations, databag.Relation{ID: id, Endpoint: at.Name})
			}
		}
		m.Relations = related(m, at.Name, relations...)
	}
	return m.Relations
}

// noConsumers are relations in which the consumers' are unknown.
func noConsumers(why string) map[string]Known[[]databag.Relation] {
	out := map[string]Known[[]databag.Relation]{}
	for _, at := range Endpoints() {
		if at.Encode != nil {
			out[at.Name] = Unknown[[]databag.Relation](why)
		}
	}
	return out
}

// recordOf is the record that a plan writes; nil is none.
func recordOf(p Plan) *AppBag {
	for _, w := range p.Bags {
		if w.App && strings.HasPrefix(w.Relation, PeerEndpoint+":") {
			record, err := etcdcluster.DecodeApp(w.Relation, "etcd", w.Bag)
			if err != nil {
				panic(err)
			}
			return &record
		}
	}
	return nil
}

// wordOf is our unit's bag in a plan; nil is none.
func wordOf(p Plan) *UnitBag {
	for _, w := range p.Bags {
		if !w.App && strings.HasPrefix(w.Relation, PeerEndpoint+":") {
			unitBag, err := etcdcluster.DecodeUnit(w.Relation, "etcd/0", w.Bag)
			if err != nil {
				panic(err)
			}
			return &unitBag
		}
	}
	return nil
}

// toConsumers are the bags of consumers that a plan writes.
func toConsumers(p Plan) []BagWrite {
	var out []BagWrite
	for _, w := range p.Bags {
		if !strings.HasPrefix(w.Relation, PeerEndpoint+":") {
			out = append(out, w)
		}
	}
	return out
}

// after is what a unit remembers after a plan.
func after(m Model, p Plan) Memory {
	if p.Memory != nil {
		return *p.Memory
	}
	return m.Memory.Value
}

// model is what unit etcd/0 of n units sees; etcd/0 leads.
func model(n int) Model {
	c := config()
	m := Model{
		UUID: "model-uuid", Unit: "etcd/0", App: "etcd",
		Leader: Know(true), Config: c, Secrets: true,
		Authority:     Know(ca1()),
		Relations:     consuming(Model{}),
		PeerAddress:   Know(Address{Ingress: address(0), All: []string{address(0)}}),
		ClientAddress: Know(Address{Ingress: address(0), All: []string{address(0)}}),
		Memory:        Know(Memory{Bags: map[string]string{}}),
	}
	units := map[string]Life{}
	unitBags := map[string]UnitBag{}
	for i := range n {
		units[unitName(i)] = Alive
		if i == 0 {
			continue
		}
		unitBags[unitName(i)] = UnitBag{
			Schema: etcdcluster.Schema, PeerURL: "https://" + address(i) + ":2380", ClientURL: "https://" + address(i) + ":2379",
			ClusterID: clusterID, MemberID: uint64(i + 1), Can: can(), Quota: c.QuotaBytes,
		}
	}
	m.Units = Know(units)
	m.Cluster = Know(Cluster{
		RelationID: "cluster:0",
		AppBag:     AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint()},
		UnitBags:   unitBags,
	})
	for i := range n {
		m.Seen = append(m.Seen, uint64(i+1))
	}
	return m
}

// fresh is unit etcd/0 of an application that has not founded yet, with n units.
func fresh(n int) (Model, World) {
	m := model(n)
	cluster := m.Cluster.Value
	cluster.AppBag = AppBag{}
	for u := range cluster.UnitBags {
		cluster.UnitBags[u] = UnitBag{}
	}
	m.Cluster = Know(cluster)
	m.Seen = nil
	w := World{Carried: release, Installed: release, Reach: Absent, TLS: world(m).TLS, Period: 230, Disk: Disk{At: 1, P50: time.Millisecond}}
	return m, w
}

// world is a machine and cluster in which there is nothing to do: all units of m are ready voters,
// the last one leads.
func world(m Model) World {
	w := World{
		Carried: release, Installed: release,
		Service: Service{
			Kind: MemberService, Enabled: true, Running: true, Release: release,
			PeerURL: "https://" + address(0) + ":2380", ClientURL: "https://" + address(0) + ":2379",
		},
		Data:      Data{State: OurData, ClusterID: clusterID, MemberID: 1, Owner: Owner{m.UUID, m.Unit}},
		TLS:       certified(m),
		Reach:     Healthy,
		ClusterID: clusterID,
		Local:     Local{Live: true, Ready: true, ClusterID: clusterID, MemberID: 1, Voters: len(m.Units.Value)},
		Turn:      Turn{Known: true},
		Disk:      Disk{At: 1, P50: time.Millisecond},
		Period:    230,
	}
	w.Members = members(len(m.Units.Value))
	w.Service.Config = newView(Event{}, m, w).desiredDigest
	w.WrittenConfig = w.Service.Config
	w.Schedule = newView(Event{}, m, w).schedule()
	return fenced(m, w)
}

// certified are the certificates that a unit should have.
func certified(m Model) TLS {
	v := newView(Event{}, m, World{})
	leaf := func(sans []string) Leaf { return Leaf{Present: true, SANs: sans, Remaining: 300 * 24 * time.Hour} }
	authority := ca1()
	if m.Authority.Value != nil {
		authority = m.Authority.Value
	}
	return TLS{
		Trust: authority.Trust(), Revoked: RevokedDigest(nil), PeerList: true,
		Peer: leaf(v.peerSANs(v.sans())), Server: leaf(v.sans()), Admin: Leaf{Present: true},
	}
}

// members is n ready voters; the last one leads.
func members(n int) []Member {
	var out []Member
	for i := range n {
		out = append(out, Member{
			ID: uint64(i + 1), Name: strings.ReplaceAll(unitName(i), "/", ""),
			PeerURLs:   []string{"https://" + address(i) + ":2380"},
			ClientURLs: []string{"https://" + address(i) + ":2379"},
			Answers:    true, Ready: true, Version: "3.7.3", Leader: uint64(n),
			DBSize: 24 << 20, DBInUse: 20 << 20, Quota: 2 << 30, Term: 2, Index: 100, Applied: 100,
			CertRemaining: 364 * 24 * time.Hour,
		})
	}
	return out
}

// down makes the member of unit n not answer.
func down(w World, n int) World {
	list := append([]Member(nil), w.Members...)
	for i, mem := range list {
		if mem.ID == uint64(n+1) {
			list[i] = Member{ID: mem.ID, Name: mem.Name, PeerURLs: mem.PeerURLs, ClientURLs: mem.ClientURLs, Learner: mem.Learner}
		}
	}
	w.Members = list
	return w
}

// gone is m without unit n in goal-state.
func gone(m Model, n int) Model {
	units := map[string]Life{}
	for u, life := range m.Units.Value {
		if u != unitName(n) {
			units[u] = life
		}
	}
	m.Units = Know(units)
	return m
}

// record is m with another record.
func record(m Model, r AppBag) Model {
	c := m.Cluster.Value
	c.AppBag = r
	m.Cluster = Know(c)
	return m
}

// wiped is w with an empty data directory and a stopped service.
func wiped(w World) World {
	w.Data, w.Service, w.Local = Data{}, Service{}, Local{}
	w.WrittenConfig, w.WrittenInitial = "", Initial{}
	return down(w, 0)
}

// fenced is w with what the gate before each start should go by.
func fenced(m Model, w World) World {
	w.Fence = newView(Event{}, m, w).fence()
	return w
}
