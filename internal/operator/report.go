package operator

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// Verdict is how a cluster fares, in one word. The zero value is no verdict.
type Verdict string

// Sound needs nothing. Degraded serves, but with less than it should have. Unhealthy does not
// serve, loses writes, or is about to.
const (
	Sound     Verdict = "healthy"
	Degraded  Verdict = "degraded"
	Unhealthy Verdict = "unhealthy"
)

// Limits past which a member is worth reporting.
const (
	// etcd refuses writes once a member has applied 5000 entries less than are committed (server/v3
	// etcdserver/v3_server.go, maxGapBetweenApplyAndCommitIndex).
	maxLag = 5000
	// maxUse is in percent of the quota; at 100 etcd raises NOSPACE.
	maxUse = 80
	// manyRevoked is so many ended relations that etcd takes some 70 ms for them at each
	// connection: it reads the whole list of their serials.
	manyRevoked = etcdcluster.MaxRevoked / 2
	day         = 24 * time.Hour
	// certificateDue is less than the third of a year at which leaves are renewed: a leaf with less
	// life than this has missed its renewal.
	certificateDue = 30 * day
)

// The roles of a member in its cluster.
const (
	asLeader    = "leader"
	asVoter     = "voter"
	asLearner   = "learner"
	asUnstarted = "unstarted"
)

// MemberReport is one member, what is known of its unit and how it stands among the others.
type MemberReport struct {
	Member
	Label  string // its unit, else its name, its peer URL or its ID
	Unit   string // "" when it is nobody's
	Role   string // leader, voter, learner or unstarted
	Lag    uint64 // how many entries it has applied fewer than the member that has most
	Alarms []string
	Server string // ID of the server that it runs; "" is not known
}

// Use is how much of its quota the member's database takes, in percent; -1 is unknown.
func (m MemberReport) Use() int {
	if !m.Answers || m.Quota <= 0 || m.DBSize < 0 {
		return -1
	}
	return int(float64(m.DBSize) / float64(m.Quota) * 100)
}

// Report is what an operator wants to know about the cluster, or about what the proxy reaches.
// Lists are sorted.
type Report struct {
	Role   Role
	App    string
	Unit   string // whose view it is
	Health Verdict
	// Reasons are the reasons for Health and whatever else is worth knowing, the worst level first.
	Reasons []Reason

	Reach     Reach
	ClusterID uint64 // 0 is unknown
	// Voters that etcd counts, those that answer, and those that also answer a linearizable read.
	Voters, Reachable, Ready int
	Learners                 int
	Quorum                   int // voters needed to decide; valid if Voters is not 0
	// How many more voters may fail; negative: how many are missing for a quorum.
	Margin int
	// Leaders are the members that other members believe to lead, 0 for none: one entry if all
	// agree.
	Leaders []uint64
	// The one that all agree on; "" is none, or that there is no quorum to lead.
	Leader             string
	TermMin, TermMax   uint64
	Versions           []string
	Members            []MemberReport
	MembersWithoutUnit []string // members without a unit
	UnitsWithoutMember []string // units without a member

	// Memory is what this unit's service takes, in bytes; 0 is unknown.
	Memory int64

	// States are the relation states, as charms of the etcd-proxy interface have known them.
	States []string
	// Certificate is the shortest life left of a certificate of ours or a member's; 0 is unknown,
	// negative is over.
	Certificate time.Duration

	// The releases that this unit's process runs and that its charm has; "" is none, or not known.
	Runs, Carries string

	kept      Kept      // what this unit keeps beside its data
	snapshots snapshots // how its snapshots are
	disk      Disk      // what its data lies on

	Listen   []string        // proxy: host:port, all that it must listen on
	Socket   Socket          // proxy
	Upstream []UpstreamProbe // proxy: the members it may use
}

// examiner gathers a report.
type examiner struct {
	view
	r Report
}

