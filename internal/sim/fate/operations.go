package fate

import (
	"context"
	"slices"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Operate makes an administrator run an action on the leader. What the action records is written
// when it ends. If no hook can be asked at this moment, nothing happens.
func (s *Sim) Operate(act operator.Action, params map[string]any) string {
	u := s.leader
	if u == nil || !u.agent() || u.hook != nil || len(u.words) == 0 {
		return "nobody can be asked"
	}
	h := &hook{event: operator.Event{Kind: hooks.Action}, led: true, units: len(s.units)}
	u.hook = h
	defer func() { u.hook = nil }()
	m := &machine{s: s, u: u, h: h, yield: func(point) {}, began: s.now}
	seen, _ := m.Seen(context.Background())
	model := s.model(u, h.event, seen)
	h.record = model.Cluster.Value.AppBag
	world, err := m.Observe(context.Background(), model)
	if err != nil {
		return err.Error()
	}
	steps, result, err := act(params, model, world)
	switch {
	case err != nil:
		return err.Error()
	case result.Failed != "":
		return result.Failed
	}
	for _, step := range steps {
		if _, err := s.replace(u, step); err != nil {
			return err.Error()
		}
	}
	if err := s.flush(u, operator.Plan{Bags: result.Bags}, m.yield); err != nil {
		return err.Error()
	}
	s.tell("an operator: %s", result.Text)
	return ""
}

// restart begins a rolling restart of all units.
func (s *Sim) restart() { s.Operate(operator.RollingRestart, nil) }

// cancel cancels the operation on record.
func (s *Sim) cancel() {
	s.Operate(operator.ShowOperation, map[string]any{"cancel": s.record().Operation.ID})
}

// checkRestart checks that no server is restarted without a reason, as far as the last look could
// tell, nor for an operation that was over or that not all units have answered.
func (s *Sim) checkRestart(u *unit, h *hook) {
	if h.looked == s.faults && u.process.running && !u.process.failing &&
		u.process.config == u.disk.config && u.process.config != operator.Altered {
		s.broken("%s restarts for nothing", u.name)
	}
	mark, o := u.disk.written.Restart, s.record().Operation
	if mark == u.process.server.Restart || mark != o.ID {
		return
	}
	if is := h.record.Operation; is.ID == mark && !is.Going() {
		s.broken("%s restarts for %s, which was over when its hook began", u.name, mark)
	}
	if !o.Going() {
		// The operation was cancelled after this hook began; units that know this no longer show a part.
		return
	}
	for _, p := range s.living() {
		if o.Takes(p.name) && p.life == alive &&
			!slices.ContainsFunc(p.words, func(w operator.UnitBag) bool { return w.Part.ID == mark }) {
			s.broken("%s restarts for %s, which %s has not answered", u.name, mark, p.name)
		}
	}
}

// checkOperation checks that an operation is called done only when every unit that takes part has
// done its share: for a rolling restart, the unit has restarted for it; for an operation that
// replaces the data, the unit has run with the new data (its disk may have lost it since).
func (s *Sim) checkOperation(was, is operator.Operation) {
	if !was.Going() || is.Outcome != "done" {
		return
	}
	for _, u := range s.living() {
		if is.Kind != "rolling-restart" {
			if is.Takes(u.name) && u.life == alive && u.had != is.NewCluster() {
				s.broken("%s has other data, and %s is called done", u.name, is.ID)
			}
			continue
		}
		if is.Takes(u.name) && u.life == alive && u.restarted != is.ID {
			s.broken("%s has not restarted for %s, which is called done", u.name, is.ID)
		}
	}
}

// settledOperation returns what is wrong with the last operation once nothing happens any more.
func (s *Sim) settledOperation() string {
	if o := s.record().Operation; o.Going() {
		return "operation " + o.ID + " goes on: " + o.Phase
	}
	return ""
}
