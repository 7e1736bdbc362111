package operator

import (
	"slices"
	"strings"
)

// entry is what can be said of a kind. In its texts {words} stand for the subject, whose word is in
// of, and for the details, in the order in which they first appear.
type entry struct {
	name   string  // never changes: it is an anchor of docs/reference/reasons.md
	of     string  // what the subject is
	health Verdict // of the cluster, because of it
	level  Level   // the workload status that it calls for; "" keeps it out of the status line
	own    Level   // the same if the subject is this unit; "" means no difference
	text   string  // what is wrong
	remedy string  // what to do; "" is nothing, or that the text already says it
}

// String is the kind's name.
func (k Kind) String() string { return catalogue[k].name }

// Reason is why something is not as it should be, or does not happen. The zero value is none.
type Reason struct {
	Kind     Kind
	Subjects []string // what it is about, sorted
	Level    Level    // the workload status that it calls for; "" keeps it out of the status line
	details  []string
}

// because makes a reason.
func because(kind Kind, subject string, details ...string) Reason {
	for i, d := range details {
		details[i] = singleLine(d)
	}
	return Reason{kind, []string{singleLine(subject)}, catalogue[kind].level, details}
}

// NoElection is the reason why the charm cannot run on a Juju that elects no leaders.
func NoElection() Reason { return because(noElection, "Juju") }

// JujuTooOld is the reason why the charm cannot run on a Juju of that version.
func JujuTooOld(version string) Reason { return because(jujuTooOld, version) }

// Status is the status line that shows this reason alone.
func (r Reason) Status() Status { return Status{r.Level, r.short()} }

func (r Reason) none() bool { return r.Kind == none }

// to is the reason with that level.
func (r Reason) to(level Level) Reason {
	r.Level = level
	return r
}

// at is the reason as the unit of that name shows it.
func (r Reason) at(unit string) Reason {
	if own := catalogue[r.Kind].own; own != "" && slices.Contains(r.Subjects, unit) {
		return r.to(own)
	}
	return r
}

// Health is the verdict on the cluster that this reason alone would give.
func (r Reason) Health() Verdict { return catalogue[r.Kind].health }

// Text says in one line what is wrong.
func (r Reason) Text() string { return r.fill(catalogue[r.Kind].text, firstThree(r.Subjects)) }

// Remedy says what to do about it; "" is nothing. Subjects may be part of a command: then all of
// them are named, separated by commas only if they are the value of one parameter.
func (r Reason) Remedy() string {
	e, between := catalogue[r.Kind], " "
	if strings.Contains(e.remedy, "={"+e.of+"}") {
		between = ","
	}
	return r.fill(e.remedy, strings.Join(r.Subjects, between))
}

// String is text and remedy, and the work that waits.
func (r Reason) String() string { return r.with(r.Remedy()) }

// with is the text, what to do, and the work that waits.
func (r Reason) with(remedy string) string {
	out := r.Text()
	if remedy != "" {
		out += "; " + remedy
	}
	if catalogue[r.Kind].of == work {
		out += "; until then: " + strings.Join(r.Subjects, ", ")
	}
	return out
}

func (r Reason) fill(template, subject string) string {
	e := catalogue[r.Kind]
	pairs := []string{"{" + e.of + "}", subject}
	for i, word := range e.placeholders() {
		if i < len(r.details) {
			pairs = append(pairs, "{"+word+"}", r.details[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(template)
}

// inOrder sorts reasons as they are shown, the worst level first. Reasons that differ only in their
// subjects become one.
func inOrder(reasons []Reason) []Reason {
	var out []Reason
	for _, r := range reasons {
		same := func(o Reason) bool { return o.Kind == r.Kind && slices.Equal(o.details, r.details) }
		if at := slices.IndexFunc(out, same); at >= 0 {
			if was := &out[at]; rank(r.Level) < rank(was.Level) {
				was.Level = r.Level
			}
			out[at].Subjects = ordered(slices.Concat(out[at].Subjects, r.Subjects))
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Reason) int {
		if a.Level != b.Level {
			return rank(a.Level) - rank(b.Level)
		}
		return int(a.Kind) - int(b.Kind)
	})
	return out
}

// rank orders levels, the worst first.
func rank(l Level) int {
	return slices.Index([]Level{Blocked, Waiting, Maintenance, Active, ""}, l)
}

// placeholders are the words that stand for details, in order.
func (e entry) placeholders() []string {
	var out []string
	for rest := e.text + e.remedy; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return out
		}
		var word string
		word, rest, _ = strings.Cut(after, "}")
		if word != e.of && !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
}
