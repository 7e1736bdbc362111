package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func memberUnit() service {
	return service{
		Kind: operator.MemberService, Unit: "etcd/0", Argv: []string{"/opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcd"},
		EnvFile: "/etc/etcd-charm/etcd-0/etcd.env", Writable: "/var/lib/etcd-charm/etcd-0/data", User: systemUser,
	}
}

// TestUnitFile compares the unit files with samples; UPDATE=1 writes them.
func TestUnitFile(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]service{
		"member": memberUnit(),
		"proxy": {
			Kind: operator.ProxyService, Unit: "etcd/0", User: systemUser, EnvFile: "/etc/etcd-charm/etcd-0/proxy.env",
			Argv:     []string{"/opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcd-charm", "proxy", "--config", "/etc/etcd-charm/etcd-0/proxy.yaml"},
			Writable: "-/var/lib/etcd-charm/etcd-0/proxy",
		},
		"proxy-socket": {
			Kind: operator.ProxyService, Unit: "etcd/0", User: systemUser, EnvFile: "/etc/etcd-charm/etcd-0/proxy.env",
			Argv:   []string{"/opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcd-charm", "proxy", "--config", "/etc/etcd-charm/etcd-0/proxy.yaml"},
			RunDir: "etcd-charm/etcd-0", Group: "etcd-users",
		},
	} {
		got, err := renderUnit(s)
		require.NoError(t, err)
		sample := filepath.Join("testdata", name+".service")
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(sample, got, 0o644))
		}
		want, err := os.ReadFile(sample)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
		assert.Equal(t, s, parseUnit(got), "it is compared with what it should be")
	}
	s := memberUnit()
	s.EnvFile = "/etc/with blank"
	_, err := renderUnit(s)
	assert.Error(t, err)
}

// fakeSystemd answers systemctl for one unit, and refuses unknown calls.
type fakeSystemd struct {
	calls      []string
	properties map[string]string
	journal    []string // what systemd itself said of the service
	asked      int      // how often it was asked for the journal
	refuse     string   // the verb that fails
}

func (f *fakeSystemd) run(_ context.Context, name string, args ...string) ([]byte, error) {
	if name == "journalctl" && slices.Contains(args, "--identifier=systemd") {
		f.asked++
		return []byte(strings.Join(f.journal, "\n")), nil
	}
	if name == "journalctl" {
		return []byte(`{"level":"fatal","msg":"discovery failed","error":"address already in use"}`), nil
	}
	if name != "systemctl" {
		panic("unexpected command " + name)
	}
	if args[0] == "show" {
		var b strings.Builder
		for k, v := range f.properties {
			fmt.Fprintf(&b, "%s=%s\n", k, v)
		}
		return []byte(b.String()), nil
	}
	f.calls = append(f.calls, strings.Join(args, " "))
	if args[0] == f.refuse {
		return nil, errors.New("refused")
	}
	return nil, nil
}

func TestSystemdControl(t *testing.T) {
	t.Parallel()
	const unit = "etcd-charm-etcd-0.service"
	for name, tt := range map[string]struct {
		verb       verb
		written    bool
		properties map[string]string
		refuse     string
		calls      []string
		fails      bool
	}{
		"start": {verb: startVerb, written: true, calls: []string{"enable " + unit, "reset-failed " + unit, "start --no-block " + unit}},
		"start, unit file is newer": {
			verb: startVerb, written: true, properties: map[string]string{"NeedDaemonReload": "yes"},
			calls: []string{"daemon-reload", "enable " + unit, "reset-failed " + unit, "start --no-block " + unit},
		},
		"start, nothing has failed": {
			verb: startVerb, written: true, refuse: "reset-failed",
			calls: []string{"enable " + unit, "reset-failed " + unit, "start --no-block " + unit},
		},
		"start, refused": {verb: startVerb, written: true, refuse: "start", fails: true, calls: []string{"enable " + unit, "reset-failed " + unit, "start --no-block " + unit}},
		"start, cannot be enabled": {
			verb: startVerb, written: true, refuse: "enable", fails: true,
			calls: []string{"enable " + unit, "reset-failed " + unit, "start --no-block " + unit},
		},
		"start, none written": {verb: startVerb, fails: true},
		"restart":             {verb: restartVerb, written: true, calls: []string{"enable " + unit, "reset-failed " + unit, "restart --no-block " + unit}},
		"stop":                {verb: stopVerb, written: true, calls: []string{"disable " + unit, "stop --no-block " + unit, "reset-failed " + unit}},
		"stop, none written":  {verb: stopVerb},
		"stop, its unit file is gone": {
			verb: stopVerb, properties: map[string]string{"ActiveState": "active", "LoadState": "not-found"},
			calls: []string{"daemon-reload", "stop --no-block " + unit, "reset-failed " + unit},
		},
		"stop, cannot be disabled": {
			verb: stopVerb, written: true, refuse: "disable", fails: true,
			calls: []string{"disable " + unit, "stop --no-block " + unit, "reset-failed " + unit},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeSystemd{properties: tt.properties, refuse: tt.refuse}
			s := &systemd{paths: newPaths(t.TempDir(), "etcd/0"), run: fake.run}
			if tt.written {
				require.NoError(t, os.MkdirAll(filepath.Dir(s.unitFile()), 0o755))
				require.NoError(t, s.write(t.Context(), memberUnit()))
			}
			err := s.control(t.Context(), tt.verb)
			assert.Equal(t, tt.fails, err != nil, err)
			assert.Equal(t, tt.calls, fake.calls)
		})
	}
}

