package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

type machine struct {
	*Manager
	t    *testing.T
	root string
}

// newMachine has a service x.service that runs a script.
func newMachine(t *testing.T, script string, lines ...string) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir()}
	m.Manager = New(m.root, "HTTPS_PROXY=http://proxy")
	t.Cleanup(m.Halt)
	m.put("opt/x", "#!/bin/sh\n"+script)
	m.write(lines...)
	return m
}

func (m *machine) put(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(m.t, os.WriteFile(path+".new", []byte(text), 0o755))
	require.NoError(m.t, os.Rename(path+".new", path))
}

func (m *machine) write(lines ...string) {
	m.t.Helper()
	m.put("etc/systemd/system/x.service", "# a comment\n[Unit]\nDescription=the service\nStartLimitIntervalSec=0\n"+
		"[Service]\nUser=nobody\nExecStart="+m.root+"/opt/x\n"+strings.Join(lines, "\n")+
		"\nProtectSystem=strict\n[Install]\nWantedBy=multi-user.target\n")
}

func (m *machine) systemctl(args ...string) string {
	m.t.Helper()
	out, err := m.Run(m.t.Context(), "systemctl", args...)
	require.NoError(m.t, err)
	return string(out)
}

func (m *machine) systemdRun(args ...string) {
	m.t.Helper()
	_, err := m.Run(m.t.Context(), "systemd-run", args...)
	require.NoError(m.t, err)
}

// of returns a property of a unit; show returns one of x.service.
func (m *machine) of(unit, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.systemctl("show", "--value", "--property="+property, unit))
}

func (m *machine) show(property string) string {
	m.t.Helper()
	return m.of("x.service", property)
}

func (m *machine) state(unit string) string {
	m.t.Helper()
	return m.of(unit, "ActiveState") + "/" + m.of(unit, "SubState")
}

func (m *machine) journal() string { return m.read("var/log/journal/x.service.log") }

func (m *machine) link(path string) string {
	m.t.Helper()
	to, err := os.Readlink(filepath.Join(m.root, "etc/systemd/system", path))
	require.NoError(m.t, err)
	return to
}

func (m *machine) pid() int {
	pid, err := strconv.Atoi(m.show("MainPID"))
	require.NoError(m.t, err)
	return pid
}

func (m *machine) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(m.root, name))
	return string(text)
}

// until waits for what must happen.
func (m *machine) until(what string, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s never came; %s\n%s", what, m.systemctl("show", "-p", "ActiveState,SubState,Result,NRestarts", "x"),
				m.journal())
		}
	}
}

func (m *machine) untilState(want string) {
	m.t.Helper()
	m.until(want, func() bool { return m.state("x") == want })
}

const sleeps = `exec sleep 600`

func TestUnknownUnit(t *testing.T) {
	t.Parallel()
	m := New(t.TempDir())
	out, err := m.Run(t.Context(), "systemctl", "show",
		"--property=LoadState,ActiveState,SubState,MainPID,NRestarts,UnitFileState,ExecMainStartTimestampMonotonic,NeedDaemonReload", "no.service")
	require.NoError(t, err)
	assert.Equal(t, "LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\nUnitFileState=\n"+
		"ExecMainStartTimestampMonotonic=0\nNeedDaemonReload=no\n", string(out))
	for verb, code := range map[string]int{"start": 5, "stop": 5, "restart": 5, "enable": 1, "disable": 1, "dance": 5} {
		r := m.Command("systemctl", []string{verb, "no.service"})
		assert.Equal(t, code, r.Code, verb)
		assert.NotEmpty(t, r.Stderr, verb)
	}
	r := m.Command("journalctl", []string{"--unit=no.service", "--lines=200", "--output=cat", "--no-pager", "--quiet"})
	assert.Equal(t, Reply{}, r)
}

// The environment comes only from the files, which are read at each start.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo "$A $B $C ${HTTPS_PROXY-unset} $(umask)" >$OUT; `+sleeps)
	m.write("Environment=A=1 B=1", "EnvironmentFile="+m.root+"/env", "EnvironmentFile=-"+m.root+"/none",
		"UnsetEnvironment=HTTPS_PROXY", "UMask=0077")
	m.put("env", "# a comment\nB=2 3\nC=\"quoted\"\nOUT="+m.root+"/out\n")
	m.systemctl("start", "x")
	m.until("its words", func() bool { return m.read("out") == "1 2 3 quoted unset 0077\n" })
	m.put("env", "B=4\nOUT="+m.root+"/out\n")
	m.systemctl("restart", "x.service")
	m.until("its words", func() bool { return m.read("out") == "1 4  unset 0077\n" })
}

