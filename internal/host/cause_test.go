package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logOf is what etcd printed when it was really started so that it could not serve: testdata/logs. Most lines of level info
// and all but the ends of stack traces are left out.
func logOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "logs", name+".log"))
	require.NoError(t, err)
	return string(text)
}

// How supervisors speak of a service's ends.
const (
	unitName   = "etcd-charm-etcd-0.service"
	childStart = "supervisor: starts /opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcd\n"
	childEnd   = "supervisor: the service ended: exit status 1\n"
	unitStart  = "Starting " + unitName + " - etcd member of Juju unit etcd/0...\n"
	unitEnd    = unitName + ": Main process exited, code=exited, status=1/FAILURE\n" +
		unitName + ": Failed with result 'exit-code'.\n" +
		"Failed to start " + unitName + " - etcd member of Juju unit etcd/0.\n" +
		unitName + ": Scheduled restart job, restart counter is at 2.\n" +
		"Stopped " + unitName + " - etcd member of Juju unit etcd/0.\n"
)

var causes = map[string]string{
	"port-taken-peer":         "listen tcp 127.0.0.9:12380: bind: address already in use",
	"port-taken-client":       "listen tcp 127.0.0.9:12379: bind: address already in use",
	"port-taken-metrics":      "listen tcp 127.0.0.9:12381: bind: address already in use",
	"port-taken-metrics-warn": "listen tcp 127.0.0.9:12381: bind: address already in use",
	"unknown-flag":            "flag provided but not defined: -no-such-flag",
	"bad-value":               `failed to verify flags: invalid value "abc" for ETCD_HEARTBEAT_INTERVAL: parse error`,
	"refused-option":          "failed to verify flags: --election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[100ms]",
	"unreadable-data":         "failed to list data directory: open /var/lib/etcd-charm/etcd-0/d.member: permission denied",
	"corrupt-db":              "failed to open database: invalid database",
	"corrupt-wal":             "panic: runtime error: invalid memory address or nil pointer dereference",
	"nobody-to-join":          "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
	"no-certificate":          "listener failed: open /nofile: no such file or directory",
}

func TestCauseOfRealLogs(t *testing.T) {
	t.Parallel()
	for name, want := range causes {
		log := logOf(t, name)
		assert.Equal(t, want, cause(log), name)
		for by, around := range map[string][2]string{"supervisor": {childStart, childEnd}, "systemd": {unitStart, unitEnd}} {
			once := around[0] + log + around[1]
			assert.Equal(t, want, cause(once), "%s, by %s", name, by)
			assert.Equal(t, want, cause(once+around[0]), "%s, by %s, and it starts again", name, by)
			other := around[0] + logOf(t, "unreadable-data") + around[1]
			assert.Equal(t, want, cause(other+once), "%s, by %s, after another cause", name, by)
			assert.Equal(t, causes["unreadable-data"], cause(once+other), "%s, by %s, before another cause", name, by)
		}
	}
}

// TestCauseWhileItEnds looks at each moment of a second run that fails as the first did: parts of a server complain of its end
// before it says what it ends for, and the looker may come between.
func TestCauseWhileItEnds(t *testing.T) {
	t.Parallel()
	for name, want := range causes {
		if name == "corrupt-db" || name == "no-certificate" || name == "nobody-to-join" {
			continue // they say why in several ways, one after the other
		}
		log := logOf(t, name)
		so := childStart + log + childEnd + childStart
		for line := range strings.Lines(log) {
			so += line
			assert.Contains(t, cause(so), want, "%s, up to %s", name, line)
		}
	}
}

func TestCause(t *testing.T) {
	t.Parallel()
	const transient = `{"level":"error","msg":"slow","error":"no"}` + "\n"
	for name, tt := range map[string]struct{ log, want string }{
		"none":                             {"", ""},
		"killed, by the supervisor":        {childStart + transient + "supervisor: the service ended: signal: killed\n", "supervisor: the service ended: signal: killed"},
		"killed, by systemd":               {unitStart + transient + unitName + ": Main process exited, code=killed, status=9/KILL\n", unitName + ": Main process exited, code=killed, status=9/KILL"},
		"it says nothing":                  {childStart + childEnd, strings.TrimSpace(childEnd)},
		"it cannot be started":             {"supervisor: starts /x\nsupervisor: cannot start service: fork/exec /x: permission denied\n", "supervisor: cannot start service: fork/exec /x: permission denied"},
		"it cannot be started, by systemd": {unitStart + unitName + ": Failed at step EXEC spawning /x: Permission denied\n" + unitEnd, unitName + ": Failed at step EXEC spawning /x: Permission denied"},
		"a complaint of a run before it was told to restart": {
			childStart + transient + childStart + logOf(t, "bad-value") + childEnd, causes["bad-value"],
		},
		"the proxy": {
			childStart + "time=2026-01-01T00:00:00Z level=INFO msg=listening\nError: cannot read proxy configuration: no such file\n" + childEnd,
			"Error: cannot read proxy configuration: no such file",
		},
		"data that differs": {
			`{"level":"error","msg":"checkInitialHashKV failed","error":"8e9e05c52164694d found data inconsistency with peers"}` + "\n" +
				`{"level":"fatal","msg":"discovery failed","error":"8e9e05c52164694d found data inconsistency with peers"}`,
			"8e9e05c52164694d found data inconsistency with peers",
		},
		"long": {strings.Repeat("é", 400), strings.Repeat("é", 150) + "…"},
	} {
		assert.Equal(t, tt.want, cause(tt.log), name)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	assert.Empty(t, tail(path, 8))
	require.NoError(t, os.WriteFile(path, []byte("first\nsecond\n"), 0o600))
	assert.Equal(t, "first\nsecond\n", tail(path, 13))
	assert.Equal(t, "second\n", tail(path, 12), "whole lines only")
}

func FuzzCause(f *testing.F) {
	f.Add(`{"level":"error","msg":"x"}` + "\npanic: y\nz")
	f.Add(unitStart + unitEnd)
	f.Fuzz(func(t *testing.T, log string) {
		assert.LessOrEqual(t, len(cause(log)), 303)
		assert.NotContains(t, cause(log), "\n")
	})
}
