package fate

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const (
	// workSeconds is the duration of long work.
	workSeconds = 7
	// patience is how many seconds an administrator waits for an operation to end that can no
	// longer be cancelled.
	patience = 600
	// beyond is how far above its source's index prepared data begins.
	beyond = 1000
)

// prepared is new data that was made beside a unit's own.
type prepared struct {
	operator.Prepared
	index   int
	holds   int // the index of its source
	peerURL string
}

// idOf returns a cluster's ID: a hash of token and URL, as etcd's is. The same two give the same
// ID.
func idOf(token, peerURL string) uint64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(token + peerURL))
	return uint64(h.Sum32())<<8 | 1
}

// replace does the steps of operations that replace the data. It returns false for any other step.
func (s *Sim) replace(u *unit, step operator.Step) (bool, error) {
	switch step := step.(type) {
	case operator.StartWork:
		has := func(w operator.Work) bool { return w.ID == step.Request.ID }
		if !slices.ContainsFunc(u.disk.work, has) {
			u.disk.work = append(u.disk.work,
				operator.Work{WorkRequest: step.Request, State: operator.WorkRuns, Began: s.now})
		}
	case operator.AwaitWork: // the work ends within the rest of the hook
		for i := range u.disk.work {
			if w := &u.disk.work[i]; w.ID == step.ID && w.State == operator.WorkRuns {
				s.workEnds(u, w)
			}
		}
	case operator.EndWork:
		u.disk.work = slices.DeleteFunc(u.disk.work, func(w operator.Work) bool {
			return w.ID == step.ID
		})
	case operator.DropPrepared:
		s.checkDrop(u, step.ID)
		u.disk.prepared = slices.DeleteFunc(u.disk.prepared, func(p prepared) bool {
			return p.ID == step.ID
		})
	case operator.ServePrepared:
		return true, s.serve(u, step.ID)
	default:
		return false, nil
	}
	return true, nil
}

// serve puts prepared data in the place of a unit's data.
func (s *Sim) serve(u *unit, id string) error {
	if u.process.running {
		return errors.New("the service is running")
	}
	at := slices.IndexFunc(u.disk.prepared, func(p prepared) bool { return p.ID == id })
	if at < 0 {
		return errors.New("nothing was prepared")
	}
	p := u.disk.prepared[at]
	s.checkServe(u, p)
	if d := u.disk.data; d != nil {
		s.checkAside(u, d)
		u.disk.aside = append(u.disk.aside, d)
	}
	u.disk.prepared = slices.Delete(u.disk.prepared, at, at+1)
	u.disk.data = &data{cluster: p.ClusterID, member: p.MemberID, index: p.index}
	s.groups = append(s.groups, &group{
		id: p.ClusterID, removed: map[uint64]bool{}, index: p.index, published: true,
		members: []*member{{id: p.MemberID, name: nameOf(u), peerURL: p.peerURL, owner: u}},
	})
	s.tell("%s: has the data of %x", u.name, p.ClusterID)
	return nil
}

// nameOf returns the name of a unit's member.
func nameOf(u *unit) string { return fmt.Sprintf("%s%d", app, u.number) }

// works ends the long work that is due, and asks for a hook.
func (s *Sim) works() {
	for _, u := range s.units {
		for i := range u.disk.work {
			w := &u.disk.work[i]
			if w.State != operator.WorkRuns || !u.up || s.now < w.Began+workSeconds {
				continue
			}
			s.workEnds(u, w)
			s.Poke(u)
		}
	}
}

func (s *Sim) workEnds(u *unit, w *operator.Work) {
	w.Ended, w.State = s.now, operator.WorkDone
	if err := s.work(u, w.WorkRequest); err != nil {
		w.State, w.Error = operator.WorkFailed, err.Error()
	}
	s.tell("work %s of %s is %s %s", w.ID, u.name, w.State, w.Error)
}

