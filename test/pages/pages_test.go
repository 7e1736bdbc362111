// Package pages_test keeps the documentation true. It runs the commands of pages in a Juju model of
// their own and compares what they print with the page; it compares the tables of options and
// actions with config.yaml and actions.yaml; and it follows every link.
//
// A page with the line "<!-- page: run -->" is run: the blocks that begin with ```console, from top
// to bottom, in one model. A line "$ …" in them is a command, as a reader types it; the lines below
// it are what it prints. A command under which the page shows nothing must succeed, and its output
// is ignored. The line "…" stands for any number of lines; alone, in a page that is being written,
// for what is still to come.
//
//	<!-- run: COMMAND -->    runs what the page does not show, such as a disaster
//	<!-- not run: WHY -->    before a block keeps it from running
//
// testdata/not-run.txt lists every command of every page that is not run, with the reason, so that
// nothing is skipped silently. UPDATE_PAGES=1 writes the output into the pages, and that list.
package pages_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root    = "../.."
	runMark = "<!-- page: run -->"
	fence   = "```"
	// cut marks lines that a page leaves out.
	cut = "…"
)

// updating reports whether pages are to be rewritten.
func updating() bool { return os.Getenv("UPDATE_PAGES") != "" }

// page is a page of the documentation. Its name is its path in the repository.
type page struct {
	name  string
	lines []string
}

func (p page) path() string { return filepath.Join(root, filepath.FromSlash(p.name)) }

// runs reports whether the page's commands are run.
func (p page) runs() bool { return slices.Contains(p.lines, runMark) }

// allPages are the pages in docs and beside it, by name.
func allPages(t *testing.T) (pages []page) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "*.md"))
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			names = append(names, path)
		}
		return err
	}))
	for _, path := range names {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		name, err := filepath.Rel(root, path)
		require.NoError(t, err)
		pages = append(pages, page{filepath.ToSlash(name), strings.Split(string(text), "\n")})
	}
	require.NotEmpty(t, pages)
	return pages
}

// command is a command of a page, with what the page says that it prints.
type command struct {
	line    int // of the command, from 0
	text    string
	shown   []string // the lines that follow it
	skipped string   // why it is not run; "" if it is
}

var comment = regexp.MustCompile(`^<!-- (run|not run): (.*) -->$`)

// commands are the commands of a page, in order: those of its console blocks, and those in
// comments.
func (p page) commands() (out []command, err error) {
	inBlock, console, skipped := false, false, ""
	for i, line := range p.lines {
		trimmed := strings.TrimSpace(line)
		found := comment.FindStringSubmatch(trimmed)
		switch {
		case !inBlock && found != nil && found[1] == "run":
			out = append(out, command{line: i, text: found[2]})
		case !inBlock && found != nil:
			skipped = found[2]
		case strings.HasPrefix(trimmed, fence):
			inBlock = !inBlock
			console = inBlock && trimmed == fence+"console"
			if !inBlock {
				skipped = ""
			}
			if inBlock && !console && skipped != "" {
				return nil, fmt.Errorf("%s:%d: only console blocks can be run or not run", p.name, i+1)
			}
		case console && strings.HasPrefix(trimmed, "$ "):
			out = append(out, command{line: i, text: strings.TrimPrefix(trimmed, "$ "), skipped: skipped})
		case console && len(out) > 0 && !strings.HasPrefix(trimmed, "$ "):
			last := &out[len(out)-1]
			if last.line+len(last.shown) == i-1 {
				last.shown = append(last.shown, line)
			}
		}
	}
	if inBlock {
		return nil, fmt.Errorf("%s: a block is not closed", p.name)
	}
	return out, nil
}

// bare finds the commands of Juju in blocks that are not run: indented ones, and those of pages
// without the mark.
var bare = regexp.MustCompile(`^(?: {4,}|)(?:\$ )?(juju(?:-sim)? .*|make [a-z].*)$`)

// notRun are the commands of a page that no test runs, each with the reason.
func (p page) notRun(t *testing.T) (out []string) {
	t.Helper()
	commands, err := p.commands()
	require.NoError(t, err)
	why := map[int]string{}
	for _, c := range commands {
		if !p.runs() {
			c.skipped = "the page is not run"
		}
		why[c.line] = c.skipped
		if c.skipped != "" {
			out = append(out, c.text+"  # "+c.skipped)
		}
	}
	inBlock := false
	for i, line := range p.lines {
		if strings.HasPrefix(strings.TrimSpace(line), fence) {
			inBlock = !inBlock
		}
		_, known := why[i]
		if found := bare.FindStringSubmatch(line); found != nil && !known && (inBlock || strings.HasPrefix(line, "    ")) {
			text, _, _ := strings.Cut(found[1], "  #")
			out = append(out, strings.TrimSpace(text)+"  # no console block")
		}
	}
	return out
}

// TestNothingIsSkippedSilently compares the commands that are not run with their list.
func TestNothingIsSkippedSilently(t *testing.T) {
	t.Parallel()
	const file = "testdata/not-run.txt"
	var list strings.Builder
	total := 0
	for _, p := range allPages(t) {
		commands := p.notRun(t)
		if len(commands) == 0 {
			continue
		}
		total += len(commands)
		fmt.Fprintf(&list, "%s: %d\n", p.name, len(commands))
		for _, c := range commands {
			fmt.Fprintf(&list, "    %s\n", c)
		}
	}
	text := fmt.Sprintf("# What no test runs, written by UPDATE_PAGES=1 go test ./test/pages: %d commands.\n%s", total, list.String())
	if updating() {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), text, "UPDATE_PAGES=1 writes the list: look at what it adds")
}
