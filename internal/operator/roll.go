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
	// It runs with the settings that it should have, as far as that is known.
	applied
	noUpgrade  // the carried release must not replace the running one
	held       // another member comes first
	unfound    // this pass did not find the other voters where they are listed
	turnless   // it needs the turn
	finding    // its peer URL changes, and it looks for the other voters first
	unwritten  // the new settings are to be written
	restarting // the server is to be restarted with them
)

// String names the phase.
func (r rollPhase) String() string {
	return [...]string{
		"not rolling", "applied", "no upgrade", "held", "unfound",
		"turnless", "finding", "unwritten", "restarting",
	}[r]
}

// rollPhase says how far the roll of our member is, and for noUpgrade and held why it goes no
// further.
func (v view) rollPhase() (rollPhase, Reason) {
	if v.role() != RoleMember || v.leaving() || v.w.Data.State != OurData ||
		!v.w.Service.Running || !v.inCluster() || v.halted() {
		return notRolling, Reason{}
	}
	own, listed := v.self()
	if !listed || own.Learner || v.unfit() != "" {
		return notRolling, Reason{}
	}
	if !v.restartDue() {
		return applied, Reason{}
	}
	if why := v.upgradeProblem(); !why.none() {
		return noUpgrade, why
	}
	if why := v.holdRestart(own); !why.none() {
		return held, why
	}
	missed, _ := v.tried(AwaitListed{own.ID})
	switch {
	case missed:
		return unfound, Reason{}
	case !v.hasTurn() && !v.mayRestartWithoutTurn(own.ID):
		return turnless, Reason{}
	case v.w.Service.PeerURL != v.desired.PeerURL && !did[AwaitListed](v):
		return finding, Reason{}
	case v.w.WrittenConfig != v.desiredDigest:
		return unwritten, Reason{}
	}
	return restarting, Reason{}
}

// roll restarts our member when it runs with other settings than it should: one member at a time,
// in turn, the raft leader last, and only while every other voter is ready. While space is tight
// the members take a higher quota in the order of their IDs; they do so without a turn while etcd
// takes no key. roll also gives back a turn that is no longer needed.
func roll(v view, p *Plan) {
	phase, why := v.rollPhase()
	if phase == notRolling {
		return
	}
	p.need(v, "settings are not applied", peerAddressUnknown, clientAddressUnknown)
	if phase >= unfound {
		p.need(v, "settings are not applied", turnUnknown)
	}
	own, _ := v.self()
	switch phase {
	case applied:
		v.releaseUnusedTurn(p)
	case noUpgrade, held:
		p.say(why)
		v.releaseUnusedTurn(p)
	case unfound:
		p.want(v, AwaitListed{own.ID}) // it was tried: this says why it failed
		v.releaseUnusedTurn(p)
	case turnless:
		if !v.saved(p) {
			v.takeTurn(p)
		}
	case finding:
		// The others find us at our new address only once we are listed there. Until then we must
		// find them where they are.
		p.want(v, AwaitListed{own.ID})
	case unwritten:
		p.want(v, WriteMember{*v.desired})
	case restarting:
		p.want(v, Restart{})
	}
}

// takeTurn takes the turn to restart. While etcd takes no key no unit can take it; the report then
// says what is done, or has to be.
func (v view) takeTurn(p *Plan) {
	if why := v.turnAbandoned(); !why.none() {
		p.say(why.to(Waiting))
		return
	}
	if v.w.Turn.Holder == v.m.Unit || v.refusingAlarm() == "" {
		p.want(v, TakeTurn{})
	}
}

// hasTurn reports whether the turn is ours for longer than this hook: it was taken, or extended, in
// this pass. One that an earlier hook took and left behind may run out in the middle of this hook.
func (v view) hasTurn() bool {
	return v.w.Turn.Holder == v.m.Unit && did[TakeTurn](v)
}

// did reports whether such a step was done in this pass.
func did[S Step](v view) bool {
	return slices.ContainsFunc(v.w.Done, func(s Step) bool { _, ok := s.(S); return ok })
}

// releaseUnusedTurn gives the turn back while we have no use for it: a member that holds up our
// restart may itself wait for the turn. Settings that were written with the turn are reverted
// first: the machine may start again at any time, and nobody then expects the server with another
// port.
func (v view) releaseUnusedTurn(p *Plan) {
	if v.revertible() && v.w.Service.Config != v.w.WrittenConfig {
		p.want(v, RevertMember{})
		return
	}
	if p.need(v, unreleased, turnUnknown) && v.w.Turn.Holder == v.m.Unit && v.w.Local.Ready {
		p.want(v, ReleaseTurn{})
	}
}

