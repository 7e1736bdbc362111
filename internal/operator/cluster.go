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
func cluster(l look, p *Plan) {
	if l.role() != RoleMember || l.leaving() {
		return
	}
	if l.halted() {
		l.halt(p)
		return
	}
	if l.serveNew(p) {
		return
	}
	if l.prepare(p); p.Step != nil {
		return
	}
	switch l.w.Data.State {
	case AlienData:
		if l.w.Service.Running && !l.w.Service.Failing && !l.w.Local.Live {
			// While a server writes its first data, that looks like damage.
			p.want(l, AwaitReady{Learner: true})
		} // if the data is not ours, the report says so
	case ForeignData:
		withForeignData(l, p)
	case OurData:
		withData(l, p)
	case NoData:
		withoutData(l, p)
	}
	l.replaceStuck(p)
}

const unfounded = "no cluster is founded or joined"

// withoutData founds or joins, or says what that waits for.
func withoutData(l look, p *Plan) {
	needs := []Kind{unitsUnknown, peersUnknown, peerAddressUnknown, clientAddressUnknown, authoritiesUnknown}
	if l.named() == 0 || (l.m.Authority.OK && l.m.Authority.Value == nil) {
		needs = append(needs, leaderUnknown) // to found, and to make the authorities
	}
	p.need(l, unfounded, needs...)
	switch {
	case !l.m.Cluster.OK || !l.m.Units.OK || !l.addressed() || !l.usable():
		return
	case l.w.Service.Running && !l.w.Service.Failing:
		// It was started a moment ago and is about to write its data.
		p.want(l, AwaitReady{Learner: true})
	case !l.m.Authority.OK:
		return
	case l.m.Authority.Value == nil:
		awaitAuthority(l, p)
	case l.awaitsData():
		p.say(because(joinAwaitsOperation, l.operation().ID))
	case l.named() == 0:
		found(l, p)
	case l.whyNotLost().none():
		p.say(l.lost())
	case !l.outlived().none():
		p.say(l.outlived())
	case l.unclaimed():
		p.say(because(clusterUnclaimed, hexID(l.named())))
	case l.w.Reach != Healthy || l.w.ClusterID != l.named():
		// The report says what does not answer, or which cluster does.
	case l.m.Cluster.Value.Record.ClusterID != l.named():
		// Its founder lost the leadership before the commit, and another cluster may be put on
		// record before this one.
		p.say(because(joinAwaitsRecord, hexID(l.named())))
	default:
		join(l, p)
	}
}

// awaitAuthority has the leader make the authorities; they are used only once Juju has committed them, so that no
// cluster is ever founded on an authority that a failed hook took back.
func awaitAuthority(l look, p *Plan) {
	switch {
	case !l.m.Leader.OK: // withoutData has said so
	case l.m.Leader.Value:
		p.NewAuthority = true
		p.say(because(authoritiesMade, l.m.Unit))
	default:
		p.say(because(authoritiesAwaited, l.m.Unit))
	}
}

// found founds the cluster, once: only the leader does it, only if no bag names a cluster, and only
// if World.Reach is Absent.
func found(l look, p *Plan) {
	switch {
	case !l.m.Leader.OK:
		return // withoutData has said so
	case !l.m.Leader.Value:
		p.say(because(foundAwaitsLeader, l.m.Unit))
		return
	case l.w.Reach != Absent:
		return // the report says who answers, or may answer
	}
	s := *l.should
	record := l.m.Cluster.Value.Record
	s.Initial = Initial{
		New: true,
		// The token is unique: the authorities are random for each deployment, unit numbers are
		// never used twice, and a cluster that was given up changes Ended.
		Token:   digest("found", l.m.UUID, l.m.Unit, l.m.Authority.Value.Fingerprint(), fmt.Sprint(record.Ended)),
		Cluster: s.Name + "=" + s.PeerURL,
	}
	launch(l, p, s)
}

// launch writes the settings of a first start, and starts the server. If the server keeps failing,
// the report says why.
func launch(l look, p *Plan, s Server) {
	switch {
	case l.w.WrittenConfig != l.sum || l.w.WrittenInitial != s.Initial:
		p.want(l, WriteMember{s})
	case !l.w.Service.Running && !l.startedInVain():
		p.want(l, Start{})
	}
}

// startedInVain reports whether this pass has started a server that keeps failing or that its gate
// holds. Another start in this pass would not help: the reason is shown instead, and the service
// manager or the next hook tries again.
func (l look) startedInVain() bool {
	return (l.w.Service.Failing || l.w.Service.Held != NotHeld) && slices.Contains(l.w.Done, Step(Start{}))
}