// Examine judges how the cluster is, as far as model and world show it; on a proxy unit, what the
// proxy reaches.
func Examine(m Model, w World) Report {
	v := newView(Event{}, m, w)
	return examine(v, v.reasons())
}

// examine adds to the handlers' reasons those which the state of the cluster gives.
func examine(v view, reasons []Reason) Report {
	m, w := v.m, v.w
	x := examiner{view: v}
	x.r = Report{
		Role: x.role(), App: m.App, Unit: m.Unit,
		Reach: w.Reach, ClusterID: w.ClusterID, Reasons: reasons,
	}
	x.r.States = x.states()
	if x.r.Role == RoleProxy {
		x.probes()
	} else {
		x.r.Role = RoleMember
		x.members()
		x.leadership()
		x.judge()
	}
	x.builds()
	x.leaves()
	x.strange()
	x.crashes()
	x.keeping()
	x.disk()
	x.r.Memory = x.w.Service.Memory
	x.r.Reasons, x.r.Health = inOrder(x.r.Reasons), Sound
	for _, r := range x.r.Reasons {
		if worse(r.Health()) < worse(x.r.Health) {
			x.r.Health = r.Health()
		}
	}
	return x.r
}

// healthReasons are the reasons behind the report's health.
func (r Report) healthReasons() []Reason { return r.only(Degraded, Unhealthy) }

// notes are the reasons that call for nothing.
func (r Report) notes() []Reason { return r.only(Sound) }

func (r Report) only(verdicts ...Verdict) []Reason {
	return slices.DeleteFunc(slices.Clone(r.Reasons), func(reason Reason) bool {
		return !slices.Contains(verdicts, reason.Health())
	})
}

// worse orders verdicts, the worst first.
func worse(v Verdict) int { return slices.Index([]Verdict{Unhealthy, Degraded, Sound}, v) }

// members fills in the member list, and how many members count.
func (x *examiner) members() {
	if x.r.ClusterID == 0 {
		x.r.ClusterID = x.named()
	}
	if x.r.ClusterID == 0 && x.w.Data.State == OurData {
		x.r.ClusterID = x.w.Data.ClusterID
	}
	var furthest uint64
	for _, mem := range x.w.Members {
		if mem.Answers {
			furthest = max(furthest, mem.Index)
		}
	}
	for _, mem := range x.w.Members {
		unit, _ := x.unitOf(mem)
		m := MemberReport{Member: mem, Unit: unit, Label: memberLabel(mem, unit), Role: asVoter}
		switch {
		case !mem.Started():
			m.Role = asUnstarted
		case mem.Learner:
			m.Role = asLearner
		}
		if mem.Answers && mem.Applied < furthest {
			m.Lag = furthest - mem.Applied
		}
		for _, a := range x.w.Alarms {
			if a.MemberID == mem.ID {
				m.Alarms = append(m.Alarms, dash(singleLine(a.Kind)))
			}
		}
		if own, ok := x.self(); ok && own.ID == mem.ID &&
			mem.CertRemaining == 0 && x.w.TLS.Server.Present {
			m.CertRemaining = x.w.TLS.Server.Remaining
		}
		x.count(m)
		x.r.Members = append(x.r.Members, m)
	}
	if x.r.Quorum = Quorum(x.r.Voters); x.r.Voters > 0 {
		x.r.Margin = x.r.margin()
	}
	slices.SortStableFunc(x.r.Members, func(a, b MemberReport) int {
		return databag.CompareUnits(a.Label, b.Label)
	})
}

// margin is Margin, once all members are counted. Without a quorum no member is ready, so the
// missing ones are those that do not answer; if enough answer, they are those that are not ready.
func (r Report) margin() int {
	if r.Ready >= r.Quorum || r.Reachable >= r.Quorum {
		return r.Ready - r.Quorum
	}
	return r.Reachable - r.Quorum
}

