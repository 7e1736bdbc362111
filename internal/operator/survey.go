package operator

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	addresses "github.com/juju-charms/etcd-charm/interfaces/address"
)

// Answer is what the server at one client URL said. The zero value is silence.
type Answer struct {
	URL       string
	ClusterID uint64
	MemberID  uint64 // 0: it did not answer
	// List is the member's own view of the members, Linear that of a linearizable read; each is nil
	// if it gave none. A learner gives neither.
	List, Linear []Member
	// Self is what it says of itself: Ready, and the fields of Member after it.
	Self Member
	Turn Turn // valid if Self.Ready
	// Auth means that authentication is switched on; only our own server is asked.
	Auth bool
}

func (a Answer) answered() bool { return a.MemberID != 0 }

// Survey is one look at a cluster: which URLs to ask, which answers count, and what they mean. It
// keeps rule 2: silence means Absent only if no cluster is named. The host asks, and the simulation
// answers; neither judges.
type Survey struct {
	own      string // our own server's URL on this machine; "" is none
	judge    addresses.Judge
	unjudged bool // our own addresses are not known
	misled   []string
	replaced []uint64 // clusters that were replaced, whose answers do not count
	data     Data
	todo     []string        // URLs still to be handed out
	asked    map[string]bool // URLs handed out
	clusters []uint64        // those whose answers count; none: any
	anybody  bool            // a bag or our data names a cluster, even if there is no URL to ask
	answers  []Answer        // that count
	self     Answer          // of our own server, whatever its cluster
}

// Own reports whether a URL is that of our own server on this machine.
func (s *Survey) Own(url string) bool { return url == s.own && url != "" }

// NewSurvey begins a look. own is our own server's client URL as this machine reaches it; "" is
// none. earlier are URLs that the member list named earlier in this hook: they count because the
// bag of a unit that leaves is no longer renewed. A record whose cluster has ended names no
// cluster.
func NewSurvey(m Model, data Data, own string, earlier []string) *Survey {
	s := &Survey{own: own, data: data, asked: make(map[string]bool, 8)}
	s.judge, s.unjudged = m.judge(nil), !m.PeerAddress.OK && !m.ClientAddress.OK
	s.anybody = data.State != NoData || !m.Cluster.OK
	record := m.Cluster.Value.AppBag
	s.replaced = record.Replaced
	if record.ClusterID != 0 && record.ClusterID != record.Ended {
		s.clusters = []uint64{record.ClusterID}
	}
	s.wants(own)
	var told []uint64
	for _, unit := range slices.Sorted(maps.Keys(m.Cluster.Value.UnitBags)) {
		if _, there := m.Units.Value[unit]; m.Units.OK && !there {
			continue
		}
		unitBag := m.Cluster.Value.UnitBags[unit]
		// A unit that names no cluster is asked too, because it may have founded one and died
		// before Juju got its bag; its silence means nothing.
		if unitBag.ClusterID != 0 && unitBag.ClusterID != record.Ended &&
			!unitBag.Stopped && !slices.Contains(s.replaced, unitBag.ClusterID) {
			s.anybody = true
			told = append(told, unitBag.ClusterID)
		}
		if !unitBag.Stopped {
			s.wants(unitBag.ClientURL)
		}
	}
	for _, url := range earlier {
		s.wants(url)
	}
	if len(s.clusters) == 0 {
		s.clusters = told
	}
	if len(s.clusters) == 0 && data.State == OurData && !slices.Contains(s.replaced, data.ClusterID) {
		s.clusters = []uint64{data.ClusterID}
	}
	return s
}

// wants adds a URL to those to ask, once.
func (s *Survey) wants(url string) {
	if url == "" || s.asked[url] {
		return
	}
	s.asked[url] = true
	if s.Fit(url) {
		s.todo = append(s.todo, url)
		return
	}
	s.misled = append(s.misled, url+", "+string(s.judge.URL(url)))
}

