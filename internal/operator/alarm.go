package operator

import (
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// cause says why an alarm is still justified; none means that its cause is gone. largest is the
// size in bytes of the largest request.
func (v view) cause(a Alarm, largest int64) Reason {
	if a.MemberID == 0 {
		if len(v.voters()) < 2 {
			return Reason{} // there is no other to differ from
		}
		return because(alarmSplit, a.Kind)
	}
	at := slices.IndexFunc(v.w.Members, func(mem Member) bool { return mem.ID == a.MemberID })
	if at < 0 {
		return Reason{} // the member is gone
	}
	if a.Kind != noSpace {
		unit, _ := v.unitOf(v.w.Members[at])
		return because(alarmUntrusted, memberLabel(v.w.Members[at], unit), v.m.App)
	}
	var first string
	var why Reason
	for _, mem := range v.w.Members {
		unit, _ := v.unitOf(mem)
		label := memberLabel(mem, unit)
		full := mem.Answers && mem.Quota > 0 && mem.DBSize+largest > mem.Quota
		if full && (why.none() || databag.CompareUnits(label, first) < 0) {
			first, why = label, because(alarmFull, label, size(mem.DBSize), size(mem.Quota))
		}
	}
	return why
}
