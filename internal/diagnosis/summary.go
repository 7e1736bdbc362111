package diagnosis

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
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
	Reasons               []struct{ Kind, Health, Text, Remedy string }
	Members               []member
	Cluster               *struct {
		ID, Leader             string
		Voters, Quorum, Margin int
	}
	Disk *struct {
		FileSystem string  `json:"file-system"`
		Free       int64   `json:"free"`
		P99        float64 `json:"p99-seconds"`
	}
}

type member struct {
	Unit, Name, ID, Role, Version string
	Answers, Ready                bool
	DBSize                        int64 `json:"db-size"`
	DBInUse                       int64 `json:"db-in-use"`
	Quota, Revision               int64
	Lag                           uint64
	Alarms                        []string
}

// maxShown bounds the hooks that the page shows; the archive has more.
const maxShown = 200

// Summary writes a page that loads nothing from outside. Everything in it is escaped.
func Summary(w io.Writer, f Facts) error {
	var r report
	if err := json.Unmarshal(f.Report, &r); err != nil {
		return fmt.Errorf("cannot read the report: %w", err)
	}
	if n := len(f.Hooks); n > maxShown {
		f.Hooks = f.Hooks[n-maxShown:]
	}
	t, err := template.New("summary").Funcs(template.FuncMap{
		"size": func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
		"date": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"at":   func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") },
		"took": func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() },
		"ms":   func(s float64) string { return fmt.Sprintf("%.2f ms", s*1000) },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("cannot read the page: %w", err)
	}
	if err := t.Execute(w, struct {
		Facts
		Report report
		Bars   []bar
		Tall   int
		Marks  []mark
	}{f, r, bars(r.Members), barHeight * len(r.Members), marks(f.Hooks)}); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}

// Sizes in the drawings.
const (
	width     = 600
	barHeight = 22
)

// bar is one member's database in a drawing.
type bar struct {
	Label            string
	Y                int
	Size, Used, Full int // widths
	Text             string
}

// bars draw the sizes of the members' databases, relative to the largest quota or size.
func bars(members []member) []bar {
	var most int64 = 1
	for _, m := range members {
		most = max(most, m.Quota, m.DBSize)
	}
	var out []bar
	for i, m := range members {
		if !m.Answers || m.Quota == 0 {
			continue
		}
		wide := func(n int64) int { return int(float64(n) / float64(most) * width) }
		out = append(out, bar{
			Label: clip(m.label(), 14), Y: i * barHeight, Size: max(wide(m.DBSize), 1), Used: max(wide(m.DBInUse), 1), Full: wide(m.Quota),
			Text: humanize.IBytes(uint64(max(m.DBSize, 0))) + " of " + humanize.IBytes(uint64(m.Quota)), //nolint:gosec // no negative quota
		})
	}
	return out
}

func (m member) label() string {
	for _, name := range []string{m.Unit, m.Name, m.ID} {
		if name != "" {
			return name
		}
	}
	return "?"
}

// mark is one hook on the time line.
type mark struct {
	X, Wide int
	Kind    string // the worst level in it
	Title   string
}

// marks place the hooks on a line from the first to the last.
func marks(hooks []Hook) []mark {
	if len(hooks) == 0 {
		return nil
	}
	first, last := hooks[0].Began, hooks[0].Began
	for _, h := range hooks {
		first, last = min(first, h.Began), max(last, h.Began+h.Took)
	}
	span := max(float64(last-first), 1)
	var out []mark
	for _, h := range hooks {
		kind := "info"
		for _, l := range h.Lines {
			if l.Level != "INFO" {
				kind = "warn"
			}
		}
		out = append(out, mark{
			X: int(float64(h.Began-first) / span * width), Wide: max(int(float64(h.Took)/span*width), 2), Kind: kind,
			Title: time.UnixMilli(h.Began).UTC().Format("15:04:05") + " " + h.Name,
		})
	}
	return out
}
