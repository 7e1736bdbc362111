package pages_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)|<img [^>]*src="([^"]+)"|<source [^>]*srcset="([^"]+)"`)
	explicit = regexp.MustCompile(`<a id="([^"]+)">`)
	inline   = regexp.MustCompile("`[^`]*`")
)

// prose is the lines of a page, with those inside blocks emptied.
func (p page) prose() []string {
	out := make([]string, len(p.lines))
	inBlock := false
	for i, line := range p.lines {
		if strings.HasPrefix(strings.TrimSpace(line), fence) {
			inBlock = !inBlock
			continue
		}
		if !inBlock && !strings.HasPrefix(line, "    ") {
			out[i] = line
		}
	}
	return out
}

// anchors are the anchors of a page: its headings, as GitHub names them, and explicit ones.
func (p page) anchors() map[string]bool {
	out := map[string]bool{}
	for _, line := range p.prose() {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			name := slug(heading)
			for n, first := 1, name; out[name]; n++ {
				name = fmt.Sprintf("%s-%d", first, n)
			}
			out[name] = true
		}
		for _, found := range explicit.FindAllStringSubmatch(line, -1) {
			out[found[1]] = true
		}
	}
	return out
}

// slug is a heading's anchor: lower case, spaces as hyphens, no punctuation.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// TestLinks: each link into the repository leads to a file that exists, and to a heading that it
// has.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages := map[string]page{}
	for _, p := range allPages(t) {
		pages[p.name] = p
	}
	seen := 0
	for _, p := range pages {
		for i, line := range p.prose() {
			for _, found := range link.FindAllStringSubmatch(inline.ReplaceAllString(line, ""), -1) {
				seen++
				target := found[1] + found[2] + found[3]
				assert.Empty(t, broken(pages, p, target), "%s:%d: %s", p.name, i+1, target)
			}
		}
	}
	assert.Greater(t, seen, 50, "links are not found any more")
}

// broken says what is wrong with a link; "" is nothing. It does not check links to other sites.
func broken(pages map[string]page, from page, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	name, anchor, hasAnchor := strings.Cut(target, "#")
	to := from.name
	if name != "" {
		to = path.Join(path.Dir(from.name), name)
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
			return "there is no such file"
		}
	}
	p, isPage := pages[to]
	if hasAnchor && isPage && !p.anchors()[anchor] {
		return "there is no such heading"
	}
	return ""
}

// TestEveryPageIsFound: from the index, links lead to every page.
func TestEveryPageIsFound(t *testing.T) {
	t.Parallel()
	pages := map[string]page{}
	for _, p := range allPages(t) {
		pages[p.name] = p
	}
	found, next := map[string]bool{}, []string{"README.md"}
	for len(next) > 0 {
		p := pages[next[0]]
		next = next[1:]
		if found[p.name] {
			continue
		}
		found[p.name] = true
		for _, l := range link.FindAllStringSubmatch(strings.Join(p.prose(), "\n"), -1) {
			name, _, _ := strings.Cut(l[1], "#")
			for _, to := range []string{path.Join(path.Dir(p.name), name), path.Join(path.Dir(p.name), name, "README.md")} {
				if _, ok := pages[to]; ok && name != "" {
					next = append(next, to)
				}
			}
		}
	}
	for name := range pages {
		assert.True(t, found[name], "no page leads to %s", name)
	}
}

// TestPicture: the picture is well formed, and loads nothing from outside.
func TestPicture(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "picture.svg"))
	require.NoError(t, err)
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		assert.NotContains(t, []string{"script", "image", "foreignObject"}, start.Name.Local)
		for _, a := range start.Attr {
			assert.True(t, a.Name.Local == "xmlns" || !strings.Contains(a.Value, "://"), a.Value)
		}
	}
}
