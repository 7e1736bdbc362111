package operator

import (
	"fmt"
	"strings"
)

// maxBriefs is how many reasons a status line names beside what it shows anyway.
const maxBriefs = 2

// Summary is the report in one line: what is wrong and needs somebody, the first that work waits for and is not known, the
// figures, what failure can be survived, and what else is not as it should be. Lists are cut short.
func Summary(r Report) string {
	var before, after []string
	for _, reason := range r.Reasons {
		switch {
		case reason.Brief == "" || reason.Unknown:
		case reason.Health == Unhealthy:
			before = append(before, reason.Brief)
		default:
			after = append(after, reason.Brief)
		}
	}
	unknown, more := r.unknowns()
	if unknown != "" {
		before = append(before, unknown)
	}
	if len(after) > maxBriefs {
		after, more = after[:maxBriefs], more+len(after)-maxBriefs
	}
	if more > 0 {
		after = append(after, fmt.Sprintf("%d more in action health", more))
	}
	if r.Crashes > 0 {
		after = append(after, "ended by itself "+times(r.Crashes)+", and was started again")
	}
	if r.Role == RoleProxy {
		return strings.Join(append(append(before, r.proxyFigures()), after...), "; ")
	}
	if figures := r.figures(); figures != "" {
		if unknown != "" {
			figures, _, _ = strings.Cut(figures, ",") // what waits is worth more than how well the rest does
		}
		before = append(before, figures)
	}
	// What is lost is said at once, by figures; what the size alone permits, after them.
	if r.Voters > 0 && r.Ready == r.Voters && (r.Voters == 1 || r.Voters%2 == 0) {
		before = append(before, r.survival())
	}
	return strings.Join(append(before, after...), "; ")
}

// unknowns is the first thing in words that work waits for and that is not known, "" if there is none, and how many more
// there are.
func (r Report) unknowns() (first string, more int) {
	for _, reason := range r.Reasons {
		switch {
		case !reason.Unknown:
		case first == "":
			first = reason.Brief
		default:
			more++
		}
	}
	return first, more
}

// figures is the healthy part of the line; "" if there is no member.
func (r Report) figures() string {
	if r.Voters == 0 {
		return ""
	}
	out := []string{fmt.Sprintf("%d/%d voters", r.Ready, r.Voters)}
	if r.Ready < r.Voters && r.Margin >= 0 {
		out = append(out, r.survival())
	}
	switch {
	case r.Leader != "":
		out = append(out, "leader "+r.Leader)
	case len(r.Leaders) > 1:
		out = append(out, "no agreed leader")
	default:
		out = append(out, "no leader")
	}
	out = append(out, r.versionText()...)
	if m, ok := r.fullest(); ok {
		text := "db " + size(m.DBSize)
		if m.Quota > 0 {
			text += " of " + size(m.Quota)
		}
		out = append(out, text)
	}
	return strings.Join(append(out, r.certText()...), ", ")
}

func (r Report) proxyFigures() string {
	out := []string{"proxy on " + r.Listen}
	if len(r.Upstream) > 0 {
		out = append(out, fmt.Sprintf("%d/%d members reachable", r.Reachable, len(r.Upstream)))
	}
	out = append(out, r.versionText()...)
	return strings.Join(append(out, r.certText()...), ", ")
}

// survival says which failure the cluster survives; it speaks only of a cluster with voters.
func (r Report) survival() string {
	switch {
	case r.Margin < 0 && r.Reachable >= r.Quorum:
		return "no quorum yet, though enough voters answer"
	case r.Margin < 0:
		return fmt.Sprintf("no quorum, %d more needed", r.Quorum-r.Reachable)
	case r.Ready < r.Voters && r.Margin == 0:
		return "survives no more failure"
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

// fullest is the member that will be full first: the one to look at.
func (r Report) fullest() (MemberReport, bool) {
	var out MemberReport
	found := false
	for _, m := range r.Members {
		if m.Answers && (!found || m.Use() > out.Use() || (m.Use() == out.Use() && m.DBSize > out.DBSize)) {
			out, found = m, true
		}
	}
	return out, found
}

// StatusOf is the status line that the report suggests: the worst level that a reason calls for, and Summary.
func StatusOf(r Report) Status {
	level := Active
	for _, reason := range r.Reasons {
		switch {
		case reason.Level == Blocked:
			level = Blocked
		case reason.Level == Waiting && level == Active:
			level = Waiting
		}
	}
	return Status{level, Summary(r)}
}