const unreleased = "the turn is not given back"

// revertible reports whether the settings that our server runs with can be read, and are what the
// charm once wrote.
func (v view) revertible() bool {
	return v.w.Service.Running && v.w.Service.Config != "" && v.w.Service.Config != Altered
}

// restartDue reports whether the running server differs from what it should be.
func (v view) restartDue() bool {
	return v.usable() && v.addressed() && v.w.Installed == v.w.Carried &&
		v.w.Service.Config != v.desiredDigest && !v.foreign()
}

// holdRestart says why our restart must not happen now; none means that it may.
func (v view) holdRestart(own Member) Reason {
	for _, mem := range v.w.Members {
		if mem.Learner {
			return because(restartAwaitsLearner, v.label(mem))
		}
	}
	if bad := v.notReady(); len(bad) > 0 {
		return because(restartAwaitsVoter, v.label(bad[0]))
	}
	for _, mem := range v.voters() {
		// Two members that listen where they are not listed do not find each other, and without a
		// quorum neither can be listed correctly again.
		name, ok := v.unitOf(mem)
		if url := v.m.Cluster.Value.UnitBags[name].PeerURL; ok && mem.ID != own.ID &&
			url != "" && !slices.Contains(mem.PeerURLs, url) {
			return because(restartAwaitsListing, name)
		}
	}
	// A member that is not ready may restart if the others have a quorum: its settings may be the
	// cause.
	if !v.mayGoDown(own.ID).none() {
		return because(restartAwaitsSelf, v.m.Unit)
	}
	if first, raises := v.raiser(); raises {
		return v.holdQuota(own, first)
	}
	if own.Leader != own.ID {
		return Reason{}
	}
	if !v.m.Cluster.OK && len(v.voters()) > 1 {
		return v.unknown(peersUnknown, "the raft leader does not restart")
	}
	want := v.desired.Generation()
	for _, mem := range v.voters() {
		name, ok := v.unitOf(mem)
		if mem.ID == own.ID || !ok || v.m.Units.Value[name] == Dying {
			// A unit that leaves does not restart before, and may wait for us to answer at a new
			// address.
			continue
		}
		if v.m.Cluster.Value.UnitBags[name].Running != want {
			return because(restartAwaitsOthers, name)
		}
	}
	if v.restarts() {
		for _, name := range v.awaited() {
			if name != v.m.Unit {
				return because(restartAwaitsOthers, name)
			}
		}
	}
	return Reason{}
}

// holdQuota says why our member must not take the higher quota now; none means that it may.
func (v view) holdQuota(own, first Member) Reason {
	if first.ID != own.ID {
		return because(restartAwaitsQuota, v.label(first))
	}
	if a := v.raiseAwaits(); a.who != "" && v.mayRestartWithoutTurn(own.ID) {
		return because(restartAwaitsAll, a.who, a.why)
	}
	return Reason{}
}

// refusingAlarm is the worst alarm because of which etcd takes no writes, so that no unit can take
// the turn; "" is none.
func (v view) refusingAlarm() string {
	for _, kind := range []string{corrupt, noSpace} {
		if slices.ContainsFunc(v.w.Alarms, func(a Alarm) bool { return a.Kind == kind }) {
			return kind
		}
	}
	return ""
}

// upgradeProblem says why the carried release must not replace the running one; none means that it
// may. etcd goes up one minor version at a time, and reads no data of a newer minor version.
func (v view) upgradeProblem() Reason {
	from, to := v.w.Service.Release, v.w.Carried
	if !v.w.Service.Running {
		from = v.w.WrittenRelease // the release that ran last
	}
	was, is := "v"+version(from), "v"+version(to)
	switch {
	case !semver.IsValid(was) || !semver.IsValid(is) ||
		semver.MajorMinor(was) == semver.MajorMinor(is):
		return Reason{}
	case semver.Compare(is, was) < 0:
		return because(downgrade, v.m.Unit, was[1:], is[1:], semver.MajorMinor(was)[1:])
	case semver.MajorMinor(is) != nextMinor(was):
		return because(upgradeTooFar, v.m.Unit, was[1:], is[1:])
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

// older reports whether a release's etcd version comes before another's. A text that is not a
// version comes before all.
func older(a, b string) bool { return semver.Compare("v"+version(a), "v"+version(b)) < 0 }
