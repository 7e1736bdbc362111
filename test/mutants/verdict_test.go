package mutants

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVerdicts uses a program that is broken in ways that count, and in ways that prove nothing.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module m\n\ngo 1.26\n",
		"half/half.go": `package half

func Half(n int) int { return n / 2 }

func other(n int) int { return n }
`,
		"half/half_test.go": `package half

import "testing"

func TestHalf(t *testing.T) {
	if Half(4) != 2 {
		t.Fatal("wrong")
	}
}

func TestNothing(t *testing.T) {}

func TestFails(t *testing.T) { t.Fatal("as ever") }

func TestSkips(t *testing.T) { t.Skip("no reason") }
`,
	} {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	for name, tt := range map[string]struct {
		old, new, test string
		why            string // it does not count as caught; "" means that it does
	}{
		"caught":              {"n / 2", "n / 3", "TestHalf", ""},
		"caught by a panic":   {"n / 2", "n / (n - 4)", "TestHalf", ""},
		"not caught":          {"n / 2", "n / 3", "TestNothing", "TestNothing passes"},
		"the same":            {"n / 2", "n / 2 * 1", "TestHalf", "TestHalf passes"},
		"it does not compile": {"n / 2", "n / two", "TestHalf", "cannot compile"},
		"the code has moved":  {"n >> 1", "n", "TestHalf", "stands 0 times"},
		"it stands twice":     {"n int", "n int64", "TestHalf", "stands 2 times"},
		"no such test":        {"n / 2", "n / 3", "TestHal", "no such test"},
		"a test that skips":   {"n / 2", "n / 3", "TestSkips", "it was skipped"},
	} {
		_, err := mutant{name, "half/half.go", tt.test, tt.old, tt.new}.uncaught(t.Context(), root, t.TempDir())
		if tt.why == "" {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, tt.why, name)
		}
	}
	whole, err := build(t.Context(), root, "half", filepath.Join(t.TempDir(), "whole.test"))
	require.NoError(t, err)
	require.NoError(t, sound(t.Context(), whole, "TestHalf"))
	assert.ErrorContains(t, sound(t.Context(), whole, "TestFails"), "it fails")
	assert.ErrorContains(t, sound(t.Context(), whole, "TestSkips"), "it was skipped")
}
