package pid1

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A condition that is not met leaves the service down: it has not failed, is not started again, and
// its start has not failed. Each start asks again, also one by the service manager itself.
// (Measured with systemd 252. With ExecStartPre= and RestartPreventExitStatus= it would be started
// again and again, because that setting is about the main process.)
func TestConditionIsNotMet(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	m.put("opt/gate", "#!/bin/sh\nexit $(cat $0.code)")
	m.put("opt/gate.code", "83")
	m.write("Type=simple", "ExecCondition="+m.root+"/opt/gate --of x", "Restart=on-failure", "RestartSec=0")
	m.systemctl("start", "x")
	m.untilState("inactive/dead")
	assert.Equal(t, "exec-condition/0/0", m.show("Result")+"/"+m.show("NRestarts")+"/"+m.show("MainPID"))
	assert.Equal(t, "{ path="+m.root+"/opt/gate ; argv[]="+m.root+"/opt/gate --of x ; ignore_errors=no ; code=exited ; status=83 }", m.show("ExecCondition"))
	assert.Equal(t, "Starting x.service - the service...\nx.service: Skipped due to 'exec-condition'.\n"+
		"Condition check resulted in x.service - the service being skipped.\n", m.journal())
	assert.Equal(t, 1, m.Command("systemctl", []string{"is-failed", "x"}).Code)
	m.systemctl("daemon-reload")
	assert.Equal(t, "exec-condition", m.show("Result"), "that is kept")
	assert.Contains(t, m.show("ExecCondition"), "code=(null) ; status=0/0", "and the exit code is forgotten")
	m.systemctl("reset-failed", "x")
	assert.Equal(t, "success", m.show("Result"))

	m.put("opt/gate.code", "0")
	m.systemctl("start", "x")
	m.untilState("active/running")
	assert.Equal(t, "success", m.show("Result"))
	assert.Contains(t, m.show("ExecCondition"), "status=0 }")

	m.put("opt/gate.code", "254")
	require.NoError(t, syscall.Kill(m.pid(), syscall.SIGKILL))
	m.untilState("inactive/dead")
	assert.Equal(t, "exec-condition/1", m.show("Result")+"/"+m.show("NRestarts"), "its restart was held")

	m.put("opt/gate.code", "255")
	m.systemctl("start", "--no-block", "x")
	m.until("a failure", func() bool { return m.show("NRestarts") != "0" })
	assert.Equal(t, "exit-code", m.show("Result"), "255 is no answer")
	m.systemctl("stop", "x")
}
