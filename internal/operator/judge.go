package operator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// say adds a reason.
func (x *examiner) say(r Reason) { x.r.Reasons = append(x.r.Reasons, r.at(x.m.Unit)) }

// sayUnless adds the reason. It keeps it out of the status line if a reason of one of those kinds
// is there already, which explains it.
func (x *examiner) sayUnless(r Reason, kinds ...Kind) {
	if slices.ContainsFunc(x.r.Reasons, func(said Reason) bool {
		return slices.Contains(kinds, said.Kind)
	}) {
		r = r.to("")
	}
	x.say(r)
}

// sayOnce adds a reason, unless it is none or one of its kind is there already.
func (x *examiner) sayOnce(r Reason) {
	if !r.none() && !slices.ContainsFunc(x.r.Reasons, func(said Reason) bool {
		return said.Kind == r.Kind
	}) {
		x.say(r)
	}
}

// judge finds the reasons in a member's cluster.
func (x *examiner) judge() {
	x.reached()
	x.alarms()
	x.voting()
	x.condition()
	x.matching()
	x.zones()
	x.own()
	x.authorities()
}

// reached says whether there is a cluster, and whether it has a quorum.
func (x *examiner) reached() {
	switch {
	case x.whyNotLost().none():
		x.say(x.lost())
	case !x.outlived().none():
		x.say(x.outlived())
	case x.w.Reach == Absent:
		x.sayUnless(because(clusterAbsent, x.m.App),
			authoritiesMade, authoritiesAwaited, foundAwaitsLeader)
	case x.w.Reach == Unreachable && x.r.ClusterID == 0:
		x.sayUnless(because(clusterUnknown, x.m.Unit), peersUnknown)
	case x.w.Reach == Unreachable:
		x.sayUnless(because(clusterSilent, hexID(x.r.ClusterID)), operationHalts)
	case x.r.Voters == 0 && x.w.Reach == NoQuorum:
		// A server that was started alone answers on its metrics URL only, and gives no list.
		x.sayUnless(because(noQuorumAlone, x.m.Unit), operationHalts)
	case x.r.Voters == 0:
		x.say(because(membersNone, hexID(x.r.ClusterID)))
	case x.r.Margin < 0 || x.w.Reach == NoQuorum:
		x.sayUnless(because(noQuorum, hexID(x.r.ClusterID),
			strconv.Itoa(x.r.Ready), strconv.Itoa(x.r.Voters), strconv.Itoa(x.r.Quorum)),
			operationHalts)
	}
	if named := x.named(); named != 0 && x.w.ClusterID != 0 && named != x.w.ClusterID {
		x.say(because(clusterDiffers, hexID(x.w.ClusterID), hexID(named)))
	}
}

// alarms says which alarms are raised, and what else a client has done that affects all others.
func (x *examiner) alarms() {
	for _, a := range x.w.Alarms {
		if a == unnamedCorrupt {
			x.say(because(corruptUnnamed, hexID(x.r.ClusterID)))
			continue
		}
		owned := slices.ContainsFunc(x.r.Members, func(m MemberReport) bool {
			return m.ID == a.MemberID && m.Unit != ""
		})
		x.say(x.alarm(a.Kind, x.labelOf(a.MemberID), owned))
	}
	if x.w.Auth {
		x.say(because(authEnabled, hexID(x.r.ClusterID)))
	}
}

// alarm says which alarm is raised on a member, and what it means for the users of the cluster. A
// unit whose member has bad data has to leave.
func (v view) alarm(kind, label string, owned bool) Reason {
	switch {
	case kind == noSpace:
		return v.nospace(label)
	case kind == corrupt && owned && v.repairs():
		return because(corruptRepaired, label)
	case kind == corrupt && owned:
		return because(alarmCorrupt, label)
	case kind == corrupt:
		return because(alarmCorruptUnowned, label)
	}
	return because(alarmRaised, label, dash(singleLine(kind)))
}

