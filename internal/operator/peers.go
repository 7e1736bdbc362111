package operator

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// AppBag is the peer application bag: what the application as a whole knows. The leader writes it.
type AppBag = etcdcluster.AppBag

// UnitBag is a unit's own peer bag.
type UnitBag = etcdcluster.UnitBag

// Ended is a consumer relation that ended.
type Ended = etcdcluster.Ended

// keptPeriods is for how many periods a client certificate may outlive the one it was issued in.
const keptPeriods = 5

// peers writes the peer relation: our own bag, and as leader the record.
func peers(v view, p *Plan) {
	if !v.leaving() {
		p.need(v, "certificates of ended relations are not revoked", consumersUnknown)
	}
	addressed := p.need(v, "nothing is published to the peers",
		peerAddressUnknown, clientAddressUnknown)
	if !p.need(v, "nothing is published to the peers", peersUnknown) {
		p.need(v, recordStays, leaderUnknown)
		return
	}
	v.rememberLearner(p)
	unitBag := v.word()
	w := BagWrite{Relation: v.m.Cluster.Value.RelationID, Owns: etcdcluster.UnitKeys()}
	// Addresses that were published stay until the present ones are known.
	if addressed || v.leaving() || v.written(w) == "" {
		bag := etcdcluster.EncodeUnit(unitBag)
		p.publish(v, w, bagDigest(bag), func() (databag.Bag, error) { return bag, nil })
	}
	defer v.rememberUnrecorded(p)
	v.sayOperation(p)
	if (v.m.Leader.OK && !v.leader()) || p.record != nil {
		return // the last unit's leave writes the record itself
	}
	record := v.m.Cluster.Value.AppBag
	record.Schema = etcdcluster.Schema
	if record.ClusterID == 0 || record.ClusterID == record.Ended {
		// The record remembers one end only. So a unit that leaves must not put a cluster on record
		// again that it has stopped, or that another bag once named.
		if v.w.Data.State == OurData && v.w.Data.ClusterID != record.Ended &&
			!v.isReplaced(v.w.Data.ClusterID) && (!v.leaving() || v.inCluster()) {
			record.ClusterID = v.w.Data.ClusterID
		} else if named := v.named(); named != 0 && !v.leaving() {
			record.ClusterID = named
		}
	}
	if v.m.Authority.OK && v.m.Authority.Value != nil {
		record.Authority = v.m.Authority.Value.Fingerprint()
	}
	record.Revoked, record.Leaves, record.Operation = v.revoked(), v.leaves(), v.advanced()
	if is := record.Operation; is.Going() && passed(is) && !passed(v.operation()) {
		record = replaced(record, is.NewCluster())
	}
	same := reflect.DeepEqual(record, v.m.Cluster.Value.AppBag)
	if same && v.m.Authority.OK && v.consumers.OK {
		return
	}
	if p.need(v, recordStays, leaderUnknown) && !same {
		if again := v.lookAgain(record.Operation); again.Request.ID != "" &&
			!slices.Contains(v.w.Done, Step(again)) && p.want(v, again) {
			return
		}
		p.record = &record
	}
}

const recordStays = "the cluster's record is not updated"

// rememberLearner keeps Memory.Learner true.
func (v view) rememberLearner(p *Plan) {
	url := v.m.Memory.Value.Learner
	for _, s := range v.w.Done {
		if add, ok := s.(AddLearner); ok {
			url = add.PeerURL
		}
	}
	waits := func(mem Member) bool { return !mem.Started() && slices.Contains(mem.PeerURLs, url) }
	if v.inCluster() && !slices.ContainsFunc(v.w.Members, waits) {
		url = ""
	}
	if v.m.Memory.Value.Learner != url {
		p.memory(v).Learner = url
	}
}

// rememberUnrecorded keeps Memory.Unrecorded true.
func (v view) rememberUnrecorded(p *Plan) {
	record, id := v.m.Cluster.Value.AppBag, v.m.Memory.Value.Unrecorded
	if p.record != nil {
		record = *p.record
	}
	if v.w.Data.State == OurData {
		id = v.w.Data.ClusterID
	}
	if id == record.Ended || slices.Contains(record.Replaced, id) ||
		(record.ClusterID != 0 && record.ClusterID != record.Ended) {
		id = 0
	}
	if v.m.Memory.Value.Unrecorded != id {
		p.memory(v).Unrecorded = id
	}
}

// replaced is the record once the cluster with that ID has taken the place of the one on record. It
// is written in the same write as the phase from which on nothing can be undone.
func replaced(r AppBag, id uint64) AppBag {
	was := r.ClusterID
	r.Replaced = slices.DeleteFunc(slices.Clone(r.Replaced), func(old uint64) bool {
		return old == id || old == was
	})
	if was != 0 && was != r.Ended {
		r.Replaced = append(r.Replaced, was)
	}
	if r.Ended == id {
		r.Ended = 0 // its data was put back
	}
	r.ClusterID = id
	return r
}

// word is what our unit publishes about itself in its bag.
func (v view) word() UnitBag {
	w := UnitBag{
		Schema: etcdcluster.Schema, Leaving: v.leaving(), Can: can(), Leaves: v.issued(),
		Quota: v.takenQuota(), Zone: v.m.Zone, Part: v.part(),
	}
	w.PeerURL, w.ClientURL = v.servedURLs()
	w.Stopped = w.Leaving && !v.w.Service.Running
	if v.w.Data.State == OurData {
		w.ClusterID, w.MemberID = v.w.Data.ClusterID, v.w.Data.MemberID
	}
	if v.w.Data.State == OurData && v.w.Reach != Healthy && !v.leaving() {
		w.Log = v.w.Log
	}
	if v.w.Service.Running && v.w.Service.Kind == MemberService {
		w.Server = ServerID(v.w.Service.Release)
	}
	if v.w.Service.Running && (v.w.Service.Config == v.desiredDigest || v.foreign()) {
		w.Running = v.desired.Generation()
	}
	return w
}

// revoked is the list of ended relations. It takes in those that this unit published to and that
// are gone. It drops those whose certificates have expired, unless the relation has come back.
func (v view) revoked() []Ended {
	was := v.m.Cluster.Value.AppBag.Revoked
	// A dropped relation is never revoked again, and a clock may be wrong by years. So our clock
	// alone drops nothing: the last entry shows the time too.
	var last int64
	for _, e := range was {
		last = max(last, e.Period)
	}
	lives := map[string]bool{} // its generation has to be counted on
	for _, c := range v.consumers.Value {
		lives[c.id] = true
	}
	var kept []Ended
	for _, e := range was {
		if e.Period+keptPeriods >= min(last, v.w.Period) || lives[e.RelationID] || !v.consumers.OK {
			kept = append(kept, e)
		}
	}
	ended := endedIn(v.m.Cluster.Value.AppBag)
	for _, id := range v.gone() {
		if generation := generationIn(v.m.Memory.Value.Bags[id]); generation > ended[id] {
			kept = append(kept, Ended{RelationID: id, Generation: generation, Period: v.w.Period})
		}
	}
	// A reader of the record would not accept more either.
	if over := len(kept) - etcdcluster.MaxRevoked; over > 0 {
		slices.SortStableFunc(kept, func(a, b Ended) int { return cmp.Compare(a.Period, b.Period) })
		kept = kept[over:]
	}
	return kept
}
