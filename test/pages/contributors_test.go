package pages_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forContributors are the pages that name what stands in the sources.
var forContributors = []string{"CONTRIBUTING.md", "ARCHITECTURE.md", "docs/explanation/proof.md"}

// sources are the Go sources by their path in the repository.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "dist"):
			return fs.SkipDir
		case filepath.Ext(at) != ".go":
			return nil
		}
		text, err := os.ReadFile(at)
		require.NoError(t, err)
		name, err := filepath.Rel(root, at)
		require.NoError(t, err)
		all[filepath.ToSlash(name)] = string(text)
		return nil
	}))
	return all
}

var (
	aTest       = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	aGoFile     = regexp.MustCompile(`^[a-z][\w./-]*\.go$`)
	identifier  = regexp.MustCompile(`^(?:[A-Z][a-z]\w*|[a-z]+[A-Z]\w*)(?:\.\w+)?(?:\(\))?$`)
	aWord       = regexp.MustCompile(`\w+`)
	runsTests   = regexp.MustCompile(`go test (?:-\w+ )*((?:\./\S+ )+)-run '?([^\s']+)`)
	declaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// TestWhatContributorsAreTold: the files, the tests and the names that pages for contributors have
// as code are there, and a command that runs some tests runs at least one.
func TestWhatContributorsAreTold(t *testing.T) {
	t.Parallel()
	all := sources(t)
	names, files, tests := map[string]bool{}, map[string]bool{}, map[string][]string{}
	for name, text := range all {
		files[name], files[path.Base(name)] = true, true
		for _, word := range aWord.FindAllString(text, -1) {
			names[word] = true
		}
		for _, found := range declaration.FindAllStringSubmatch(text, -1) {
			tests[path.Dir(name)] = append(tests[path.Dir(name)], found[1])
		}
	}
	looked := 0
	for _, name := range forContributors {
		for _, found := range code.FindAllStringSubmatch(strings.Join(pageOf(t, name).prose(), "\n"), -1) {
			text := strings.Join(strings.Fields(found[1]), " ")
			looked++
			for _, test := range aTest.FindAllString(text, -1) {
				assert.Contains(t, " "+strings.Join(testsIn(tests, ""), " "), " "+test, "%s names a test", name)
			}
			switch {
			case strings.Contains(text, "NAME"): // stands for any
			case aGoFile.MatchString(text):
				assert.True(t, files[text], "%s names the file %s", name, text)
			case identifier.MatchString(text):
				for _, word := range aWord.FindAllString(text, -1) {
					assert.True(t, names[word] || word == "Unreleased", "%s names %s", name, text)
				}
			}
			for _, command := range runsTests.FindAllStringSubmatch(text, -1) {
				pattern, _, _ := strings.Cut(strings.ReplaceAll(command[2], `\|`, "|"), "/")
				for _, dir := range strings.Fields(command[1]) {
					run := strings.Join(testsIn(tests, strings.TrimPrefix(dir, "./")), " ")
					assert.True(t, pattern == cut || regexp.MustCompile(pattern).MatchString(run), "%s: %s", name, text)
				}
			}
		}
	}
	assert.Greater(t, looked, 200)
}

// testsIn are the tests of a package, or of all below it if it ends with "/...".
func testsIn(tests map[string][]string, dir string) (out []string) {
	below, all := strings.CutSuffix(dir, "...")
	for at, names := range tests {
		if at == dir || (all || dir == "") && strings.HasPrefix(at, below) {
			out = append(out, names...)
		}
	}
	return out
}
