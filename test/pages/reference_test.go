package pages_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/test/built"
)

// byHand marks where the generated part of a section ends: what follows, up to the next section, is
// kept.
const byHand = "<!-- written by hand below -->"

// section is a part of a page about one option or action.
type section struct {
	name, generated string
}

// reference compares a page with sections. UPDATE_GOLDEN=1 writes what is generated, and keeps what
// is written by hand.
func reference(t *testing.T, name string, sections []section, complete func(name, hand string) string) {
	t.Helper()
	file := filepath.Join(root, "docs", "reference", name)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	intro, rest, _ := strings.Cut(string(text), "\n## ")
	hands := map[string]string{}
	for _, part := range strings.Split("\n"+rest, "\n## ") {
		heading, body, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
		if _, hand, found := strings.Cut(body, byHand+"\n"); found {
			hands[strings.TrimSpace(heading)] = strings.TrimRight(hand, "\n")
		}
	}
	var want strings.Builder
	want.WriteString(strings.TrimRight(intro, "\n") + "\n")
	for _, s := range sections {
		fmt.Fprintf(&want, "\n## %s\n\n%s\n", s.name, strings.TrimRight(s.generated, "\n"))
		hand := hands[s.name]
		if problem := complete(s.name, hand); problem != "" {
			t.Errorf("docs/reference/%s, %s: %s", name, s.name, problem)
		}
		if hand != "" {
			fmt.Fprintf(&want, "\n%s\n%s\n", byHand, hand)
		}
	}
	if updating() || os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(want.String()), 0o644))
		return
	}
	assert.Equal(t, want.String(), string(text), "UPDATE_GOLDEN=1 go test ./test/pages -run Page writes it")
}

// entries are the keys of a mapping, in the order of the file, with their values.
func entries(t *testing.T, n *yaml.Node) (names []string, values []*yaml.Node) {
	t.Helper()
	require.Equal(t, yaml.MappingNode, n.Kind)
	for i := 0; i < len(n.Content); i += 2 {
		names, values = append(names, n.Content[i].Value), append(values, n.Content[i+1])
	}
	return names, values
}

func document(t *testing.T, name string) *yaml.Node {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &doc))
	return doc.Content[0]
}

// TestOptionsPage: the reference page has every option, as config.yaml has it.
func TestOptionsPage(t *testing.T) {
	t.Parallel()
	_, top := entries(t, document(t, "config.yaml"))
	names, options := entries(t, top[0])
	var sections []section
	for i, name := range names {
		var o struct {
			Type        string
			Default     *string
			Description string
		}
		require.NoError(t, options[i].Decode(&o))
		text := fmt.Sprintf("*%s*, no default.", o.Type)
		if o.Default != nil {
			text = fmt.Sprintf("*%s*, by default `%s`.", o.Type, *o.Default)
			if *o.Default == "" {
				text = fmt.Sprintf("*%s*, empty by default.", o.Type)
			}
		}
		sections = append(sections, section{name, text + "\n\n" + escaped(o.Description)})
	}
	require.NotEmpty(t, sections)
	reference(t, "options.md", sections, func(string, string) string { return "" })
}

var outsideCode = regexp.MustCompile("`[^`]*`|<")

// escaped is a text in which no "<" opens an HTML tag.
func escaped(text string) string {
	return outsideCode.ReplaceAllStringFunc(text, func(found string) string {
		if found == "<" {
			return "&lt;"
		}
		return found
	})
}