func TestSystemdRemove(t *testing.T) {
	t.Parallel()
	fake := &fakeSystemd{}
	s := &systemd{paths: newPaths(t.TempDir(), "etcd/0"), run: fake.run}
	require.NoError(t, os.MkdirAll(filepath.Dir(s.wanted()), 0o755))
	require.NoError(t, s.write(t.Context(), memberUnit()))
	require.NoError(t, os.Symlink(s.unitFile(), s.wanted()))
	for range 2 {
		require.NoError(t, s.write(t.Context(), service{}))
		assert.NoFileExists(t, s.unitFile())
		_, err := os.Lstat(s.wanted())
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	assert.Equal(t, []string{"daemon-reload", "daemon-reload"}, fake.calls)
}

func TestSystemdState(t *testing.T) {
	t.Parallel()
	fake := &fakeSystemd{properties: map[string]string{
		"ActiveState": "activating", "SubState": "auto-restart", "MainPID": "0", "UnitFileState": "enabled",
	}}
	s := &systemd{paths: newPaths(t.TempDir(), "etcd/0"), run: fake.run}
	state, err := s.state(t.Context())
	require.NoError(t, err)
	assert.Equal(t, serviceState{}, state, "none is written")
	require.NoError(t, os.MkdirAll(filepath.Dir(s.unitFile()), 0o755))
	require.NoError(t, s.write(t.Context(), memberUnit()))
	state, err = s.state(t.Context())
	require.NoError(t, err)
	assert.Equal(t, operator.MemberService, state.Kind)
	assert.Equal(t, "3.7.3-0123456789ab", state.release())
	assert.True(t, state.enabled && state.failing)
	assert.False(t, state.process.alive())
	assert.Equal(t, "address already in use", state.log)
}

// If the kernel ended a service for lack of memory and the service runs again, only the journal
// still shows it.
func TestMemory(t *testing.T) {
	t.Parallel()
	const unit = "etcd-charm-etcd-0.service: "
	killed := []string{unit + "A process of this unit has been killed by the OOM killer.", unit + "Main process exited, code=killed, status=9/KILL"}
	for name, tt := range map[string]struct {
		memory, restarts string
		journal          []string
		bytes            int64
		starved          bool
		asked            int
	}{
		"serves":                        {memory: "73400320", restarts: "0", bytes: 70 << 20},
		"does not run":                  {memory: "[not set]", restarts: "0"},
		"not counted":                   {memory: "18446744073709551615", restarts: "0"},
		"crashed":                       {memory: "1", restarts: "1", journal: []string{unit + "Failed with result 'exit-code'."}, bytes: 1, asked: 1},
		"ended by the kernel":           {memory: "1", restarts: "2", journal: killed, bytes: 1, starved: true, asked: 1},
		"ended by the kernel, in short": {memory: "1", restarts: "2", journal: []string{unit + "Failed with result 'oom-kill'."}, bytes: 1, starved: true, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeSystemd{journal: tt.journal, properties: map[string]string{
				"ActiveState": "active", "SubState": "running", "MainPID": "0", "NRestarts": tt.restarts, "MemoryCurrent": tt.memory,
			}}
			s := &systemd{paths: newPaths(t.TempDir(), "etcd/0"), run: fake.run}
			require.NoError(t, os.MkdirAll(filepath.Dir(s.unitFile()), 0o755))
			require.NoError(t, s.write(t.Context(), memberUnit()))
			for range 3 {
				state, err := s.state(t.Context())
				require.NoError(t, err)
				assert.Equal(t, tt.bytes, state.memory)
				assert.Equal(t, tt.starved, state.starved)
			}
			assert.Equal(t, tt.asked, fake.asked, "once a hook, and only of a service that crashed")
		})
	}
}

func TestFailing(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for name, tt := range map[string]struct {
		active, sub, restarts string
		age                   time.Duration
		want                  bool
	}{
		"running":                            {"active", "running", "0", minute, false},
		"running after crashes":              {"active", "running", "7", time.Second, false},
		"waits for quorum":                   {"activating", "start", "0", time.Second, false},
		"waits for quorum after a crash":     {"activating", "start", "1", time.Second, false},
		"a proxy that starts":                {"activating", "start", "0", time.Second, false},
		"a proxy that starts again":          {"activating", "start", "1", time.Second, true},
		"a proxy that runs again":            {"active", "running", "1", time.Second, false},
		"dies in a loop":                     {"activating", "start", "5", time.Second, true},
		"waits long, after crashes":          {"activating", "start", "5", minute, false},
		"between two tries":                  {"activating", "auto-restart", "1", minute, true},
		"between two tries, queued":          {"activating", "auto-restart-queued", "1", minute, true},
		"given up":                           {"failed", "failed", "0", minute, true},
		"stopped":                            {"inactive", "dead", "0", minute, false},
		"removed from the cluster, exited 0": {"inactive", "dead", "1", minute, false},
	} {
		now, kind := time.Hour, operator.MemberService
		if strings.HasPrefix(name, "a proxy") {
			kind = operator.ProxyService
		}
		got := failing(map[string]string{
			"ActiveState": tt.active, "SubState": tt.sub, "NRestarts": tt.restarts,
			"ExecMainStartTimestampMonotonic": fmt.Sprint((now - tt.age).Microseconds()),
		}, now, kind)
		assert.Equal(t, tt.want, got, name)
	}
}

// TestAge: how long the main process has run, by the clock that systemd's monotonic timestamps are
// on.
func TestAge(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 2*time.Second, age(map[string]string{"ExecMainStartTimestampMonotonic": "1000000"}, 3*time.Second))
}
