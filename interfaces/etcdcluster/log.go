package etcdcluster

import (
	"strconv"
	"strings"
)

// LogState is what a member's log on disk says while nobody can say it. The zero value is not read.
type LogState struct {
	Term, Index uint64 // of its last entry
	Torn        bool   // its tail is damaged, or its database is ahead of it
	Learner     bool   // the member is none of the voters, as its own database says
	Revision    int64  // the highest in its database
}

// String is the form in which it stands in the bag: "3:1008:intact:931", or "3:506:torn:931:learner"; "" is not read.
func (s LogState) String() string {
	if s == (LogState{}) {
		return ""
	}
	state := "intact"
	if s.Torn {
		state = "torn"
	}
	parts := []string{strconv.FormatUint(s.Term, 10), strconv.FormatUint(s.Index, 10), state, strconv.FormatInt(s.Revision, 10)}
	if s.Learner {
		parts = append(parts, "learner")
	}
	return strings.Join(parts, ":")
}

// log reads the state of a log. That of a charm that was rolled back stays in the bag: who reads it holds it to can.
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
	if s.String() != value || s.Revision < 0 { // one form each: what was not read whole is written otherwise
		d.fail(key, "is no state of a log")
		return LogState{}
	}
	return s
}

// maxReplaced bounds how many clusters are read and written, the last of them.
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
			d.fail(key, "has an entry that is no hexadecimal number of 64 bits")
			return nil
		}
		id, _ := strconv.ParseUint(part, 16, 64)
		out = append(out, id)
	}
	return out
}