// voting says which members do not vote, or do not vote for the same leader.
func (x *examiner) voting() {
	for _, m := range x.r.Members {
		switch {
		case m.Learner:
			x.say(because(memberLearner, m.Label))
		case !m.Answers:
			x.say(because(memberSilent, m.Label))
		case !m.Ready:
			x.say(because(memberNotReady, m.Label))
		}
	}
	switch {
	case len(x.r.Leaders) == 1 && x.r.Leaders[0] == 0:
		// Unless it is only a consequence of the lost quorum.
		x.sayUnless(because(noLeader, hexID(x.r.ClusterID)), noQuorum)
	case len(x.r.Leaders) > 1:
		var names []string
		for _, id := range x.r.Leaders {
			if id == 0 {
				names = append(names, "nobody")
				continue
			}
			names = append(names, x.labelOf(id))
		}
		x.say(because(leadersDiffer, firstThree(names), number(x.r.TermMin), number(x.r.TermMax)))
	}
}

// condition says which members are in poor shape.
func (x *examiner) condition() {
	for _, m := range x.r.Members {
		if m.Use() > maxUse {
			x.say(because(databaseNearlyFull, m.Label, strconv.Itoa(maxUse)))
		}
		if m.Lag > maxLag {
			x.say(because(memberLagging, m.Label, strconv.Itoa(maxLag)))
		}
		if m.certificateEnds() && !x.ownLeaf(m) {
			x.say(because(memberCertificateDue, m.Label))
		}
		if m.Answers && len(m.Errors) > 0 && len(m.Alarms) == 0 {
			x.say(because(memberErrors, m.Label, firstThree(m.Errors)))
		}
	}
	if len(x.r.Versions) > 1 {
		x.say(because(versionsDiffer, firstThree(x.r.Versions)))
	}
}

// matching compares members with units. It reports nothing unless goal-state is known, and judges
// only members that etcd listed before the units were read.
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
		if slices.Contains(x.m.Seen, m.ID) && x.orphan(m.Member) {
			x.r.MembersWithoutUnit = append(x.r.MembersWithoutUnit, m.Label)
			x.say(because(memberWithoutUnit, m.Label))
		}
	}
	for _, name := range slices.SortedFunc(
		slices.Values(slices.Sorted(maps.Keys(x.m.Units.Value))), databag.CompareUnits) {
		if x.m.Units.Value[name] == Alive && !housed[name] {
			x.r.UnitsWithoutMember = append(x.r.UnitsWithoutMember, name)
			x.say(because(unitWithoutMember, name))
		}
	}
}

// own reports what is wrong on this unit itself.
func (x *examiner) own() {
	s, local := x.w.Service, x.w.Local
	ails := s.ails(x.m.Unit)
	switch {
	case !ails.none():
		x.say(ails)
	case !x.inUse().none():
		x.sayOnce(x.inUse())
	case s.Failing:
		x.sayUnless(because(etcdFailing, x.m.Unit, s.Log), dataUnfit, dataUnfitAlone, dataUnfitAgain)
	case !x.held().none():
		x.sayUnless(x.held(), dataOfAnother, dataOfOthers, clustersUnsettled)
	case s.Kind == MemberService && x.w.Data.State == OurData && !s.Running:
		x.sayUnless(because(etcdStopped, x.m.Unit), operationHalts, dataGivenUp)
	}
	switch x.w.Data.State {
	case AlienData:
		x.say(because(dataAlien, x.m.Unit, x.w.Data.Problem))
	case ForeignData:
		x.say(because(dataForeign, x.m.Unit, x.w.Data.Problem))
	}
	if at := x.m.Memory.Value.Healed; at != 0 && x.w.Now-at < healedEvery {
		x.say(because(dataReplaced, x.m.Unit))
	}
	if local.ClusterID != 0 && x.w.ClusterID != 0 && local.ClusterID != x.w.ClusterID {
		x.say(because(etcdAstray, x.m.Unit, hexID(local.ClusterID)))
	}
	x.turn()
	if n := len(x.m.Cluster.Value.AppBag.Revoked); n >= manyRevoked {
		x.say(because(revokedMany, strconv.Itoa(n), strconv.Itoa(etcdcluster.MaxRevoked)))
	}
}

