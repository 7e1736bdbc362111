package operator

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// Record is the peer application bag: what the application as a whole knows. The leader writes it.
type Record = etcdcluster.AppBag

// Word is a unit's own peer bag.
type Word = etcdcluster.UnitBag

// Ended is a consumer relation that ended.
type Ended = etcdcluster.Ended

// keptPeriods is for how many periods a client certificate may outlive the one it was issued in.
const keptPeriods = 5

// peers writes the peer relation: our own bag, and as leader the record.
func peers(l look, p *Plan) {
	if !l.leaving() {
		p.need(l, "certificates of ended relations are not revoked", consumersUnknown)
	}
	addressed := p.need(l, "nothing is published to the peers", peerAddressUnknown, clientAddressUnknown)
	if !p.need(l, "nothing is published to the peers", peersUnknown) {
		p.need(l, recordStays, leaderUnknown)
		return
	}
	l.rememberLearner(p)
	word := l.word()
	w := BagWrite{Relation: l.m.Cluster.Value.RelationID, Owns: etcdcluster.UnitKeys()}
	// Addresses that were published stay until the present ones are known.
	if addressed || l.leaving() || l.written(w) == "" {
		bag := etcdcluster.EncodeUnit(word)
		p.publish(l, w, bagDigest(bag), func() (databag.Bag, error) { return bag, nil })
	}
	defer l.rememberUnrecorded(p)
	l.sayOperation(p)
	if (l.m.Leader.OK && !l.leader()) || p.record != nil {
		return // the last unit's leave writes the record itself
	}
	record := l.m.Cluster.Value.Record
	record.Schema = etcdcluster.Schema
	if record.ClusterID == 0 || record.ClusterID == record.Ended {
		// The record remembers one end only. So a unit that leaves must not put a cluster on record
		// again that it has stopped, or that another bag once named.
		if l.w.Data.State == OurData && l.w.Data.ClusterID != record.Ended && !l.isReplaced(l.w.Data.ClusterID) && (!l.leaving() || l.inCluster()) {
			record.ClusterID = l.w.Data.ClusterID
		} else if named := l.named(); named != 0 && !l.leaving() {
			record.ClusterID = named
		}
	}
	if l.m.Authority.OK && l.m.Authority.Value != nil {
		record.Authority = l.m.Authority.Value.Fingerprint()
	}
	record.Revoked, record.Leaves, record.Operation = l.revoked(), l.leaves(), l.advanced()
	if is := record.Operation; is.Going() && passed(is) && !passed(l.operation()) {
		record = replaced(record, is.NewCluster())
	}
	same := reflect.DeepEqual(record, l.m.Cluster.Value.Record)
	if same && l.m.Authority.OK && l.consumers.OK {
		return
	}
	if p.need(l, recordStays, leaderUnknown) && !same {
		if again := l.lookAgain(record.Operation); again.Request.ID != "" && !slices.Contains(l.w.Done, Step(again)) && p.want(l, again) {
			return
		}
		p.record = &record
	}
}

const recordStays = "the cluster's record is not updated"

// rememberLearner keeps Memory.Learner true.
func (l look) rememberLearner(p *Plan) {
	url := l.m.Memory.Value.Learner
	for _, s := range l.w.Done {
		if add, ok := s.(AddLearner); ok {
			url = add.PeerURL
		}
	}
	waits := func(mem Member) bool { return !mem.Started() && slices.Contains(mem.PeerURLs, url) }
	if l.inCluster() && !slices.ContainsFunc(l.w.Members, waits) {
		url = ""
	}
	if l.m.Memory.Value.Learner != url {
		p.memory(l).Learner = url
	}
}

// rememberUnrecorded keeps Memory.Unrecorded true.
func (l look) rememberUnrecorded(p *Plan) {
	record, id := l.m.Cluster.Value.Record, l.m.Memory.Value.Unrecorded
	if p.record != nil {
		record = *p.record
	}
	if l.w.Data.State == OurData {
		id = l.w.Data.ClusterID
	}
	if id == record.Ended || slices.Contains(record.Replaced, id) || (record.ClusterID != 0 && record.ClusterID != record.Ended) {
		id = 0
	}
	if l.m.Memory.Value.Unrecorded != id {
		p.memory(l).Unrecorded = id
	}
}

// replaced is the record once the cluster with that ID has taken the place of the one on record. It
// is written in the same write as the phase from which on nothing can be undone.
func replaced(r Record, id uint64) Record {
	was := r.ClusterID
	r.Replaced = slices.DeleteFunc(slices.Clone(r.Replaced), func(old uint64) bool { return old == id || old == was })
	if was != 0 && was != r.Ended {
		r.Replaced = append(r.Replaced, was)
	}
	if r.Ended == id {
		r.Ended = 0 // its data was put back
	}
	r.ClusterID = id
	return r
}

// word is what our unit publishes about itself.
func (l look) word() Word {
	w := Word{
		Schema: etcdcluster.Schema, Leaving: l.leaving(), Can: can(), Leaves: l.issued(), Quota: l.takenQuota(), Zone: l.m.Zone, Part: l.part(),
	}
	w.PeerURL, w.ClientURL = l.servedURLs()
	w.Stopped = w.Leaving && !l.w.Service.Running
	if l.w.Data.State == OurData {
		w.ClusterID, w.MemberID = l.w.Data.ClusterID, l.w.Data.MemberID
	}
	if l.w.Data.State == OurData && l.w.Reach != Healthy && !l.leaving() {
		w.Log = l.w.Log
	}
	if l.w.Service.Running && l.w.Service.Kind == MemberService {
		w.Server = ServerID(l.w.Service.Release)
	}
	if l.w.Service.Running && (l.w.Service.Config == l.sum || l.foreign()) {
		w.Running = l.should.Generation()
	}
	return w
}

// revoked is the list of ended relations. It takes in those that this unit published to and that
// are gone. It drops those whose certificates have expired, unless the relation has come back.
func (l look) revoked() []Ended {
	was := l.m.Cluster.Value.Record.Revoked
	// A dropped relation is never revoked again, and a clock may be wrong by years. So our clock
	// alone drops nothing: the last entry shows the time too.
	var last int64
	for _, e := range was {
		last = max(last, e.Period)
	}
	lives := map[string]bool{} // its generation has to be counted on
	for _, c := range l.consumers.Value {
		lives[c.id] = true
	}
	var kept []Ended
	for _, e := range was {
		if e.Period+keptPeriods >= min(last, l.w.Period) || lives[e.RelationID] || !l.consumers.OK {
			kept = append(kept, e)
		}
	}
	ended := endedIn(l.m.Cluster.Value.Record)
	for _, id := range l.gone() {
		if generation := generationIn(l.m.Memory.Value.Bags[id]); generation > ended[id] {
			kept = append(kept, Ended{RelationID: id, Generation: generation, Period: l.w.Period})
		}
	}
	// A reader of the record would not accept more either.
	if over := len(kept) - etcdcluster.MaxRevoked; over > 0 {
		slices.SortStableFunc(kept, func(a, b Ended) int { return cmp.Compare(a.Period, b.Period) })
		kept = kept[over:]
	}
	return kept
}
