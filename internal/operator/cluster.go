package operator

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/juju/charm/v12/hooks"
)

// cluster brings our member to life and keeps it there: found, join, start, catch up, promote, tell
// a new address. What is due follows from what the bags name, what is in the data directory, and
// what etcd lists.
func cluster(v view, p *Plan) {
	if v.role() != RoleMember || v.leaving() {
		return
	}
	if v.halted() {
		v.halt(p)
		return
	}
	if v.serveNew(p) {
		return
	}
	if v.prepare(p); p.Step != nil {
		return
	}
	switch v.w.Data.State {
	case AlienData:
		if v.w.Service.Running && !v.w.Service.Failing && !v.w.Local.Live {
			// While a server writes its first data, that looks like damage.
			p.want(v, AwaitReady{Learner: true})
		} // if the data is not ours, the report says so
	case ForeignData:
		withForeignData(v, p)
	case OurData:
		withData(v, p)
	case NoData:
		withoutData(v, p)
	}
	v.replaceStuck(p)
}

const unfounded = "no cluster is founded or joined"

// withoutData founds or joins, or says what that waits for.
func withoutData(v view, p *Plan) {
	needs := []Kind{
		unitsUnknown, peersUnknown, peerAddressUnknown, clientAddressUnknown, authoritiesUnknown,
	}
	if v.named() == 0 || (v.m.Authority.OK && v.m.Authority.Value == nil) {
		needs = append(needs, leaderUnknown) // to found, and to make the authorities
	}
	p.need(v, unfounded, needs...)
	switch {
	case !v.m.Cluster.OK || !v.m.Units.OK || !v.addressed() || !v.usable():
		return
	case v.w.Service.Running && !v.w.Service.Failing:
		// It was started a moment ago and is about to write its data.
		p.want(v, AwaitReady{Learner: true})
	case !v.m.Authority.OK:
		return
	case v.m.Authority.Value == nil:
		awaitAuthority(v, p)
	case v.awaitsData():
		p.say(because(joinAwaitsOperation, v.operation().ID))
	case v.named() == 0:
		found(v, p)
	case v.whyNotLost().none():
		p.say(v.lost())
	case !v.outlived().none():
		p.say(v.outlived())
	case v.unclaimed():
		p.say(because(clusterUnclaimed, hexID(v.named())))
	case v.w.Reach != Healthy || v.w.ClusterID != v.named():
		// The report says what does not answer, or which cluster does.
	case v.m.Cluster.Value.AppBag.ClusterID != v.named():
		// The leader that founded it lost the leadership before the commit, and another cluster may
		// be put on record before this one.
		p.say(because(joinAwaitsRecord, hexID(v.named())))
	default:
		join(v, p)
	}
}

// awaitAuthority makes the leader create the authorities. They are used only once Juju has
// committed them, so that no cluster is ever founded on an authority that a failed hook took back.
func awaitAuthority(v view, p *Plan) {
	switch {
	case !v.m.Leader.OK: // withoutData has said so
	case v.m.Leader.Value:
		p.NewAuthority = true
		p.say(because(authoritiesMade, v.m.Unit))
	default:
		p.say(because(authoritiesAwaited, v.m.Unit))
	}
}

// found founds the cluster, once: only the leader does it, only if no bag names a cluster, and only
// if World.Reach is Absent.
func found(v view, p *Plan) {
	switch {
	case !v.m.Leader.OK:
		return // withoutData has said so
	case !v.m.Leader.Value:
		p.say(because(foundAwaitsLeader, v.m.Unit))
		return
	case v.w.Reach != Absent:
		return // the report says who answers, or may answer
	}
	s := *v.desired
	record := v.m.Cluster.Value.AppBag
	s.Initial = Initial{
		New: true,
		// The token is unique: the authorities are random for each deployment, unit numbers are
		// never used twice, and a cluster that was given up changes Ended.
		Token: digest("found", v.m.UUID, v.m.Unit,
			v.m.Authority.Value.Fingerprint(), fmt.Sprint(record.Ended)),
		Cluster: s.Name + "=" + s.PeerURL,
	}
	launch(v, p, s)
}

// launch writes the settings of a first start, and starts the server. If the server keeps failing,
// the report says why.
func launch(v view, p *Plan, s Server) {
	switch {
	case v.w.WrittenConfig != v.desiredDigest || v.w.WrittenInitial != s.Initial:
		p.want(v, WriteMember{s})
	case !v.w.Service.Running && !v.startedInVain():
		p.want(v, Start{})
	}
}

// startedInVain reports whether this pass has started a server that keeps failing or that its gate
// holds. Another start in this pass would not help: the reason is shown instead, and the service
// manager or the next hook tries again.
func (v view) startedInVain() bool {
	return (v.w.Service.Failing || v.w.Service.Held != NotHeld) &&
		slices.Contains(v.w.Done, Step(Start{}))
}

// justStarted reports whether this hook, or the machine's boot just before it, started our server.
func (v view) justStarted() bool {
	return v.Kind == hooks.Start || did[Start](v) || did[Restart](v)
}

