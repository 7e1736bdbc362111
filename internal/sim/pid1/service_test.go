package pid1

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A service of Type=notify that ends before it has reported that it is ready has failed, even with
// exit code 0.
func TestProtocol(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "exit 0", "Type=notify", "Restart=on-failure", "RestartSec=1h")
	m.systemctl("start", "--no-block", "x")
	m.untilState("activating/auto-restart")
	assert.Equal(t, "protocol", m.show("Result"))
	assert.Contains(t, m.journal(), "x.service: Failed with result 'protocol'.\nFailed to start x.service - the service.\n")
	assert.NotContains(t, m.journal(), "process exited")
}

// A service that takes too long to start, or to run, is ended.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps, "Type=notify", "TimeoutStartSec=50ms")
	assert.Equal(t, 1, m.Command("systemctl", []string{"start", "x"}).Code)
	m.untilState("failed/failed")
	assert.Equal(t, "timeout", m.show("Result"))
	assert.Contains(t, m.journal(), "x.service: start operation timed out. Terminating.\n")

	m = newMachine(t, sleeps, "RuntimeMaxSec=50ms", "Restart=on-failure", "RestartSec=0")
	m.systemctl("start", "x")
	m.until("a restart", func() bool { return m.show("NRestarts") != "0" })
	assert.Contains(t, m.journal(), "x.service: Service reached runtime time limit. Stopping.\nx.service: Main process exited, code=killed, status=15/TERM\n"+
		"x.service: Failed with result 'timeout'.\n")
}

// A service that is started too often in a short time fails, until that is reset.
func TestStartLimit(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "exit 1", "Restart=on-failure", "RestartSec=0", "[Unit]", "StartLimitIntervalSec=1h", "StartLimitBurst=3")
	m.systemctl("start", "--no-block", "x")
	m.untilState("failed/failed")
	assert.Equal(t, "start-limit-hit/3", m.show("Result")+"/"+m.show("NRestarts"))
	assert.Equal(t, 1, m.Command("systemctl", []string{"start", "x"}).Code)
	m.systemctl("reset-failed", "x")
	m.put("opt/x", "#!/bin/sh\n"+sleeps)
	m.systemctl("start", "x")
	m.untilState("active/running")
}

func TestOneshot(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo "$*" >>$0.out; [ "$1" != bad ]`)
	x := m.root + "/opt/x"
	m.put("etc/systemd/system/x.service", "[Service]\nType=oneshot\nExecStartPre=-"+x+" bad\nExecStart="+x+` "two words" it\'s\x21`+" \\\n 'a \"b\"' $$HOME\n"+
		"ExecStart=+"+x+" last\n")
	m.systemctl("start", "x")
	assert.Equal(t, "bad\ntwo words it's! a \"b\" $HOME\nlast\n", m.read("opt/x.out"))
	assert.Equal(t, "inactive/success", m.show("ActiveState")+"/"+m.show("Result"))
	m.put("etc/systemd/system/x.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart="+x+"\n")
	m.systemctl("start", "x")
	m.untilState("active/exited")
	m.systemctl("stop", "x")
	m.untilState("inactive/dead")
	m.put("etc/systemd/system/x.service", "[Service]\nType=oneshot\nExecStart="+x+" bad\nExecStart="+x+" never\n")
	assert.Equal(t, 1, m.Command("systemctl", []string{"start", "x"}).Code)
	m.untilState("failed/failed")
	assert.NotContains(t, m.read("opt/x.out"), "never")
	assert.Equal(t, 0, m.Command("systemctl", []string{"is-failed", "x"}).Code)
}

// A process that runs before the main one is not the main one.
func TestControlProcess(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	m.put("opt/pre", "#!/bin/sh\nwhile ! [ -e $0.go ]; do sleep 0.01; done")
	m.write("ExecStartPre=" + m.root + "/opt/pre")
	m.systemctl("start", "--no-block", "x")
	m.until("a process", func() bool { return m.show("ControlPID") != "0" })
	assert.Zero(t, m.pid())
	assert.Equal(t, "0", m.show("ExecMainStartTimestampMonotonic"))
	m.put("opt/pre.go", "")
	m.untilState("active/running")
	assert.NotZero(t, m.pid())
	assert.Equal(t, "0", m.show("ControlPID"))
}

