package fate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// check checks the rules that must hold at every moment.
func (s *Sim) check() {
	s.ticks++
	s.checkRuns()
	big := 0
	for _, g := range s.groups {
		if g.size() > 1 && !s.ended[g.id] {
			big++
			for id := range s.named {
				if id != g.id && !s.ended[id] {
					s.broken("cluster %x grew, but the application's is %x", g.id, id)
				}
			}
		}
	}
	if big > 1 {
		s.broken("two clusters have more than one voter")
	}
}

// checkRecord checks that the record names no second cluster before the first has ended.
func (s *Sim) checkRecord(h *hook, r operator.AppBag) {
	if r.Ended != 0 && !s.ended[r.Ended] {
		if g := s.group(r.Ended); g != nil {
			for _, m := range g.members {
				if m.owner.number >= h.units {
					s.NeedsAdministrator = true // the unit joined after the last unit's stop hook had asked Juju
				} else if !m.learner && s.runs(g, m) && m.owner.life == alive {
					s.broken("cluster %x is recorded as ended while %s runs", g.id, m.owner.name)
				}
			}
		}
		s.ended[r.Ended] = true
	}
	s.checkLeaves(r)
	s.checkReplaced(h, s.record(), r)
	if r.ClusterID == 0 {
		return
	}
	for id := range s.named {
		if id != r.ClusterID && !s.ended[id] {
			s.broken("cluster %x is named, but %x was before and has not ended", r.ClusterID, id)
		}
	}
	s.named[r.ClusterID] = true
}

// checkLeaves checks that no certificate that is still valid is removed from the record: a
// certificate that is not there can never be refused.
func (s *Sim) checkLeaves(r operator.AppBag) {
	now := map[operator.Issued]bool{}
	for _, u := range r.Leaves {
		for _, leaf := range u.Leaves {
			now[leaf] = true
		}
	}
	for _, was := range s.record().Leaves {
		for _, leaf := range was.Leaves {
			if !now[leaf] {
				s.broken("certificate %s of %s is taken off the record", leaf.Serial, was.Unit)
			}
		}
	}
}

// checkRefused checks that no member refuses a certificate of a unit that stays.
func (s *Sim) checkRefused(by *unit, r operator.Refused) {
	for _, u := range s.living() {
		t := &u.disk.tls
		if slices.Contains(r.Peer, t.Peer.Serial) ||
			slices.Contains(r.Client, t.Server.Serial) ||
			slices.Contains(r.Client, t.Admin.Serial) {
			s.broken("%s refuses a certificate of %s, which stays", by.name, u.name)
		}
	}
}

// settledLeaves returns which certificate is out of place once nothing happens any more. The record
// must have the certificates of each unit that stays. Each unit that stays must refuse all recorded
// certificates of the units that left, and no others.
func (s *Sim) settledLeaves() string {
	var want operator.Refused
	recorded := map[operator.Issued]bool{}
	for _, of := range s.record().Leaves {
		for _, leaf := range of.Leaves {
			recorded[leaf] = true
			switch {
			case s.unit(of.Unit).life != dead:
			case leaf.Kind == operator.PeerLeaf:
				want.Peer = append(want.Peer, leaf.Serial)
			default:
				want.Client = append(want.Client, leaf.Serial)
			}
		}
	}
	slices.Sort(want.Peer)
	slices.Sort(want.Client)
	for _, u := range s.living() {
		for _, leaf := range u.disk.tls.Issued {
			if !recorded[leaf] {
				return fmt.Sprintf("certificate %s of %s is not on record", leaf.Serial, u.name)
			}
		}
		if got := u.disk.tls.Refused; !slices.Equal(got.Peer, want.Peer) ||
			!slices.Equal(got.Client, want.Client) {
			return fmt.Sprintf("%s refuses %v, and those of units that left are %v", u.name, got, want)
		}
	}
	return ""
}