// justStarted reports whether this hook, or the machine's boot just before it, started our server.
func (l look) justStarted() bool {
	return l.Kind == hooks.Start || did[Start](l) || did[Restart](l)
}

// join becomes a member as a learner. A member that etcd lists as started never starts on an empty data directory: it
// has forgotten its votes, so it is removed and joins again.
func join(l look, p *Plan) {
	own, listed := l.self()
	if listed && own.Started() {
		if l.mayRemove(own.ID).none() {
			p.want(l, RemoveMember{ID: own.ID, Name: l.m.Unit, Why: "its data is gone; it joins as a new member"})
			return
		}
		p.say(because(rejoinAwaitsQuorum, l.m.Unit))
		return
	}
	if why := l.neighbours(false); !why.none() {
		p.say(why)
		return
	}
	if listed {
		s := *l.should
		s.Initial = Initial{Cluster: initialCluster(l.w.Members, own.ID, s.Name)}
		launch(l, p, s)
		return
	}
	// etcd refuses to add while a voter is down: the dead go first.
	if dead := l.notReady(); len(dead) > 0 {
		// Waiting within the hook is worthwhile for a member that the charm restarts, one that
		// answers already, or one that is about to be removed; not for a machine that is off.
		worthIt := l.w.Turn.Holder != "" || dead[0].Answers || l.orphan(dead[0])
		if !worthIt || !p.want(l, AwaitPeer{}) {
			p.say(l.awaitDead(dead[0]))
		}
		return
	}
	for _, mem := range l.w.Members {
		if mem.Learner {
			l.awaitLearner(p, mem)
			return
		}
	}
	for _, a := range l.w.Alarms {
		// The data that we would be sent may be the bad data.
		if a.Kind == corrupt {
			p.say(because(joinAwaitsAlarm, l.names(a.MemberID)))
			return
		}
	}
	if why := l.neighbours(true); !why.none() {
		p.say(why)
		return
	}
	p.want(l, AddLearner{l.peerURL()})
}

// awaitLearner waits for the learner that is listed, because there is one at a time. etcd's own
// limit, max-learners, is never set and never relied on: each member checks it with its own value
// when it applies the entry. Members with different values would come to different member lists,
// even long after, when one replays its log.
func (l look) awaitLearner(p *Plan, mem Member) {
	// The learner may be ourselves, under an earlier port or address.
	ours := func(u string) bool { return sameHost(u, l.peerURL()) || u == l.m.Memory.Value.Learner }
	switch {
	case !mem.Started() && slices.ContainsFunc(mem.PeerURLs, ours):
		p.want(l, RemoveMember{mem.ID, l.m.Unit, "it joins at another URL", true})
	case p.want(l, AwaitLearner{mem.ID}):
	case l.orphan(mem):
		p.say(because(joinAwaitsRemoval, l.label(mem)))
	default:
		p.say(because(joinAwaitsLearner, l.label(mem)))
	}
}

// sameHost reports whether two URLs are of one address, at whatever port.
func sameHost(a, b string) bool {
	one, errOne := url.Parse(a)
	other, errOther := url.Parse(b)
	return errOne == nil && errOther == nil && one.Hostname() == other.Hostname()
}