// If a program cannot be run, the error is in systemd's words.
func TestCannotRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps, "EnvironmentFile=/no/such/file")
	m.systemctl("start", "--no-block", "x")
	m.untilState("failed/failed")
	assert.Equal(t, "resources", m.show("Result"))
	assert.Contains(t, m.journal(), "x.service: Failed to load environment files: open /no/such/file: no such file or directory\nx.service: Failed with result 'resources'.\n")
	m.put("etc/systemd/system/x.service", "[Service]\nExecStart=/no/such/program\n")
	m.systemctl("reset-failed", "x")
	m.systemctl("start", "--no-block", "x")
	m.untilState("failed/failed")
	assert.Contains(t, m.journal(), "x.service: Failed at step EXEC spawning /no/such/program: no such file or directory\n"+
		"x.service: Main process exited, code=exited, status=203/EXEC\n")
	assert.Equal(t, "203", m.show("ExecMainStatus"))
}

// A setting that would change what happens is carried out or refused; other settings are ignored.
func TestSettings(t *testing.T) {
	t.Parallel()
	const start = "[Service]\nExecStart=/x\n"
	for text, want := range map[string]string{
		start + "User=etcd\nProtectSystem=strict\nLimitNOFILE=1\nReadWritePaths=/x":        "",
		start + "OOMScoreAdjust=-900\nCPUWeight=1000\nIOWeight=1000\nMemoryAccounting=yes": "",
		"[Unit]\nDocumentation=https://x\nAfter=network.target\n" + start:                  "",
		"[Service]\nUser=etcd":               "no ExecStart=",
		start + "ExecStart=/y":               "more than one ExecStart=",
		start + "ExecStop=/y":                "ExecStop= is not known here",
		start + "Restart=on-abnormal":        "only no, always, on-failure are known here",
		start + "KillMode=process":           "only control-group are known here",
		start + "KillSignal=SIGINT":          "KillSignal= is not known here",
		start + "WatchdogSec=1":              "WatchdogSec= is not known here",
		start + "RestartSec=soon":            "no time span",
		start + "RestartSec=":                "no time span",
		start + "UMask=abc":                  "invalid syntax",
		"[Unit]\nConditionPathExists=/x":     "ConditionPathExists= is not known here",
		"[Unit]\nOnFailure=x.service":        "OnFailure= is not known here",
		"[Service]\nExecStart=":              "no command",
		"[Service]\nExecStart=x":             "absolute path",
		"[Service]\nExecStart=/x ${HOME}":    "variables are not known here",
		"[Service]\nExecStart=/x %i":         "specifiers are not known here",
		"[Service]\nExecStart=/x \"a":        "a quote is not closed",
		"[Service]\nExecStart=/x \\q":        `\q is not known here`,
		start + "[Install]\nAlias=y.service": "Alias= is not known here",
	} {
		_, err := parse("x.service", []byte(text))
		if want == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, want, text)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2": "2s", "500ms": "500ms", "1min 30s": "1m30s", "1min30": "1m30s", "2h": "2h0m0s", "0.25": "250ms", "1w": "168h0m0s", "infinity": "0s", "0": "0s",
	} {
		got, err := duration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.String(), text)
	}
	for _, text := range []string{"", "x", "1 fortnight", "-1", "1..2"} {
		_, err := duration(text)
		assert.Error(t, err, text)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	words := []string{"", " ", `a"b`, `a\b`, "it's", "a\nb\tc", "100%", "é"}
	line := ""
	for _, word := range words {
		line += " " + quote(word)
	}
	got, err := split(line)
	require.NoError(t, err)
	assert.Equal(t, words, got)
}