// join becomes a member as a learner. A member that etcd lists as started never starts on an empty
// data directory: it has forgotten its votes, so it is removed and joins again.
func join(v view, p *Plan) {
	own, listed := v.self()
	if listed && own.Started() {
		if v.mayRemove(own.ID).none() {
			p.want(v, RemoveMember{
				ID: own.ID, Name: v.m.Unit, Why: "its data is gone; it joins as a new member",
			})
			return
		}
		p.say(because(rejoinAwaitsQuorum, v.m.Unit))
		return
	}
	if why := v.versionsAllowJoin(false); !why.none() {
		p.say(why)
		return
	}
	if listed {
		s := *v.desired
		s.Initial = Initial{Cluster: initialCluster(v.w.Members, own.ID, s.Name)}
		launch(v, p, s)
		return
	}
	// etcd refuses to add while a voter is down: the dead go first.
	if dead := v.notReady(); len(dead) > 0 {
		// Waiting within the hook is worthwhile for a member that the charm restarts, one that
		// answers already, or one that is about to be removed; not for a machine that is off.
		worthIt := v.w.Turn.Holder != "" || dead[0].Answers || v.orphan(dead[0])
		if !worthIt || !p.want(v, AwaitPeer{}) {
			p.say(v.awaitDead(dead[0]))
		}
		return
	}
	for _, mem := range v.w.Members {
		if mem.Learner {
			v.awaitLearner(p, mem)
			return
		}
	}
	for _, a := range v.w.Alarms {
		// The data that we would be sent may be the bad data.
		if a.Kind == corrupt {
			p.say(because(joinAwaitsAlarm, v.names(a.MemberID)))
			return
		}
	}
	if why := v.versionsAllowJoin(true); !why.none() {
		p.say(why)
		return
	}
	p.want(v, AddLearner{v.peerURL()})
}

// awaitLearner waits for the learner that is listed, because there is one at a time. etcd's own
// limit, max-learners, is never set and never relied on: each member checks it with its own value
// when it applies the entry. Members with different values would come to different member lists,
// even long after, when one replays its log.
func (v view) awaitLearner(p *Plan, mem Member) {
	// The learner may be ourselves, under an earlier port or address.
	ours := func(u string) bool { return sameHost(u, v.peerURL()) || u == v.m.Memory.Value.Learner }
	switch {
	case !mem.Started() && slices.ContainsFunc(mem.PeerURLs, ours):
		p.want(v, RemoveMember{mem.ID, v.m.Unit, "it joins at another URL", true})
	case p.want(v, AwaitLearner{mem.ID}):
	case v.orphan(mem):
		p.say(because(joinAwaitsRemoval, v.label(mem)))
	default:
		p.say(because(joinAwaitsLearner, v.label(mem)))
	}
}

// sameHost reports whether two URLs are of one address, at whatever port.
func sameHost(a, b string) bool {
	one, errOne := url.Parse(a)
	other, errOther := url.Parse(b)
	return errOne == nil && errOther == nil && one.Hostname() == other.Hostname()
}

// awaitDead says what a join waits for.
func (v view) awaitDead(mem Member) Reason {
	name := v.label(mem)
	if _, there := v.m.Units.Value[name]; there {
		return because(joinAwaitsMember, name)
	}
	return because(joinAwaitsRemoval, name)
}

