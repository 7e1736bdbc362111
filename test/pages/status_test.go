package pages_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	aReason = regexp.MustCompile("^\\| <a id=\"[^\"]+\"></a>`([^`]+)` \\| (\\S+) \\| \\S+ \\| (.*) \\| (.*) \\|$")
	// aStatus is a status line in a block that is not run, of a unit or without one.
	aStatus  = regexp.MustCompile(`^ {4,}(?:etcd(?:-proxy)?/\d+\*? +)?(active|waiting|blocked) {2,}(?:idle +)?(\S.*)$`)
	stands   = regexp.MustCompile(`\\\*[^*]+\\\*`)
	hasWords = regexp.MustCompile(`[a-zA-Z]{2}`)
	wellLine = regexp.MustCompile(`^(\d+/\d+ voters, |proxy on )[^;]*$`)
)

// TestStatusLines: each status line that a page shows and no test prints is one that the reasons
// can make: what is wrong, then what to do or where that stands.
func TestStatusLines(t *testing.T) {
	t.Parallel()
	lines := map[string][]*regexp.Regexp{}
	template := func(text string) string {
		return stands.ReplaceAllString(regexp.QuoteMeta(html.UnescapeString(text)), ".+?")
	}
	for _, row := range pageOf(t, "docs/reference/reasons.md").lines {
		// Of a reason that is nothing but what it is about every text would be one.
		if found := aReason.FindStringSubmatch(row); found != nil && hasWords.MatchString(strings.ReplaceAll(template(found[3]), ".+?", "")) {
			remedy := ""
			if found[4] != "–" {
				remedy = `; (?:` + template(found[4]) + `|see [\w/-]+)`
			}
			lines[found[2]] = append(lines[found[2]], regexp.MustCompile(`^(?:\d+/\d+ voters, [^;]+; )?(?:etcd/\d+: )?`+
				template(found[3])+remedy+`(?:; .*)?$`))
		}
	}
	for _, status := range []string{"active", "waiting", "blocked"} {
		require.NotEmpty(t, lines[status], "reasons are not found any more")
	}
	seen := 0
	for _, p := range allPages(t) {
		for i, line := range p.lines {
			found := aStatus.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			seen++
			is := found[1] == "active" && wellLine.MatchString(found[2])
			for _, reason := range lines[found[1]] {
				is = is || reason.MatchString(found[2])
			}
			assert.True(t, is, "%s:%d: no reason says so: %s", p.name, i+1, found[2])
		}
	}
	assert.Greater(t, seen, 30)
}