func FuzzSplit(f *testing.F) {
	f.Add(`a "b c" 'd' \x41 %%`)
	f.Fuzz(func(t *testing.T, value string) {
		words, err := split(value)
		if err != nil {
			return
		}
		line := ""
		for _, word := range words {
			line += quote(word) + " "
		}
		again, err := split(line)
		require.NoError(t, err, line)
		assert.Equal(t, words, again)
	})
}

func FuzzParse(f *testing.F) {
	f.Add("[Service]\nExecStart=/x a \\\n b\nRestartSec=1min\n[Timer]\nOnCalendar=Mon *-*-* 1:00\nOnBootSec=1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"x.service", "x.timer"} {
			file, err := parse(name, []byte(text))
			if err != nil {
				continue
			}
			for _, c := range file.calendars {
				now := time.Now()
				if next := c.next(now); !next.IsZero() && !next.After(now) {
					t.Errorf("%v is not after %v", next, now)
				}
			}
		}
	})
}

// Only known commands are answered, and this host's systemd is never asked.
func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	for i, args := range [][]string{
		{"systemctl"},
		{"systemctl", "list-units"},
		{"systemctl", "start", "x", "y"},
		{"systemctl", "dance", "x"},
		{"systemctl", "--user", "start", "x"},
		{"systemctl", "show", "x"},
		{"systemctl", "show", "-p", "Nice", "x"},
		{"systemctl", "show", "x", "-p"},
		{"systemctl", "start", "../x"},
		{"systemctl", "start", "x.socket"},
		{"journalctl"},
		{"journalctl", "--unit=x", "--follow"},
		{"journalctl", "--unit=x", "-n", "many"},
		{"systemd-run"},
		{"systemd-run", "--wait", "/bin/true"},
		{"systemd-run", "--unit=a b", "/bin/true"},
		{"systemd-run", "no-such-program"},
		{"systemd-run", "--property=Nothing", "/bin/true"},
		{"systemd-run", "-p", "ExecStop=/x", "/bin/true"},
		{"systemd-run", "/bin/echo", "$HOME"},
		{"systemd-run", "--setenv=HOME", "/bin/true"},
		{"systemd-run", "--on-active=soon", "/bin/true"},
		{"loginctl"},
	} {
		r := m.Command(args[0], args[1:])
		assert.NotZero(t, r.Code, strconv.Itoa(i))
		assert.NotEmpty(t, r.Stderr, strconv.Itoa(i))
		assert.Empty(t, r.Stdout, strconv.Itoa(i))
	}
	assert.NoDirExists(t, m.transient(), "nothing was made")
}

// A service finds its directory below /run at each start, and leaves nothing there.
func TestRuntimeDirectory(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `: >"${0%/opt/x}/run/of/x/file"; stat -c %a "${0%/opt/x}/run/of/x" >$0.mode; `+sleeps,
		"RuntimeDirectory=of/x", "Restart=on-failure", "RestartSec=0", "UMask=0077")
	m.systemctl("start", "x")
	m.until("its file", func() bool { return exists(m.root+"/opt/x.mode") && m.read("opt/x.mode") == "755\n" })
	require.NoError(t, syscall.Kill(m.pid(), syscall.SIGKILL))
	m.until("another start", func() bool { return m.show("NRestarts") != "0" && exists(m.root+"/run/of/x/file") })
	m.systemctl("stop", "x")
	assert.False(t, exists(m.root+"/run/of/x"))
	assert.True(t, exists(m.root+"/run/of"))

	m.write("RuntimeDirectory=of/x", "RuntimeDirectoryPreserve=restart")
	m.systemctl("daemon-reload")
	m.systemctl("start", "x")
	m.until("its file", func() bool { return exists(m.root + "/run/of/x/file") })
	m.put("run/of/x/kept", "")
	m.systemctl("restart", "x")
	assert.True(t, exists(m.root+"/run/of/x/kept"))
	m.systemctl("stop", "x")
	assert.False(t, exists(m.root+"/run/of/x"))

	m.write("RuntimeDirectory=../x")
	assert.Contains(t, string(m.Command("systemctl", []string{"daemon-reload"}).Stderr), "no directory below /run")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
