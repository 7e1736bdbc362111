package pid1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (m *machine) count(name string) int { return strings.Count(m.read(name), "\n") }

// A timer starts its unit again and again, until it is stopped.
func TestTimer(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo ran >>$0.out; [ -e $0.long ] && exec sleep 600; exit 0`, "Type=oneshot")
	m.put("etc/systemd/system/often.timer", "[Timer]\nOnActiveSec=10ms\nOnUnitActiveSec=20ms\nUnit=x.service\nAccuracySec=1us\n")
	m.systemctl("start", "often.timer")
	m.until("three times", func() bool { return m.count("opt/x.out") >= 3 })
	m.put("opt/x.long", "")
	m.until("the long run", func() bool { return m.state("often.timer") == "active/running" && m.pid() != 0 })
	m.systemctl("stop", "often.timer")
	assert.NotZero(t, m.pid(), "what runs, runs on")
	m.systemctl("stop", "x")
	before := m.count("opt/x.out")
	m.systemctl("start", "x", "--no-block")
	m.until("one more", func() bool { return m.count("opt/x.out") == before+1 })
	assert.Equal(t, "inactive/dead", m.state("often.timer"))
}

func TestTimerOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo ran >>$0.out`)
	m.put("etc/systemd/system/x.timer", "[Timer]\nOnActiveSec=10ms\n[Install]\nWantedBy=timers.target\n")
	m.systemctl("enable", "--now", "x.timer")
	assert.Equal(t, filepath.Join(m.root, "etc/systemd/system/x.timer"), m.link("timers.target.wants/x.timer"))
	m.until("the end", func() bool { return m.state("x.timer") == "active/elapsed" })
	assert.Equal(t, 1, m.count("opt/x.out"))
	m.systemctl("restart", "x.timer")
	m.until("once more", func() bool { return m.count("opt/x.out") == 2 })
	m.Halt()
	require.NoError(t, m.Boot())
	m.until("and after the boot", func() bool { return m.count("opt/x.out") == 3 })
}

func TestTimerWithoutUnit(t *testing.T) {
	t.Parallel()
	m := newMachine(t, sleeps)
	m.put("etc/systemd/system/y.timer", "[Timer]\nOnActiveSec=1h\nUnit=none.service\n")
	m.systemctl("start", "--no-block", "y.timer")
	m.until("its end", func() bool { return m.state("y.timer") == "failed/failed" })
	for _, text := range []string{"[Timer]\nUnit=x.service\n", "[Timer]\nOnActiveSec=1\nPersistent=true\n", "[Timer]\nOnClockChange=yes\n", "[Timer]\nOnCalendar=whenever\n"} {
		_, err := parse("y.timer", []byte(text))
		assert.Error(t, err, text)
	}
}

