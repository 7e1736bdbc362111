package operator

import (
	"encoding/json"
	"time"
)

// JSONKey is the result key under which the whole report is one text for programs.
const JSONKey = "report"

// reportSchema is the version of the report for programs. New fields do not change it. It must
// change if a field is removed or its meaning changes.
const reportSchema = 1

// reportJSON is the report for programs; docs/how-to/read-health.md documents each field. What is
// not known is left out. Lists and counts that are known are there, even if empty or 0. Sizes are
// in bytes, times in seconds.
type reportJSON struct {
	Schema  int          `json:"schema"`
	Unit    string       `json:"unit"`
	Role    Role         `json:"role"`
	Health  Verdict      `json:"health"`
	Summary string       `json:"summary"`
	Reasons []reasonJSON `json:"reasons"`
	States  []string     `json:"states"`

	Cluster *clusterJSON  `json:"cluster,omitempty"` // of a member
	Members []memberJSON  `json:"members"`
	Proxy   *proxyJSON    `json:"proxy,omitempty"`
	Keeps   *keepsJSON    `json:"keeps,omitempty"` // of a member
	Disk    *diskJSON     `json:"disk,omitempty"`  // of a member
	Charm   *releasesJSON `json:"charm,omitempty"`

	Memory      int64  `json:"memory,omitempty"`
	Certificate *int64 `json:"certificate-seconds,omitempty"`
}

type reasonJSON struct {
	Kind     string   `json:"kind"`
	Health   Verdict  `json:"health"`
	Subjects []string `json:"subjects"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy,omitempty"`
}

type clusterJSON struct {
	ID                 string   `json:"id,omitempty"`
	Reach              string   `json:"reach"`
	Voters             int      `json:"voters"`
	Ready              int      `json:"voters-ready"`
	Reachable          int      `json:"voters-reachable"`
	Learners           int      `json:"learners"`
	Quorum             int      `json:"quorum"`
	Margin             int      `json:"margin"`
	Leader             string   `json:"leader,omitempty"`
	TermMin            uint64   `json:"term-min,omitempty"`
	TermMax            uint64   `json:"term-max,omitempty"`
	Versions           []string `json:"versions"`
	MembersWithoutUnit []string `json:"members-without-unit"`
	UnitsWithoutMember []string `json:"units-without-member"`
}

type memberJSON struct {
	ID         string   `json:"id,omitempty"`
	Unit       string   `json:"unit,omitempty"`
	Name       string   `json:"name,omitempty"`
	Role       string   `json:"role,omitempty"`
	PeerURLs   []string `json:"peer-urls"`
	ClientURLs []string `json:"client-urls"`
	Alarms     []string `json:"alarms"`
	Errors     []string `json:"errors"`
	Server     string   `json:"server,omitempty"`
	Answers    bool     `json:"answers"`
	Ready      bool     `json:"ready"`
	Version    string   `json:"version,omitempty"`
	Storage    string   `json:"storage-version,omitempty"`

	// These are there if the member answers, and never for a proxy.
	*memberFigures
	RoundTrip   float64 `json:"round-trip-seconds,omitempty"`
	Certificate *int64  `json:"certificate-seconds,omitempty"`
}

type memberFigures struct {
	DBSize   int64  `json:"db-size"`
	DBInUse  int64  `json:"db-in-use"`
	Quota    int64  `json:"quota"`
	Term     uint64 `json:"term"`
	Index    uint64 `json:"index"`
	Applied  uint64 `json:"applied"`
	Lag      uint64 `json:"lag"`
	Revision int64  `json:"revision"`
}

type proxyJSON struct {
	Listens   []string `json:"listens"`
	Socket    string   `json:"socket,omitempty"`
	Group     string   `json:"socket-group,omitempty"`
	Reachable int      `json:"members-reachable"`
}

type keepsJSON struct {
	Snapshots  int    `json:"snapshots"`
	Last       string `json:"last,omitempty"`
	LastAge    *int64 `json:"last-age-seconds,omitempty"`
	Revision   int64  `json:"last-revision,omitempty"`
	Failure    string `json:"failed,omitempty"`
	Drilled    string `json:"drilled,omitempty"`
	Aside      int    `json:"moved-aside"`
	AsideBytes int64  `json:"moved-aside-bytes"`
	Used       int64  `json:"used"`
	Space      int64  `json:"space"`
}

type releasesJSON struct {
	Runs    string `json:"runs,omitempty"`
	Carries string `json:"carries,omitempty"`
}

// JSON is the whole report as one text for programs.
func (r Report) JSON() string {
	text, err := json.Marshal(r.forPrograms())
	if err != nil {
		return "" // it holds only texts, numbers and lists of them
	}
	return string(text)
}

