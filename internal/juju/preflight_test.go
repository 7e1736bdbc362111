package juju

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPreflight(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version string
		lacks   bool
		want    error
		status  string
		level   string
	}{
		"today":                         {version: "4.0.15"},
		"the oldest":                    {version: "2.9.0"},
		"a beta of the oldest":          {version: "2.9-beta1.2"},
		"3.6":                           {version: "3.6.28"},
		"too old":                       {version: "2.8.11", want: ErrOldJuju, status: "blocked: this charm needs Juju 2.9 or later, this is 2.8.11", level: "ERROR"},
		"far too old":                   {version: "1.25.6", want: ErrOldJuju, status: "blocked: this charm needs Juju 2.9 or later, this is 1.25.6", level: "ERROR"},
		"not told":                      {version: "", level: "DEBUG"},
		"not understood":                {version: "rolling", level: "DEBUG"},
		"no election":                   {version: "1.20.1", lacks: true, want: ErrNoElection, status: "blocked: Requires Leader Election - juju >= 1.23.2", level: "CRITICAL"},
		"no election in a new Juju too": {version: "4.0.15", lacks: true, want: ErrNoElection, status: "blocked: Requires Leader Election - juju >= 1.23.2", level: "CRITICAL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			if test.lacks {
				f.fail["is-leader"] = ErrNoTool
			}
			err := Preflight(t.Context(), f, f, slog.New(NewLogHandler(f, t.Output())), test.version)
			if test.want == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, test.want)
			}
			assert.Equal(t, test.status, f.status)
			assert.Zero(t, f.count()["is-leader"], "the tool is looked for, not called")
			if test.level != "" {
				require.NotEmpty(t, f.calls)
				assert.Equal(t, []string{"--log-level", test.level}, f.calls[0].args[:2])
			}
		})
	}
}

func TestPreflightWithoutAnyTool(t *testing.T) {
	t.Parallel()
	f := newFake()
	for _, tool := range []string{"is-leader", "status-set", "juju-log"} {
		f.fail[tool] = ErrNoTool
	}
	var stderr bytes.Buffer
	require.ErrorIs(t, Preflight(t.Context(), f, f, slog.New(NewLogHandler(f, &stderr)), "1.20.1"), ErrNoElection)
	assert.Contains(t, stderr.String(), "CRITICAL Requires Leader Election - juju >= 1.23.2\n")
}

func TestMinor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2.8.11": "v2.8", "3.6.28": "v3.6", "4.0.15": "v4.0", "2.9-beta1.2": "v2.9", "10.11": "v10.11", "4.0.15.1": "v4.0",
	} {
		assert.Equal(t, want, minor(text), text)
	}
	for _, text := range []string{"", "2", ".", "2.", "x.9", "2.x", "2.9x", "-2.9"} {
		assert.Empty(t, minor(text), text)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	f := newFake()
	log := slog.New(NewLogHandler(f, t.Output())).With("unit", "etcd/0").WithGroup("g")
	log.Debug("d")
	log.Info("-i", "k", 1, "s", []string{"a", "b"})
	log.Warn("w", "e", errors.New("two words"))
	log.Error("e", slog.Group("in", "x", ""), "m", fakeSecret{})
	log.Log(t.Context(), LevelCritical, "c\x00c", "", "dropped")
	var lines []string
	for _, c := range f.calls {
		assert.Equal(t, "juju-log", c.tool)
		assert.Equal(t, "--", c.args[2], "a message may begin with a dash")
		lines = append(lines, c.args[1]+" "+c.args[3])
	}
	assert.Equal(t, []string{
		"DEBUG d unit=etcd/0",
		"INFO -i unit=etcd/0 g.k=1 g.s=a,b",
		`WARNING w unit=etcd/0 g.e="two words"`,
		`ERROR e unit=etcd/0 g.in.x="" g.m=[redacted]`,
		"CRITICAL cc unit=etcd/0",
	}, lines)
}

// fakeSecret prints as redacted, as every type of ours that holds a key does.
type fakeSecret struct{ Key string }

func (fakeSecret) String() string { return "[redacted]" }

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	slog.New(NewLogHandler(f, t.Output())).Info("long", "text", strings.Repeat("é", 10<<20))
	assert.LessOrEqual(t, len(f.calls[0].args[3]), maxMessage+len("…"))

	f = newFake()
	f.fail["juju-log"] = errors.New("gone")
	var stderr bytes.Buffer
	slog.New(NewLogHandler(f, &stderr)).Info("said anyway")
	assert.Equal(t, "INFO said anyway\n", stderr.String())
}