// TestActionsPage: the reference page has every action, as actions.yaml has it, and says what each
// answers and when it refuses.
func TestActionsPage(t *testing.T) {
	t.Parallel()
	names, actions := entries(t, document(t, "actions.yaml"))
	var sections []section
	c := readCore(t)
	for i, name := range names {
		var a struct {
			Description string
			Params      yaml.Node
			Required    []string
		}
		require.NoError(t, actions[i].Decode(&a))
		text := a.Description + "\n"
		if a.Params.Kind != 0 {
			text += "\n| parameter | type | without it | is |\n|---|---|---|---|\n" + parameters(t, &a.Params, a.Required)
		}
		sections = append(sections, section{name, text + refusedWith(t, c, name)})
	}
	require.NotEmpty(t, sections)
	reference(t, "actions.md", sections, func(_, hand string) string {
		for _, word := range []string{"**Answers**", "**Fails**"} {
			if !strings.Contains(hand, word) {
				return "write by hand, below " + byHand + ", what it " + word
			}
		}
		return ""
	})
}

// parameters are the rows of a table of an action's parameters.
func parameters(t *testing.T, params *yaml.Node, required []string) string {
	t.Helper()
	var rows strings.Builder
	names, values := entries(t, params)
	for i, name := range names {
		var p struct {
			Type, Description string
			Default           *string
		}
		require.NoError(t, values[i].Decode(&p))
		without := "–"
		if p.Default != nil {
			without = "`" + *p.Default + "`"
		}
		for _, r := range required {
			if r == name {
				without = "is refused"
			}
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", name, p.Type, without, strings.Join(strings.Fields(p.Description), " "))
	}
	return rows.String()
}

var code = regexp.MustCompile("`([^`]+)`")

// firstCells are the texts in code style in the first column of a page's tables.
func firstCells(p page) (out []string) {
	for _, line := range p.prose() {
		if cells := strings.Split(line, "|"); len(cells) > 2 && cells[0] == "" {
			for _, found := range code.FindAllStringSubmatch(cells[1], -1) {
				out = append(out, found[1])
			}
		}
	}
	return out
}

func pageOf(t *testing.T, name string) page {
	t.Helper()
	for _, p := range allPages(t) {
		if p.name == name {
			return p
		}
	}
	t.Fatalf("there is no page %s", name)
	return page{}
}

// TestRelationKeys: the page has every key of every bag that the interfaces write, and no other
// one.
func TestRelationKeys(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "interfaces", "*", "*.go"))
	require.NoError(t, err)
	keys := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(`(?m)^\t[kK]ey\w+ += "([a-z_-]+)"`).FindAllSubmatch(text, -1) {
			keys[string(found[1])] = true
		}
	}
	require.Greater(t, len(keys), 20, "keys are not found any more")
	_, tables, _ := strings.Cut(strings.Join(pageOf(t, "docs/reference/relations.md").lines, "\n"), "\n## ")
	listed := map[string]bool{}
	for _, key := range firstCells(page{lines: strings.Split(tables, "\n")}) {
		listed[key] = true
	}
	assert.Equal(t, keys, listed)

	_, ours, _ := strings.Cut(tables, "\n## cluster\n")
	var application []string
	for row := range strings.Lines(ours) {
		if cells := strings.Split(row, "|"); len(cells) > 2 && regexp.MustCompile(`both|application`).MatchString(cells[2]) {
			application = append(application, firstCells(page{lines: []string{row}})...)
		}
	}
	assert.ElementsMatch(t, etcdcluster.AppKeys(), application)
}

// TestLogLines: what the page says that logs have stands in the sources of what logs it.
func TestLogLines(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/api/v3",
		"go.etcd.io/raft/v3")
	dirs, err := list.Output()
	require.NoError(t, err)
	var sources strings.Builder
	for _, dir := range append(strings.Fields(string(dirs)), filepath.Join(root, "internal")) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			sources.Write(text)
			return err
		}))
	}
	lines := firstCells(pageOf(t, "docs/reference/log-lines.md"))
	require.NotEmpty(t, lines)
	lines = append(lines, firstCells(pageOf(t, "docs/how-to/read-the-logs.md"))...)
	var unknown []string
	for _, line := range lines {
		for _, part := range regexp.MustCompile(`…|"…"|\w+=\d*|\betcd/\d+\b|[()"]|\b(INFO|WARNING|ERROR) `).Split(line, -1) {
			if !strings.Contains(sources.String(), strings.TrimSpace(part)) {
				unknown = append(unknown, line)
			}
		}
	}
	assert.Empty(t, unknown, "nothing logs these")
}

