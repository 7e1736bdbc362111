package fate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func (h *machine) atEtcd(step operator.Step) error {
	s, u := h.s, h.u
	switch step := step.(type) {
	case operator.AwaitReady:
		return h.poll(func() error {
			g, m := s.own(u)
			if m == nil || (step.Learner && !u.process.booted(s.now)) || (!step.Learner && !s.ready(g, m)) {
				return errors.New("it is not ready yet")
			}
			return nil
		})
	case operator.AwaitPeer:
		return h.poll(func() error {
			g := h.h.view
			if g == nil {
				return errors.New("no cluster")
			}
			for _, m := range g.voters() {
				if (step.ID == 0 || step.ID == m.id) && !s.ready(g, m) {
					return fmt.Errorf("%s is not ready yet", m.name)
				}
			}
			return nil
		})
	case operator.AskHashes:
		h.h.hashes = append(h.h.hashes, s.hashes(u, h.h.view, step.Revision))
		return nil
	case operator.AwaitLearner:
		return h.poll(func() error {
			g := h.h.view
			if g == nil {
				return errors.New("no cluster")
			}
			if m := g.find(step.ID); m != nil && m.learner {
				return errors.New("it is a learner yet")
			}
			return nil
		})
	case operator.AwaitListed:
		return h.poll(func() error {
			g := h.h.view
			if g == nil {
				return errors.New("no cluster")
			}
			n := 0
			for _, m := range g.voters() {
				if m.id == step.ID ||
					(s.runs(g, m) && s.reachable(u, m.owner) && m.owner.process.peerURL == m.peerURL) {
					n++
				}
			}
			if n < quorum(g.size()) {
				return fmt.Errorf("only %d of %d voters are found where they are listed", n, g.size())
			}
			return nil
		})
	}
	return h.poll(func() error {
		g := h.h.view
		removal, removes := step.(operator.RemoveMember)
		var at *member
		if g != nil {
			at = s.asked(g, u, removes && u.disk.data != nil && removal.ID == u.disk.data.member)
		}
		if at == nil {
			return errors.New("no member with a quorum can be asked")
		}
		return s.request(u, h.h, g, at, step)
	})
}

// request is what internal/host asks of etcd, and how it takes the answer: a change that is made
// already counts as made.
func (s *Sim) request(u *unit, h *hook, g *group, at *member, step operator.Step) error {
	switch step := step.(type) {
	case operator.AddLearner:
		return unless(s.add(g, at, u, step.PeerURL, true), errURLExists)
	case AddVoter:
		return unless(s.add(g, at, u, step.PeerURL, false), errURLExists)
	case operator.Promote:
		// The host asks the learner itself before it asks etcd.
		if m := g.find(step.ID); m != nil && m.learner &&
			(!s.runs(g, m) || !s.linked(m, at) || m.owner.disk.data.index < g.index) {
			return errBehind
		}
		return unless(s.promote(g, at, step.ID), errNotLearner)
	case operator.RemoveMember:
		if m := g.find(step.ID); step.Unstarted && m != nil && m.name != "" {
			return errors.New("the member has started meanwhile")
		}
		s.checkRemoval(u, g, step.ID)
		s.checkGivenUp(u, g, step.ID)
		before, n := s.readyVoters(g), g.size()
		switch err := s.remove(g, at, step.ID); {
		case errors.Is(err, errNotFound):
			return nil
		case err != nil:
			return err
		}
		s.checkQuorum(u, h, g, step, before, n)
	case operator.UpdateMember:
		return s.update(g, step.ID, step.PeerURL)
	case operator.TakeTurn:
		if g.turn != "" && (g.turn != u.name || g.unleased) {
			return fmt.Errorf("%s has the turn", g.turn)
		}
		if g.turn == "" { // the unit's own turn is extended, which writes nothing
			if err := s.put(g, at, turnBytes); err != nil {
				return err
			}
		}
		g.turn, g.turnEnds, g.turnKept = u.name, s.now+turnSeconds, h.keeps
	case operator.ReleaseTurn:
		if g.turn == u.name {
			if len(g.accused) > 0 {
				return errCorrupt
			}
			s.commit(g)
			g.turn, g.unleased = "", false
		}
	case operator.BreakTurn:
		if g.turnAsRead() == step.Turn {
			if holder := s.unit(g.turn); !g.unleased && holder != nil && holder.life != dead {
				s.broken("%s breaks the turn of %s, which lives", u.name, g.turn)
			}
			s.commit(g)
			g.turn, g.unleased = "", false
		}
	case operator.Compact:
		s.compact(g)
	case operator.Defrag:
		return s.defrag(u, g, g.find(step.ID))
	case operator.Disarm:
		s.commit(g)
		of := &g.space.alarms
		if step.Alarm.Kind == corrupt {
			s.checkDisarm(u, g, step.Alarm.MemberID)
			of = &g.accused
		}
		*of = slices.DeleteFunc(*of, func(id uint64) bool { return id == step.Alarm.MemberID })
		if step.Alarm == (operator.Alarm{Kind: corrupt}) {
			g.compare()
		}
	default:
		s.broken("%s wants a step that nobody knows: %T", u.name, step)
	}
	return nil
}

// unless returns err, or nil if err is good.
func unless(err, good error) error {
	if errors.Is(err, good) {
		return nil
	}
	return err
}