// work does what long work does at its end.
func (s *Sim) work(u *unit, r operator.WorkRequest) error {
	p := prepared{
		Prepared: operator.Prepared{ID: r.ID, ClusterID: idOf(r.Token, r.PeerURL)},
		peerURL:  r.PeerURL,
	}
	p.MemberID = p.ClusterID | 2
	switch r.Kind {
	case operator.LookAgain:
		return nil
	case operator.TakeSnapshot:
		g, m := s.own(u)
		if m == nil || !s.ready(g, m) {
			return errors.New("the member is not ready")
		}
		s.keep(u, r)
		return nil
	case operator.PrepareRestore:
		at := slices.IndexFunc(u.disk.kept, func(k operator.Snapshot) bool {
			return k.Name == r.Snapshot
		})
		if at < 0 {
			return errors.New("there is no such snapshot")
		}
		p.index = int(u.disk.kept[at].Revision)
	case operator.PrepareRecover:
		if u.process.running || u.disk.data == nil {
			return errors.New("there is no stopped data")
		}
		p.index = u.disk.data.index
	}
	p.holds = p.index
	if p.index += beyond; r.Seen >= int64(p.index) {
		p.index = int(r.Seen) + beyond
	}
	p.Revision = int64(p.index)
	u.disk.prepared = append(u.disk.prepared, p)
	return nil
}

// keep adds a snapshot of its member's data to those that a unit keeps.
func (s *Sim) keep(u *unit, r operator.WorkRequest) {
	if d := u.disk.data; d != nil {
		u.disk.kept = append(u.disk.kept, operator.Snapshot{
			Work: r.ID, Why: r.Why, Name: fmt.Sprintf("snapshot-%d", s.now),
			Taken: s.now, Revision: int64(d.index), Cluster: d.cluster,
		})
	}
}

// dies ends a machine's running work when its power fails.
func (u *unit) dies() {
	for i := range u.disk.work {
		if w := &u.disk.work[i]; w.State == operator.WorkRuns {
			w.State, w.Error = operator.WorkFailed, "it died without a word"
		}
	}
}

// beside fills in what a look finds beside the data.
func (s *Sim) beside(u *unit, w *operator.World) {
	w.Work = u.disk.work
	w.Kept = operator.Kept{Snapshots: u.disk.kept, Space: 1 << 40, Free: 1 << 40}
	for _, p := range u.disk.prepared {
		w.Prepared = append(w.Prepared, p.Prepared)
	}
	d := u.disk.data
	if w.Reach == operator.Healthy || d == nil {
		return
	}
	w.Log = operator.LogState{Term: oneTerm, Index: uint64(d.index), Revision: int64(d.index)}
	if g := s.group(d.cluster); g != nil {
		m := g.find(d.member)
		w.Log.Learner = m != nil && m.learner
	}
}

// snapshots makes every unit keep a snapshot, and then clients write more.
func (s *Sim) snapshots() {
	for _, u := range s.living() {
		s.keep(u, operator.WorkRequest{})
	}
	s.Tick(1)
	s.write()
	s.write()
}

// restore starts a restore from the latest snapshot that the unit keeps.
func (s *Sim) restore(source *unit, without ...string) {
	params := map[string]any{"snapshot": "latest", "source": source.name}
	refused := s.Operate(operator.Restore, s.confirmed(params, without))
	s.rescue = s.rescue || refused == ""
}

// recover starts a recovery from the best member that is left.
func (s *Sim) recover(without ...string) string {
	s.rescue = true
	return s.Operate(operator.Recover, s.confirmed(map[string]any{}, without))
}

// confirmed adds the parameters with which an operator confirms an operation.
func (s *Sim) confirmed(params map[string]any, without []string) map[string]any {
	if id := s.record().ClusterID; id != 0 {
		params["confirm"] = fmt.Sprintf("id-%x", id)
	}
	for i, unit := range without {
		if i == 0 {
			params["without"] = unit
		} else {
			params["without"] = params["without"].(string) + "," + unit
		}
	}
	return params
}

// loseMajority removes most of the units for good, or turns their machines off, and lets the others
// see that.
func (s *Sim) loseMajority(gone bool, units ...*unit) {
	s.rescue = true
	for _, u := range units {
		if gone {
			s.ForceRemove(u, false)
		} else {
			s.Power(u, false)
		}
	}
	s.Tick(60)
	for _, u := range s.units {
		s.Poke(u)
	}
	s.Rest()
}

// administer is the administrator that the status asks for. A cluster that lost its majority is
// recovered. If the cluster on record is gone before its new data was served, the application goes
// back to the data that is left.
func (s *Sim) administer() {
	r := s.record()
	g := s.group(r.ClusterID)
	o := r.Operation
	waits := o.Going() && (o.Phase != "serving" || s.now < o.Moved+patience)
	if !s.rescue || waits || r.ClusterID == 0 || r.ClusterID == r.Ended ||
		g != nil && s.led(g) != nil {
		return
	}
	var best *unit
	for _, u := range s.living() {
		d := u.disk.data
		switch {
		case u.life != alive || d == nil:
		case d.cluster == r.ClusterID:
			s.tell("an administrator: %s", s.recover())
			return
		case best == nil || d.index > best.disk.data.index:
			best = u
		}
	}
	if best != nil {
		s.tell("an administrator: %s", s.Operate(operator.Restore,
			s.confirmed(map[string]any{"from": "data-dir", "source": best.name}, nil)))
	}
}

