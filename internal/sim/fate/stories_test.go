package fate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var rewriteStories = flag.Bool("rewrite", false, "write testdata/stories instead of comparing with it")

// stories are the scenarios whose course is kept as prose, so that a change of Decide can be
// reviewed as a change of prose. strike happens when a hook first reaches that yield; the zero
// value is none.
var stories = []struct {
	scenario string
	strike   string
	at       string
}{
	{scenario: "found"},
	{scenario: "join the second"},
	{scenario: "join two at once"},
	{scenario: "remove the leader of three"},
	{scenario: "remove one of two"},
	{scenario: "remove all at once, then begin again"},
	{scenario: "remove by force"},
	{scenario: "replace"},
	{scenario: "roll tunables"},
	{scenario: "roll the peer port"},
	{scenario: "roll two"},
	{scenario: "refresh"},
	{scenario: "renew leaves"},
	{scenario: "publish"},
	{scenario: "end a consumer"},
	{scenario: "data lost"},
	{scenario: "disk taken back"},
	{scenario: "a copy of another's disk, and its own again"},
	{scenario: "another address"},
	{scenario: "full, and the quota is raised"},
	{scenario: "full, and one leaves"},
	{scenario: "full of history"},
	{scenario: "join the second", strike: "the hook dies", at: "after add ourselves as learner"},
	{scenario: "roll tunables", strike: "another machine is off for a while", at: "before restart service"},
	{scenario: "found", strike: "the machine dies and returns", at: "after start service"},
}

// TestStories compares the course of each story with testdata/stories: go test -run TestStories
// -rewrite writes them.
func TestStories(t *testing.T) {
	t.Parallel()
	kept := map[string]bool{}
	for _, story := range stories {
		name := story.scenario
		if story.strike != "" {
			name += ", " + story.strike
		}
		file := filepath.Join("testdata", "stories", strings.Trim(notWord.ReplaceAllString(name, "-"), "-")+".txt")
		kept[file] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := "# " + name + "\n\n" + tellStory(t, story.scenario, story.strike, story.at)
			if *rewriteStories {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
				return
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "the story took another course: review it, then go test -run TestStories -rewrite")
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", "stories", "*.txt"))
	require.NoError(t, err)
	for _, file := range files {
		assert.True(t, kept[file], "%s is no story's any more", file)
	}
}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// tellStory plays a scenario and returns its course, hook by hook.
func tellStory(t *testing.T, scenario, strikeName, yield string) string {
	t.Helper()
	for _, sc := range scenarios {
		if sc.name != scenario {
			continue
		}
		begun := beginning(t, Options{}, sc.units)
		defer begun.Close()
		var hit strike
		for _, s := range append(append([]strike{}, crashes...), faults...) {
			if s.name == strikeName {
				hit = s
			}
		}
		require.Equal(t, strikeName, hit.name, "no such strike")
		for at := 0; ; at++ {
			teller := storyTeller{began: begun.now}
			begun.Trace = teller.hear
			points, problem := live(begun, sc.do, at, hit.do)
			require.Empty(t, problem)
			if told := teller.end(); strings.Contains(told, "stands at \""+yield) || strikeName == "" {
				return told
			}
			require.LessOrEqual(t, at, points, "no hook stands at %q", yield)
		}
	}
	require.Fail(t, "no such scenario", scenario)
	return ""
}

// storyTeller makes a story of a trace: one paragraph for each hook, without the hooks that did and
// reported nothing new.
type storyTeller struct {
	began  int64
	text   strings.Builder
	lines  []string // of the current hook
	unit   string   // the unit of the current hook
	said   map[string]string
	silent int
}

var traceLine = regexp.MustCompile(`^ *(\d+) (?:(etcd/\d+): )?(.*)$`)

// hear takes one line of a trace.
func (s *storyTeller) hear(line string) {
	found := traceLine.FindStringSubmatch(line)
	if found == nil {
		s.lines = append(s.lines, line)
		return
	}
	var now int64
	_, _ = fmt.Sscan(found[1], &now)
	unit, what := found[2], found[3]
	if unit == "" || unit != s.unit || strings.HasPrefix(what, hookMark) {
		s.close()
	}
	if s.unit = unit; unit == "" {
		fmt.Fprintf(&s.text, "%4d  %s\n", now-(s.began-1_000_000), what)
		return
	}
	if hook, ok := strings.CutPrefix(what, hookMark); ok {
		what = hook
	}
	if len(s.lines) == 0 {
		what = fmt.Sprintf("%4d  %s %s", now-(s.began-1_000_000), unit, what)
	}
	s.lines = append(s.lines, what)
}

// close ends the current paragraph. A hook that took no step and repeats what the unit said before
// is only counted.
func (s *storyTeller) close() {
	if len(s.lines) == 0 {
		return
	}
	status, hasStatus := "", false
	if last, ok := strings.CutPrefix(s.lines[len(s.lines)-1], doneMark); ok {
		status, hasStatus = last, true
	}
	if s.said == nil {
		s.said = map[string]string{}
	}
	if hasStatus && len(s.lines) == 2 && s.said[s.unit] == status {
		s.silent++
		s.lines = nil
		return
	}
	s.quiet()
	for i, line := range s.lines {
		switch {
		case i == 0:
			s.text.WriteString(line + "\n")
		case hasStatus && i == len(s.lines)-1:
			s.text.WriteString("        = " + status + "\n")
		default:
			s.text.WriteString("        " + line + "\n")
		}
	}
	if hasStatus {
		s.said[s.unit] = status
	}
	s.lines = nil
}

// quiet writes how many hooks were left out.
func (s *storyTeller) quiet() {
	if s.silent > 0 {
		fmt.Fprintf(&s.text, "      (%d quiet)\n", s.silent)
	}
	s.silent = 0
}

func (s *storyTeller) end() string {
	s.close()
	s.quiet()
	return s.text.String()
}
