package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// book holds the samples of every figure that is asked for.
type book struct {
	only    []string // prefixes of names; none or an empty one is all
	entries []*entry
}

type entry struct {
	name, unit string
	samples    []float64
}

// figure is an entry of dist/bench.json.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"` // the median
	Unit  string  `json:"unit"`
	Runs  int     `json:"runs"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
}

// wants reports whether a figure whose name begins with one of prefixes is asked for.
func (b *book) wants(prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		return slices.ContainsFunc(b.only, func(o string) bool {
			return strings.HasPrefix(p, o) || strings.HasPrefix(o, p)
		})
	})
}

// add takes samples of a figure, if it is asked for.
func (b *book) add(name, unit string, samples ...float64) {
	if !slices.ContainsFunc(b.only, func(o string) bool { return strings.HasPrefix(name, o) }) {
		return
	}
	i := slices.IndexFunc(b.entries, func(e *entry) bool { return e.name == name })
	if i < 0 {
		i = len(b.entries)
		b.entries = append(b.entries, &entry{name: name, unit: unit})
	}
	b.entries[i].samples = append(b.entries[i].samples, samples...)
}

func (b *book) figures() []figure {
	figures := []figure{} // not null in JSON
	for _, e := range b.entries {
		figures = append(figures, figure{
			e.name, rounded(median(e.samples)), e.unit, len(e.samples),
			rounded(slices.Min(e.samples)), rounded(slices.Max(e.samples)),
		})
	}
	return figures
}

// median is the middle one, or the mean of the two in the middle.
func median(samples []float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// rounded keeps what a reader can use: four digits of small values, whole numbers of large ones.
func rounded(v float64) float64 {
	var short float64
	format := "%.0f"
	if v < 1000 {
		format = "%.4g"
	}
	if _, err := fmt.Sscan(fmt.Sprintf(format, v), &short); err != nil {
		return v
	}
	return short
}

// write writes the figures. If these are only some of them, it keeps the others in the file.
func (b *book) write(file string, some bool) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("cannot write figures: %w", err)
	}
	figures := b.figures()
	if text, err := os.ReadFile(file); err == nil && some {
		var had []figure
		if err := json.Unmarshal(text, &had); err != nil {
			return fmt.Errorf("cannot read figures: %w", err)
		}
		had = slices.DeleteFunc(had, func(h figure) bool {
			return slices.ContainsFunc(figures, func(f figure) bool { return f.Name == h.Name })
		})
		figures = append(had, figures...)
	}
	return writeJSON(file, figures)
}

// writeJSON replaces a file.
func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}

// print writes the figures as a table, which is Markdown too.
func (b *book) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| figure\t| value\t| unit\t| runs\t| min\t| max\t| target\t| met\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, f := range b.figures() {
		goal, met := f.target()
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %d\t| %s\t| %s\t| %s\t| %s\t|\n",
			f.Name, decimal(f.Value), f.Unit, f.Runs, decimal(f.Min), decimal(f.Max), goal, met)
	}
	_ = w.Flush() // standard output
}

// target is what figures whose names match the pattern should be: at most so much in the median and
// the worst run, or at least so much in the median.
type target struct {
	pattern string
	most    float64
	worst   float64 // zero is no bound
	least   float64
}

var targets = []target{
	{pattern: "charm.bytes", most: 15e6},
	{pattern: "hook.update-status.tool-calls", most: 15},
	{pattern: "hook.update-status.cpu-ratio", most: 1.2},
	{pattern: "form.3.seconds-less-5-ratio-to-bare", most: 3},
	{pattern: "roll.3.seconds", most: 15},
	{pattern: "roll.3-watched.seconds", most: 40},
	{pattern: "kill-leader.gap-ms", most: 2100, worst: 3200},
	{pattern: "roll.gap-ms", most: 150, worst: 500},
	{pattern: "refresh.gap-ms", most: 150, worst: 500},
	{pattern: "scale.gap-ms", most: 150, worst: 500},
	{pattern: "proxy.*.half.throughput-ratio", least: 0.98},
	{pattern: "proxy.*.half.p50-ratio", most: 1.15},
	{pattern: "proxy.*.*.throughput-ratio", least: 0.85},
	{pattern: "proxy.*.*.ratio-to-grpc-proxy", least: 1},
	{pattern: "proxy.failover-ms", most: 1200},
	{pattern: "consumers.1000.ratio", most: 1.1},
	{pattern: "snapshot.throughput-ratio", least: 0.8},
	{pattern: "snapshot.anon-mib", most: 64},
	{pattern: "snapshot.gap-ratio", most: 2},
	{pattern: "restore.ratio-to-etcdutl", most: 1.5},
}

// target returns the figure's target in words and whether it is met; both are empty if it has none.
func (f figure) target() (goal, met string) {
	if strings.HasPrefix(f.Name, "bare.") {
		return "", ""
	}
	if strings.HasSuffix(f.Name, ".failed-writes") || strings.HasSuffix(f.Name, ".lost-writes") {
		return "0", yes(f.Max == 0)
	}
	i := slices.IndexFunc(targets, func(t target) bool {
		ok, err := path.Match(t.pattern, f.Name)
		return ok && err == nil
	})
	if i < 0 {
		return "", ""
	}
	switch t := targets[i]; {
	case t.least > 0:
		return "≥ " + decimal(t.least), yes(f.Value >= t.least)
	case t.worst > 0:
		return fmt.Sprintf("≤ %s, worst ≤ %s", decimal(t.most), decimal(t.worst)),
			yes(f.Value <= t.most && f.Max <= t.worst)
	default:
		return "≤ " + decimal(t.most), yes(f.Value <= t.most)
	}
}

// decimal writes a number without an exponent.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
