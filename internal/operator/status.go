package operator

import (
	"fmt"
	"slices"
	"strings"
)

// Lengths in characters. Juju shows the status line in a table and cuts it at about 120.
const (
	// The line takes the reasons that fit; the number of the others may go beyond it.
	lineWidth  = 80
	enoughText = 50 // what is wrong is shown with at least this many, if it has them
)

// seeHealth stands for a remedy that does not fit into the line.
const seeHealth = "see health"

// Summary is the report in one line.
func Summary(r Report) string {
	if text := line(r.Reasons, r.core()); text != "" {
		return text
	}
	return r.figures()
}

// StatusOf is the status line that the report suggests.
func StatusOf(r Report) Status { return Status{levelOf(r.Reasons), Summary(r)} }

// StatusNow is the status that a hook would set now; it is the zero value if that hook would first
// do a step.
func StatusNow(m Model, w World) Status {
	p := Decide(Event{}, m, w)
	if p.Step != nil {
		return Status{}
	}
	return p.Status
}

// levelOf is the worst level that a reason calls for.
func levelOf(reasons []Reason) Level {
	if len(reasons) == 0 || reasons[0].Level == "" {
		return Active
	}
	return reasons[0].Level
}

// line says what is wrong and what to do, the worst first, and how many more reasons there are; ""
// if no reason is to be shown. The core of the figures comes after the first reason, if it fits. It
// comes first only if nothing is wrong.
func line(reasons []Reason, core string) string {
	reasons = slices.DeleteFunc(slices.Clone(reasons), func(r Reason) bool { return r.Level == "" })
	if len(reasons) == 0 {
		return ""
	}
	calm := reasons[0].Level == Active && reasons[0].Health() == Sound
	out := reasons[0].short()
	switch {
	case core == "":
	case calm:
		out = core + "; " + out
	case reasons[0].Health() != Unhealthy && fits(out, core):
		out += "; " + core
	}
	for i, r := range reasons[1:] {
		if !fits(out, r.short()) {
			return fmt.Sprintf("%s; %d more in health", out, len(reasons)-1-i)
		}
		out += "; " + r.short()
	}
	return out
}

func fits(line, more string) bool { return len([]rune(line+"; "+more)) <= lineWidth }

// short is text and remedy for the status line. A remedy may be a command that is copied, so it is
// shown whole or not at all. A text that is too long is cut at its end, where words from elsewhere
// stand.
func (r Reason) short() string {
	const instead = "; " + seeHealth
	text, remedy := r.Text(), "; "+r.Remedy()
	room := lineWidth - len([]rune(remedy))
	if n := len(r.Subjects); n > 1 && len([]rune(text)) > room {
		// It is enough to name the first subject, or the number of subjects, if that leaves room
		// for the remedy.
		e := catalogue[r.Kind]
		brief := []string{fmt.Sprintf("%s and %d more", r.Subjects[0], n-1)}
		if e.of == "member" || e.of == "unit" {
			brief = append(brief, fmt.Sprintf("%d %ss", n, e.of))
		}
		for _, who := range brief {
			if said := r.fill(e.text, who); len([]rune(said)) <= room {
				text = said
				break
			}
		}
	}
	switch long := len([]rune(text)); {
	case r.Remedy() == "":
		return clip(text, lineWidth)
	case long > room && (long <= lineWidth-len(instead) || room < enoughText):
		return clip(text, lineWidth-len(instead)) + instead
	}
	return clip(text, room) + remedy
}

// texts are the reasons in full.
func texts(reasons []Reason) string {
	out := make([]string, len(reasons))
	for i, r := range reasons {
		out[i] = r.String()
	}
	return strings.Join(out, "; ")
}

// core is the figures that are shown beside reasons; "" if there are none.
func (r Report) core() string {
	switch {
	case r.Role == RoleProxy && len(r.Upstream) > 0:
		return fmt.Sprintf("%d/%d members reachable", r.Reachable, len(r.Upstream))
	case r.Voters == 0:
		return ""
	}
	out := fmt.Sprintf("%d/%d voters", r.Ready, r.Voters)
	if r.Margin >= 0 && (r.Ready < r.Voters || r.Voters == 1 || r.Voters%2 == 0) {
		out += ", " + r.survival()
	}
	return out
}

// figures is the status line of a unit about which there is nothing to report. It stands until the
// next hook, as a rule five minutes. Who leads and how large the databases are may change in that
// time: action health shows that.
func (r Report) figures() string {
	if r.Role == RoleProxy {
		return r.proxyFigures()
	}
	out := append([]string{fmt.Sprintf("%d/%d voters", r.Ready, r.Voters)}, r.versionText()...)
	text := strings.Join(out, ", ")
	if r.Voters == 1 || r.Voters%2 == 0 {
		text += "; " + r.survival()
	}
	return text
}

func (r Report) proxyFigures() string {
	at := "a socket"
	if len(r.Listen) > 0 {
		at = r.Listen[0]
		if r.Socket != (Socket{}) {
			at += " and a socket"
		}
	}
	out := fmt.Sprintf("proxy on %s, %d/%d members reachable", at, r.Reachable, len(r.Upstream))
	for _, more := range append(r.versionText(), r.certText()...) {
		if fits(out, more) {
			out += ", " + more
		}
	}
	return out
}

// survival says which failure the cluster survives. It is right only for a cluster with voters.
func (r Report) survival() string {
	switch {
	case r.Margin < 0 && r.Reachable >= r.Quorum:
		return "no quorum yet, though enough voters answer"
	case r.Margin < 0:
		return fmt.Sprintf("no quorum, %d more needed", r.Quorum-r.Reachable)
	case r.Ready < r.Voters && r.Margin == 0:
		return "no failure tolerance left"
	case r.Ready < r.Voters:
		return "survives " + failures(r.Margin, "more ")
	case r.Margin == 0:
		return "survives no failure"
	case r.Voters%2 == 0:
		return fmt.Sprintf("survives %s, as %d would", failures(r.Margin, ""), r.Voters-1)
	}
	return "survives " + failures(r.Margin, "")
}

func failures(n int, more string) string {
	if n == 1 {
		return "1 " + more + "failure"
	}
	return fmt.Sprintf("%d %sfailures", n, more)
}

func (r Report) versionText() []string {
	switch len(r.Versions) {
	case 0:
		return nil
	case 1, 2:
		return []string{strings.Join(r.Versions, " and ")}
	}
	return []string{fmt.Sprintf("%d versions", len(r.Versions))}
}

func (r Report) certText() []string {
	if r.Certificate == 0 {
		return nil
	}
	return []string{"cert " + lifetime(r.Certificate)}
}