// checkPublication checks that consumers get started voters only, and all of them. The hook's last
// look counts: a hook cannot publish what happened after it.
func (s *Sim) checkPublication(u *unit, id string, is told, record *operator.AppBag) {
	for generation := range ended(*record, id) {
		if is.cert == s.certOf(id, generation+1) {
			s.broken("%s publishes the revoked certificate of %s", u.name, id)
		}
	}
	urls := strings.Split(is.clientURLs, ",")
	all := urls
	if endpointOf(id) == "proxy" {
		all = append(strings.Split(is.cluster, ","), urls...)
	}
	for _, told := range all {
		if told == "" || !slices.ContainsFunc(u.hook.shown, func(m member) bool {
			return told == m.name+"="+m.peerURL || told == m.clientURL
		}) {
			s.broken("%s publishes %q, which is no started voter", u.name, told)
		}
	}
	if n := len(u.hook.shown); len(urls) != n || len(all) > n && strings.Count(is.cluster, "=") != n {
		s.broken("%s publishes %q and %v, but there are %d voters", u.name, is.cluster, urls, n)
	}
}

// checkAside checks that no data of a listed member is moved aside while the cluster has other
// members, and that the only data of a cluster that is on record is never moved aside.
func (s *Sim) checkAside(u *unit, d *data) {
	g := s.group(d.cluster)
	if g == nil || g.find(d.member) == nil || s.ended[g.id] {
		return
	}
	if len(g.members) > 1 {
		s.broken("%s moves the data of a listed member aside", u.name)
	}
	if s.named[g.id] || g.published {
		s.broken("%s moves the only data of a cluster aside that was made known", u.name)
	}
}

// checkStart checks that the charm starts no data that belongs to another unit, that was replaced,
// or that is older than what the unit remembers of it.
func (s *Sim) checkStart(u *unit, d *data) {
	seen := u.memory.Seen
	if u.hook != nil && slices.Contains(u.hook.record.Replaced, d.cluster) {
		s.broken("%s starts data of %x, which was replaced", u.name, d.cluster)
	}
	switch {
	case s.ended[d.cluster]:
	case d.owner.Unit != "" && d.owner.Unit != u.name:
		s.broken("%s starts the data of %s", u.name, d.owner.Unit)
	case seen.ClusterID == d.cluster && seen.MemberID == d.member && uint64(d.index) < seen.Index:
		s.broken("%s starts data that ends at %d, and was at %d", u.name, d.index, seen.Index)
	}
}

// checkDown checks that a stop or restart by the charm leaves a quorum, and that only one member is
// down at a time. With one or two voters a restart is allowed while all are ready; the last unit
// may stop. While etcd accepts no key, a restart that raises the quota needs no turn.
func (s *Sim) checkDown(u *unit, h *hook, step operator.Step) {
	g, m := s.own(u)
	if m == nil || m.learner {
		return
	}
	if _, stop := step.(operator.Stop); stop && h.halts(u) {
		return
	}
	n, before := g.size(), s.readyVoters(g)
	after := before
	if s.ready(g, m) {
		after--
	}
	_, restart := step.(operator.Restart)
	if h.looked != s.faults || !s.ready(g, m) || (h.view == g && h.voters < n) {
		return // the hook cannot have seen what happened since, or the member is down already
	}
	if slices.ContainsFunc(g.voters(), func(v *member) bool { return v.owner.number >= h.units }) &&
		h.view == nil {
		// A unit joined while the last unit was in its stop hook, and at that unit's last look no
		// member answered.
		s.NeedsAdministrator = true
		return
	}
	raises := restart && h.full && u.disk.written.Config.QuotaBytes > quotaOf(m)
	// Without an answer the last unit that stays may end the cluster.
	if n > 1 && h.turn != u.name && !raises && (h.view != nil || !s.allLeave(g)) {
		s.broken("%q of %s without the turn", step, u.name)
	}
	for _, v := range g.voters() {
		if v != m && s.now < v.owner.byHand && !s.ready(g, v) && v.owner.life != dead {
			s.broken("%s goes down by our hand while %s is", u.name, v.owner.name)
		}
	}
	switch {
	case before < quorum(n), after >= quorum(n):
	case stops(s.record().Operation): // all members must stop by now, whether or not the hook knows
	case restart && n <= 2 && before == n:
	case !restart && (s.allLeave(g) || (n == 1 && !s.named[g.id] && !g.published)):
		// Nobody knows of the cluster.
	default:
		s.broken("%q of %s costs the quorum: %d of %d voters are ready after it", step, u.name, after, n)
	}
}

