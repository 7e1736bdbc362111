package etcdcluster

import (
	"strconv"
	"strings"
)

// LogState is what a member's log on disk holds, read while the cluster cannot be asked. The zero
// value means that it was not read.
type LogState struct {
	Term, Index uint64 // of its last entry
	Torn        bool   // its tail is damaged, or its database is ahead of it
	Learner     bool   // by its own database the member is not a voter
	Revision    int64  // the highest in its database
}

// String is the log state as it is in the bag: "3:1008:intact:931", or "3:506:torn:931:learner"; ""
// means not read.
func (s LogState) String() string {
	if s == (LogState{}) {
		return ""
	}
	state := "intact"
	if s.Torn {
		state = "torn"
	}
	parts := []string{
		strconv.FormatUint(s.Term, 10), strconv.FormatUint(s.Index, 10), state,
		strconv.FormatInt(s.Revision, 10),
	}
	if s.Learner {
		parts = append(parts, "learner")
	}
	return strings.Join(parts, ":")
}

// log reads the state of a log. A charm that was rolled back leaves the key of a newer one in the
// bag: readers count it only if the unit's key can lists recover.
func (d *decoder) log(key string) LogState {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return LogState{}
	}
	var s LogState
	parts := append(strings.Split(value, ":"), "", "", "")
	s.Term, _ = strconv.ParseUint(parts[0], 10, 64)
	s.Index, _ = strconv.ParseUint(parts[1], 10, 64)
	s.Torn = parts[2] == "torn"
	s.Revision, _ = strconv.ParseInt(parts[3], 10, 64)
	s.Learner = strings.HasSuffix(value, ":learner")
	// There is one form only: a value that is written otherwise was not understood whole.
	if s.String() != value || s.Revision < 0 {
		d.fail(key, "is not the state of a log")
		return LogState{}
	}
	return s
}

// maxReplaced bounds how many replaced clusters are read and written: the last ones.
const maxReplaced = 1000

func encodeIDs(ids []uint64) string {
	var parts []string
	for _, id := range ids[max(0, len(ids)-maxReplaced):] {
		parts = append(parts, encodeID(id))
	}
	return strings.Join(parts, ",")
}

func (d *decoder) ids(key string) []uint64 {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return nil
	}
	parts := strings.Split(value, ",")
	if len(parts) > maxReplaced {
		d.fail(key, "has too many entries")
		return nil
	}
	out := make([]uint64, 0, len(parts))
	for _, part := range parts {
		if !hexID(part) {
			d.fail(key, "has an entry that is not a hexadecimal number of 64 bits")
			return nil
		}
		id, _ := strconv.ParseUint(part, 16, 64)
		out = append(out, id)
	}
	return out
}
