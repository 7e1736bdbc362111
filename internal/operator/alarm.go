package operator

import (
	"fmt"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// cause says why an alarm is still right; "" is that its cause is gone. largest is how many bytes one request may take.
func (l look) cause(a Alarm, largest int64) string {
	if a.MemberID == 0 {
		if len(l.voters()) < 2 {
			return "" // there is no other to differ from
		}
		return "members' data differ, and etcd cannot tell whose is right; keep one unit whose data is, and remove the others: juju remove-unit …"
	}
	at := slices.IndexFunc(l.w.Members, func(mem Member) bool { return mem.ID == a.MemberID })
	if at < 0 {
		return "" // the member is gone
	}
	if a.Kind != noSpace {
		unit, _ := l.unitOf(l.w.Members[at])
		return fmt.Sprintf("the data of %s is not to be trusted, which no action cures; replace it: juju remove-unit %s, then alarm-disarm again, then juju add-unit %s",
			memberLabel(l.w.Members[at], unit), or(unit), l.m.App)
	}
	var first, why string
	for _, mem := range l.w.Members {
		unit, _ := l.unitOf(mem)
		label := memberLabel(mem, unit)
		full := mem.Answers && mem.Quota > 0 && mem.DBSize+largest > mem.Quota
		if full && (why == "" || databag.CompareUnits(label, first) < 0) {
			first = label
			why = fmt.Sprintf("the database of %s takes %s of a quota of %s; run compact and defrag first, and delete keys if that frees too little",
				label, size(mem.DBSize), size(mem.Quota))
		}
	}
	return why
}
