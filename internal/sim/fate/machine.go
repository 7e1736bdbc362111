package fate

import (
	"context"
	"errors"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/charm"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// hookSeconds is how long a hook may take; waitSeconds bounds a wait inside a step.
const (
	hookSeconds = 120
	waitSeconds = 30
)

// machine is one unit's machine as charm.Machine sees it, for one hook.
type machine struct {
	s     *Sim
	u     *unit
	h     *hook
	yield func(point)
	began int64 // when the hook had read the model
}

var _ charm.Machine = (*machine)(nil)

// Seen returns the member list and the turn, as the unit's own member has them.
func (h *machine) Seen(context.Context) ([]uint64, operator.Turn) {
	g, m := h.s.own(h.u)
	if m == nil || !h.u.process.serving || m.learner {
		return nil, operator.Turn{}
	}
	var ids []uint64
	for _, m := range g.members {
		ids = append(ids, m.id)
	}
	return ids, g.turnAsRead()
}

// turnAsRead returns the turn as a read shows it.
func (g *group) turnAsRead() operator.Turn {
	return operator.Turn{Known: true, Holder: g.turn, Unleased: g.unleased}
}

// own returns the cluster and the member as which a unit's server runs. The member is nil if the
// server is none of the unit's, such as one on a copy of another unit's disk.
func (s *Sim) own(u *unit) (*group, *member) {
	if !u.up || !u.process.running || u.disk.data == nil {
		return nil, nil
	}
	g := s.group(u.disk.data.cluster)
	if g == nil {
		return nil, nil
	}
	m := g.find(u.disk.data.member)
	if m != nil && m.owner != u {
		m = nil
	}
	return g, m
}

// overdue reports whether the hook's time is up. A step that is under way may then go on for
// waitSeconds.
func (h *machine) overdue() error {
	if h.s.now-h.began > hookSeconds {
		return errors.New("the hook has run out of time")
	}
	return nil
}

// Observe looks at the machine and the cluster as internal/host does.
func (h *machine) Observe(_ context.Context, m operator.Model) (operator.World, error) {
	if err := h.overdue(); err != nil {
		return operator.World{}, err
	}
	s, u := h.s, h.u
	h.h.looked = s.faults
	w := operator.World{
		Carried: u.carried, Installed: u.disk.installed, TLS: u.disk.tls, Period: s.period, Now: s.now,
		WrittenConfig: u.disk.config, WrittenInitial: u.disk.initial(),
		Schedule:  u.disk.schedule,
		Leftovers: u.disk.installed != "" || u.disk.kind != "" || u.disk.tls.Peer.Present,
		Service: operator.Service{
			Kind: u.disk.kind, Enabled: u.disk.enabled,
			Running: u.process.running, Failing: u.process.failing,
			Log: u.process.log, Held: u.process.held,
		},
		Fence: u.disk.fence,
		Disk:  u.disk.measured,
	}
	for i := range w.Kept.Snapshots {
		w.Kept.Snapshots[i].Taken = s.now // the unit's timer keeps them recent
	}
	if u.disk.astray {
		w.Astray = []operator.Astray{{Path: "/etc/etcd-charm", Problem: "is missing"}}
	}
	if u.process.running {
		w.Service.Config, w.Service.Release = u.process.config, u.process.server.Release
		w.Service.Restart = u.process.server.Restart
		w.Service.PeerURL, w.Service.ClientURL = u.process.server.PeerURL, u.process.server.ClientURL
	}
	if u.disk.written != nil {
		w.WrittenRestart = u.disk.written.Restart
	}
	if d := u.disk.data; d != nil {
		w.Data = operator.Data{
			State: operator.OurData, ClusterID: d.cluster, MemberID: d.member, Owner: d.owner,
		}
	}
	survey := operator.NewSurvey(m, w.Data, ownURL(u), h.h.urls)
	lists := map[*group][]operator.Member{}
	for urls := survey.Ask(); len(urls) > 0; urls = survey.Ask() {
		for _, url := range urls {
			survey.Add(s.answer(u, url, lists))
		}
	}
	sight := survey.Find(u.process.booted(s.now) && u.disk.data != nil, s.readyUnit(u))
	w.Reach, w.ClusterID, w.Members, w.Turn, w.Local =
		sight.Reach, sight.ClusterID, sight.Members, sight.Turn, sight.Local
	for _, url := range operator.PeersInDoubt(m, w) {
		w.Peers = append(w.Peers, s.peerAnswer(u, url))
	}
	if d := u.disk.data; operator.AgeInDoubt(m.Memory.Value, w.Data, w.Local) {
		w.Data.Term, w.Data.Index = oneTerm, uint64(d.index)
	}
	w.Alarms, w.Hashes = sight.Alarms, h.h.hashes
	s.beside(u, &w)
	h.looked(sight)
	return w, nil
}

// oneTerm is the term of every entry: here only the index shows how old data is.
const oneTerm = 1

// looked stores what later steps and checks need of a look.
func (h *machine) looked(sight operator.SurveyResult) {
	h.h.view, h.h.voters, h.h.turn, h.h.full = nil, 0, "", false
	if len(sight.Answers) == 0 {
		return
	}
	g := h.s.group(sight.ClusterID)
	h.h.view, h.h.voters, h.h.turn, h.h.full = g, g.size(), g.turn, len(sight.Alarms) > 0
	h.h.shown = h.h.shown[:0]
	for _, listed := range g.members {
		h.h.urls = append(h.h.urls, listed.clientURL)
		if !listed.learner && listed.name != "" {
			h.h.shown = append(h.h.shown, *listed)
		}
	}
}

// loopback is the URL at which every machine reaches its own server.
const loopback = "https://127.0.0.1"

// ownURL returns the URL at which a unit's machine reaches its own server; "" if none runs.
func ownURL(u *unit) string {
	if !u.process.running {
		return ""
	}
	return loopback
}

// answer returns what the server at a URL answers u, when asked as internal/host asks it. lists
// caches the member lists of this look.
func (s *Sim) answer(u *unit, url string, lists map[*group][]operator.Member) operator.Answer {
	out := operator.Answer{URL: url}
	for _, p := range s.units {
		if url != p.process.clientURL && (p != u || url != loopback) {
			continue
		}
		g, m := s.own(p)
		if g == nil || !p.process.serving || !s.reachable(u, p) {
			continue
		}
		out.ClusterID, out.MemberID = g.id, p.disk.data.member
		out.Self.Term, out.Self.Index = oneTerm, uint64(p.disk.data.index)
		out.Self.Applied = out.Self.Index
		out.Self.Version, _, _ = strings.Cut(p.process.server.Release, "-")
		if lists[g] == nil {
			lists[g] = g.list()
		}
		if m == nil {
			out.List = lists[g] // the server has not yet heard that its member was removed
			return out
		}
		g.stats(m, &out.Self)
		switch l := s.led(g); {
		case l != nil && s.linked(l, m):
			out.Self.Leader = l.id
		case m.learner:
			// A learner cannot stand for election, so it never gives its leader up.
			out.Self.Leader = g.leader
		}
		if m.learner {
			return out
		}
		out.List = lists[g]
		if s.ready(g, m) {
			out.Linear, out.Self.Ready, out.Turn = lists[g], true, g.turnAsRead()
		}
		return out
	}
	return out
}

func (s *Sim) readyUnit(u *unit) bool {
	g, m := s.own(u)
	return m != nil && s.ready(g, m)
}

// poll waits until try succeeds, for at most waitSeconds. It yields after each try, so that others
// go on meanwhile.
func (h *machine) poll(try func() error) error {
	for until := h.s.now + waitSeconds; ; {
		err := try()
		if err == nil || errors.Is(err, errNoSpace) || errors.Is(err, errCorrupt) || h.s.now >= until {
			return err
		}
		h.yield(point{at: "waiting"})
		h.s.Tick(3)
	}
}

// Do does a step, and yields before and after it.
func (h *machine) Do(_ context.Context, step operator.Step) error {
	s, u := h.s, h.u
	h.yield(point{"before", step})
	if err := h.overdue(); err != nil {
		return err
	}
	if s.Trace != nil {
		s.tell("%s: %s", u.name, step)
	}
	err := h.do(step)
	s.raft()
	if u.unsure && remote(step) {
		u.unsure = false
		err = errors.New("context deadline exceeded")
	}
	if err != nil {
		s.tell("%s: cannot %s: %v", u.name, step, err)
		if _, ok := step.(operator.ReleaseTurn); ok {
			h.h.keeps = true
		}
	}
	s.check()
	h.yield(point{"after", step})
	return err
}

// remote reports whether a step is done at etcd, so that its reply can be lost.
func remote(step operator.Step) bool {
	switch step.(type) {
	case operator.AddLearner, AddVoter, operator.Promote, operator.RemoveMember,
		operator.UpdateMember, operator.TakeTurn, operator.ReleaseTurn,
		operator.Compact, operator.Defrag, operator.Disarm:
		return true
	}
	return false
}

// AddVoter is a step that operator does not have: a test's Decide that skips the learner asks for
// it.
type AddVoter struct{ operator.AddLearner }

func (h *machine) do(step operator.Step) error {
	s, u := h.s, h.u
	if done, err := s.replace(u, step); done {
		return err
	}
	switch step := step.(type) {
	case operator.Install:
		u.disk.installed = step.Release
	case operator.Mend:
		u.disk.astray = false
	case operator.WriteTLS:
		s.writeTLS(u, step)
	case operator.WriteMember:
		if u.disk.installed != step.Server.Release {
			s.broken("%s writes settings of a release that is not installed", u.name)
		}
		server := step.Server
		u.disk.written, u.disk.kind = &server, operator.MemberService
		u.disk.config = server.Digest()
	case operator.RevertMember:
		server := u.process.server
		server.Initial = operator.Initial{}
		u.disk.written, u.disk.config = &server, u.process.config
	case operator.SpendInitial:
		server := *u.disk.written
		server.Initial = operator.Initial{}
		u.disk.written = &server
	case operator.Start:
		if u.disk.written == nil {
			return errors.New("no service is written")
		}
		u.disk.enabled = true
		if !u.process.running {
			s.launch(u, true)
		}
	case operator.Restart:
		s.checkRestart(u, h.h)
		s.checkDown(u, h.h, step)
		s.checkWorth(u)
		s.goesDown(u)
		u.disk.enabled = true
		s.launch(u, true)
	case operator.Stop:
		s.checkDown(u, h.h, step)
		s.goesDown(u)
		u.disk.enabled, u.process = false, process{}
	case operator.Uninstall:
		s.uninstall(u, h.h, step)
	case operator.WriteSchedule:
		u.disk.schedule = step.Schedule
	case operator.CheckDisk:
		if u.process.running {
			s.broken("%s measures the disk of a member that serves", u.name)
		}
		u.disk.measured = operator.Disk{At: max(s.now, 1)}
	case operator.Claim:
		if d := u.disk.data; d != nil {
			d.owner = step.Owner
		}
	case operator.WriteFence:
		u.disk.fence = step.Fence
	case operator.MoveAside:
		if u.process.running {
			return errors.New("the service is running")
		}
		if d := u.disk.data; d != nil {
			s.checkAside(u, d)
			if g := s.group(s.record().ClusterID); h.h.looked == s.faults && s.ended[d.cluster] &&
				h.h.halts(u) && (g == nil || s.led(g) == nil) {
				s.broken("%s moves its data aside, though what replaced it has no quorum", u.name)
			}
			u.disk.aside, u.disk.data = append(u.disk.aside, d), nil
		}
	default:
		return h.atEtcd(step)
	}
	return nil
}

// uninstall removes everything from the machine except the data.
func (s *Sim) uninstall(u *unit, h *hook, step operator.Uninstall) {
	if u.process.running {
		s.checkDown(u, h, step)
		s.goesDown(u)
	}
	aside, kept := u.disk.aside, u.disk.data
	if kept != nil && !step.KeepData {
		aside, kept = append(aside, kept), nil
	}
	u.disk, u.process = disk{aside: aside, data: kept}, process{}
}

// goesDown records until when a member that the charm takes down holds the turn. If it is not back
// by then, it counts as dead.
func (s *Sim) goesDown(u *unit) {
	switch g, _ := s.own(u); {
	case g == nil || !u.process.running:
	case g.turn == u.name:
		u.byHand = g.turnEnds
	case len(g.space.alarms) > 0: // nobody can take the turn
		u.byHand = s.now + turnSeconds
	}
}