// crashes says that the service ended by itself. Once it has run for a day the status line no
// longer shows it.
func (x *examiner) crashes() {
	s := x.w.Service
	if s.Crashes == 0 {
		return
	}
	why := because(crashed, x.m.Unit, times(s.Crashes))
	if s.Starved {
		why = because(memoryExhausted, x.m.Unit, times(s.Crashes))
	}
	if s.Age > day {
		why = why.to("")
	}
	x.say(why)
}

// times is a number of times in words.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// leaves reports on this unit's own certificates.
func (x *examiner) leaves() {
	for _, c := range []struct {
		name string
		leaf Leaf
	}{{"peer", x.w.TLS.Peer}, {"server", x.w.TLS.Server}, {"admin", x.w.TLS.Admin}} {
		switch {
		case !c.leaf.Present:
			continue
		case c.leaf.Problem != "":
			x.say(because(certificateBroken, c.name, c.leaf.Problem))
		case c.leaf.Remaining != 0 && c.leaf.Remaining < certificateDue:
			x.say(because(certificatesDue, c.name+" ("+lifetime(c.leaf.Remaining)+")"))
		}
		x.life(c.leaf.Remaining)
	}
}

// authoritiesLeft is how much longer certificates of the authorities can be valid, and their last
// day. ok is false if the authorities or the time are not known.
func (v view) authoritiesLeft() (left time.Duration, last string, ok bool) {
	if !v.m.Authority.OK || v.m.Authority.Value == nil || v.w.Now == 0 {
		return 0, "", false
	}
	ends := v.m.Authority.Value.Ends()
	return ends.Sub(time.Unix(v.w.Now, 0)), ends.Format(time.DateOnly), !ends.IsZero()
}

// authorities says when all certificates end for good. The charm cannot replace its authorities, so
// administrators need the time to plan.
func (x *examiner) authorities() {
	switch left, last, ok := x.authoritiesLeft(); {
	case !ok || left > 365*day:
	case left < 0:
		x.say(because(authoritiesEnded, x.m.App, last))
	case left < 182*day:
		x.say(because(authoritiesDue, x.m.App, last))
	default:
		x.say(because(authoritiesAging, x.m.App, last))
	}
}

// certificateEnds reports whether the server certificate that the member showed should have been
// renewed.
func (m MemberReport) certificateEnds() bool {
	return m.Answers && m.CertRemaining != 0 && m.CertRemaining < certificateDue
}

// ownLeaf reports whether the member's certificate is the one on our disk, which leaves reports on.
func (x *examiner) ownLeaf(m MemberReport) bool {
	return m.Unit == x.m.Unit && x.w.TLS.Server.Present
}

// probes says what a proxy reaches.
func (x *examiner) probes() {
	up := x.proxy()
	x.r.Listen, x.r.Socket = up.Listen, up.Socket
	x.r.Upstream = slices.Clone(x.w.Upstream)
	slices.SortStableFunc(x.r.Upstream, func(a, b UpstreamProbe) int {
		return strings.Compare(a.Name, b.Name)
	})
	var silent []string
	for _, p := range x.r.Upstream {
		if !p.Answers {
			silent = append(silent, probeLabel(p))
			continue
		}
		x.r.Reachable++
		if p.Reads {
			x.r.Ready++
		}
		if v := singleLine(p.Version); v != "" && !slices.Contains(x.r.Versions, v) {
			x.r.Versions = append(x.r.Versions, v)
		}
		x.life(p.CertRemaining)
	}
	slices.SortFunc(x.r.Versions, byVersion)
	x.told()
	x.clientCertificate()
	switch {
	case x.m.Relations[upstreamEndpoint].OK && len(x.providers) == 0:
		x.say(because(upstreamMissing, x.m.App))
	case len(x.r.Upstream) == 0:
		x.say(because(upstreamUnknown, x.m.Unit))
	case x.r.Reachable == 0:
		x.say(because(upstreamSilent, firstThree(silent)))
	case x.r.Ready == 0 && !x.answers():
		x.say(because(upstreamNoQuorum, firstThree(labels(x.r.Upstream)),
			strconv.Itoa(x.r.Reachable), strconv.Itoa(len(x.r.Upstream)), x.provider()))
	default:
		for _, label := range silent {
			x.say(because(upstreamMemberSilent, label))
		}
		x.through()
	}
	s := x.w.Service
	switch {
	case s.Failing:
		x.sayOnce(x.inUse())
		x.sayUnless(because(proxyFailing, x.m.Unit, s.Log), portTaken, groupUnknown)
	case s.Kind == ProxyService && !s.Running:
		x.say(because(proxyStopped, x.m.Unit))
	}
}

