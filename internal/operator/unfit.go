package operator

import (
	"slices"
	"strings"
)

// ailment is what keeps a server from going on, by the last lines of its log.
type ailment int

const (
	unnamed    ailment = iota // it does not fail, or its log says nothing that is listed here
	badData                   // the parts of the data do not fit together, or something is missing
	unreadable                // the disk fails, or a file is cut short
	diskFull                  // there is no room
	forbidden                 // it may not read or write its files
	locked                    // another process has the data open
)

// String names the ailment.
func (a ailment) String() string {
	return [...]string{"unnamed", "bad data", "unreadable", "disk full", "forbidden", "locked"}[a]
}

// signs are texts of etcd 3.7, raft, bbolt and the kernel, and what each is a sign of. The first
// that is found counts. etcd says "failed to open database" for any reason, so signs of the
// machine's faults come before those of the data's.
var signs = []struct {
	says string
	of   ailment
}{
	{"flocked by another process", locked}, // etcd waits for the lock without end
	{"no space left on device", diskFull},
	{"disk quota exceeded", diskFull},
	{"input/output error", unreadable},
	// A page of the database is missing, or the disk cannot read it: the kernel does not say which.
	{"unexpected fault address", unreadable},
	{"fatal error: fault", unreadable},
	{"permission denied", forbidden},
	{"read-only file system", forbidden},
	{"operation not permitted", forbidden},
	{") is out of range [lastIndex(", badData}, // raft: the leader knows of entries that the log had
	// The text "failed to recover v3 backend from snapshot" is no sign: etcd says it whatever keeps
	// it from the file.
	{"snap: snapshot file doesn't exist", badData},
	{"failed to open database: invalid database", badData},
	{"failed to open database: checksum error", badData},
	{"failed to open database: version mismatch", badData},
	{"failed to open database: file size too small", badData},
	{"walpb: crc mismatch", badData},
	{"wal: file not found", badData},
	{"wal: conflicting metadata found", badData},
	{"wal: snapshot mismatch", badData},
	{"wal: snapshot not found", badData},
	{"wal: slice bounds out of range", badData},
	{"wal: max entry size limit exceeded", badData},
	{"panic: assertion failed: Page expected to be", badData}, // bbolt
	{"panic: freepages: ", badData},
	{"panic: invalid freelist page", badData},
}

// ailment says what keeps our server from going on.
func (s Service) ailment() ailment {
	for _, sign := range signs {
		if strings.Contains(s.Log, sign.says) {
			return sign.of
		}
	}
	return unnamed
}

// Ailment names what keeps the server from going on, by the last lines of its log.
func (s Service) Ailment() string { return s.ailment().String() }

// ails is the reason that says what keeps our server from going on. It is none if nothing does, or
// if another part of the report says it.
func (s Service) ails(unit string) Reason {
	ailment := s.ailment()
	switch {
	case s.Kind != MemberService:
	case ailment == locked:
		return because(dataLocked, unit)
	case !s.Failing:
	case s.inconsistent():
		return because(dataDiffers, unit)
	case ailment == diskFull:
		return because(dataDiskFull, unit, s.Log)
	case ailment == unreadable:
		return because(dataUnreadable, unit, s.Log)
	case ailment == forbidden:
		return because(dataForbidden, unit, s.Log)
	}
	return Reason{}
}

// unfit says in words why our member must not go on with its data; "" is that it may.
func (v view) unfit() string {
	d, seen := v.w.Data, v.m.Memory.Value.Seen
	switch {
	case d.State != OurData:
		return ""
	case v.older():
		return "older than it was (" + number(d.Index) + " of " + number(seen.Index) + " entries)"
	case v.w.Service.Failing && v.w.Service.ailment() == badData:
		return "bad or too old"
	}
	return ""
}

// healedEvery is how long a unit must not give up its data again by itself: data that goes bad
// again so soon does not do so by accident.
const healedEvery = 24 * 3600 // seconds

const joinsAgain = "; it joins again"

// replace makes a member with unfit data leave and join again. It may have forgotten votes and
// entries that it promised to keep, so it is never simply started. Once it is not listed any more,
// its data is moved aside like that of any removed member. The charm does this by itself only while
// a majority of all voters decides without the member and has what it once had: then nothing
// depends on its data.
func (v view) replace(p *Plan, what string) {
	own, _ := v.self()
	healed := v.m.Memory.Value.Healed
	switch {
	case v.alone() || v.behindAll():
		p.say(because(dataUnfitAlone, v.m.Unit, what))
	case !v.inCluster() || !v.m.Memory.OK || !v.mayForget(own.ID).none():
		p.say(because(dataUnfit, v.m.Unit, what))
	case healed != 0 && v.w.Now-healed < healedEvery:
		p.say(because(dataUnfitAgain, v.m.Unit, what))
	default:
		p.want(v, RemoveMember{ID: own.ID, Name: v.m.Unit, Why: "data is " + what + joinsAgain})
	}
}

// behindAll reports whether no other member has come as far as ours once had: then all of their
// data is older too.
func (v view) behindAll() bool {
	if !v.older() || !v.inCluster() {
		return false
	}
	seen := v.m.Memory.Value.Seen
	return !slices.ContainsFunc(v.w.Members, func(mem Member) bool {
		return mem.ID != seen.MemberID && (!mem.Answers || mem.Index >= seen.Index)
	})
}

// rememberHealed keeps Memory.Healed true. If a hook dies after the removal, nothing is remembered:
// the unit may then give up its data again within the same day.
func (v view) rememberHealed(p *Plan) {
	gaveUp := func(s Step) bool {
		r, ok := s.(RemoveMember)
		return ok && strings.HasSuffix(r.Why, joinsAgain)
	}
	switch healed := v.m.Memory.Value.Healed; {
	case slices.ContainsFunc(v.w.Done, gaveUp):
		p.memory(v).Healed = v.w.Now
	case healed > v.w.Now:
		// It was noted by a clock that was ahead, and would count as recent for as long.
		p.memory(v).Healed = v.w.Now
	case healed != 0 && v.w.Now-healed >= healedEvery && p.Memory != nil:
		p.memory(v).Healed = 0
	}
}