// Fit reports whether a URL that some machine named may be dialled. Our own always may; others may
// unless they lead back to this machine or nowhere.
func (s *Survey) Fit(url string) bool {
	return url == s.own || s.unjudged || s.judge.URL(url) == addresses.Fit
}

// Misled are the URLs that were named and not asked, each with the reason.
func (s *Survey) Misled() []string { return s.misled }

// Ask returns the URLs that are to be asked and were not returned before.
func (s *Survey) Ask() []string {
	todo := s.todo
	s.todo = nil
	return todo
}

// Add takes one answer; Ask may return more URLs after it. It reports whether the answer proves a
// quorum of a cluster that counts: a server that is silent then is not worth a long wait.
func (s *Survey) Add(a Answer) (healthy bool) {
	if s.Own(a.URL) {
		s.self = a
	}
	if !a.answered() || !s.counts(a.ClusterID) {
		return false
	}
	s.answers = append(s.answers, a)
	for _, listed := range a.Linear {
		if s.own != "" && s.data.State == OurData && listed.ID == s.data.MemberID {
			// It is asked on this machine; only others may be able to reach the URL that it
			// advertises.
			continue
		}
		for _, url := range listed.ClientURLs {
			s.wants(url)
		}
	}
	return a.Linear != nil
}

func (s *Survey) counts(clusterID uint64) bool {
	return clusterID != 0 && !slices.Contains(s.replaced, clusterID) &&
		(len(s.clusters) == 0 || slices.Contains(s.clusters, clusterID))
}

// SurveyResult is what a survey found.
type SurveyResult struct {
	Reach     Reach
	ClusterID uint64   // of the cluster that was reached; 0 when none answered
	Answers   []Answer // of that cluster, by URL
	Members   []Member // as that cluster lists them, with what they said, by ID
	Alarms    []Alarm
	Turn      Turn
	Auth      bool // authentication is switched on
	Local     Local
}

// Find judges what was heard. live and ready are what our own server says on its metrics URL.
func (s *Survey) Find(live, ready bool) SurveyResult {
	slices.SortFunc(s.answers, func(a, b Answer) int { return strings.Compare(a.URL, b.URL) })
	id, healthy := s.reached()
	out := SurveyResult{ClusterID: id}
	for _, a := range s.answers {
		if a.ClusterID == id {
			out.Answers = append(out.Answers, a)
		}
	}
	list := memberList(out.Answers, healthy, s.own)
	out.Members = describe(list, out.Answers)
	out.Alarms, out.Turn = alarmsIn(out.Answers), turnIn(out.Answers)
	out.Auth = slices.ContainsFunc(out.Answers, func(a Answer) bool { return a.Auth })
	out.Local = s.local(live, ready, id, list)
	switch {
	case healthy:
		out.Reach = Healthy
	case len(out.Answers) > 0:
		out.Reach = NoQuorum
	case out.Local.Live && s.data.State == OurData && s.counts(s.data.ClusterID):
		// A server that was started without quorum answers on its metrics URL only.
		out.Reach, out.ClusterID = NoQuorum, s.data.ClusterID
	case s.anybody:
		out.Reach = Unreachable
	default:
		out.Reach = Absent
	}
	return out
}

// reached is the cluster that was reached, and whether it has a quorum. If the bags name two
// clusters, one that answers a linearizable read counts, and of two such the one with the lower ID.
// Any rule will do, as long as all units use the same.
func (s *Survey) reached() (id uint64, healthy bool) {
	for _, linear := range []bool{true, false} {
		for _, a := range s.answers {
			if (!linear || a.Linear != nil) && (id == 0 || a.ClusterID < id) {
				id = a.ClusterID
			}
		}
		if id != 0 {
			return id, linear
		}
	}
	return 0, false
}