// allLeave reports whether every unit with a voter is on its way out.
func (s *Sim) allLeave(g *group) bool {
	return !slices.ContainsFunc(g.voters(), func(m *member) bool { return m.owner.life == alive })
}

// checkQuorum checks that a removal leaves a quorum.
func (s *Sim) checkQuorum(u *unit, h *hook, g *group, step operator.Step, before, n int) {
	after := s.readyVoters(g)
	if after == 0 { // the leader was removed; the others elect a new one
		s.raft()
		after = s.readyVoters(g)
	}
	if h.looked == s.faults && before >= quorum(n) && after < quorum(g.size()) {
		s.broken("%q by %s costs the quorum: %d of %d voters are ready after it",
			step, u.name, after, g.size())
	}
}

// checkRemoval checks that no unit removes the member of another unit that lives.
func (s *Sim) checkRemoval(u *unit, g *group, id uint64) {
	m := g.find(id)
	if m == nil || s.abandoned(m) {
		return
	}
	if m.owner != u && m.owner.life != dead {
		s.broken("%s removes the member of %s, which lives", u.name, m.owner.name)
	}
}

// abandoned reports whether a member never started and its unit no longer counts on it, because the
// unit's address has changed since, or it published another one. The unit adds itself again.
func (s *Sim) abandoned(m *member) bool {
	o := m.owner
	return m.name == "" && m.learner &&
		(o.moved || m.peerURL != address(o.address, s.config().ManagementPort) ||
			slices.ContainsFunc(o.words, func(w operator.UnitBag) bool { return w.PeerURL != m.peerURL }))
}

// Settled returns what is not as it must be once nothing happens any more; "" if all is well.
func (s *Sim) Settled() string {
	units := s.living()
	g := s.group(s.record().ClusterID)
	if len(units) == 0 || s.NeedsAdministrator {
		return ""
	}
	if g != nil && !s.ended[g.id] && s.withoutVoters(g) {
		s.NeedsAdministrator = true
		return ""
	}
	for _, u := range units {
		if u.life == dying {
			if slices.ContainsFunc(units, func(u *unit) bool { return u.life == dying && s.stranded(u) }) {
				s.NeedsAdministrator = true
				return ""
			}
			return fmt.Sprintf("%s has not left: %v", u.name, u.fail)
		}
	}
	if g == nil {
		return "no cluster is named"
	}
	var all *told
	for _, u := range units {
		if problem := s.settledUnit(g, u); problem != "" {
			return u.name + ": " + problem
		}
		var problem string
		if all, problem = s.toldAlike(u, all); problem == "" {
			problem = s.forgotten(u)
		}
		if problem != "" {
			return u.name + " " + problem
		}
	}
	switch {
	case len(g.members) != len(units):
		return fmt.Sprintf("%d members of %d units", len(g.members), len(units))
	case s.settledSpace(g) != "":
		return s.settledSpace(g)
	case g.turn != "":
		return "the turn is not given back by " + g.turn
	case all != nil &&
		(all.cluster != "" &&
			all.cluster != listed(g, func(m *member) string { return m.name + "=" + m.peerURL }) ||
			all.clientURLs != listed(g, func(m *member) string { return m.clientURL })):
		return fmt.Sprintf("consumers are told %v", *all)
	case all != nil && all.version != strings.SplitN(releaseOf(s.charm), "-", 2)[0]:
		return "consumers are told of version " + all.version
	}
	if problem := s.settledOperation(); problem != "" {
		return problem
	}
	return s.settledLeaves()
}

