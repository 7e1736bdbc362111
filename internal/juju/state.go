package juju

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// The keys of the unit's state. Juju reads the whole state in every hook, and allows 64 KiB for a
// key, which is enough for five thousand consumers. A key that is not listed here belongs to
// another release and is left alone.
const (
	stateSchema = "schema"
	// lines "DIGEST ID…": mostly it is the same for all consumers, so each digest is there once
	stateBags       = "bags"
	stateSecrets    = "secrets"  // lines "DIGEST ID/LABEL…"
	stateDeserted   = "deserted" // lines "missing ID…"
	statePorts      = "ports"
	stateLearner    = "learner"
	stateUnrecorded = "unrecorded" // a cluster's ID, in hexadecimal
	stateForeign    = "foreign"
	stateSquat      = "turn"
	stateSeen       = "seen"    // cluster and member, in hexadecimal; term, index, revision, time
	stateHealed     = "healed"  // a time
	stateCleared    = "cleared" // a time
	// a learner's member ID, in hexadecimal; entries, bytes, how often it was replaced
	stateLearning  = "learning"
	stateRevisions = "revisions" // "TIME@REVISION …"
	stateSampled   = "sampled"   // the ID of their cluster, in hexadecimal
	stateFreed     = "freed"     // Unix seconds
)

// decodeState reads the unit's state. A value that is not a string counts as missing. So does a
// state of schema 1, which was never released.
func decodeState(state map[string]any) operator.Memory {
	text := func(key string) string {
		value, _ := state[key].(string)
		return value
	}
	if text(stateSchema) == "" {
		return operator.Memory{}
	}
	freed, _ := strconv.ParseInt(text(stateFreed), 10, 64)
	unrecorded, _ := strconv.ParseUint(text(stateUnrecorded), 16, 64) // 0 means none
	sampled, _ := strconv.ParseUint(text(stateSampled), 16, 64)
	healed, _ := strconv.ParseInt(text(stateHealed), 10, 64) // 0 means not lately
	cleared, _ := strconv.ParseInt(text(stateCleared), 10, 64)
	return operator.Memory{
		Bags:          decodeLines[string](text(stateBags)),
		Secrets:       decodeLines[string](text(stateSecrets)),
		Deserted:      decodeLines[operator.Desertion](text(stateDeserted)),
		Ports:         text(statePorts),
		Learner:       text(stateLearner),
		Unrecorded:    unrecorded,
		Foreign:       text(stateForeign),
		AbandonedTurn: text(stateSquat),
		Seen:          decodeSeen(text(stateSeen)),
		Healed:        healed,
		Cleared:       cleared,
		Learning:      decodeLearning(text(stateLearning)),
		Revisions:     decodeSamples(text(stateRevisions)),
		Sampled:       sampled,
		Freed:         freed,
	}
}

// encodeState returns the unit's state for m; "" means that the key is absent.
func encodeState(m operator.Memory) map[string]string {
	return map[string]string{
		stateSchema:     "2",
		stateBags:       encodeLines(m.Bags),
		stateSecrets:    encodeLines(m.Secrets),
		stateDeserted:   encodeLines(m.Deserted),
		statePorts:      m.Ports,
		stateLearner:    m.Learner,
		stateUnrecorded: encodeID(m.Unrecorded),
		stateForeign:    m.Foreign,
		stateSquat:      m.AbandonedTurn,
		stateSeen:       encodeSeen(m.Seen),
		stateHealed:     encodeTime(m.Healed),
		stateCleared:    encodeTime(m.Cleared),
		stateLearning:   encodeLearning(m.Learning),
		stateRevisions:  encodeSamples(m.Revisions),
		stateSampled:    encodeID(m.Sampled),
		stateFreed:      encodeTime(m.Freed),
	}
}

// encodeSamples returns a list of samples as one line.
func encodeSamples(samples []operator.Sample) string {
	parts := make([]string, len(samples))
	for i, s := range samples {
		parts[i] = strconv.FormatInt(s.At, 10) + "@" + strconv.FormatInt(s.Revision, 10)
	}
	return strings.Join(parts, " ")
}

// decodeSamples is the reverse of encodeSamples. A sample that cannot be read is left out.
func decodeSamples(text string) []operator.Sample {
	var out []operator.Sample
	for part := range strings.FieldsSeq(text) {
		at, revision, _ := strings.Cut(part, "@")
		a, errAt := strconv.ParseInt(at, 10, 64)
		r, errRevision := strconv.ParseInt(revision, 10, 64)
		if errAt == nil && errRevision == nil {
			out = append(out, operator.Sample{At: a, Revision: r})
		}
	}
	return out
}

// encodeID returns a cluster's ID as text; "" for none.
func encodeID(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 16)
}

// encodeTime returns a time in Unix seconds as text; "" for none.
func encodeTime(at int64) string {
	if at == 0 {
		return ""
	}
	return strconv.FormatInt(at, 10)
}

const seenForm = "%x %x %d %d %d %d"

func encodeSeen(s operator.Seen) string {
	if s == (operator.Seen{}) {
		return ""
	}
	return fmt.Sprintf(seenForm, s.ClusterID, s.MemberID, s.Term, s.Index, s.Revision, s.At)
}

// decodeSeen is the reverse of encodeSeen; it returns the zero Seen for a text that cannot be read.
func decodeSeen(text string) operator.Seen {
	var s operator.Seen
	if _, err := fmt.Sscanf(
		text, seenForm, &s.ClusterID, &s.MemberID, &s.Term, &s.Index, &s.Revision, &s.At,
	); err != nil {
		return operator.Seen{}
	}
	return s
}

const learningForm = "%x %d %d %d"

func encodeLearning(l operator.Learning) string {
	if l == (operator.Learning{}) {
		return ""
	}
	return fmt.Sprintf(learningForm, l.MemberID, l.Applied, l.Bytes, l.Replaced)
}

// decodeLearning is the reverse of encodeLearning; it returns the zero Learning for a text that
// cannot be read.
func decodeLearning(text string) operator.Learning {
	var l operator.Learning
	if _, err := fmt.Sscanf(
		text, learningForm, &l.MemberID, &l.Applied, &l.Bytes, &l.Replaced,
	); err != nil {
		return operator.Learning{}
	}
	return l
}

// encodeLines writes a map by its values: each line has a value and its keys.
func encodeLines[V ~string](m map[string]V) string {
	keys := map[V][]string{}
	for key, value := range m {
		keys[value] = append(keys[value], key)
	}
	lines := make([]string, 0, len(keys))
	for _, value := range slices.Sorted(maps.Keys(keys)) {
		slices.Sort(keys[value])
		lines = append(lines, string(value)+" "+strings.Join(keys[value], " "))
	}
	return strings.Join(lines, "\n")
}

// decodeLines is the reverse of encodeLines.
func decodeLines[V ~string](text string) map[string]V {
	m := map[string]V{}
	for line := range strings.Lines(text) {
		value, keys, _ := strings.Cut(strings.TrimSpace(line), " ")
		for key := range strings.FieldsSeq(keys) {
			m[key] = V(value)
		}
	}
	return m
}