// stops reports whether the operation requires that the cluster is stopped.
func stops(o operator.Operation) bool {
	return o.Going() && (o.Phase == "stopping" || o.Kind == "recover" && o.Phase == "preparing")
}

// halts reports whether the hook knew that an operation stops its unit, or that its unit's data was
// replaced.
func (h *hook) halts(u *unit) bool {
	return stops(h.record.Operation) ||
		u.disk.data != nil && slices.Contains(h.record.Replaced, u.disk.data.cluster)
}

// checkHalt checks that an operation stops the cluster only after all units that are known to take
// part have answered.
func (s *Sim) checkHalt(h *hook, was, is operator.Operation) {
	if !stops(is) || stops(was) {
		return
	}
	for _, p := range s.living() {
		if p.hook != h && was.Takes(p.name) && p.life == alive &&
			!slices.ContainsFunc(p.words, func(w operator.UnitBag) bool { return w.Part.ID == is.ID }) {
			s.broken("%s has the cluster stopped, and %s has not answered", is.ID, p.name)
		}
	}
}

// checkReplaced checks that only an operation past its point of no return replaces data. No unit
// that takes part may be serving the old data then, and the data of a recovery must hold everything
// that those units have.
func (s *Sim) checkReplaced(h *hook, was, is operator.AppBag) {
	s.checkHalt(h, was.Operation, is.Operation)
	for _, id := range was.Replaced {
		if !slices.Contains(is.Replaced, id) {
			delete(s.ended, id)
			delete(s.replaced, id)
		}
	}
	o := is.Operation
	unchanged := o.Outcome == "cancelled" || strings.HasPrefix(o.Outcome, "nothing is changed")
	if unchanged && was.Operation.ID == o.ID && was.Operation.Phase == "serving" {
		s.broken("%s is past its point of no return, and ends as %q", o.ID, o.Outcome)
	}
	if was.ClusterID == 0 || was.ClusterID == is.ClusterID ||
		s.ended[was.ClusterID] || is.ClusterID == 0 {
		return
	}
	if o.Phase != "serving" || o.NewCluster() != is.ClusterID ||
		!slices.Contains(is.Replaced, was.ClusterID) {
		return // checkRecord reports that
	}
	s.ended[was.ClusterID], s.replaced[was.ClusterID] = true, o
	source := s.unit(o.Source)
	for _, u := range s.living() {
		d := u.disk.data
		if d == nil || d.cluster != was.ClusterID || !o.Takes(u.name) {
			continue
		}
		if u.process.running && u.life == alive {
			s.broken("%x is replaced while %s serves it", was.ClusterID, u.name)
		}
		for _, p := range source.disk.prepared {
			if p.ID == o.ID && o.Kind == "recover" && p.holds < d.index {
				s.broken("what %s has beyond %d is lost: it has %d", u.name, p.holds, d.index)
			}
		}
	}
}

// checkRuns checks that no unit that took part in replacing data still serves the old data.
func (s *Sim) checkRuns() {
	for id, o := range s.replaced {
		for _, u := range s.units {
			if d := u.disk.data; u.life != dead && u.up && u.process.running &&
				d != nil && d.cluster == id && o.Takes(u.name) {
				s.broken("%s serves data of %x, which was replaced", u.name, id)
			}
		}
	}
}

// checkServe checks that only data on record is served, and only once.
func (s *Sim) checkServe(u *unit, p prepared) {
	switch r := s.record(); {
	case r.ClusterID != p.ClusterID:
		s.broken("%s serves %x, and %x is on record", u.name, p.ClusterID, r.ClusterID)
	case s.group(p.ClusterID) != nil:
		s.broken("%s serves %x once more", u.name, p.ClusterID)
	}
}

// checkDrop checks that the application's own data is not dropped before it was served.
func (s *Sim) checkDrop(u *unit, id string) {
	for _, p := range u.disk.prepared {
		if p.ID == id && p.ClusterID == s.record().ClusterID && s.group(p.ClusterID) == nil {
			s.broken("%s drops the application's data", u.name)
		}
	}
}
