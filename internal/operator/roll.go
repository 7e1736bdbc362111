package operator

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"
)

// rollPhase is how far our member is with a restart for new settings.
type rollPhase int

const (
	notRolling rollPhase = iota // no voter of ours runs in our cluster
	applied                     // it runs with the settings that it should have, as far as that is known
	noUpgrade                   // the carried release must not replace the running one
	held                        // another member comes first
	unfound                     // this pass did not find the other voters where they are listed
	turnless                    // it needs the turn
	finding                     // its peer URL changes, and it looks for the other voters first
	unwritten                   // the new settings are to be written
	restarting                  // the server is to be restarted with them
)

// String names the phase.
func (r rollPhase) String() string {
	return [...]string{
		"not rolling", "applied", "no upgrade", "held", "unfound", "turnless", "finding", "unwritten", "restarting",
	}[r]
}

// rollPhase says how far the roll of our member is, and for noUpgrade and held why it goes no further.
func (l look) rollPhase() (rollPhase, Reason) {
	if l.role() != RoleMember || l.leaving() || l.w.Data.State != OurData || !l.w.Service.Running || !l.inCluster() || l.halted() {
		return notRolling, Reason{}
	}
	own, listed := l.self()
	if !listed || own.Learner || l.unfit() != "" {
		return notRolling, Reason{}
	}
	if !l.restartDue() {
		return applied, Reason{}
	}
	if why := l.upgradeProblem(); !why.none() {
		return noUpgrade, why
	}
	if why := l.holdRestart(own); !why.none() {
		return held, why
	}
	missed, _ := l.tried(AwaitListed{own.ID})
	switch {
	case missed:
		return unfound, Reason{}
	case !l.hasTurn() && !l.withoutTurn(own.ID):
		return turnless, Reason{}
	case l.w.Service.PeerURL != l.should.PeerURL && !did[AwaitListed](l):
		return finding, Reason{}
	case l.w.WrittenConfig != l.sum:
		return unwritten, Reason{}
	}
	return restarting, Reason{}
}

// roll restarts our member when it runs with other settings than it should: one member at a time,
// in turn, the raft leader last, and only while every other voter is ready. While space is tight
// the members take a higher quota in the order of their IDs; they do so without a turn while etcd
// takes no key. roll also gives back a turn that is no longer needed.
func roll(l look, p *Plan) {
	phase, why := l.rollPhase()
	if phase == notRolling {
		return
	}
	p.need(l, "settings are not applied", peerAddressUnknown, clientAddressUnknown)
	if phase >= unfound {
		p.need(l, "settings are not applied", turnUnknown)
	}
	own, _ := l.self()
	switch phase {
	case applied:
		l.lend(p)
	case noUpgrade, held:
		p.say(why)
		l.lend(p)
	case unfound:
		p.want(l, AwaitListed{own.ID}) // it was tried: this says why it failed
		l.lend(p)
	case turnless:
		if !l.saved(p) {
			l.takeTurn(p)
		}
	case finding:
		// The others find us at our new address only once we are listed there. Until then we must
		// find them where they are.
		p.want(l, AwaitListed{own.ID})
	case unwritten:
		p.want(l, WriteMember{*l.should})
	case restarting:
		p.want(l, Restart{})
	}
}

// takeTurn takes the turn to restart. While etcd takes no key no unit can take it; the report then
// says what is done, or has to be.
func (l look) takeTurn(p *Plan) {
	if why := l.squatted(); !why.none() {
		p.say(why.to(Waiting))
		return
	}
	if l.w.Turn.Holder == l.m.Unit || l.refusing() == "" {
		p.want(l, TakeTurn{})
	}
}

// hasTurn reports whether the turn is ours for longer than this hook: it was taken, or prolonged, in this pass. One that an
// earlier hook took and left behind may run out in the middle of this one.
func (l look) hasTurn() bool {
	return l.w.Turn.Holder == l.m.Unit && did[TakeTurn](l)
}

// did reports whether such a step was done in this pass.
func did[S Step](l look) bool {
	return slices.ContainsFunc(l.w.Done, func(s Step) bool { _, ok := s.(S); return ok })
}

// lend gives the turn back while we have no use for it: what holds our restart may be a member that waits for the turn.
// Settings that were written with it are taken back before: the machine may start again at any time, and nobody then expects
// the server with another port.
func (l look) lend(p *Plan) {
	if l.revertible() && l.w.Service.Config != l.w.WrittenConfig {
		p.want(l, RevertMember{})
		return
	}
	if p.need(l, unreleased, turnUnknown) && l.w.Turn.Holder == l.m.Unit && l.w.Local.Ready {
		p.want(l, ReleaseTurn{})
	}
}

