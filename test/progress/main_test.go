package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFollow runs on packages that pass, fail, hang and do not compile.
func TestFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module m\n\ngo 1.26\n",
		"good/a_test.go": `package good
import "testing"
func TestGood(t *testing.T) { t.Log("quiet") }
func TestSkipped(t *testing.T) { t.Skip("no reason") }`,
		"bad/a_test.go": `package bad
import "testing"
func TestGood(t *testing.T) { t.Log("quiet") }
func TestBad(t *testing.T) { t.Run("deep", func(t *testing.T) { t.Fatal("a reason") }) }`,
		"dies/a_test.go": `package dies
import "testing"
func TestDies(t *testing.T) { panic("the end") }`,
		"broken/a_test.go": `package broken
func TestBroken(t *testing.T) {}`,
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	stream, err := cmd.Output()
	require.Error(t, err)
	var out bytes.Buffer
	require.NoError(t, follow(bytes.NewReader(stream), &out))
	for _, want := range []string{
		"ok  \tm/good\t", "skip\tgood TestSkipped\n", "no reason", "FAIL\tm/bad", "FAIL\tbad TestBad/deep\t", "a reason",
		"FAIL\tdies TestDies", "panic: the end", "undefined: testing", "FAIL\tm/broken", " failures in ",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), "quiet", "of what passes nothing is printed")
	assert.NotContains(t, out.String(), `"Action"`, "no event is printed as it is")

	out.Reset()
	slow := `{"Action":"pass","Package":"m/system","Test":"TestScripts/life","Elapsed":12.5}` + "\n"
	require.NoError(t, follow(strings.NewReader(slow), &out))
	assert.Contains(t, out.String(), "system TestScripts/life\t12.5s\n", "each script as it passes")
}
