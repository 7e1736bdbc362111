package pages_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// masks is all that may differ between two runs of a page: each match is compared as the
// text beside it.
var masks = []struct {
	what string
	seen *regexp.Regexp
	as   string
}{
	{"times", regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?`), "TIME"},
	{"times in names", regexp.MustCompile(`\b\d{8}T\d{6}Z(-\d+)?\b`), "TIME"},
	{"times of day", regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "TIME"},
	{"durations", regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|ns|s|m|h)\b`), "SPAN"},
	{"days", regexp.MustCompile(`\b\d+d\b`), "DAYS"},
	{"space of the machine", regexp.MustCompile(`\b\d+(\.\d+)? [KMGT]?i?B (of|are)\b`), "SIZE $2"},
	{"sizes", regexp.MustCompile(`\b\d+(\.\d+)? (B|KiB|MiB|kB|MB|bytes)\b`), "SIZE"},
	{"sizes when packed", regexp.MustCompile(`\bstored in \d+\b`), "stored in SIZE"},
	{"IDs", regexp.MustCompile(`\b(id-)?[0-9a-f]{12,16}\b`), "ID"},
	{"names of operations", regexp.MustCompile(`\b(restart|restore|recover|snapshot|verify|drill)-[0-9a-f]{6,}\b`), "OPERATION"},
	{"addresses of machines", regexp.MustCompile(`\b127\.\d+\.\d+\.\d+\b`), "ADDRESS"},
	{"terms and who leads", regexp.MustCompile(`(etcd/\d+|none), term \d+`), "LEADER"},
	{"roles", regexp.MustCompile(`\b(leader|voter)( |$)`), "ROLE$2"},
	{"terms and indexes in a table", regexp.MustCompile(`(GiB +)\d+ +\d+ +\d+\s*$`), "${1}N"},
	{"terms and indexes of logs", regexp.MustCompile(`\b(term|index) \d+`), "$1 N"},
	{"terms and indexes of logs in a table", regexp.MustCompile(`( +)\d+ +\d+( +\d+ +(intact|torn) )`), "${1}N  N$2"},
	{"large numbers, sizes in bytes too", regexp.MustCompile(`\b\d{5,}\b`), "N"},
	{"what the disk is like", regexp.MustCompile(`^(\s+disk {2,}).*$`), "${1}DISK"},
	{"widths", regexp.MustCompile(` {2,}`), "  "},
	{"rules of tables", regexp.MustCompile(`[─-]{4,}`), "----"},
	{"times in names of data", regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d{6}Z`), "TIME"},
}

// ofTheDisk are notes about the disk that the test runs on, which may be any.
var ofTheDisk = regexp.MustCompile(`(?m)^  note     (data is [io]n |a power cut |disk too slow|slow disk|the disk is rotational|little space|only \d+ more files).*\n( {11}.*\n)*`)

// masked is a line with what may differ replaced.
func masked(line string) string {
	for _, m := range masks {
		line = m.seen.ReplaceAllString(line, m.as)
	}
	return strings.TrimRight(line, " ")
}

// agree reports whether the output is what a page shows, which may leave lines out.
func agree(shown, printed []string) bool {
	at := slices.Index(shown, cut)
	if at < 0 {
		return slices.EqualFunc(shown, printed, sameLine)
	}
	if len(printed) < at || !slices.EqualFunc(shown[:at], printed[:at], sameLine) {
		return false
	}
	for skip := at; skip <= len(printed); skip++ {
		if agree(shown[at+1:], printed[skip:]) {
			return true
		}
	}
	return false
}

func sameLine(a, b string) bool { return masked(a) == masked(b) }

// rewritten is what a page should show of the output: all of it, or as many lines as the page has
// before its first cut. A report that is cut keeps its text for people, and loses the keys for
// programs.
func rewritten(shown, printed []string) []string {
	at := slices.Index(shown, cut)
	if at < 0 {
		return printed
	}
	if len(printed) > 0 && printed[0] == "about: |" {
		end := 1 + slices.IndexFunc(printed[1:], func(line string) bool { return line != "" && line[0] != ' ' })
		if end > 0 {
			return append(slices.Clone(printed[:end]), cut)
		}
	}
	if at == 0 {
		return printed
	}
	return append(slices.Clone(printed[:min(at, len(printed))]), cut)
}

func TestAgree(t *testing.T) {
	t.Parallel()
	lines := func(text string) []string { return strings.Split(text, "\n") }
	tests := map[string]struct {
		shown, printed string
		want           bool
	}{
		"the same":                {"a\nb", "a\nb", true},
		"another word":            {"3/3 voters", "2/3 voters", false},
		"another address":         {"etcd/0  127.0.7.1  up", "etcd/0  127.0.196.1   up", true},
		"another unit":            {"etcd/0  up", "etcd/1  up", false},
		"another time":            {"2026-11-27T05:50:00Z", "2027-01-01T00:00:00Z", true},
		"a line more":             {"a", "a\nb", false},
		"a line fewer":            {"a\nb", "a", false},
		"cut at the end":          {"a\n…", "a\nb\nc", true},
		"cut in the middle":       {"a\n…\nc", "a\nb\nc", true},
		"cut where nothing is":    {"a\n…", "a", true},
		"what follows a cut":      {"a\n…\nd", "a\nb\nc", false},
		"two cuts":                {"a\n…\nc\n…", "a\nb\nc\nd", true},
		"a state is not masked":   {"etcd/0  voter  yes", "etcd/0  voter  no", false},
		"who leads may differ":    {"etcd/0  leader  yes", "etcd/0  voter   yes", true},
		"a small number is meant": {"margin   1", "margin   0", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, agree(lines(test.shown), lines(test.printed)))
		})
	}
}