// initialCluster is the member list exactly as it is, with our own name for our member, which has
// none yet. Other members that have not started are named by their ID: etcd compares only URLs and
// their number (membership/cluster.go, ValidateClusterAndAssignIDs).
func initialCluster(members []Member, own uint64, name string) string {
	var parts []string
	for _, mem := range members {
		n := mem.Name
		switch {
		case mem.ID == own:
			n = name
		case n == "":
			n = fmt.Sprintf("%x", mem.ID)
		}
		for _, url := range mem.PeerURLs {
			parts = append(parts, n+"="+url)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// withData keeps a member that has data: it belongs to our cluster, it runs, it is listed, it
// votes.
func withData(v view, p *Plan) {
	own, listed := v.self()
	switch v.barred() {
	case HeldReplaced:
		v.giveUpReplaced(p)
		return
	case HeldElsewhere:
		yield(v, p, v.named())
		return
	case HeldUnlisted:
		if v.disarm(p) {
			rejoin(v, p, "etcd does not list it any more")
		}
		return
	}
	if v.repair(p, own); p.Step != nil {
		return
	}
	if what := v.unfit(); what != "" {
		v.replace(p, what)
		return
	}
	// The server may be restarted at any time, and settings that the charm did not write might
	// refuse everybody, or nobody.
	if v.w.WrittenConfig == Altered && v.revertible() {
		if p.want(v, RevertMember{}) {
			return
		}
	}
	// If a machine comes back with an empty disk, its services start before any hook runs. Settings
	// of a first start would then make etcd found a second cluster, or join as a member that has
	// forgotten its votes. So they go before anything else.
	if v.w.WrittenInitial != (Initial{}) {
		p.want(v, SpendInitial{})
		return
	}
	moved := v.moved()
	// A member that is far behind is sent a snapshot at the URL under which etcd lists it: until
	// that URL is right, it may never be ready.
	early := (listed && own.Learner) || moved
	serving := v.w.Local.Ready || (early && v.w.Local.Live) ||
		// etcd then calls nobody ready, though all read and vote.
		(own.Ready && v.refusingAlarm() == corrupt)
	if v.claim(p); p.Step != nil {
		return
	}
	if v.w.Service.Running && !v.w.Service.Enabled && p.want(v, Start{}) {
		return // it would not run after the machine's next boot
	}
	switch {
	case !v.w.Service.Running || v.w.Service.Failing:
		startStopped(v, p)
	case !serving && v.w.Service.ailment() == locked:
		// The process that has the data open is not waited for.
	case !serving && v.w.Reach != Healthy && !v.justStarted():
		// We are ready only when others return, and their return triggers no hook here; the next
		// hook looks again.
		return
	case !serving:
		p.want(v, AwaitReady{Learner: early})
	case !listed || !v.inCluster():
		return
	case moved:
		v.encodeAddress(p)
	case own.Learner:
		p.want(v, Promote{own.ID})
	}
}

// moved reports whether etcd lists us where we do not listen.
func (v view) moved() bool {
	own, listed := v.self()
	peer, _ := v.servedURLs()
	return listed && v.inCluster() && v.usable() && v.addressed() &&
		!slices.Contains(own.PeerURLs, peer)
}

// encodeAddress makes etcd list us at the URL where we listen now. If etcd listed a port before we
// listen there, the others would lose us.
func (v view) encodeAddress(p *Plan) {
	own, _ := v.self()
	peer, _ := v.servedURLs()
	p.want(v, UpdateMember{own.ID, peer})
}

// startStopped starts a member that is down, with the settings that it should have; that interrupts
// nothing. If it keeps failing, the report says why.
func startStopped(v view, p *Plan) {
	// The service may have been stopped for a reason that is on record: an operation has the
	// cluster stopped, or has replaced its data.
	if s := v.w.Service; !s.up() && !v.m.Cluster.OK {
		p.need(v, "etcd is not started", peersUnknown)
		return
	}
	s := *v.desired
	settled := !v.usable() || !v.addressed() || v.w.WrittenConfig == v.desiredDigest
	if why := v.upgradeProblem(); !why.none() {
		p.say(why)
		settled = true // it goes on with the release that it ran before
	}
	switch {
	case !settled:
		p.want(v, WriteMember{s})
	case !v.w.Service.Running && !v.startedInVain():
		p.want(v, Start{})
	case v.w.Service.Running && v.w.Service.Config != v.w.WrittenConfig && !did[Restart](v):
		p.want(v, Restart{})
	}
}

// inconsistent reports whether the server ends at its start because its data differs from another
// member's (etcdserver/corrupt.go, InitialCheck). etcd does not say whose data is bad: the server
// ends if any other member's data differs.
func (s Service) inconsistent() bool {
	return s.Failing && strings.Contains(s.Log, "found data inconsistency with peers")
}

const yielding = "the application's cluster is another"

// yield gives way to the application's cluster, because our data is of another one. The data is
// moved aside only if the named cluster is on record, answers with a quorum, and our own cluster
// has no other voter. A cluster that only bags of units name may still give way to ours.
func yield(v view, p *Plan, named uint64) {
	switch {
	case v.isTarget(): // it is about to be the application's
	case v.m.Cluster.Value.AppBag.ClusterID != named:
		p.say(because(clustersUnsettled, hexID(v.w.Data.ClusterID), hexID(named)))
	case v.w.Reach != Healthy || v.w.ClusterID != named:
		p.say(because(dataOfAnother, hexID(v.w.Data.ClusterID), hexID(named), v.w.Reach.String()))
	case !v.w.Service.Running && slices.Contains(v.w.Done, Step(Stop{yielding})):
		p.want(v, MoveAside{yielding})
	case !v.w.Service.Running && v.unfit() != "":
		p.say(because(dataUnfit, v.m.Unit, v.unfit()))
	case !v.w.Service.Running && v.startedInVain(): // the report says what holds it
	case !v.w.Service.Running:
		p.want(v, Start{}) // only the member itself can say who votes with it
	case v.w.Local.Voters == 0:
		p.want(v, AwaitReady{})
	case v.w.Local.Voters > 1:
		p.say(because(dataOfOthers,
			hexID(v.w.Data.ClusterID), hexID(named), strconv.Itoa(v.w.Local.Voters)))
	default:
		rejoin(v, p, yielding)
	}
}

// rejoin moves our data aside, which lets the next look join again.
func rejoin(v view, p *Plan, why string) {
	if v.w.Service.up() {
		p.want(v, Stop{why})
		return
	}
	p.want(v, MoveAside{why})
}