const unreleased = "the turn is not given back"

// revertible reports whether what our server runs with can be read, and is what the charm once wrote.
func (l look) revertible() bool {
	return l.w.Service.Running && l.w.Service.Config != "" && l.w.Service.Config != Altered
}

// restartDue reports whether the running server differs from what it should be.
func (l look) restartDue() bool {
	return l.usable() && l.addressed() && l.w.Installed == l.w.Carried && l.w.Service.Config != l.sum && !l.foreign()
}

// holdRestart says why our restart must not happen now; none means that it may.
func (l look) holdRestart(own Member) Reason {
	for _, mem := range l.w.Members {
		if mem.Learner {
			return because(restartAwaitsLearner, l.label(mem))
		}
	}
	if bad := l.notReady(); len(bad) > 0 {
		return because(restartAwaitsVoter, l.label(bad[0]))
	}
	for _, mem := range l.voters() {
		// Two that listen where they are not listed do not find each other, and without a quorum neither can be listed again.
		name, ok := l.unitOf(mem)
		if url := l.m.Cluster.Value.Words[name].PeerURL; ok && mem.ID != own.ID && url != "" && !slices.Contains(mem.PeerURLs, url) {
			return because(restartAwaitsListing, name)
		}
	}
	// A member that is not ready may restart if the others have a quorum: its settings may be the
	// cause.
	if !l.mayGoDown(own.ID).none() {
		return because(restartAwaitsSelf, l.m.Unit)
	}
	if first, raises := l.raiser(); raises {
		return l.holdQuota(own, first)
	}
	if own.Leader != own.ID {
		return Reason{}
	}
	if !l.m.Cluster.OK && len(l.voters()) > 1 {
		return l.unknown(peersUnknown, "the raft leader does not restart")
	}
	want := l.should.Generation()
	for _, mem := range l.voters() {
		name, ok := l.unitOf(mem)
		if mem.ID == own.ID || !ok || l.m.Units.Value[name] == Dying {
			// A unit that leaves does not restart before, and may wait for us to answer at a new
			// address.
			continue
		}
		if l.m.Cluster.Value.Words[name].Running != want {
			return because(restartAwaitsOthers, name)
		}
	}
	if l.restarts() {
		for _, name := range l.awaited() {
			if name != l.m.Unit {
				return because(restartAwaitsOthers, name)
			}
		}
	}
	return Reason{}
}

// holdQuota says why our member must not take the higher quota now; none means that it may.
func (l look) holdQuota(own, first Member) Reason {
	if first.ID != own.ID {
		return because(restartAwaitsQuota, l.label(first))
	}
	if a := l.raiseAwaits(); a.who != "" && l.withoutTurn(own.ID) {
		return because(restartAwaitsAll, a.who, a.why)
	}
	return Reason{}
}

// refusing is the worst alarm because of which etcd takes no writes, so that no unit can take the
// turn; "" is none.
func (l look) refusing() string {
	for _, kind := range []string{corrupt, noSpace} {
		if slices.ContainsFunc(l.w.Alarms, func(a Alarm) bool { return a.Kind == kind }) {
			return kind
		}
	}
	return ""
}

// upgradeProblem says why the carried release must not replace the running one; none means that it
// may. etcd goes up one minor version at a time, and reads no data of a newer minor version.
func (l look) upgradeProblem() Reason {
	from, to := l.w.Service.Release, l.w.Carried
	if !l.w.Service.Running {
		from = l.w.WrittenRelease // the release that ran last
	}
	was, is := "v"+version(from), "v"+version(to)
	switch {
	case !semver.IsValid(was) || !semver.IsValid(is) || semver.MajorMinor(was) == semver.MajorMinor(is):
		return Reason{}
	case semver.Compare(is, was) < 0:
		return because(downgrade, l.m.Unit, was[1:], is[1:], semver.MajorMinor(was)[1:])
	case semver.MajorMinor(is) != nextMinor(was):
		return because(upgradeTooFar, l.m.Unit, was[1:], is[1:])
	}
	return Reason{}
}

// version is a release's etcd version.
func version(release string) string {
	v, _, _ := strings.Cut(release, "-")
	return v
}

// nextMinor is the minor version after that of a valid version: "v3.8" after "v3.7.3".
func nextMinor(version string) string {
	major := semver.Major(version) + "."
	minor, _ := strconv.Atoi(strings.TrimPrefix(semver.MajorMinor(version), major))
	return major + strconv.Itoa(minor+1)
}

// older reports whether a release's etcd version comes before another's. A text that is no version
// comes before all.
func older(a, b string) bool { return semver.Compare("v"+version(a), "v"+version(b)) < 0 }