// count takes one member into the sums.
func (x *examiner) count(m MemberReport) {
	if m.Learner {
		x.r.Learners++
	} else {
		x.r.Voters++
	}
	if !m.Answers {
		return
	}
	if !m.Learner {
		x.r.Reachable++
		if m.Ready {
			x.r.Ready++
		}
		// A learner only repeats the leader that it heard of last, even if that leader has died
		// since.
		if !slices.Contains(x.r.Leaders, m.Leader) {
			x.r.Leaders = append(x.r.Leaders, m.Leader)
		}
	}
	if x.r.TermMin == 0 || m.Term < x.r.TermMin {
		x.r.TermMin = m.Term
	}
	x.r.TermMax = max(x.r.TermMax, m.Term)
	if v := singleLine(m.Version); v != "" && !slices.Contains(x.r.Versions, v) {
		x.r.Versions = append(x.r.Versions, v)
	}
	x.life(m.CertRemaining)
}

// life keeps the shortest remaining life of a certificate; 0 is unknown.
func (x *examiner) life(left time.Duration) {
	if left != 0 && (x.r.Certificate == 0 || left < x.r.Certificate) {
		x.r.Certificate = left
	}
}

// leadership says which member leads, once all members are counted. Without a quorum none does,
// whatever a member believes that has not noticed yet.
func (x *examiner) leadership() {
	slices.Sort(x.r.Leaders)
	slices.SortFunc(x.r.Versions, byVersion)
	if x.r.Margin < 0 {
		return
	}
	agreed := len(x.r.Leaders) == 1 && x.r.Leaders[0] != 0
	if agreed {
		x.r.Leader = x.labelOf(x.r.Leaders[0])
	}
	for i, m := range x.r.Members {
		// If they disagree, each member that believes in itself is shown as leader, so that the
		// disagreement shows.
		if m.Role == asVoter && m.ID != 0 &&
			((agreed && m.ID == x.r.Leaders[0]) || (!agreed && m.Answers && m.ID == m.Leader)) {
			x.r.Members[i].Role = asLeader
		}
	}
}

// byVersion puts the older version first.
func byVersion(a, b string) int {
	switch {
	case older(a, b):
		return -1
	case older(b, a):
		return 1
	}
	return strings.Compare(a, b)
}

// labelOf names the member with that ID for people.
func (x *examiner) labelOf(id uint64) string {
	for _, m := range x.r.Members {
		if m.ID == id {
			return m.Label
		}
	}
	return hexID(id)
}

// memberLabel names a member for people, by whatever is known of it.
func memberLabel(mem Member, unit string) string {
	switch {
	case unit != "":
		return unit
	case singleLine(mem.Name) != "":
		return singleLine(mem.Name)
	case len(mem.PeerURLs) > 0 && singleLine(mem.PeerURLs[0]) != "":
		return singleLine(mem.PeerURLs[0])
	}
	return hexID(mem.ID)
}

// hexID is an ID as etcd's own tools print it.
func hexID(id uint64) string { return strconv.FormatUint(id, 16) }

// unlisted names a member that is not listed for people; 0 is the member of an alarm that names none.
func unlisted(id uint64) string {
	if id == 0 {
		return "unknown member"
	}
	return hexID(id)
}

// states are the relation states that the etcd-proxy interface has had since 2016, computed from
// the data.
func (x *examiner) states() []string {
	var out []string
	for _, at := range Endpoints() {
		if at.Encode != nil && len(x.m.Relations[at.Name].Value) > 0 {
			out = append(out, etcdproxy.States(at.Name, etcdproxy.State{Connected: true})...)
		}
	}
	var relations []etcdproxy.State
	for _, provider := range x.providers {
		relations = append(relations, provider.State)
	}
	return append(out, etcdproxy.States("upstream", relations...)...)
}

// singleLine makes text from elsewhere fit for one line of a table and for a process's arguments.
func singleLine(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return r <= ' ' || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029'
	}), " ")
}
