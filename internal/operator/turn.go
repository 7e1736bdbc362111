package operator

// freeTurn breaks a turn whose holder will never give it back, in the second hook that sees it; the
// first hook only reports it. A hook that fails in order to keep the unit remembers nothing of an
// earlier one: it breaks the turn after it has waited for it in vain.
func freeTurn(v view, p *Plan) {
	if v.role() != RoleMember || !v.inCluster() || !v.w.Turn.Known {
		return // nothing is known, so nothing has changed
	}
	abandoned := v.turnAbandoned()
	sum := digest(abandoned.Kind.String(), v.w.Turn.Holder)
	waited, _ := v.tried(TakeTurn{})
	switch {
	case abandoned.none():
		sum = ""
	case (v.m.Memory.Value.AbandonedTurn == sum || waited && v.last()) && v.refusingAlarm() != corrupt:
		p.want(v, BreakTurn{v.w.Turn})
	}
	if v.m.Memory.Value.AbandonedTurn != sum {
		p.memory(v).AbandonedTurn = sum
	}
}

// turnAbandoned says why the turn's holder will never give it back; none means that it may. No unit ever
// takes the turn without a lease. A holder that goal-state does not list is gone for good if it had
// the turn before goal-state was read; a later one may be newer than that answer.
func (v view) turnAbandoned() Reason {
	turn := v.w.Turn
	holder := clip(singleLine(turn.Holder), 16)
	switch {
	case turn.Holder == "":
		return Reason{}
	case turn.Unleased:
		return because(turnUnleased, holder)
	case !v.m.Units.OK || v.m.SeenTurn.Holder != turn.Holder || v.m.Units.Value[turn.Holder] != "":
		return Reason{}
	}
	return because(turnUnowned, holder)
}

// turn says who has the turn.
func (x *examiner) turn() {
	switch why := x.turnAbandoned(); {
	case !why.none():
		x.say(why)
	case x.w.Turn.Holder != "":
		x.say(because(turnHeld, x.w.Turn.Holder))
	}
}
