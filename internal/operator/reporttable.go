package operator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

const (
	// tableWidth is the number of columns that a report keeps within: a terminal has 80, and Juju
	// indents the results of actions.
	tableWidth = 78
	labelWidth = 14 // of a unit or member in a table
)

// Table is the report for people: lines of at most tableWidth characters, ending in a newline.
func (r Report) Table() string {
	var b strings.Builder
	for _, line := range r.head() {
		b.WriteString(wrap(line.name, line.text))
	}
	if r.Role == RoleProxy {
		b.WriteString(r.memberTable())
	} else {
		b.WriteString(grid(r.memberRows()) + grid(r.dataRows()))
	}
	if problems := r.problems(); len(problems) > 0 {
		b.WriteString("\nproblems\n")
		for _, p := range problems {
			b.WriteString(wrap(p.name, p.text))
		}
	}
	return b.String()
}

// memberTable is a table of the members with their identities and addresses, or of those that a
// proxy may use; "" if there are none.
func (r Report) memberTable() string {
	if r.Role == RoleProxy {
		return grid(r.upstreamRows()) + grid(r.upstreamAddressRows())
	}
	return grid(r.memberRows()) + grid(r.addressRows())
}

// named is a named line above or below the tables.
type named struct{ name, text string }

func (r Report) head() []named {
	out := []named{{"health", string(r.Health)}}
	for _, reason := range r.healthReasons() {
		out = append(out, named{"because", reason.with(r.remedyFor(reason))})
	}
	if r.Role == RoleProxy {
		out = append(out,
			named{"seen by", r.Unit},
			named{"listens", r.listenText()},
			named{"reaches", fmt.Sprintf("%d of %d members", r.Reachable, len(r.Upstream))})
	} else {
		if r.Voters > 0 {
			out = append(out, named{"seen by", r.Unit})
			out = append(out, named{"margin", fmt.Sprintf("%d: %s; %d of %d voters ready, quorum %d",
				r.Margin, r.survival(), r.Ready, r.Voters, r.Quorum)})
			out = append(out, named{"leader", r.leaderText()})
		}
		if r.ClusterID != 0 {
			out = append(out, named{"cluster", hexID(r.ClusterID)})
		}
	}
	out = append(out, r.buildLines()...)
	if r.Memory > 0 {
		out = append(out, named{"memory", size(r.Memory) + " here"})
	}
	if text := r.snapshotLine(); text != "" {
		out = append(out, named{"snapshot", text})
	}
	if text := r.disk.line(); text != "" {
		out = append(out, named{"disk", text})
	}
	out = append(out, named{"states", dash(strings.Join(r.States, ", "))})
	for _, reason := range r.notes() {
		out = append(out, named{"note", reason.String()})
	}
	return out
}

// listenText says where the proxy listens, and for which users.
func (r Report) listenText() string {
	at := slices.Clone(r.Listen)
	if r.Socket != (Socket{}) {
		at = append(at, r.Socket.Path+" (group "+r.Socket.Group+")")
	}
	return dash(strings.Join(at, ", "))
}

// leaderText says who leads and in which term.
func (r Report) leaderText() string {
	text := dash(r.Leader)
	switch {
	case len(r.Leaders) > 1:
		text = "not agreed"
	case r.Leader == "":
		text = "none"
	}
	switch {
	case r.TermMax == 0:
		return text
	case r.TermMin != r.TermMax:
		return fmt.Sprintf("%s, terms %d to %d", text, r.TermMin, r.TermMax)
	}
	return fmt.Sprintf("%s, term %d", text, r.TermMax)
}

// memberRows are how the members fare.
func (r Report) memberRows() [][]string {
	rows := [][]string{{"UNIT", "ROLE", "READY", "VERSION", "FULL", "LAG", "RTT", "CERT"}}
	for _, m := range r.Members {
		row := []string{tail(m.Label), m.Role}
		if !m.Answers {
			rows = append(rows, append(row, "silent"))
			continue
		}
		rows = append(rows, append(row,
			yesNo(m.Ready), dash(clip(singleLine(m.Version), 12)), percent(m.Use()),
			number(m.Lag), roundTrip(m.RTT), lifetime(m.CertRemaining)))
	}
	return rows
}

// dataRows are what the members hold.
func (r Report) dataRows() [][]string {
	rows := [][]string{{"UNIT", "DB", "IN USE", "QUOTA", "TERM", "INDEX", "APPLIED"}}
	for _, m := range r.Members {
		if m.Answers {
			rows = append(rows, []string{
				tail(m.Label), size(m.DBSize), size(m.DBInUse), quotaText(m.Quota),
				number(m.Term), number(m.Index), number(m.Applied),
			})
		}
	}
	return rows
}

