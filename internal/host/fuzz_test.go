package host

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// FuzzUnitFile: whatever a service is called and runs, the unit file runs exactly that, or is
// refused.
func FuzzUnitFile(f *testing.F) {
	f.Add("etcd/0", "/opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcd", "", "/etc/etcd-charm/etcd-0/etcd.env", "/var/lib/x")
	f.Add("etcd/0\nExecStart=/bin/sh", "/x/etcd-charm", "proxy", "-", "")
	f.Add("{{.}}", "/x/%n", "proxy;", "/a b", "\xff")
	f.Add("a\u2028[Service]", "/x/etcd", "", "", "\u0085")
	f.Fuzz(func(t *testing.T, unit, program, argument, env, writable string) {
		s := service{Kind: operator.ProxyService, Unit: unit, Argv: []string{program, argument}, EnvFile: env, Writable: writable}
		if argument == "" {
			s.Kind, s.Argv = operator.MemberService, s.Argv[:1]
		}
		plain := s
		plain.Unit, plain.EnvFile, plain.Writable = "etcd/0", "/e", ""
		if writable != "" {
			plain.Writable = "/w"
		}
		plain.Argv = []string{"/bin/x"}
		text, err := renderUnit(s)
		if err != nil {
			return
		}
		assert.Equal(t, s.Argv, parseUnit(text).Argv)
		assert.Equal(t, kindOf(s.Argv), parseUnit(text).Kind)
		usual, err := renderUnit(plain)
		require.NoError(t, err)
		assert.Equal(t, bytes.Count(usual, []byte("\n")), bytes.Count(text, []byte("\n")), "nothing adds a line")
	})
}

// FuzzProperties: the output of systemctl is read line by line, and what was read reads the same
// when it is read again.
func FuzzProperties(f *testing.F) {
	f.Add([]byte("LoadState=loaded\nMainPID=7\nExecMainStartTimestampMonotonic=99\nNRestarts=2\nActiveState=activating\n"), int64(5))
	f.Add([]byte("a=b=c\r\n=\n\n NRestarts = 99999999999999999999 \nExecMainStartTimestampMonotonic=-1"), int64(-1))
	f.Fuzz(func(t *testing.T, text []byte, now int64) {
		read := parseProperties(text)
		var again strings.Builder
		for key, value := range read {
			assert.NotContains(t, key, "=")
			again.WriteString(key + "=" + value + "\n")
		}
		assert.Equal(t, read, parseProperties([]byte(again.String())))
		if read["ActiveState"] == "failed" {
			assert.True(t, failing(read, time.Duration(now), operator.MemberService))
		}
		if read["ActiveState"] == "active" && !strings.HasPrefix(read["SubState"], "auto-restart") {
			assert.False(t, failing(read, time.Duration(now), operator.MemberService))
		}
	})
}

// FuzzDeadState: whatever name a process gives itself, a dead one is seen to be dead and a live one
// alive.
func FuzzDeadState(f *testing.F) {
	f.Add("etcd", byte('S'))
	f.Add("x) Z", byte('R'))
	f.Add(") S (", byte('Z'))
	f.Fuzz(func(t *testing.T, name string, state byte) {
		stat := "7 (" + name + ") " + string(rune(state%0x80)) + " 1 7 7 0 -1 4194560"
		assert.Equal(t, state%0x80 == 'Z' || state%0x80 == 'X', deadState([]byte(stat)))
		deadState([]byte(name))
	})
}

// FuzzLocalURL: the URL for reaching ourselves is never an address that only a listener can use,
// and maps to itself.
func FuzzLocalURL(f *testing.F) {
	f.Add("https://0.0.0.0:2379,https://10.0.0.1:2379")
	f.Add("https://[::]:2379")
	f.Add("https://[::%25eth0]:1")
	f.Add("https://:2379")
	f.Fuzz(func(t *testing.T, listen string) {
		found := localURL(listen)
		if found == "" {
			return
		}
		assert.Equal(t, found, localURL(found))
		u, err := url.Parse(found)
		require.NoError(t, err)
		assert.NotContains(t, []string{"0.0.0.0", "::", ""}, u.Hostname())
	})
}

// FuzzBuildID: no file makes reading its build ID panic, or takes much memory.
func FuzzBuildID(f *testing.F) {
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(f, err)
	f.Add(self[:min(len(self), 4096)])
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		assert.LessOrEqual(t, len(buildID(bytes.NewReader(data))), 4096)
	})
}

// FuzzMoveAsideName: whatever the reason, a directory is moved to a place beside its own.
func FuzzMoveAsideName(f *testing.F) {
	f.Add("Removed: cluster 1f/../x")
	f.Add("../../etc")
	f.Add("\x00\xff")
	f.Fuzz(func(t *testing.T, why string) {
		h := New(Options{Root: t.TempDir(), Unit: "etcd/0", Now: func() time.Time { return time.Unix(0, 0) }})
		require.NoError(t, os.MkdirAll(h.data(), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(h.data(), "x"), nil, 0o600))
		require.NoError(t, h.Do(t.Context(), operator.MoveAside{Why: why}))
		entries, err := os.ReadDir(h.state())
		require.NoError(t, err)
		require.Len(t, entries, 2)
		for _, e := range entries {
			assert.True(t, strings.HasPrefix(e.Name(), "data"), e.Name())
			assert.True(t, e.IsDir())
		}
	})
}
