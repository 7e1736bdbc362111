package diagnosis

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

//go:embed summary.html.tmpl
var page string

// Facts are what the page shows.
type Facts struct {
	Made         time.Time
	Unit         string
	Report       []byte // of the unit's health, as action health format=json has it
	Hooks        []Hook // the oldest first
	Certificates []Certificate
	Files        []string
}

// Certificate is one certificate on the unit's disk.
type Certificate struct {
	File      string    `json:"file"`
	Subject   string    `json:"subject,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"not-before,omitzero"`
	NotAfter  time.Time `json:"not-after,omitzero"`
	SANs      []string  `json:"sans,omitempty"`
	Problem   string    `json:"problem,omitempty"`
}

// report is what the page shows of the health report.
type report struct {
	Role, Health, Summary string
	Reasons               []reason
	Members               []member
	Cluster               *struct {
		ID, Leader             string
		Voters, Quorum, Margin int
		Ready                  int `json:"voters-ready"`
	}
	Disk *struct {
		FileSystem string  `json:"file-system"`
		Free       int64   `json:"free"`
		P99        float64 `json:"p99-seconds"`
	}
}

type reason struct{ Kind, Health, Text, Remedy string }

type member struct {
	Unit, Name, ID, Role, Version string
	Answers, Ready                bool
	DBSize                        int64 `json:"db-size"`
	DBInUse                       int64 `json:"db-in-use"`
	Quota, Revision               int64
	Lag                           uint64
	Alarms, Errors                []string
	Certificate                   *int64 `json:"certificate-seconds"`
}

// Label is the first name that the member has.
func (m member) Label() string { return cmp.Or(m.Unit, m.Name, m.ID, "?") }

const (
	maxShown = 200 // hooks; the archive has more
	maxOpen  = 3   // hooks with steps that are shown unfolded, beside those in which something failed
)

// healthy is the verdict of reasons that are only worth knowing.
const healthy = "healthy"

// Summary writes a page that loads nothing from outside. Everything in it is escaped.
func Summary(w io.Writer, f Facts) error {
	var r report
	if err := json.Unmarshal(f.Report, &r); err != nil {
		return fmt.Errorf("cannot read the report: %w", err)
	}
	if n := len(f.Hooks); n > maxShown {
		f.Hooks = f.Hooks[n-maxShown:]
	}
	days := func(seconds int64) string { return fmt.Sprintf("%d d", seconds/(24*60*60)) }
	t, err := template.New("summary").Funcs(template.FuncMap{
		"size":   func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
		"share":  share,
		"margin": margin,
		"date":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"at":     func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") },
		"took":   func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() },
		"ms":     func(s float64) string { return fmt.Sprintf("%.2f ms", s*1000) },
		"days":   func(seconds *int64) string { return days(*seconds) },
		"left": func(end time.Time) string {
			if left := end.Sub(f.Made); left > 0 {
				return days(int64(left / time.Second))
			}
			return "over"
		},
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("cannot read the page: %w", err)
	}
	show := struct {
		Facts
		Report       report
		Wrong, Notes []reason
		Hooks        []entry
		Marks        []mark
		Axis         []int64
	}{Facts: f, Report: r, Hooks: entries(f.Hooks)}
	for _, one := range r.Reasons {
		if one.Health == healthy {
			show.Notes = append(show.Notes, one)
		} else {
			show.Wrong = append(show.Wrong, one)
		}
	}
	show.Marks, show.Axis = marks(f.Hooks)
	if err := t.Execute(w, show); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}

// share is how much of a whole something is, in percent, at least 1 to be seen.
func share(part, whole int64) int {
	return int(min(max(float64(part)/float64(whole)*100, 1), 100))
}

// margin says in words how many more members may fail.
func margin(n int) string {
	switch {
	case n < 0:
		return fmt.Sprintf("no writes, %d more needed", -n)
	case n == 0:
		return "no more may fail"
	}
	return fmt.Sprintf("%d more may fail", n)
}

// entry is a hook in the page's list.
type entry struct {
	Hook
	Failed, Open bool
	Said         string // the status that it left, or what failed first
}

// statusOf finds the status in the last line of a hook.
var statusOf = regexp.MustCompile(`^settled .*\bstatus=("(?:[^"\\]|\\.)*"|\S+)`)

// entries are the hooks in the order in which the page lists them, the newest first.
func entries(hooks []Hook) []entry {
	var out []entry
	open := 0
	for _, h := range slices.Backward(hooks) {
		e := entry{Hook: h}
		if e.Open = len(h.Lines) > 1 && open < maxOpen; e.Open {
			open++
		}
		for _, l := range h.Lines {
			switch found := statusOf.FindStringSubmatch(l.Text); {
			case l.failed() && !e.Failed:
				e.Failed, e.Open, e.Said = true, true, l.Text
			case found != nil && !e.Failed:
				if text, err := strconv.Unquote(found[1]); err == nil {
					found[1] = text
				}
				e.Said = found[1]
			}
		}
		out = append(out, e)
	}
	return out
}

func (l Line) failed() bool { return l.Level != slog.LevelInfo.String() }

// mark is one hook or one step on the time line.
type mark struct {
	X, Y, Wide, Tall int
	Kind, Title      string
}

// How the time line is drawn.
const (
	width = 998 // of 1000: the last mark has room too
	ticks = 3
)

// marks place the hooks and their lines on a time line from the first to the last. axis are the
// times below it, in Unix milliseconds.
func marks(hooks []Hook) (out []mark, axis []int64) {
	if len(hooks) == 0 {
		return nil, nil
	}
	first, last := hooks[0].Began, hooks[0].Began
	for _, h := range hooks {
		first, last = min(first, h.Began), max(last, h.Began+h.Took)
	}
	span := max(last-first, 1)
	at := func(ms int64) int { return int(float64(ms-first) / float64(span) * width) }
	for _, h := range hooks {
		hook := mark{
			X: at(h.Began), Y: 2, Wide: max(at(first+h.Took), 2), Tall: 22, Kind: "info",
			Title: time.UnixMilli(h.Began).UTC().Format("15:04:05") + " " + h.Name,
		}
		for _, l := range h.Lines {
			step := mark{X: at(h.Began + l.After), Y: 28, Wide: 1, Tall: 10, Kind: "step", Title: l.Text}
			if l.failed() {
				hook.Kind, step.Kind = "failed", "failed"
			}
			out = append(out, step)
		}
		out = append(out, hook)
	}
	for n := range int64(ticks) {
		axis = append(axis, first+span*n/(ticks-1))
	}
	return out, axis
}
