package host

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const (
	// probeTime bounds the look at one member; a member without quorum lets a linearizable read hang.
	probeTime = 2500 * time.Millisecond
	// graceTime is how long members may still answer once one has shown that the cluster is healthy.
	graceTime = time.Second
)

// answer is what one client URL said.
type answer struct {
	url    string
	status *etcdserverpb.StatusResponse // nil: it does not answer
	list   []*etcdserverpb.Member       // its own view; nil if it has none to give (a learner)
	linear []*etcdserverpb.Member       // by a linearizable read; nil if that failed
	ready  bool                         // a linearizable read of its own succeeded
	holder string                       // of the turn, when ready
	rtt    time.Duration
	cert   time.Duration
}

func (a answer) clusterID() uint64 { return a.status.GetHeader().GetClusterId() }
func (a answer) memberID() uint64  { return a.status.GetHeader().GetMemberId() }

// probe asks one member all that is to be known, over one connection: first what it says of itself, which also opens
// the connection; then, side by side, its own member list (the round trip) and two linearizable reads.
func (h *Host) probe(ctx context.Context, a access, url string) answer {
	out := answer{url: url}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	m, err := a.dial(url)
	if err != nil {
		return out
	}
	defer ignoreClose(m)
	conn := m.ActiveConnection()
	// Not the client's Status, which dials a connection of its own.
	out.status, err = etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{})
	if err != nil {
		out.status = nil
		return out
	}
	if until := m.certUntil.Load(); until != 0 {
		out.cert = time.Unix(until, 0).Sub(h.now())
	}
	cluster := etcdserverpb.NewClusterClient(conn)
	parallel(
		func() {
			began := time.Now()
			resp, err := cluster.MemberList(ctx, &etcdserverpb.MemberListRequest{Linearizable: false})
			if out.rtt = time.Since(began); err == nil {
				out.list = resp.Members
			}
		},
		func() {
			if resp, err := cluster.MemberList(ctx, &etcdserverpb.MemberListRequest{Linearizable: true}); err == nil {
				out.linear = resp.Members
			}
		},
		func() {
			resp, err := etcdserverpb.NewKVClient(conn).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte(turnKey)})
			if err != nil {
				return
			}
			if out.ready = true; len(resp.Kvs) > 0 {
				out.holder = string(resp.Kvs[0].Value)
			}
		},
	)
	return out
}

// view is what a look at the cluster found; steps use it to know whom to ask.
type view struct {
	access    access
	own       string // our own member's client URL; "" is none
	clusterID uint64
	reach     operator.Reach
	answers   []answer // of that cluster, in the order in which they were asked
	ownAnswer answer   // whatever its cluster
	members   []*etcdserverpb.Member
	linear    bool
}

// named is who may be asked, and whose answers count.
type named struct {
	urls     []string
	clusters []uint64 // none: any
	anybody  bool     // somebody is named, whether or not he can be asked
}

// nameMembers reads the bags. A record whose cluster has ended names nobody.
func nameMembers(m operator.Model, data operator.Data) named {
	var n named
	if data.State != operator.NoData {
		n.anybody = true
	}
	if !m.Cluster.OK {
		n.anybody = true
	}
	record := m.Cluster.Value.Record
	if record.ClusterID != 0 && record.ClusterID != record.Ended {
		n.clusters = []uint64{record.ClusterID}
	}
	var told []uint64
	for _, unit := range sortedKeys(m.Cluster.Value.Words) {
		if _, there := m.Units.Value[unit]; m.Units.OK && !there {
			continue
		}
		word := m.Cluster.Value.Words[unit]
		// A unit that names no cluster is asked too, in case it founded one and died before Juju heard of it, but
		// its silence means nothing.
		if word.ClusterID != 0 && word.ClusterID != record.Ended && !word.Stopped {
			n.anybody = true
			told = append(told, word.ClusterID)
		}
		if word.ClientURL != "" && !word.Stopped {
			n.urls = append(n.urls, word.ClientURL)
		}
	}
	if len(n.clusters) == 0 {
		n.clusters = told
	}
	if len(n.clusters) == 0 && data.State == operator.OurData {
		n.clusters = []uint64{data.ClusterID}
	}
	return n
}

func (n named) counts(clusterID uint64) bool {
	return clusterID != 0 && (len(n.clusters) == 0 || slices.Contains(n.clusters, clusterID))
}

// lookCluster asks our own member and everybody named, and whom they list, each once and side by side.
func (h *Host) lookCluster(ctx context.Context, a access, own string, n named, data operator.Data) view {
	v := view{access: a, own: own}
	h.mu.Lock()
	earlier := h.seen
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	results := make(chan answer)
	asked := map[string]bool{}
	pending := 0
	ask := func(url string) {
		if url == "" || asked[url] {
			return
		}
		asked[url] = true
		pending++
		go func() { results <- h.probe(ctx, a, url) }()
	}
	ask(own)
	for _, url := range n.urls {
		ask(url)
	}
	// Whom the list named earlier in this hook: the bags of a unit that leaves are not renewed any more.
	for _, listed := range earlier.members {
		for _, url := range earlier.urls(listed) {
			ask(url)
		}
	}
	all := map[string]answer{}
	for pending > 0 {
		got := <-results
		pending--
		all[got.url] = got
		if !n.counts(got.clusterID()) {
			continue
		}
		if got.linear != nil {
			time.AfterFunc(graceTime, cancel)
		}
		for _, listed := range got.linear {
			if own != "" && data.State == operator.OurData && listed.ID == data.MemberID {
				continue
			}
			for _, url := range listed.ClientURLs {
				ask(url)
			}
		}
	}
	v.ownAnswer = all[own]
	for _, url := range sortedKeys(all) {
		if n.counts(all[url].clusterID()) {
			v.answers = append(v.answers, all[url])
		}
	}
	v.settle()
	return v
}