// TestLogStories: each step that the join and the roll in the page show is one that such a join and
// such a roll log.
func TestLogStories(t *testing.T) {
	t.Parallel()
	r := newReader(t, built.Archive(t))
	for _, line := range []string{
		"juju deploy ./dist/" + archiveName + " etcd -n 3", "juju-sim wait etcd '^active 3/3 voters'", "juju-sim settle",
		"juju config etcd heartbeat_interval=150 election_timeout=1500", "juju-sim settle --update-status 1",
		"juju-sim wait etcd '^active 3/3 voters'",
	} {
		out, err := r.sh(line)
		require.NoError(t, err, out)
	}
	out, err := r.sh("juju debug-log --replay --no-tail --include etcd --level INFO")
	require.NoError(t, err, out)
	logged := map[string]bool{}
	for _, line := range out {
		for _, said := range saidOf(line) {
			logged[said] = true
		}
	}
	told := 0
	for _, line := range pageOf(t, "docs/how-to/read-the-logs.md").lines {
		if !strings.HasPrefix(line, "    unit-") {
			continue
		}
		for _, said := range saidOf(line) {
			told++
			if strings.HasPrefix(said, `do="wait `) {
				continue // whether there is anything to wait for depends on the machine
			}
			assert.True(t, logged[said], "not logged: %s", said)
		}
	}
	assert.Greater(t, told, 30)
}

// saidOf is what a line of the log says that a step does and changes, without what differs between
// two runs.
func saidOf(line string) (said []string) {
	for _, found := range regexp.MustCompile(`\b(do|change)="[^"]+"`).FindAllString(line, -1) {
		said = append(said, regexp.MustCompile(`[0-9a-f]*[0-9][0-9a-f]*`).ReplaceAllString(found, "N"))
	}
	return said
}

// TestMetrics: a member has each metric that the page lists, and the page has each that is the
// charm's own.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newReader(t, built.Archive(t))
	for _, line := range []string{"juju deploy ./dist/" + archiveName + " etcd -n 2", "juju-sim settle", "juju run etcd/0 snapshot"} {
		out, err := r.sh(line)
		require.NoError(t, err, out)
	}
	names := append(firstCells(pageOf(t, "docs/reference/metrics.md")), metricNames(pageOf(t, "docs/how-to/monitor.md"))...)
	require.NotEmpty(t, names)
	var known map[string]bool
	unknown := func(name string) bool { return !known[name] }
	// Some appear only once they have a value: members measure their round trips from time to time.
	for deadline := time.Now().Add(patience); ; r.rest(1) {
		known = metricsOf(r)
		if !slices.ContainsFunc(names, unknown) || time.Now().After(deadline) {
			break
		}
	}
	for name := range known {
		if strings.HasPrefix(name, "etcd_charm_") {
			assert.Contains(t, names, name)
		}
	}
	assert.Empty(t, slices.DeleteFunc(names, func(name string) bool { return known[name] }), "no metrics of a member")
	assert.Greater(t, len(known), 100, "the page speaks of some 130")
	assert.False(t, known["grpc_server_handling_seconds"])
}

// metricsOf are the names of a member's metrics, and of its unit's metrics of snapshots.
func metricsOf(r *reader) map[string]bool {
	out, err := r.sh("juju ssh etcd/0 curl -s http://127.0.0.1:2381/metrics")
	require.NoError(r.t, err, out)
	ofSnapshots, err := r.sh("juju ssh etcd/0 cat var/lib/etcd-charm/metrics/etcd-0.prom")
	require.NoError(r.t, err, ofSnapshots)
	known := map[string]bool{}
	out = append(out, ofSnapshots...)
	for _, line := range out {
		if name, found := strings.CutPrefix(line, "# TYPE "); found {
			name, _, _ = strings.Cut(name, " ")
			known[name] = true
		}
	}
	return known
}