func (r Report) forPrograms() reportJSON {
	out := reportJSON{
		Schema: reportSchema, Unit: r.Unit, Role: r.Role,
		Health: r.Health, Summary: singleLine(Summary(r)), Reasons: []reasonJSON{},
		States: listOf(r.States), Members: []memberJSON{},
		Memory: r.Memory, Certificate: left(r.Certificate),
	}
	for _, reason := range r.Reasons {
		out.Reasons = append(out.Reasons, reasonJSON{
			reason.Kind.String(), reason.Health(), listOf(reason.Subjects),
			reason.Text(), r.remedyFor(reason),
		})
	}
	if r.Runs != "" || r.Carries != "" {
		out.Charm = &releasesJSON{r.Runs, r.Carries}
	}
	if r.Role == RoleProxy {
		out.Proxy = &proxyJSON{listOf(r.Listen), r.Socket.Path, r.Socket.Group, r.Reachable}
		for _, p := range r.Upstream {
			out.Members = append(out.Members, p.forPrograms())
		}
		return out
	}
	out.Cluster = &clusterJSON{
		Reach: r.Reach.String(), Voters: r.Voters, Ready: r.Ready, Reachable: r.Reachable,
		Learners: r.Learners, Quorum: r.Quorum, Margin: r.Margin, Leader: r.Leader,
		TermMin: r.TermMin, TermMax: r.TermMax, Versions: listOf(r.Versions),
		MembersWithoutUnit: listOf(r.MembersWithoutUnit),
		UnitsWithoutMember: listOf(r.UnitsWithoutMember),
	}
	if r.ClusterID != 0 {
		out.Cluster.ID = hexID(r.ClusterID)
	}
	for _, m := range r.Members {
		out.Members = append(out.Members, m.forPrograms())
	}
	out.Keeps, out.Disk = r.keepsForPrograms(), r.disk.forPrograms()
	return out
}

func (m MemberReport) forPrograms() memberJSON {
	out := memberJSON{
		ID: hexID(m.ID), Unit: m.Unit, Name: singleLine(m.Name), Role: m.Role,
		PeerURLs: singleLines(m.PeerURLs), ClientURLs: singleLines(m.ClientURLs),
		Alarms: listOf(m.Alarms), Errors: singleLines(m.Errors), Server: m.Server, Answers: m.Answers,
	}
	if !m.Answers {
		return out
	}
	out.Ready, out.Version, out.Storage = m.Ready, singleLine(m.Version), singleLine(m.StorageVersion)
	out.memberFigures = &memberFigures{
		m.DBSize, m.DBInUse, m.Quota, m.Term, m.Index, m.Applied, m.Lag, m.Revision,
	}
	out.RoundTrip, out.Certificate = m.RTT.Seconds(), left(m.CertRemaining)
	return out
}

func (p UpstreamProbe) forPrograms() memberJSON {
	out := memberJSON{
		Name: singleLine(p.Name), PeerURLs: singleLines(nonEmpty(p.PeerURL)),
		ClientURLs: singleLines(nonEmpty(p.ClientURL)), Alarms: listOf(p.Alarms),
		Errors: singleLines(nonEmpty(p.Error)), Answers: p.Answers, Ready: p.Reads,
	}
	if p.Answers {
		out.Version, out.RoundTrip, out.Certificate =
			singleLine(p.Version), p.RTT.Seconds(), left(p.CertRemaining)
	}
	return out
}

func (r Report) keepsForPrograms() *keepsJSON {
	out := &keepsJSON{
		Snapshots: r.kept.good(), Failure: singleLine(r.snapshots.failure),
		Aside: len(r.kept.Aside), Used: r.kept.used(), Space: r.kept.Space,
	}
	for _, a := range r.kept.Aside {
		out.AsideBytes += a.Bytes
	}
	if r.snapshots.found {
		age := int64(r.snapshots.age / time.Second)
		out.Last, out.LastAge, out.Revision = r.snapshots.good.Name, &age, r.snapshots.good.Revision
	}
	if r.kept.Drilled > 0 {
		out.Drilled = moment(r.kept.Drilled)
	}
	return out
}

// left is a remaining life in seconds; nil is not known.
func left(d time.Duration) *int64 {
	if d == 0 {
		return nil
	}
	seconds := int64(d / time.Second)
	return &seconds
}

// listOf is a list that is never null in JSON.
func listOf(of []string) []string { return append([]string{}, of...) }

// singleLines are texts from elsewhere, each made fit for one line.
func singleLines(of []string) []string {
	out := []string{}
	for _, text := range of {
		out = append(out, singleLine(text))
	}
	return out
}

// nonEmpty is a list of the text, or an empty one if the text is empty.
func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}
