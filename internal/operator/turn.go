package operator

// freeTurn breaks a turn whose holder will never give it back, in the second hook that sees it; the
// first hook only reports it. A hook that fails in order to keep the unit remembers nothing of an
// earlier one: it breaks the turn after it has waited for it in vain.
func freeTurn(l look, p *Plan) {
	if l.role() != RoleMember || !l.inCluster() || !l.w.Turn.Known {
		return // nothing is known, so nothing has changed
	}
	squat := l.squatted()
	sum := digest(squat.Kind.String(), l.w.Turn.Holder)
	waited, _ := l.tried(TakeTurn{})
	switch {
	case squat.none():
		sum = ""
	case (l.m.Memory.Value.Squat == sum || waited && l.last()) && l.refusing() != corrupt:
		p.want(l, BreakTurn{l.w.Turn})
	}
	if l.m.Memory.Value.Squat != sum {
		p.memory(l).Squat = sum
	}
}

// squatted says why the turn's holder will never give it back; none means that it may. No unit ever
// takes the turn without a lease. A holder that goal-state does not list is gone for good if it had
// the turn before goal-state was read; a later one may be newer than that answer.
func (l look) squatted() Reason {
	turn := l.w.Turn
	holder := clip(plain(turn.Holder), 16)
	switch {
	case turn.Holder == "":
		return Reason{}
	case turn.Unleased:
		return because(turnUnleased, holder)
	case !l.m.Units.OK || l.m.SeenTurn.Holder != turn.Holder || l.m.Units.Value[turn.Holder] != "":
		return Reason{}
	}
	return because(turnUnowned, holder)
}

// turn says who has the turn.
func (x *examiner) turn() {
	switch why := x.squatted(); {
	case !why.none():
		x.say(why)
	case x.w.Turn.Holder != "":
		x.say(because(turnHeld, x.w.Turn.Holder))
	}
}