// answers reports whether a read was answered at any address of the proxy: that proves a quorum,
// even if the members do not answer the probes.
func (x *examiner) answers() bool {
	return slices.ContainsFunc(x.w.Through, func(t ProxyRead) bool { return t.Error == "" })
}

// through says at which addresses of the proxy an application gets no answer, and what is refused
// at the others. The proxy's process may hang although all members serve.
func (x *examiner) through() {
	for _, t := range x.w.Through {
		if t.Error != "" {
			x.say(because(nothingThrough,
				place(t.At), clip(singleLine(t.Error), 200), serviceName(x.m.Unit)))
		}
	}
	var alarms []string
	for _, p := range x.r.Upstream {
		alarms = append(alarms, p.Alarms...)
	}
	for _, alarm := range ordered(alarms) {
		x.say(because(upstreamAlarm, singleLine(alarm), x.provider()))
	}
}

// provider is the application that provides the cluster, as far as it is known.
func (x *examiner) provider() string {
	if len(x.providers) > 0 && x.providers[0].App != "" {
		return x.providers[0].App
	}
	return "the provider"
}

// told says what is wrong with, or still missing from, what the provider published.
func (x *examiner) told() {
	for i, provider := range x.providers {
		id := x.m.Relations[upstreamEndpoint].Value[i].ID
		if !provider.Problem.IsZero() {
			_, problem, _ := strings.Cut(provider.Problem.String(), ": ")
			x.say(because(upstreamBroken, id, problem))
		} else if waits := provider.Waiting(); waits != "" {
			x.say(because(upstreamAwaited, id, waits))
		}
	}
}

// clientCertificate says that the proxy's own certificate, which the provider publishes, should
// have been replaced. A provider other than this charm may publish one that is valid for less than
// 30 days from the start: that is not reported.
func (x *examiner) clientCertificate() {
	left := x.w.Proxy.CertRemaining
	x.life(left)
	if left == 0 || left >= certificateDue || left >= x.w.Proxy.CertLife/3 {
		return
	}
	x.say(because(clientCertificateDue, x.m.Unit, lifetime(left), x.provider()))
}

// probeLabel names a member of upstream for people.
func probeLabel(p UpstreamProbe) string {
	for _, s := range []string{p.Name, p.ClientURL, p.PeerURL} {
		if s = singleLine(s); s != "" {
			return s
		}
	}
	return "a member without a name"
}

// labels names members of upstream for people.
func labels(probes []UpstreamProbe) []string {
	var out []string
	for _, p := range probes {
		out = append(out, probeLabel(p))
	}
	return out
}

// ordered sorts names of units as people count, without repetition.
func ordered(names []string) []string {
	return slices.Compact(slices.SortedFunc(slices.Values(names), databag.CompareUnits))
}

// firstThree lists the first three and counts the rest.
func firstThree(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return singleLine(strings.Join(names, ", "))
	}
	return singleLine(fmt.Sprintf("%s and %d more",
		strings.Join(names[:shown], ", "), len(names)-shown))
}
