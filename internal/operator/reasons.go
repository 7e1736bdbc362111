package operator

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// alarmActions names, for an alarm, the actions that answer it, in the order to run them.
var alarmActions = map[string][]string{
	noSpace: {"compact", "defrag", "alarm-disarm"},
	corrupt: {"alarm-disarm"},
}

// alarmMeaning says what an alarm does to those who use the cluster.
var alarmMeaning = map[string]string{
	noSpace: "writes are refused",
	corrupt: "its data differs, all refuse writes",
}

// judge finds the reasons in a member's cluster.
func (x *examiner) judge() {
	x.reached()
	x.alarms()
	x.voting()
	x.condition()
	x.matching()
	x.own()
	x.consumers()
}

// consumers names those that have no credentials because theirs are revoked.
func (x *examiner) consumers() {
	if ids := x.withheld(); len(ids) > 0 {
		x.because(Degraded, Active, few(ids)+" is revoked: remove the relation and add it again",
			"consumer relation %s ended and came back, as by suspend-relation and resume-relation: its certificate is revoked and "+
				"no other is told; remove the relation and add it again", few(ids))
	}
}

// reached says whether there is a cluster, and whether it decides.
func (x *examiner) reached() {
	record, id := x.m.Cluster.Value.Record.ClusterID, hexID(x.r.ClusterID)
	switch {
	case x.whyNotLost() == "":
		text := "cluster %[1]s is recorded, and no unit and no data of it is left; run action found-cluster confirm=%[1]s to found a new, empty one"
		if !x.leader() {
			text = "cluster %s is recorded, and no unit and no data of it is left; once this unit leads, it can found another, which is empty"
		}
		x.because(Unhealthy, Blocked, x.lost(), text, hexID(record))
	case x.w.Reach == Absent:
		x.because(Unhealthy, Waiting, "no cluster yet", "no cluster has been founded yet")
	case x.w.Reach == Unreachable && x.r.ClusterID == 0 && !x.m.Cluster.OK:
		x.because(Unhealthy, Waiting, "", "no member of a cluster answers, and which cluster it would be is not known")
	case x.w.Reach == Unreachable:
		x.because(Unhealthy, Waiting, "no member of cluster "+id+" answers", "no member of cluster %s answers", id)
	case x.r.Voters == 0 && x.w.Reach == NoQuorum:
		// Started alone it answers on its metrics URL only, and tells no list.
		x.because(Unhealthy, Waiting, "no quorum, etcd here waits for other members", "no quorum: etcd on %s runs and waits for other members", x.m.Unit)
	case x.r.Voters == 0:
		x.because(Unhealthy, Waiting, "the member list is empty", "the cluster answers with an empty member list")
	case x.r.Margin < 0 || x.w.Reach == NoQuorum:
		x.because(Unhealthy, Waiting, fmt.Sprintf("no quorum, %d needed", x.r.Quorum),
			"no quorum: %d of %d voters ready, %d answering, %d needed", x.r.Ready, x.r.Voters, x.r.Reachable, x.r.Quorum)
	}
	if named := x.named(); named != 0 && x.w.ClusterID != 0 && named != x.w.ClusterID {
		x.because(Unhealthy, Blocked, "cluster "+hexID(x.w.ClusterID)+" answers, not "+hexID(named),
			"cluster %s answers where cluster %s is recorded", hexID(x.w.ClusterID), hexID(named))
	}
}

// alarms says which alarms are raised, by kind.
func (x *examiner) alarms() {
	raised := map[string][]string{}
	for _, a := range x.w.Alarms {
		kind := or(plain(a.Kind))
		raised[kind] = append(raised[kind], x.labelOf(a.MemberID))
	}
	for _, kind := range slices.Sorted(maps.Keys(raised)) {
		where := few(ordered(raised[kind]))
		v, level, brief := Degraded, Active, kind+" alarm on "+where
		text := brief
		if meaning := alarmMeaning[kind]; meaning != "" {
			v, level = Unhealthy, Blocked
			text += ": " + meaning
			brief += ": " + meaning
		}
		if names := alarmActions[kind]; len(names) > 0 {
			answer := x.before(kind) + "run action " + strings.Join(names, ", then ")
			text += "; " + answer
			brief += ", " + answer
		}
		x.because(v, level, brief, "%s", text)
	}
}

// before is what comes before the actions that answer an alarm: the units whose members have bad data must go.
func (x *examiner) before(kind string) string {
	var units []string
	for _, m := range x.r.Members {
		if kind == corrupt && m.Unit != "" && slices.Contains(m.Alarms, corrupt) {
			units = append(units, m.Unit)
		}
	}
	if len(units) == 0 {
		return ""
	}
	return "juju remove-unit " + strings.Join(ordered(units), " ") + ", then "
}