// A process that is killed is started again; one that is told to end, or that ends by itself with
// 0, is not.
func TestRestartOnFailure(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps, "Restart=on-failure", "RestartSec=0.05")
	m.systemctl("start", "--no-block", "x")
	m.untilState("active/running")
	first := m.pid()
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	m.until("another process", func() bool { return m.pid() != first && m.pid() != 0 })
	assert.Equal(t, "1", m.show("NRestarts"))
	m.systemctl("start", "x")
	assert.Equal(t, "1", m.show("NRestarts"), "it runs already")
	m.systemctl("reset-failed", "x")
	assert.Equal(t, "0", m.show("NRestarts"))
	assert.Regexp(t, `^[0-9]+$`, m.show("MemoryCurrent"))

	require.NoError(t, syscall.Kill(m.pid(), syscall.SIGTERM))
	m.untilState("inactive/dead")
	assert.Zero(t, m.pid())
	m.systemctl("start", "x")
	m.systemctl("stop", "x")
	assert.Equal(t, "inactive", m.show("ActiveState"))
	m.put("opt/x", "#!/bin/sh\nexit 0\n")
	m.systemctl("start", "--no-block", "x")
	m.untilState("inactive/dead")
	assert.Contains(t, m.journal(), "x.service: Main process exited, code=killed, status=9/KILL\n"+
		"x.service: Failed with result 'signal'.\nx.service: Scheduled restart job, restart counter is at 1.\n")
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `[ -e $0.good ] && exec sleep 600; echo "in vain"; exit 1`, "Restart=on-failure", "RestartSec=50ms")
	m.systemctl("start", "--no-block", "x")
	m.until("three restarts", func() bool { n, _ := strconv.Atoi(m.show("NRestarts")); return n >= 3 })
	m.untilState("activating/auto-restart")
	assert.Equal(t, "exit-code", m.show("Result"))
	out, err := m.Run(t.Context(), "journalctl", "--unit=x.service", "--lines=200", "--output=cat", "--no-pager", "--quiet")
	require.NoError(t, err)
	for _, line := range []string{"Starting x.service - the service...\n", "in vain\n", "x.service: Main process exited, code=exited, status=1/FAILURE\n"} {
		assert.Contains(t, string(out), line)
	}
	last, err := m.Run(t.Context(), "journalctl", "-u", "x", "-n", "1", "-o", "cat")
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(last), "\n"))
	m.put("opt/x.good", "")
	m.untilState("active/running")
	m.systemctl("stop", "x")
	m.untilState("inactive/dead")
}

// An exit code that prevents a restart does so, and a service that has given up counts as failed
// until that is reset.
func TestRestartPrevented(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "exit 7", "Restart=on-failure", "RestartPreventExitStatus=6 7", "RestartSec=0")
	m.systemctl("start", "--no-block", "x")
	m.untilState("failed/failed")
	assert.Equal(t, "0", m.show("NRestarts"))
	m.systemctl("reset-failed", "x")
	m.untilState("inactive/dead")
	m.put("opt/x", "#!/bin/sh\n"+sleeps)
	m.write("Restart=on-failure", "RestartPreventExitStatus=6 SIGKILL", "RestartSec=0")
	m.systemctl("start", "x")
	require.NoError(t, syscall.Kill(m.pid(), syscall.SIGKILL))
	m.untilState("failed/failed")
	assert.Equal(t, "signal/0", m.show("Result")+"/"+m.show("NRestarts"))
	m.systemctl("reset-failed", "x")
	m.put("opt/pre", "#!/bin/sh\nexit 3\n")
	m.write("ExecStartPre=" + m.root + "/opt/pre")
	m.systemctl("start", "--no-block", "x")
	m.untilState("failed/failed")
	assert.Contains(t, m.journal(), "Control process exited, code=exited, status=3/")
}

// Type=notify is active when the service says so, and not before.
func TestNotify(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo "$NOTIFY_SOCKET" >$0.socket; `+sleeps, "Type=notify")
	m.systemctl("start", "--no-block", "x")
	m.until("its socket", func() bool { return m.read("opt/x.socket") != "" })
	assert.Equal(t, "activating/start", m.show("ActiveState")+"/"+m.show("SubState"))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Sendto(fd, []byte("STATUS=x\nREADY=1"), 0, &unix.SockaddrUnix{Name: strings.TrimSpace(m.read("opt/x.socket"))}))
	m.untilState("active/running")
}

// A changed unit file counts once systemd is told to read it, and at once for a service that does
// not run.
func TestReload(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	m.systemctl("start", "x")
	assert.Equal(t, "no", m.show("NeedDaemonReload"))
	m.write("Environment=A=1")
	assert.Equal(t, "yes", m.show("NeedDaemonReload"))
	m.systemctl("daemon-reload")
	assert.Equal(t, "no", m.show("NeedDaemonReload"))
	require.NoError(t, os.Remove(filepath.Join(m.root, "etc/systemd/system/x.service")))
	m.systemctl("daemon-reload")
	assert.Equal(t, "not-found/active", m.show("LoadState")+"/"+m.show("ActiveState"), "what runs, runs on")
	m.systemctl("stop", "x")
	assert.Equal(t, "inactive", m.show("ActiveState"))
}

// A limit applies to running and later processes, until it is lifted.
func TestLimitFiles(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `while :; do sleep 0.02; echo x >$0.out; done`, "Restart=on-failure", "RestartSec=20ms")
	limit := func() string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", m.pid()))
		if err != nil {
			return ""
		}
		_, rest, _ := strings.Cut(string(text), "Max file size")
		return strings.Fields(rest)[0]
	}
	m.systemctl("start", "x")
	require.NoError(t, m.LimitFiles(0))
	m.until("restarts", func() bool { n, _ := strconv.Atoi(m.show("NRestarts")); return n >= 2 || limit() == "0" })
	require.NoError(t, m.LimitFiles(unix.RLIM_INFINITY))
	m.until("no limit", func() bool { return limit() == "unlimited" })
}