// memberList is the cluster's list: a linearizable one if it has a quorum, else one member's view,
// preferably our own.
func memberList(answers []Answer, healthy bool, own string) []Member {
	var list []Member
	for _, a := range answers {
		switch {
		case healthy && a.Linear != nil:
			return a.Linear
		case !healthy && a.List != nil && (list == nil || a.URL == own):
			list = a.List
		}
	}
	return list
}

// describe joins the member list with the members' answers, by ID.
func describe(list []Member, answers []Answer) []Member {
	out := make([]Member, 0, len(list))
	for _, listed := range list {
		var said *Answer
		for i, a := range answers {
			if a.MemberID == listed.ID && (said == nil || (a.Self.Ready && !said.Self.Ready)) {
				said = &answers[i]
			}
		}
		m := Member{}
		if said != nil {
			m = said.Self
			m.Answers = true
		}
		m.ID, m.Name, m.Learner, m.PeerURLs, m.ClientURLs =
			listed.ID, listed.Name, listed.Learner, listed.PeerURLs, listed.ClientURLs
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// local is our own server's answer, whatever its cluster.
func (s *Survey) local(live, ready bool, reached uint64, list []Member) Local {
	l := Local{Live: live, Ready: ready}
	if s.self.answered() {
		l.Live, l.ClusterID, l.MemberID = true, s.self.ClusterID, s.self.MemberID
		l.Term, l.Index, l.Revision = s.self.Self.Term, s.self.Self.Index, s.self.Self.Revision
		l.Applied = s.self.Self.Applied
	} else if l.Live {
		l.ClusterID, l.MemberID = s.data.ClusterID, s.data.MemberID
	}
	l.Twin = s.self.answered() && slices.ContainsFunc(s.answers, func(a Answer) bool {
		return a.URL != s.own && a.ClusterID == s.self.ClusterID && a.MemberID == s.self.MemberID
	})
	view := s.self.List
	if view == nil && l.ClusterID != 0 && l.ClusterID == reached {
		view = list // a learner gives no list
	}
	for _, m := range view {
		if !m.Learner {
			l.Voters++
		}
	}
	// A member that has just joined believes that it is a voter until it has read in the log that
	// it is a learner. Until then it reports itself ready.
	asLearner := func(m Member) bool { return m.ID == l.MemberID && m.Learner }
	if l.ClusterID == reached && slices.ContainsFunc(list, asLearner) {
		l.Ready = false
	}
	return l
}

// alarmText is how a member's status names an alarm: the protobuf text form of AlarmMember
// (server/v3 v3rpc/maintenance.go, Status), in which the spaces vary. Member 0 is left out of the
// text; it means that etcd does not know whose data is wrong. The alarm list is not asked for: each
// such request would put an entry into the raft log (v3_server.go, Alarm), and it needs a quorum.
var alarmText = regexp.MustCompile(`(?:memberID:\s*(\d+)\s+)?alarm:\s*(\w+)`)

// alarmsIn are the alarms that the members' answers name, by member and kind.
func alarmsIn(answers []Answer) []Alarm {
	var out []Alarm
	for _, a := range answers {
		for _, text := range a.Self.Errors {
			if alarm, ok := parseAlarm(text); ok && !slices.Contains(out, alarm) {
				out = append(out, alarm)
			}
		}
	}
	slices.SortFunc(out, func(a, b Alarm) int {
		return cmp.Or(cmp.Compare(a.MemberID, b.MemberID), strings.Compare(a.Kind, b.Kind))
	})
	return out
}

func parseAlarm(text string) (Alarm, bool) {
	found := alarmText.FindStringSubmatch(text)
	if found == nil {
		return Alarm{}, false
	}
	id, err := strconv.ParseUint(cmp.Or(found[1], "0"), 10, 64)
	return Alarm{MemberID: id, Kind: found[2]}, err == nil
}

// turnIn is the turn, by a linearizable read of any member.
func turnIn(answers []Answer) Turn {
	for _, a := range answers {
		if a.Self.Ready {
			a.Turn.Known = true
			return a.Turn
		}
	}
	return Turn{}
}