// metricNames are the metrics of etcd that a page names.
func metricNames(p page) []string {
	return regexp.MustCompile(`\betcd_[a-z_]+\b`).FindAllString(strings.Join(p.prose(), "\n"), -1)
}

// TestPorts: the page has every option that is a port, with its default; how to open the firewall
// has it too.
func TestPorts(t *testing.T) {
	t.Parallel()
	_, top := entries(t, document(t, "config.yaml"))
	options, values := entries(t, top[0])
	for _, name := range []string{"docs/reference/ports-and-files.md", "docs/how-to/open-the-firewall.md"} {
		text := strings.Join(pageOf(t, name).lines, "\n")
		seen := 0
		for i, option := range options {
			if !strings.HasSuffix(option, "port") {
				continue
			}
			seen++
			var o struct{ Default string }
			require.NoError(t, values[i].Decode(&o))
			assert.Contains(t, text, fmt.Sprintf("\n| %s | `%s` |", o.Default, option), name)
		}
		assert.Equal(t, 4, seen)
	}
}

// TestFiles: every file that a unit makes on its machine stands in the page. A path that ends with
// a slash is a directory whose files stand there one by one.
func TestFiles(t *testing.T) {
	t.Parallel()
	r := newReader(t, built.Archive(t))
	for _, line := range []string{
		"juju deploy ./dist/" + archiveName + " etcd", "juju deploy ./dist/" + archiveName + " etcd-proxy --config role=proxy",
		"juju integrate etcd:proxy etcd-proxy:upstream", "juju-sim settle --update-status 1",
		"juju run etcd/0 snapshot", "juju run etcd/0 drill",
	} {
		out, err := r.sh(line)
		require.NoError(t, err, out)
	}
	var listed []*regexp.Regexp
	for _, name := range firstCells(pageOf(t, "docs/reference/ports-and-files.md")) {
		if strings.Contains(name, "/") || strings.Contains(name, ".") {
			listed = append(listed, regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(name), cut, "[^/]+")+"(/|$)"))
		}
	}
	seen := 0
	for _, unit := range []string{"etcd/0", "etcd-proxy/0"} {
		out, err := r.sh("juju ssh " + unit + " find . -type f -o -type l -o -name data")
		require.NoError(t, err, out)
		for _, path := range out {
			path = strings.ReplaceAll(strings.TrimPrefix(path, "."), strings.ReplaceAll(unit, "/", "-"), "etcd-0")
			if notOurs.MatchString(path) {
				continue
			}
			seen++
			match := func(l *regexp.Regexp) bool { return l.MatchString(path) }
			assert.True(t, slices.ContainsFunc(listed, match), "%s is not in the page", path)
		}
	}
	assert.Greater(t, seen, 20)
}

// notOurs are files of Juju, of systemd and of etcd, and a file of the charm that is in memory.
var notOurs = regexp.MustCompile(`^/(var/lib/juju|var/log|run/systemd|root|tmp)/|/data/|\.wants/|\.copy$`)

// TestNightlyPage: the page of the long runs is of a run that says when it was and of what, and in
// which nothing failed.
func TestNightlyPage(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	lines := pageOf(t, "docs/reference/nightly.md").lines
	assert.Regexp(t, `(?m)^Begun on \d{4}-\d\d-\d\d at version \S+, with go1\.\S+, on \d+ cores`, strings.Join(lines, "\n"))
	ran := 0
	for _, line := range lines {
		if found := regexp.MustCompile("^\\| `make ([a-z0-9-]+)[^`]*` \\| (.*) \\| \\d+ \\|$").FindStringSubmatch(line); found != nil {
			ran++
			assert.Equal(t, "ok", found[2], line)
			assert.Contains(t, string(makefile), "\n"+found[1]+":", "the Makefile has no such target")
		}
	}
	assert.Positive(t, ran)
}