// addressRows are the members' identities and addresses.
func (r Report) addressRows() [][]string {
	rows := [][]string{{"UNIT", "HAS", ""}}
	for _, m := range r.Members {
		row := []string{tail(m.Label), "id", hexID(m.ID)}
		add := func(what, text string) {
			if text != "" {
				rows, row = append(rows, row), []string{"", what, text}
			}
		}
		add("name", singleLine(m.Name))
		add("format", singleLine(m.StorageVersion))
		for _, url := range m.PeerURLs {
			add("peer", singleLine(url))
		}
		for _, url := range m.ClientURLs {
			add("client", singleLine(url))
		}
		rows = append(rows, row)
	}
	return rows
}

// upstreamRows are how the members fare that a proxy may use.
func (r Report) upstreamRows() [][]string {
	rows := [][]string{{"MEMBER", "ANSWERS", "VERSION", "RTT", "CERT"}}
	for _, p := range r.Upstream {
		row := []string{tail(probeLabel(p)), yesNo(p.Answers), "-", "-", "-"}
		if p.Answers {
			row[2], row[3], row[4] =
				dash(clip(singleLine(p.Version), 12)), roundTrip(p.RTT), lifetime(p.CertRemaining)
		}
		rows = append(rows, row)
	}
	return rows
}

// upstreamAddressRows are the addresses of the members that a proxy may use.
func (r Report) upstreamAddressRows() [][]string {
	rows := [][]string{{"MEMBER", "AT"}}
	for _, p := range r.Upstream {
		at := singleLine(p.ClientURL)
		if at == "" {
			at = singleLine(p.PeerURL)
		}
		rows = append(rows, []string{tail(probeLabel(p)), dash(at)})
	}
	return rows
}

// problems are what is wrong with single members, in full.
func (r Report) problems() []named {
	var out []named
	for _, m := range r.Members {
		for _, a := range m.Alarms {
			out = append(out, named{m.Label, "alarm " + a})
		}
		for _, e := range m.Errors {
			out = append(out, named{m.Label, singleLine(e)})
		}
	}
	for _, label := range r.MembersWithoutUnit {
		out = append(out, named{label, "member without a unit"})
	}
	for _, name := range r.UnitsWithoutMember {
		out = append(out, named{name, "unit without a member"})
	}
	for _, p := range r.Upstream {
		if p.Error != "" {
			out = append(out, named{probeLabel(p), singleLine(p.Error)})
		}
	}
	return out
}

// grid aligns rows in columns, under their heading and after an empty line. It is empty if the
// heading is the only row.
func grid(rows [][]string) string {
	if len(rows) < 2 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		// A short row would end its columns there, because tabwriter aligns only cells in adjacent
		// lines.
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")+strings.Repeat("\t", len(rows[0])-len(row)))
	}
	_ = w.Flush() // writes to a strings.Builder never fail
	var out strings.Builder
	out.WriteByte('\n')
	for row := range strings.Lines(b.String()) {
		out.WriteString(clip(strings.TrimRight(row, " \n"), tableWidth) + "\n")
	}
	return out.String()
}

// wrap is a named text in lines of at most tableWidth; all but the first are indented.
func wrap(name, text string) string {
	const indent = 8
	return fold(fmt.Sprintf("%-*s", indent, tail(name)), text, indent)
}

// moment is a time, given in Unix seconds.
func moment(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// fold is a text in lines of at most tableWidth: start precedes the first, and the others are
// indented.
func fold(start, text string, indent int) string {
	var b strings.Builder
	b.WriteString(start)
	width := len([]rune(start))
	for _, word := range strings.Fields(text) {
		word = clip(word, tableWidth-indent-1)
		length := len([]rune(word))
		if width > 0 && width+1+length > tableWidth {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			width = indent
		}
		if width > 0 {
			b.WriteString(" ")
			width++
		}
		b.WriteString(word)
		width += length
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

// clip cuts a text to a number of characters and shows that it did.
func clip(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	return string(runes[:width-1]) + "…"
}

// tail is a label cut to the width of its column: the end stays, because units of one application
// differ there.
func tail(label string) string {
	runes := []rune(label)
	if len(runes) <= labelWidth {
		return label
	}
	return "…" + string(runes[len(runes)-labelWidth+1:])
}

// dash is the text, or a dash if it is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// size is a number of bytes in binary units, "2 GiB" rather than "2.0 GiB".
func size(bytes int64) string {
	return strings.Replace(humanize.IBytes(uint64(max(bytes, 0))), ".0 ", " ", 1)
}

func quotaText(bytes int64) string {
	if bytes <= 0 {
		return "-"
	}
	return size(bytes)
}

func percent(n int) string {
	if n < 0 {
		return "-"
	}
	return strconv.Itoa(n) + "%"
}

func roundTrip(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// lifetime is how long a certificate lasts: whole days, the last two in hours; 0 is unknown.
func lifetime(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 0:
		return "expired"
	case d < 2*day:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/day)) + "d"
}
