package juju

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// script writes a hook tool and puts it first on the PATH.
func script(t *testing.T, name, text string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestExec(t *testing.T) {
	script(t, "some-tool", `cat; echo "$@"`)
	out, err := Exec{}.Run(t.Context(), []byte("in\n"), "some-tool", "--format", "json")
	require.NoError(t, err)
	assert.Equal(t, "in\n--format json\n", string(out))
	assert.True(t, Path{}.Has("some-tool"))
}

func TestExecRefusal(t *testing.T) {
	script(t, "some-tool", `echo 'ERROR permission denied' >&2; exit 3`)
	_, err := Exec{}.Run(t.Context(), nil, "some-tool")
	var refusal *ToolError
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, ToolError{Tool: "some-tool", Code: 3, Stderr: "ERROR permission denied"}, *refusal)
	assert.EqualError(t, err, "some-tool: exit code 3: ERROR permission denied")
}

func TestExecMissing(t *testing.T) {
	t.Parallel()
	_, err := Exec{}.Run(t.Context(), nil, "no-such-hook-tool")
	require.ErrorIs(t, err, ErrNoTool)
	assert.False(t, Path{}.Has("no-such-hook-tool"))
}

func TestExecEnds(t *testing.T) {
	script(t, "some-tool", "sleep 120 &\nsleep 120")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := Exec{}.Run(ctx, nil, "some-tool")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(began), 100*time.Second)
}

func TestComplaintHidesKeys(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "[redacted]", complaint("yaml: cannot unmarshal `"+privateKey+"`"))
	assert.LessOrEqual(t, len(complaint(strings.Repeat("é", 10<<20))), maxStderr+len("…"))
	assert.Equal(t, "a: exit code 1", (&ToolError{Tool: "a", Code: 1}).Error())
}

func TestNotThere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"ERROR relation unit not found": true,
		`ERROR cannot read settings for unit "etcd/1" in relation "etcd:cluster": settings not found`: true,
		"ERROR permission denied":                    false,
		"ERROR not found":                            false,
		"ERROR connection is shut down":              false,
		"ERROR not found: the controller's relation": false,
	} {
		assert.Equal(t, want, notThere(refusal("relation-get", text)), text)
	}
	assert.False(t, notThere(errors.New("relation unit not found")), "not a tool's words")
	assert.False(t, notThere(nil))
}

func TestSettingsStayTexts(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"a": "1E2345", "b": "no", "c": "", "d": privateKey, "e": "0123", "f": "<&> \t\u2028 é 😀", "g: h": "- x", "i": "~", "j": "2026-11-22",
	}
	text := settings(values)
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal(text, &raw))
	for key, value := range values {
		assert.Equal(t, any(value), raw[key], key)
	}
	assert.Len(t, raw, len(values))
}

func FuzzSettings(f *testing.F) {
	f.Add("key", "value\n")
	f.Add("1E2345", "\x7f\u0085\ufeff")
	f.Fuzz(func(t *testing.T, key, value string) {
		key, value = strings.ToValidUTF8(key, "?"), strings.ToValidUTF8(value, "?")
		if len(key) > 200 {
			return // YAML's simple keys end at 1024 bytes; ours are words
		}
		text := settings(map[string]string{key: value})
		var out map[string]string
		require.NoError(t, yaml.Unmarshal(text, &out), "%q", text)
		assert.Equal(t, map[string]string{key: value}, out)
	})
}
