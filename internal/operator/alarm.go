package operator

import (
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// cause says why an alarm is still justified; none means that its cause is gone. largest is the
// size in bytes of the largest request.
func (l look) cause(a Alarm, largest int64) Reason {
	if a.MemberID == 0 {
		if len(l.voters()) < 2 {
			return Reason{} // there is no other to differ from
		}
		return because(alarmSplit, a.Kind)
	}
	at := slices.IndexFunc(l.w.Members, func(mem Member) bool { return mem.ID == a.MemberID })
	if at < 0 {
		return Reason{} // the member is gone
	}
	if a.Kind != noSpace {
		unit, _ := l.unitOf(l.w.Members[at])
		return because(alarmUntrusted, memberLabel(l.w.Members[at], unit), l.m.App)
	}
	var first string
	var why Reason
	for _, mem := range l.w.Members {
		unit, _ := l.unitOf(mem)
		label := memberLabel(mem, unit)
		full := mem.Answers && mem.Quota > 0 && mem.DBSize+largest > mem.Quota
		if full && (why.none() || databag.CompareUnits(label, first) < 0) {
			first, why = label, because(alarmFull, label, size(mem.DBSize), size(mem.Quota))
		}
	}
	return why
}
