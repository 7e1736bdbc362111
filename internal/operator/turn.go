package operator

import "fmt"

// freeTurn breaks a turn that nobody will give back, in the second hook that sees it: until then it is only said. A hook
// that holds the unit remembers nothing of an earlier one; it breaks the turn when it has waited for it in vain.
func freeTurn(l look, p *Plan) {
	if l.role() != RoleMember || !l.inCluster() || !l.w.Turn.Known {
		return // nothing was seen, so nothing has changed
	}
	sum := digest(l.squat(), l.w.Turn.Holder)
	waited, _ := l.tried(TakeTurn{})
	switch {
	case l.squat() == "":
		sum = ""
	case (l.m.Memory.Value.Squat == sum || waited && l.last()) && l.refusing() != corrupt:
		p.want(l, BreakTurn{l.w.Turn})
	}
	if l.m.Memory.Value.Squat != sum {
		p.memory(l).Squat = sum
	}
}

// squat says in words why the turn's holder will never give it back; "" is that it may. No unit ever takes it without a
// lease. One that goal-state does not list is gone for good if it had the turn before goal-state was read; a later one may
// be newer than that answer.
func (l look) squat() string {
	switch turn := l.w.Turn; {
	case turn.Holder == "":
		return ""
	case turn.Unleased:
		return "has no lease"
	case !l.m.Units.OK || l.m.SeenTurn.Holder != turn.Holder || l.m.Units.Value[turn.Holder] != "":
		return ""
	}
	return "is of no unit"
}

// squatted says what is wrong with the turn and what to do; "" is nothing.
func (l look) squatted() string {
	why := l.squat()
	if why == "" {
		return ""
	}
	return fmt.Sprintf("turn of %s %s: etcdctl del etcd-charm/turn", clip(plain(l.w.Turn.Holder), 16), why)
}

// turn says who has the turn.
func (x *examiner) turn() {
	switch why := x.squatted(); {
	case why != "":
		x.because(Degraded, Active, why, "nobody restarts or leaves: the %s on a unit, or wait for two hooks", why)
	case x.w.Turn.Holder != "":
		x.note("%s holds the turn to restart", x.w.Turn.Holder)
	}
}