// awaitDead says what a join waits for.
func (l look) awaitDead(mem Member) Reason {
	name := l.label(mem)
	if _, there := l.m.Units.Value[name]; there {
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
func withData(l look, p *Plan) {
	own, listed := l.self()
	switch l.barred() {
	case HeldReplaced:
		l.giveUpReplaced(p)
		return
	case HeldElsewhere:
		yield(l, p, l.named())
		return
	case HeldUnlisted:
		if l.disarm(p) {
			rejoin(l, p, "etcd does not list it any more")
		}
		return
	}
	if l.repair(p, own); p.Step != nil {
		return
	}
	if what := l.unfit(); what != "" {
		l.replace(p, what)
		return
	}
	// The server may be restarted at any time, and settings that the charm did not write might
	// refuse everybody, or nobody.
	if l.w.WrittenConfig == Altered && l.revertible() {
		if p.want(l, RevertMember{}) {
			return
		}
	}
	// A machine that comes back with an empty disk starts its services before any hook runs: told to found, etcd would found
	// again; told to join a list in which it stands as started, it would forget its votes. Nothing goes on before that is over.
	if l.w.WrittenInitial != (Initial{}) {
		p.want(l, SpendInitial{})
		return
	}
	moved := l.moved()
	// A member that is far behind is sent a snapshot at the URL under which etcd lists it: until
	// that URL is right, it may never be ready.
	early := (listed && own.Learner) || moved
	serving := l.w.Local.Ready || (early && l.w.Local.Live) ||
		(own.Ready && l.refusing() == corrupt) // etcd then calls nobody ready, though all read and vote
	if l.claim(p); p.Step != nil {
		return
	}
	if l.w.Service.Running && !l.w.Service.Enabled && p.want(l, Start{}) {
		return // it would not run after the machine's next boot
	}
	switch {
	case !l.w.Service.Running || l.w.Service.Failing:
		revive(l, p)
	case !serving && l.w.Service.ailment() == locked:
		// The process that has the data open is not waited for.
	case !serving && l.w.Reach != Healthy && !l.justStarted():
		// We are ready only when others return, and their return triggers no hook here; the next
		// hook looks again.
		return
	case !serving:
		p.want(l, AwaitReady{Learner: early})
	case !listed || !l.inCluster():
		return
	case moved:
		l.tellAddress(p)
	case own.Learner:
		p.want(l, Promote{own.ID})
	}
}

// moved reports whether etcd lists us where we do not listen.
func (l look) moved() bool {
	own, listed := l.self()
	peer, _ := l.servedURLs()
	return listed && l.inCluster() && l.usable() && l.addressed() && !slices.Contains(own.PeerURLs, peer)
}

// tellAddress has etcd list us at the URL where we listen now. If etcd listed a port before we
// listen there, the others would lose us.
func (l look) tellAddress(p *Plan) {
	own, _ := l.self()
	peer, _ := l.servedURLs()
	p.want(l, UpdateMember{own.ID, peer})
}

// revive starts a member that is down, with the settings that it should have; that interrupts
// nothing. If it keeps failing, the report says why.
func revive(l look, p *Plan) {
	// The service may have been stopped for a reason that is on record: an operation has the
	// cluster stopped, or has replaced its data.
	if s := l.w.Service; !s.up() && !l.m.Cluster.OK {
		p.need(l, "etcd is not started", peersUnknown)
		return
	}
	s := *l.should
	settled := !l.usable() || !l.addressed() || l.w.WrittenConfig == l.sum
	if why := l.upgradeProblem(); !why.none() {
		p.say(why)
		settled = true // it goes on with the release that it ran before
	}
	switch {
	case !settled:
		p.want(l, WriteMember{s})
	case !l.w.Service.Running && !l.startedInVain():
		p.want(l, Start{})
	case l.w.Service.Running && l.w.Service.Config != l.w.WrittenConfig && !did[Restart](l):
		p.want(l, Restart{})
	}
}

// spoilt reports whether the server ends at its start because its data differs from another
// member's (etcdserver/corrupt.go, InitialCheck). etcd does not say whose data is bad: the server
// ends if any other member's data differs.
func (s Service) spoilt() bool {
	return s.Failing && strings.Contains(s.Log, "found data inconsistency with peers")
}

const yielding = "the application's cluster is another"

// yield gives way to the application's cluster, because our data is of another one. The data is
// moved aside only if the named cluster is on record, answers with a quorum, and our own cluster
// has no other voter. A cluster that only bags of units name may still give way to ours.
func yield(l look, p *Plan, named uint64) {
	switch {
	case l.isTarget(): // it is about to be the application's
	case l.m.Cluster.Value.Record.ClusterID != named:
		p.say(because(clustersUnsettled, hexID(l.w.Data.ClusterID), hexID(named)))
	case l.w.Reach != Healthy || l.w.ClusterID != named:
		p.say(because(dataOfAnother, hexID(l.w.Data.ClusterID), hexID(named), l.w.Reach.String()))
	case !l.w.Service.Running && slices.Contains(l.w.Done, Step(Stop{yielding})):
		p.want(l, MoveAside{yielding})
	case !l.w.Service.Running && l.unfit() != "":
		p.say(because(dataUnfit, l.m.Unit, l.unfit()))
	case !l.w.Service.Running && l.startedInVain(): // the report says what holds it
	case !l.w.Service.Running:
		p.want(l, Start{}) // only the member itself can say who votes with it
	case l.w.Local.Voters == 0:
		p.want(l, AwaitReady{})
	case l.w.Local.Voters > 1:
		p.say(because(dataOfOthers, hexID(l.w.Data.ClusterID), hexID(named), strconv.Itoa(l.w.Local.Voters)))
	default:
		rejoin(l, p, yielding)
	}
}

// rejoin moves our data aside, which lets the next look join again.
func rejoin(l look, p *Plan, why string) {
	if l.w.Service.up() {
		p.want(l, Stop{why})
		return
	}
	p.want(l, MoveAside{why})
}