// voting says who does not vote, or not for the same leader.
func (x *examiner) voting() {
	x.some(func(m MemberReport) bool { return !m.Learner && !m.Answers }, Waiting,
		"no answer", "does not answer")
	x.some(func(m MemberReport) bool { return !m.Learner && m.Answers && !m.Ready }, Waiting,
		"not ready", "answers and is not ready")
	x.some(func(m MemberReport) bool { return m.Learner }, Waiting,
		"learner", "is a learner and no voter yet")
	switch {
	case len(x.r.Leaders) == 1 && x.r.Leaders[0] == 0:
		x.because(Unhealthy, Waiting, "", "no member knows a leader")
	case len(x.r.Leaders) > 1:
		var names []string
		for _, id := range x.r.Leaders {
			if id == 0 {
				names = append(names, "nobody")
				continue
			}
			names = append(names, x.labelOf(id))
		}
		x.because(Degraded, Active, "", "members disagree on who leads: %s; terms %d to %d", few(names), x.r.TermMin, x.r.TermMax)
	}
}

// condition says which members are in poor shape.
func (x *examiner) condition() {
	x.some(func(m MemberReport) bool { return m.Use() > maxUse }, Active,
		fmt.Sprintf("db above %d %% of quota", maxUse), fmt.Sprintf("database above %d %% of its quota", maxUse))
	x.some(func(m MemberReport) bool { return m.Lag > maxLag }, Active,
		"lagging", fmt.Sprintf("more than %d entries behind", maxLag))
	x.some(func(m MemberReport) bool { return m.certificateEnds() && !x.ownLeaf(m) }, Active,
		"certificate due", "server certificate ends within 30 days")
	for _, m := range x.r.Members {
		if m.Answers && len(m.Errors) > 0 && len(m.Alarms) == 0 {
			x.because(Degraded, Active, "", "%s reports: %s", m.Label, few(m.Errors))
		}
	}
	if len(x.r.Versions) > 1 {
		x.because(Degraded, Active, "", "members run different versions: %s", few(x.r.Versions))
	}
}

// some gives a reason that names the members for which is holds. level is that of a unit which is itself among them;
// to the others it is Active.
func (x *examiner) some(is func(MemberReport) bool, level Level, brief, text string) {
	var names []string
	own := false
	for _, m := range x.r.Members {
		if is(m) {
			names = append(names, m.Label)
			own = own || (m.Unit != "" && m.Unit == x.m.Unit)
		}
	}
	if len(names) == 0 {
		return
	}
	if !own {
		level = Active
	}
	x.because(Degraded, level, brief+": "+few(names), "%s: %s", text, few(names))
}

// matching holds members against units. Without a believed goal-state it says nothing, and only members that etcd
// listed before the units were read are judged.
func (x *examiner) matching() {
	if !x.m.Units.OK {
		return
	}
	if x.w.Reach != Healthy && x.w.Reach != NoQuorum {
		return
	}
	housed := map[string]bool{}
	for _, m := range x.r.Members {
		housed[m.Unit] = true
		if _, listed := x.m.Units.Value[m.Unit]; !listed && slices.Contains(x.m.Seen, m.ID) {
			x.r.Orphans = append(x.r.Orphans, m.Label)
		}
	}
	own := Active
	for _, name := range slices.SortedFunc(maps.Keys(x.m.Units.Value), databag.CompareUnits) {
		if x.m.Units.Value[name] == Alive && !housed[name] {
			x.r.Lonely = append(x.r.Lonely, name)
			if name == x.m.Unit {
				own = Waiting
			}
		}
	}
	if len(x.r.Orphans) > 0 {
		x.because(Degraded, Active, "member without a unit: "+few(x.r.Orphans), "member without a unit: %s", few(x.r.Orphans))
	}
	if len(x.r.Lonely) > 0 {
		x.because(Degraded, own, "unit without a member: "+few(x.r.Lonely), "unit without a member: %s", few(x.r.Lonely))
	}
}

// own says what is wrong on this very unit.
func (x *examiner) own() {
	s, local := x.w.Service, x.w.Local
	switch {
	case s.Failing:
		x.because(Degraded, Waiting, "etcd here keeps failing: "+s.Log, "etcd on %s keeps failing: %s", x.m.Unit, s.Log)
	case s.Kind == MemberService && x.w.Data.State == OurData && !s.Running:
		x.because(Degraded, Waiting, "etcd does not run here", "etcd does not run on %s", x.m.Unit)
	}
	if local.ClusterID != 0 && x.w.ClusterID != 0 && local.ClusterID != x.w.ClusterID {
		x.because(Degraded, Waiting, "etcd here is of another cluster", "etcd on %s is of another cluster, %s", x.m.Unit, hexID(local.ClusterID))
	}
	if x.w.Data.State == AlienData {
		x.because(Degraded, Blocked, "data directory: "+x.w.Data.Problem, "data directory of %s: %s", x.m.Unit, x.w.Data.Problem)
	}
	x.turn()
}

// server is what runs on this unit.
func (x *examiner) server() string {
	if x.r.Role == RoleProxy {
		return "the proxy"
	}
	return "etcd"
}