// checkWorth checks that no restart changes nothing but the copy of the program.
func (s *Sim) checkWorth(u *unit) {
	if !u.process.running || u.process.failing || u.disk.written == nil {
		return
	}
	runs := u.process.server.Release
	again := *u.disk.written
	if again.Release == runs || operator.ServerID(again.Release) != operator.ServerID(runs) {
		return
	}
	if again.Release = runs; again.Digest() == u.process.config {
		s.broken("%s restarts for another copy of the server that it runs", u.name)
	}
}

// listed returns what say returns for each member, sorted.
func listed(g *group, say func(*member) string) string {
	var out []string
	for _, m := range g.members {
		out = append(out, say(m))
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// stranded reports whether only --force can take a leaving unit away. These are the cases; other
// leaving units may wait for such a unit:
//   - Its cluster has ended, and the unit did not hear of it.
//   - It could not publish what the others need to take over, because a hook that fails publishes
//     nothing.
//   - It has left, died before it noted that, and finds no member to ask, because the others listen
//     elsewhere by now.
//   - It founded too late, and a hook that fails does not hear of the cluster that was first.
//   - It never started, so Juju runs remove without stop, and that hook died after it had removed
//     the files that the member would serve with.
//   - A hook that fails does not hear which units wait to join, so it cannot know which of them a
//     learner's place is for.
//   - It does not find a member with a new address, which takes the higher quota only after this
//     unit has left.
//   - Its cluster lost its majority before an operation began.
func (s *Sim) stranded(u *unit) bool {
	d := u.disk.data
	if d == nil {
		return false
	}
	w := u.word(len(u.words))
	deaf := s.Stale && u.heardApp < len(s.records) && d.cluster != s.record().ClusterID
	stripped := !u.started && u.disk.installed == ""
	g := s.group(d.cluster)
	lost := s.rescue && g != nil && s.led(g) == nil
	return lost || deaf || stripped || s.hidden(u) || s.mistaken(u) ||
		s.ended[d.cluster] || d.gone || w.ClusterID != d.cluster ||
		(u.process.running && w.ClientURL != u.process.clientURL)
}

// mistaken reports whether a unit whose hook fails still sees an old, empty bag of another unit,
// and so believes that the unit has published nothing yet.
func (s *Sim) mistaken(u *unit) bool {
	return s.Stale && u.fail != nil && slices.ContainsFunc(s.units, func(p *unit) bool {
		kept := u.heard[p.name].kept
		return p.life == alive && kept > 0 &&
			p.word(kept).PeerURL == "" && p.word(len(p.words)).PeerURL != ""
	})
}

// withoutVoters reports whether no living unit has a vote of the cluster: its units left all at
// once, or the last was not the leader and could not record the end.
func (s *Sim) withoutVoters(g *group) bool {
	return !slices.ContainsFunc(g.voters(), func(m *member) bool {
		d := m.owner.disk.data
		return m.owner.life != dead && d != nil && d.member == m.id
	})
}

func (s *Sim) settledUnit(g *group, u *unit) string {
	own, m := s.own(u)
	switch {
	case u.fail != nil:
		return "its hook fails: " + u.fail.Error()
	case m == nil:
		return "no member runs"
	case own != g:
		return fmt.Sprintf("is in cluster %x", own.id)
	case m.learner:
		return "is a learner"
	case !s.ready(g, m):
		return "is not ready"
	case m.peerURL != u.process.peerURL:
		return "is listed as " + m.peerURL + ", but listens on " + u.process.peerURL
	case operator.ServerID(u.process.server.Release) != operator.ServerID(releaseOf(s.charm)):
		return "runs release " + u.process.server.Release
	case u.process.config == operator.Altered || u.disk.config == operator.Altered:
		return "has settings that the charm did not write"
	case u.process.server.Config.SnapshotCount != s.config().SnapshotCount ||
		quotaOf(m) != s.config().QuotaBytes:
		return "runs with old options"
	}
	w := u.word(len(u.words))
	if w.ClusterID != g.id || w.MemberID != m.id ||
		w.PeerURL != u.process.peerURL || w.ClientURL != u.process.clientURL ||
		w.Running == "" || w.Leaving {
		return fmt.Sprintf("says %+v of itself", w)
	}
	return ""
}
