package pid1

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const killedVar = "PID1_TEST_KILLED"

// TestMain makes the test program also act as one that keeps a service running until it is killed.
func TestMain(m *testing.M) {
	if root := os.Getenv(killedVar); root != "" {
		keeper := New(root)
		if _, err := keeper.Run(nil, "systemctl", "start", "x"); err != nil { //nolint:staticcheck // it is not looked at
			fmt.Println(err)
			os.Exit(1)
		}
		_, _ = os.Stdout.Write(keeper.Command("systemctl", []string{"show", "--value", "-p", "MainPID", "x"}).Stdout)
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// A keeper that is killed has no time to end its services: the kernel ends them.
func TestServicesFollowTheirKeeper(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps, "Restart=always")
	keeper := exec.Command(os.Args[0])
	keeper.Env = append(os.Environ(), killedVar+"="+m.root)
	out, err := keeper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, keeper.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err, line)
	require.False(t, gone(pid))
	require.NoError(t, keeper.Process.Kill())
	_ = keeper.Wait()
	m.until("its end", func() bool { return gone(pid) })
}

// A service that ignores SIGTERM is killed when its time is over, and one that is stopped by a
// signal receives SIGTERM.
func TestStop(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `trap "" TERM; : >$0.deaf; while :; do sleep 0.05; done`, "TimeoutStopSec=0.2", "Restart=always")
	m.systemctl("start", "x")
	m.until("a deaf process", func() bool { _, err := os.Stat(filepath.Join(m.root, "opt/x.deaf")); return err == nil })
	m.systemctl("stop", "x")
	assert.Equal(t, "failed/timeout", m.show("ActiveState")+"/"+m.show("Result"))
	assert.Contains(t, m.journal(), "State 'stop-sigterm' timed out. Killing.\n"+
		"x.service: Main process exited, code=killed, status=9/KILL\nx.service: Failed with result 'timeout'.\nStopped x.service - the service.\n")

	m = newMachine(t, sleeps, "TimeoutStopSec=600")
	m.systemctl("start", "x")
	require.NoError(t, syscall.Kill(m.pid(), syscall.SIGSTOP))
	m.systemctl("stop", "x")
	assert.Equal(t, "inactive/success", m.show("ActiveState")+"/"+m.show("Result"))

	m = newMachine(t, `trap "exit 5" TERM; : >$0.up; while :; do sleep 0.05; done`)
	m.systemctl("start", "x")
	m.until("its trap", func() bool { _, err := os.Stat(filepath.Join(m.root, "opt/x.up")); return err == nil })
	m.systemctl("stop", "x")
	assert.Equal(t, "failed/exit-code", m.show("ActiveState")+"/"+m.show("Result"))
	assert.Equal(t, "5", m.show("ExecMainStatus"))
}

// All processes of a service end with it.
func TestWholeService(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `sleep 600 & echo $! >$0.child; wait`, "Restart=no")
	m.systemctl("start", "x")
	child := 0
	m.until("a child", func() bool { child, _ = strconv.Atoi(strings.TrimSpace(m.read("opt/x.child"))); return child != 0 })
	assert.True(t, m.Runs(child))
	assert.False(t, m.Runs(os.Getpid()))
	require.NoError(t, syscall.Kill(m.pid(), syscall.SIGKILL))
	m.untilState("failed/failed")
	m.until("its end", func() bool { return gone(child) })
	assert.False(t, m.Runs(child))
}

// A service that waits for its automatic restart can be stopped.
func TestStopBetweenTries(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "exit 1", "Restart=on-failure", "RestartSec=1h")
	m.systemctl("start", "--no-block", "x")
	m.untilState("activating/auto-restart")
	m.systemctl("start", "--no-block", "x")
	assert.Equal(t, "auto-restart", m.show("SubState"), "it is not hurried")
	assert.Equal(t, "0", m.show("NRestarts"))
	m.systemctl("stop", "x")
	assert.Equal(t, "inactive", m.show("ActiveState"))
	assert.Equal(t, 1, strings.Count(m.journal(), "Starting x.service"))
	m.systemctl("start", "--no-block", "x")
	m.untilState("activating/auto-restart")
	m.Halt()
}

// Enabled units start with the machine, and none survives its end.
func TestBoot(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	m.put("etc/systemd/system/y.service", "[Service]\nExecStart="+m.root+"/opt/x\n")
	m.put("etc/systemd/system/y.timer", "[Timer]\nOnBootSec=0\n[Install]\nWantedBy=timers.target\n")
	assert.Equal(t, "disabled", m.show("UnitFileState"))
	m.systemctl("enable", "x.service")
	assert.Equal(t, filepath.Join(m.root, "etc/systemd/system/x.service"), m.link("multi-user.target.wants/x.service"))
	assert.Contains(t, string(m.Command("systemctl", []string{"enable", "y"}).Stderr), "no installation config")
	m.systemctl("start", "x")
	m.systemctl("start", "y")
	m.systemctl("enable", "--now", "y.timer")
	pid := m.pid()
	m.Halt()
	assert.True(t, gone(pid))
	assert.Equal(t, 1, m.Command("systemctl", []string{"start", "x"}).Code)
	require.NoError(t, m.Boot())
	m.untilState("active/running")
	assert.Equal(t, "enabled", m.show("UnitFileState"))
	m.until("what the timer starts", func() bool { return m.state("y") == "active/running" })
	m.systemctl("disable", "--now", "x.service")
	m.systemctl("disable", "y.timer")
	m.Halt()
	require.NoError(t, m.Boot())
	assert.Equal(t, "inactive", m.show("ActiveState"))
	assert.Equal(t, 3, m.Command("systemctl", []string{"is-active", "y"}).Code)
	assert.Equal(t, 4, m.Command("systemctl", []string{"is-active", "z"}).Code)
}

// A unit file that cannot be read keeps only its own unit from starting.
func TestBootWithABadFile(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	m.put("etc/systemd/system/bad.service", "[Service]\nExecStart="+m.root+"/opt/x\n[Install]\nWantedBy=multi-user.target\n")
	m.systemctl("enable", "bad")
	m.systemctl("enable", "x")
	m.Halt()
	m.put("etc/systemd/system/bad.service", "[Service]\nType=forking\n")
	require.ErrorContains(t, m.Boot(), "unit bad.service has a bad unit file setting: cannot read Type=forking")
	m.untilState("active/running")
}