// settle decides which cluster was reached, and how far. Should the bags name two, that which reads linearizably
// counts, and of two such the lower ID: any choice will do that all looks make alike.
func (v *view) settle() {
	for _, linear := range []bool{true, false} {
		for _, a := range v.answers {
			if linear && a.linear == nil || (v.clusterID != 0 && a.clusterID() >= v.clusterID) {
				continue
			}
			v.clusterID, v.linear = a.clusterID(), linear
		}
		if v.clusterID != 0 {
			break
		}
	}
	v.answers = slices.DeleteFunc(v.answers, func(a answer) bool { return a.clusterID() != v.clusterID })
	for _, a := range v.answers {
		if list := a.linear; v.linear && list != nil {
			v.members = list
			break
		}
		if !v.linear && a.list != nil && (v.members == nil || a.url == v.own) {
			v.members = a.list
		}
	}
}

// urls is where a listed member is asked. Our own is asked on this machine: the address that it advertises may be one
// that only others reach.
func (v *view) urls(listed *etcdserverpb.Member) []string {
	if v.own != "" && v.ownAnswer.memberID() == listed.ID {
		return []string{v.own}
	}
	return listed.ClientURLs
}

// describe turns the members that are listed, and what they said, into World's form, sorted by ID.
func (v *view) describe() []operator.Member {
	said := map[uint64]answer{}
	for _, a := range v.answers {
		if before, ok := said[a.memberID()]; !ok || !before.ready {
			said[a.memberID()] = a
		}
	}
	out := make([]operator.Member, 0, len(v.members))
	for _, listed := range v.members {
		m := operator.Member{
			ID: listed.ID, Name: listed.Name, Learner: listed.IsLearner,
			PeerURLs: listed.PeerURLs, ClientURLs: listed.ClientURLs,
		}
		if a, ok := said[m.ID]; ok {
			s := a.status
			m.Answers, m.Ready, m.RTT, m.CertRemaining = true, a.ready, a.rtt, a.cert
			m.Version, m.StorageVersion, m.Leader = s.Version, s.StorageVersion, s.Leader
			m.DBSize, m.DBInUse, m.Quota = s.DbSize, s.DbSizeInUse, s.DbSizeQuota
			m.Term, m.Index, m.Applied, m.Errors = s.RaftTerm, s.RaftIndex, s.RaftAppliedIndex, s.Errors
			m.Revision = s.Header.GetRevision()
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b operator.Member) int { return compareIDs(a.ID, b.ID) })
	return out
}

// alarmText is how a member's status tells of an alarm: protobuf's text form of AlarmMember (server/v3
// v3rpc/maintenance.go, Status), whose blanks vary. It leaves out member 0, whom etcd names if it cannot tell whose data is
// wrong. Asking for the alarm list instead would put an entry into the raft log at each look (v3_server.go, Alarm), and
// needs a quorum.
var alarmText = regexp.MustCompile(`(?:memberID:\s*(\d+)\s+)?alarm:\s*(\w+)`)

func (v *view) alarms() []operator.Alarm {
	var out []operator.Alarm
	for _, a := range v.answers {
		for _, text := range a.status.Errors {
			if alarm, ok := parseAlarm(text); ok && !slices.Contains(out, alarm) {
				out = append(out, alarm)
			}
		}
	}
	slices.SortFunc(out, func(a, b operator.Alarm) int {
		if a.MemberID != b.MemberID {
			return compareIDs(a.MemberID, b.MemberID)
		}
		return strings.Compare(a.Kind, b.Kind)
	})
	return out
}

func parseAlarm(text string) (operator.Alarm, bool) {
	found := alarmText.FindStringSubmatch(text)
	if found == nil {
		return operator.Alarm{}, false
	}
	id, err := strconv.ParseUint(cmp.Or(found[1], "0"), 10, 64)
	return operator.Alarm{MemberID: id, Kind: found[2]}, err == nil
}

func (v *view) turn() operator.Turn {
	for _, a := range v.answers {
		if a.ready {
			return operator.Turn{Known: true, Holder: a.holder}
		}
	}
	return operator.Turn{}
}

// localURL is how a server on this machine is reached that listens on the first of listen (comma-separated URLs).
func localURL(listen string) string {
	first, _, _ := strings.Cut(listen, ",")
	u, err := url.Parse(first)
	if err != nil || u.Host == "" {
		return ""
	}
	switch u.Hostname() {
	case "0.0.0.0":
		u.Host = "127.0.0.1:" + u.Port()
	case "::":
		u.Host = "[::1]:" + u.Port()
	}
	return u.String()
}