// times is a number of times in words.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// leaves takes this unit's own certificates into account.
func (x *examiner) leaves() {
	var due []string
	for _, c := range []struct {
		name string
		leaf Leaf
	}{{"peer", x.w.TLS.Peer}, {"server", x.w.TLS.Server}, {"admin", x.w.TLS.Admin}} {
		switch {
		case !c.leaf.Present:
			continue
		case c.leaf.Problem != "":
			x.because(Degraded, Active, c.name+" certificate: "+c.leaf.Problem, "%s certificate of %s: %s", c.name, x.m.Unit, c.leaf.Problem)
		case c.leaf.Remaining != 0 && c.leaf.Remaining < certificateDue:
			due = append(due, c.name+" ("+lifetime(c.leaf.Remaining)+")")
		}
		x.life(c.leaf.Remaining)
	}
	if len(due) > 0 {
		x.because(Degraded, Active, "certificate due: "+x.m.Unit, "certificates of %s end within 30 days: %s", x.m.Unit, few(due))
	}
}

// certificateEnds tells whether the server certificate that the member showed should have been renewed.
func (m MemberReport) certificateEnds() bool {
	return m.Answers && m.CertRemaining != 0 && m.CertRemaining < certificateDue
}

// ownLeaf tells whether the member's certificate is the one on our disk, of which leaves speaks.
func (x *examiner) ownLeaf(m MemberReport) bool {
	return m.Unit == x.m.Unit && x.w.TLS.Server.Present
}

// probes says what a proxy reaches.
func (x *examiner) probes() {
	x.r.Listen = x.proxyListen()
	x.r.Upstream = slices.Clone(x.w.Upstream)
	slices.SortStableFunc(x.r.Upstream, func(a, b UpstreamProbe) int { return strings.Compare(a.Name, b.Name) })
	var silent []string
	for _, p := range x.r.Upstream {
		if !p.Answers {
			silent = append(silent, probeLabel(p))
			continue
		}
		x.r.Reachable++
		if v := plain(p.Version); v != "" && !slices.Contains(x.r.Versions, v) {
			x.r.Versions = append(x.r.Versions, v)
		}
		x.life(p.CertRemaining)
	}
	slices.SortFunc(x.r.Versions, byVersion)
	x.told()
	x.proxyCertificates()
	switch {
	case x.m.Relations[upstreamEndpoint].OK && len(x.m.Relations[upstreamEndpoint].Value) == 0:
		x.because(Unhealthy, Blocked, "relate upstream to an etcd application", "the relation upstream is missing: relate it to an etcd application")
	case len(x.r.Upstream) == 0:
		x.because(Unhealthy, Waiting, "no member of upstream is known", "no member of upstream is known yet")
	case x.r.Reachable == 0:
		x.because(Unhealthy, Waiting, "no member of upstream answers", "no member of upstream answers: %s", few(silent))
	case len(silent) > 0:
		x.because(Degraded, Active, "no answer: "+few(silent), "does not answer: %s", few(silent))
	}
	s := x.w.Service
	switch {
	case s.Failing:
		x.because(Unhealthy, Waiting, "the proxy keeps failing: "+s.Log, "the proxy on %s keeps failing: %s", x.m.Unit, s.Log)
	case s.Kind == ProxyService && !s.Running:
		x.because(Unhealthy, Waiting, "the proxy does not run", "the proxy on %s does not run", x.m.Unit)
	}
}

// told says what is wrong with, or still missing from, what the provider published.
func (x *examiner) told() {
	for _, provider := range x.providers {
		if problem := provider.Problem; !problem.IsZero() {
			x.because(Degraded, Blocked, problem.String(), "%s", problem)
		} else if waits := provider.Waiting(); waits != "" {
			x.because(Degraded, Waiting, waits, "%s", waits)
		}
	}
}

// proxyCertificates says whose certificate should have been renewed: the proxy's own, which the provider publishes anew long
// before, or a member's.
func (x *examiner) proxyCertificates() {
	x.life(x.w.Proxy.CertRemaining)
	if left := x.w.Proxy.CertRemaining; left != 0 && left < certificateDue {
		app := "the provider"
		if len(x.providers) > 0 && x.providers[0].App != "" {
			app = x.providers[0].App
		}
		x.because(Degraded, Active, "client certificate due: "+lifetime(left),
			"client certificate of %s ends within 30 days (%s), and %s has published no new one", x.m.Unit, lifetime(left), app)
	}
	var due []string
	for _, p := range x.r.Upstream {
		if p.Answers && p.CertRemaining != 0 && p.CertRemaining < certificateDue {
			due = append(due, probeLabel(p))
		}
	}
	if len(due) > 0 {
		x.because(Degraded, Active, "certificate due: "+few(due), "server certificate ends within 30 days: %s", few(due))
	}
}

// probeLabel names a member of upstream for people.
func probeLabel(p UpstreamProbe) string {
	for _, s := range []string{p.Name, p.ClientURL, p.PeerURL} {
		if s = plain(s); s != "" {
			return s
		}
	}
	return "a member without a name"
}

// ordered sorts names of units as people count, without repetition.
func ordered(names []string) []string {
	return slices.Compact(slices.SortedFunc(slices.Values(names), databag.CompareUnits))
}

// few lists the first three and counts the rest.
func few(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return plain(strings.Join(names, ", "))
	}
	return plain(fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown))
}
