package host

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// logOf returns what a real etcd printed that was started so that it could not serve:
// testdata/logs. Most lines of level info, and all but the ends of stack traces, are left out.
func logOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "logs", name+".log"))
	require.NoError(t, err)
	return string(text)
}

// systemd's lines about the end of a service.
const (
	unitName   = "etcd-charm-etcd-0.service"
	unitStart  = "Starting " + unitName + " - etcd member of Juju unit etcd/0...\n"
	gatePassed = "etcd-gate: https://127.0.0.1:2380 answers for cluster 1e3\n" +
		"etcd-gate: member 1a of cluster 1e3 may start\n"
	unitEnd = unitName + ": Main process exited, code=exited, status=1/FAILURE\n" +
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
	"back-in-time":            "tocommit(51) is out of range [lastIndex(10)]. Was the raft log corrupted, truncated, or lost?",
	"lost-db":                 "failed to recover v3 backend from snapshot: failed to find database snapshot file (snap: snapshot file doesn't exist)",
	"spoilt-db":               "panic: assertion failed: Page expected to be: 8, but self identifies as 9976630116205563459",
	"cut-db":                  "fatal error: fault",
	"spoilt-wal":              "walpb: crc mismatch: expected: a025f563 computed: 9bacbdcf: in file '0000000000000000-0000000000000000.wal' at position: 3600",
	"forbidden-db":            "failed to open database: open /var/lib/etcd-charm/etcd-0/data/member/snap/db: permission denied",
	"disk-full":               "failed to create WAL: no space left on device",
	"read-only":               "cannot access data directory: open /var/lib/etcd-charm/ro/.touch: read-only file system",
	"nobody-to-join":          "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
	"no-certificate":          "listener failed: open /nofile: no such file or directory",
}

func TestCauseOfRealLogs(t *testing.T) {
	t.Parallel()
	for name, want := range causes {
		log := logOf(t, name)
		assert.Equal(t, want, cause(log), name)
		once := unitStart + log + unitEnd
		assert.Equal(t, want, cause(once), name)
		assert.Equal(t, want, cause(once+unitStart), "%s, and it starts again", name)
		other := unitStart + logOf(t, "unreadable-data") + unitEnd
		assert.Equal(t, want, cause(other+once), "%s, after another cause", name)
		assert.Equal(t, causes["unreadable-data"], cause(once+other), "%s, before another cause", name)
	}
}

// TestCauseWhileItEnds looks at each moment of a second run that fails as the first did. Parts of a
// server log that the server ends before it logs the reason, and a look may come in between.
func TestCauseWhileItEnds(t *testing.T) {
	t.Parallel()
	for name, want := range causes {
		if slices.Contains([]string{"corrupt-db", "no-certificate", "nobody-to-join", "lost-db", "forbidden-db", "disk-full", "cut-db"}, name) {
			continue // these give the reason in several lines, one after the other
		}
		log := logOf(t, name)
		so := unitStart + gatePassed + log + unitEnd + unitStart
		for line := range strings.Lines(gatePassed + log) {
			so += line
			assert.Contains(t, cause(so), want, "%s, up to %s", name, line)
		}
	}
}

// TestAilmentsOfRealLogs: only some of what keeps a server from running is a fault of the data.
func TestAilmentsOfRealLogs(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"corrupt-db": "bad data", "lost-db": "bad data", "spoilt-db": "bad data", "spoilt-wal": "bad data", "back-in-time": "bad data",
		"cut-db": "unreadable", "disk-full": "disk full",
		"forbidden-db": "forbidden", "read-only": "forbidden", "unreadable-data": "forbidden",
	}
	for name := range causes {
		ails := operator.Service{Log: cause(logOf(t, name))}.Ailment()
		assert.Equal(t, cmp.Or(want[name], "unnamed"), ails, name)
	}
	locked := logOf(t, "locked-db")
	assert.Equal(t, "locked", operator.Service{Log: awaited(unitStart + locked)}.Ailment())
	assert.Empty(t, awaited(locked+`{"level":"info","msg":"opened backend db"}`), "it waited")
	assert.Empty(t, awaited(""))
}

func TestCause(t *testing.T) {
	t.Parallel()
	const transient = `{"level":"error","msg":"slow","error":"no"}` + "\n"
	for name, tt := range map[string]struct{ log, want string }{
		"none":                 {"", ""},
		"killed":               {unitStart + transient + unitName + ": Main process exited, code=killed, status=9/KILL\n", unitName + ": Main process exited, code=killed, status=9/KILL"},
		"it says nothing":      {unitStart + unitEnd, unitName + ": Main process exited, code=exited, status=1/FAILURE"},
		"it cannot be started": {unitStart + unitName + ": Failed at step EXEC spawning /x: Permission denied\n" + unitEnd, unitName + ": Failed at step EXEC spawning /x: Permission denied"},
		"a complaint of a run before it was told to restart": {
			unitStart + transient + unitStart + logOf(t, "bad-value") + unitEnd, causes["bad-value"],
		},
		"the proxy": {
			unitStart + "time=2026-01-01T00:00:00Z level=INFO msg=listening\nError: cannot read proxy configuration: no such file\n" + unitEnd,
			"Error: cannot read proxy configuration: no such file",
		},
		"data that differs": {
			`{"level":"error","msg":"checkInitialHashKV failed","error":"8e9e05c52164694d found data inconsistency with peers"}` + "\n" +
				`{"level":"fatal","msg":"discovery failed","error":"8e9e05c52164694d found data inconsistency with peers"}`,
			"8e9e05c52164694d found data inconsistency with peers",
		},
		"the gate holds it": {
			unitStart + "etcd-gate: https://127.0.0.1:2380 answers for cluster 2\n" +
				"etcd-gate: member 1a of cluster 1e3 stays down until the next hook of its unit: elsewhere\n" + unitEnd,
			"etcd-gate: member 1a of cluster 1e3 stays down until the next hook of its unit: elsewhere",
		},
		"long": {strings.Repeat("é", 400), strings.Repeat("é", 150) + "…"},
	} {
		assert.Equal(t, tt.want, cause(tt.log), name)
	}
}

func FuzzCause(f *testing.F) {
	f.Add(`{"level":"error","msg":"x"}` + "\npanic: y\nz")
	f.Add(unitStart + unitEnd)
	f.Fuzz(func(t *testing.T, log string) {
		assert.LessOrEqual(t, len(cause(log)), 303)
		assert.NotContains(t, cause(log), "\n")
	})
}
