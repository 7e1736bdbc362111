// Package demo checks what the demo promises; `make demo` runs it.
package demo

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Everything that is compiled for a charm is compiled with the same flags. Otherwise a first build
// compiles the standard library twice, and once takes a minute.
func TestOneBuildOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	makefile := string(text)
	for _, name := range []string{"BUILD", "RUN"} {
		assert.Regexp(t, `(?m)^`+name+` +(\?|:)?= CGO_ENABLED=0 go (build|run) \$\(FLAGS\)$`, makefile)
	}
	for _, target := range []string{"bin/etcd-charm", "bin/juju-sim", "bin/juju-sim-tool", "charm", "demo"} {
		recipe := regexp.MustCompile(`(?m)^` + target + `:.*\n((?:\t.*\n)+)`).FindString(makefile)
		require.NotEmpty(t, recipe, target)
		assert.NotRegexp(t, `\bgo (build|run)\b`, recipe, "%s: by $(BUILD) or $(RUN)", target)
	}
	stamp := regexp.MustCompile(`(?m)^STAMP .*$`).FindString(makefile)
	assert.Contains(t, stamp, "$(RUN)")

	flags := regexp.MustCompile(`(?m)^FLAGS +:?= (.*)$`).FindStringSubmatch(makefile)
	require.NotNil(t, flags)
	project, err := os.ReadFile("../../charmcraft.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(project), "- GOFLAGS: "+flags[1]+"\n")
	assert.Contains(t, string(project), `- CGO_ENABLED: "0"`+"\n")
}

// The demo says what comes before each part, checks the last health, and first looks for what is in
// the way.
func TestTheDemoIsAStory(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("demo.txt")
	require.NoError(t, err)
	script, _, _ := strings.Cut(string(text), "\n-- ")
	assert.Less(t, strings.Index(script, "\ncheck-ports "), strings.Index(script, "\ndeploy "))
	last := script[strings.LastIndex(script, "\nupdate-status"):]
	assert.Contains(t, last, "stdout '^health: healthy$'", "a status of before the failure would do for wait-for")
	parts := strings.Split(script, "\nsay\n")
	for _, part := range parts[2:] {
		assert.Regexp(t, `^(\[!?hold\] )?say '`, part)
	}
}

// The README shows what the demo prints: all that it says of itself, in that order.
func TestTheReadmeShowsTheDemo(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("demo.txt")
	require.NoError(t, err)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(readme), "<details>")
	require.True(t, found)
	shown, _, _ = strings.Cut(shown, "</details>")
	says := regexp.MustCompile(`(?m)^(?:\[!hold\] )?say '(.*)'$`).FindAllStringSubmatch(string(script), -1)
	require.Greater(t, len(says), 10)
	for _, said := range says {
		line := "\n" + strings.ReplaceAll(said[1], "''", "'") + "\n"
		at := strings.Index(shown, line)
		require.NotEqual(t, -1, at, "README.md does not show:%s", line)
		shown = shown[at+len(line)-1:]
	}
}
