package operator

import (
	"reflect"
	"slices"
	"sort"
	"strings"

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

// bags writes the peer relation: our own word, and as leader the record.
func bags(l look, p *Plan) {
	if l.role() != RoleMember {
		return
	}
	if !l.leaving() {
		p.need(l, "ended relations are not revoked", consumersUnknown)
	}
	addressed := p.need(l, "peers hear nothing of this unit", peerAddressUnknown, clientAddressUnknown)
	if !p.need(l, "peers hear nothing of this unit", peersUnknown) {
		p.need(l, recordStays, leaderUnknown)
		return
	}
	l.rememberLearner(p)
	word := l.word()
	key, sum := "bag."+l.m.Cluster.Value.RelationID, bagDigest(etcdcluster.EncodeUnit(word))
	// What was said of our addresses stays until we know better.
	if l.m.Published[key] != sum && (addressed || l.leaving() || l.m.Published[key] == "") {
		p.Word, p.Published[key] = &word, sum
	}
	if (l.m.Leader.OK && !l.leader()) || p.Record != nil {
		return // the last unit's leave writes the record itself
	}
	record := l.m.Cluster.Value.Record
	record.Schema = etcdcluster.Schema
	if record.ClusterID == 0 || record.ClusterID == record.Ended {
		// The record remembers one end only: what a leaving unit has stopped, or once heard another say, is not to be put on
		// record again.
		if l.w.Data.State == OurData && l.w.Data.ClusterID != record.Ended && (!l.leaving() || l.inCluster()) {
			record.ClusterID = l.w.Data.ClusterID
		} else if named := l.named(); named != 0 && !l.leaving() {
			record.ClusterID = named
		}
	}
	if l.m.Authority.OK && l.m.Authority.Value != nil {
		record.Authority = l.m.Authority.Value.Fingerprint
	}
	record.Revoked, record.Leaves = l.revoked(), l.leaves()
	same := reflect.DeepEqual(record, l.m.Cluster.Value.Record)
	if same && l.m.Authority.OK && l.m.Consumers.OK {
		return
	}
	if p.need(l, recordStays, leaderUnknown) && !same {
		p.Record = &record
	}
}

const recordStays = "the record of the cluster stays as it is"

// learnerKey is the key in Published of the peer URL of our learner that has not started: if its machine comes back with an
// empty disk and another address, nothing else tells whose it is.
const learnerKey = "learner"

// rememberLearner keeps what is under learnerKey true.
func (l look) rememberLearner(p *Plan) {
	url := l.m.Published[learnerKey]
	for _, s := range l.w.Done {
		if add, ok := s.(AddLearner); ok {
			url = add.PeerURL
		}
	}
	waits := func(mem Member) bool { return !mem.Started() && slices.Contains(mem.PeerURLs, url) }
	switch {
	case url == "":
	case !l.inCluster() || slices.ContainsFunc(l.w.Members, waits):
		p.Published[learnerKey] = url
	case l.m.Published[learnerKey] != "":
		p.Forget = append(p.Forget, learnerKey)
	}
}

// word is what our unit says of itself.
func (l look) word() Word {
	w := Word{Schema: etcdcluster.Schema, Leaving: l.leaving(), Leaves: l.issued()}
	w.PeerURL, w.ClientURL = l.servedURLs()
	w.Stopped = w.Leaving && !l.w.Service.Running
	if l.w.Data.State == OurData {
		w.ClusterID, w.MemberID = l.w.Data.ClusterID, l.w.Data.MemberID
	}
	if l.w.Service.Running && (l.w.Service.Config == l.sum || l.foreign()) {
		w.Running = l.should.Generation()
	}
	return w
}

// revoked is the list of ended relations, grown by those that this unit published to and that are gone, and rid of
// those whose certificates have expired. What is on the list is forgotten here.
func (l look) revoked() []Ended {
	was := l.m.Cluster.Value.Record.Revoked
	// What is dropped is never revoked again, so a clock alone drops nothing, for it may be wrong by years: the last entry
	// tells the time too.
	var last int64
	for _, e := range was {
		last = max(last, e.Period)
	}
	var kept []Ended
	listed := map[string]bool{}
	for _, e := range was {
		if e.Period+keptPeriods >= min(last, l.w.Period) {
			kept = append(kept, e)
			listed[e.RelationID] = true
		}
	}
	for _, id := range l.gone() {
		if !listed[id] {
			kept = append(kept, Ended{RelationID: id, Period: l.w.Period})
		}
	}
	return kept
}

// gone are the consumer relations that this unit published to and that Juju does not list any more, or lists by mistake.
func (l look) gone() []string {
	if !l.m.Consumers.OK || l.leaving() {
		return nil // a leaving unit sees its relations break though they live on
	}
	there := make(map[string]bool, len(l.m.Consumers.Value))
	for _, id := range l.m.Consumers.Value {
		there[id] = !l.vanished(id)
	}
	var out []string
	for key := range l.m.Published {
		if id, ok := strings.CutPrefix(key, "bag."); ok && strings.HasPrefix(id, "proxy:") && !there[id] {
			out = append(out, id)
		}
	}
	sort.Strings(out)
	return out
}