// A unit that systemd-run starts is like any other, and is forgotten when it has ended.
func TestTransientService(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo "$A $PWD $*" >$0.out; trap "exit 4" USR1; while :; do sleep 0.02; done`)
	x := m.root + "/opt/x"
	r := m.Command("systemd-run", []string{"--unit=long", "--collect", "--description=long work", "-E", "A=1 %", "-p", "WorkingDirectory=" + m.root, "--uid=etcd", x, "two words", "--unit=x", "$$"})
	require.Zero(t, r.Code, string(r.Stderr))
	assert.Equal(t, "Running as unit: long.service\n", string(r.Stderr))
	m.until("its words", func() bool { return m.read("opt/x.out") == "1 % "+m.root+" two words --unit=x $\n" })
	assert.Equal(t, "loaded/active/transient/yes", m.of("long", "LoadState")+"/"+m.of("long", "ActiveState")+"/"+m.of("long", "UnitFileState")+"/"+m.of("long", "Transient"))
	again := m.Command("systemd-run", []string{"--unit=long", "--collect", x})
	assert.Equal(t, 1, again.Code, "one name, one unit")
	assert.Contains(t, string(again.Stderr), "Unit long.service was already loaded or has a fragment file.")
	assert.Equal(t, 1, m.Command("systemctl", []string{"enable", "long"}).Code)
	m.systemctl("daemon-reload")
	m.systemctl("stop", "long")
	assert.Equal(t, "not-found", m.of("long", "LoadState"))
	assert.Contains(t, m.read("var/log/journal/long.service.log"), "Started long.service - long work.")

	for _, collect := range []string{"--collect", "--quiet"} {
		m.systemdRun("--unit=bad", collect, "/bin/false")
		state := map[string]string{"--collect": "inactive/dead", "--quiet": "failed/failed"}[collect]
		m.until(state, func() bool { return m.state("bad") == state })
	}
	assert.Equal(t, "1", m.of("bad", "ExecMainStatus"))
	assert.Equal(t, 1, m.Command("systemd-run", []string{"--unit=bad", "/bin/true"}).Code, "what has failed is not forgotten")
	m.systemctl("reset-failed", "bad")
	m.systemdRun("--unit=bad", "sleep", "600")
	m.Halt()
	require.NoError(t, m.Boot())
	assert.Equal(t, "not-found", m.of("bad", "LoadState"), "it does not outlast a boot")
	m.systemdRun("sleep", "600")
	assert.Equal(t, 1, m.Command("systemd-run", []string{"--unit=x", "/bin/true"}).Code, "a unit of an administrator's has the name")
}

func TestTransientTimer(t *testing.T) {
	t.Parallel()
	m := newMachine(t, `echo ran >>$0.out`)
	r := m.Command("systemd-run", []string{"--unit=later", "--on-active=10ms", m.root + "/opt/x"})
	require.Zero(t, r.Code, string(r.Stderr))
	assert.Equal(t, "Running timer as unit: later.timer\nWill run service as unit: later.service\n", string(r.Stderr))
	m.until("its run", func() bool { return m.count("opt/x.out") == 1 })
	m.until("its end", func() bool {
		return m.of("later.timer", "LoadState") == "not-found" && m.of("later", "LoadState") == "not-found"
	})

	m.systemdRun("--unit=later", "--on-calendar=*:*:*", m.root+"/opt/x")
	m.until("two more runs", func() bool { return m.count("opt/x.out") >= 3 })
	assert.Equal(t, "loaded", m.of("later", "LoadState"), "its timer wants it")
	m.systemctl("stop", "later.timer")
	m.until("its end", func() bool { return m.of("later", "LoadState") == "not-found" })
	left, err := os.ReadDir(filepath.Join(m.root, "run/systemd/transient"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// The times that systemd-analyze calendar prints for the same, systemd 252.
func TestCalendar(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 11, 26, 23, 59, 30, 0, time.UTC) // a Thursday
	for text, want := range map[string]string{
		"*-*-* *:*:*":               "2026-11-26 23:59:31",
		"*:0/15":                    "2026-11-27 00:00:00",
		"minutely":                  "2026-11-27 00:00:00",
		"hourly":                    "2026-11-27 00:00:00",
		"daily":                     "2026-11-27 00:00:00",
		"weekly":                    "2026-11-30 00:00:00",
		"monthly":                   "2026-12-01 00:00:00",
		"quarterly":                 "2027-01-01 00:00:00",
		"yearly":                    "2027-01-01 00:00:00",
		"02:30":                     "2026-11-27 02:30:00",
		"Sat,Sun *-*-* 3:00:05":     "2026-11-28 03:00:05",
		"Mon..Wed 4:00":             "2026-11-30 04:00:00",
		"*-*-1/10 00/6:30":          "2026-12-01 00:30:00",
		"02-29":                     "2028-02-29 00:00:00",
		"Sun 02-29 12:00":           "2032-02-29 12:00:00",
		"2026-11-26 23:59:30":       "",
		"2026-11-26 23:59:31":       "2026-11-26 23:59:31",
		"*-*-* 5..7,22:10..20/5:59": "2026-11-27 05:10:59",
		"Friday":                    "2026-11-27 00:00:00",
	} {
		c, err := parseCalendar(text + " UTC")
		require.NoError(t, err, text)
		got := ""
		if next := c.next(base); !next.IsZero() {
			got = next.Format(time.DateTime)
		}
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "UTC", "whenever", "25:00", "*-13-01", "*-*~1", "*-*-* 1:2:3:4", "Foo 1:00", "1:00 Europe/Berlin", "7..5:00", "*/0:00", "-"} {
		_, err := parseCalendar(text)
		assert.Error(t, err, text)
	}
}
