package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answers are the outputs of the hook tools. A tool that is not listed does not exist.
var answers = map[string]string{
	"config-get": `{"role": "member"}`, "is-leader": "true", "state-get": "{}", "goal-state": `{"units": {"etcd/0": {"status": "active"}}}`,
	"relation-ids": "[]", "secret-get": "", "action-get": "{}",
	"network-get": `{"bind-addresses":[{"addresses":[{"address":"127.0.200.1"}]}],"ingress-addresses":["127.0.200.1"]}`,
	"juju-log":    "", "status-set": "", "action-set": "", "action-fail": "", "action-log": "", "application-version-set": "",
}

// TestMain makes the test binary act as etcd-charm, unless it is called to run the tests.
func TestMain(m *testing.M) {
	if strings.HasSuffix(filepath.Base(os.Args[0]), ".test") {
		os.Exit(m.Run())
	}
	main()
}

// hookTool is every hook tool: it logs its call and prints what the file of its name holds.
const hookTool = `#!/bin/sh
tool=${0##*/}
printf '%s' "$tool" >> "$TEST_DIR/log"
for arg; do printf ' %s' "$arg" >> "$TEST_DIR/log"; done
printf '\0' >> "$TEST_DIR/log"
read -r answer < "$TEST_DIR/answers/$tool"
printf '%s\n' "$answer"
[ "$tool" != secret-get ]
`

// unit is a unit's machine on which the test binary is the charm.
type unit struct {
	dir string
	env map[string]string
}

// newUnit makes a unit with all hook tools but those that are missing.
func newUnit(t *testing.T, missing ...string) unit {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"tools", "answers", "charm/hooks", "charm/actions", "root"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	u := unit{dir, map[string]string{
		"PATH": filepath.Join(dir, "tools"), "TEST_DIR": dir, rootVar: filepath.Join(dir, "root"),
		"JUJU_UNIT_NAME": "etcd/0", "JUJU_MODEL_UUID": "uuid", "JUJU_VERSION": "4.0.15", "JUJU_CHARM_DIR": filepath.Join(dir, "charm"),
	}}
	for tool, answer := range answers {
		u.says(t, tool, answer)
		if !slices.Contains(missing, tool) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tools", tool), []byte(hookTool), 0o700))
		}
	}
	return u
}

// says makes a hook tool print a line.
func (u unit) says(t *testing.T, tool, answer string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(u.dir, "answers", tool), []byte(answer+"\n"), 0o600))
}

// call runs the test binary under a path below the unit's directory.
func (u unit) call(t *testing.T, path string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	link := filepath.Join(u.dir, path)
	if _, err := os.Lstat(link); err != nil {
		require.NoError(t, os.Symlink(self, link))
	}
	cmd := exec.CommandContext(t.Context(), link, args...)
	cmd.Dir = u.dir
	for _, key := range slices.Sorted(maps.Keys(u.env)) {
		cmd.Env = append(cmd.Env, key+"="+u.env[key])
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// calls returns the calls of these hook tools so far, of all if none is named.
func (u unit) calls(t *testing.T, tools ...string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(u.dir, "log"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	return slices.DeleteFunc(strings.Split(string(text), "\x00"), func(call string) bool {
		tool, _, _ := strings.Cut(call, " ")
		return call == "" || len(tools) > 0 && !slices.Contains(tools, tool)
	})
}

func TestHookByPath(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	u.says(t, "config-get", `{"role": "proxy"}`)
	code, _, stderr := u.call(t, "charm/hooks/update-status")
	require.Zero(t, code, stderr)
	assert.Empty(t, stderr, "everything went to juju-log")
	status := u.calls(t, "status-set")
	require.Len(t, status, 1)
	assert.Contains(t, status[0], "status-set -- blocked needs a cluster")
	assert.NotEmpty(t, u.calls(t, "juju-log"))
}

func TestHookOnAFreshMember(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	code, _, stderr := u.call(t, "charm/hooks/install")
	require.Zero(t, code, stderr)
	status := u.calls(t, "status-set")
	require.Len(t, status, 1)
	assert.Contains(t, status[0], "waiting")
	assert.NoFileExists(t, filepath.Join(u.dir, "root/etc/etcd-charm/etcd-0/etcd.env"), "nothing is founded before the peer relation is visible")
}

func TestUnknownHookIsQuiet(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	code, _, _ := u.call(t, "charm/hooks/etcd-pebble-ready")
	assert.Zero(t, code)
	assert.Empty(t, u.calls(t, "status-set", "config-get"))
}

func TestWithoutLeaderElection(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"install", "start", "update-status", "stop"} {
		u := newUnit(t, "is-leader")
		code, _, stderr := u.call(t, "charm/hooks/"+hook)
		assert.NotZero(t, code)
		assert.Contains(t, stderr, "Requires Leader Election - juju >= 1.23.2")
		assert.Equal(t, []string{
			"juju-log --log-level CRITICAL -- Requires Leader Election - juju >= 1.23.2",
			"status-set -- blocked Requires Leader Election - juju >= 1.23.2",
		}, u.calls(t), hook)
	}
	u := newUnit(t, "is-leader", "status-set", "juju-log")
	code, _, stderr := u.call(t, "charm/hooks/start")
	assert.NotZero(t, code)
	assert.Contains(t, stderr, "CRITICAL Requires Leader Election - juju >= 1.23.2")

	u = newUnit(t, "is-leader")
	_, _, _ = u.call(t, "charm/actions/health")
	assert.Equal(t, []string{"action-fail -- Requires Leader Election - juju >= 1.23.2"}, u.calls(t, "action-fail"))
}

// A person has unpacked the charm and calls it: the message must not be that Juju is too old.
func TestWithoutJuju(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"charm/hooks/install", "charm/actions/health"} {
		u := newUnit(t, slices.Collect(maps.Keys(answers))...)
		u.env = map[string]string{"PATH": u.env["PATH"], rootVar: u.env[rootVar]}
		code, stdout, stderr := u.call(t, path)
		assert.NotZero(t, code)
		assert.Empty(t, stdout)
		assert.Equal(t, "etcd-charm: not run by Juju, which calls the charm's hooks and actions with an environment and hook tools of its own\n", stderr)
	}
}

func TestOldJuju(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	u.env["JUJU_VERSION"] = "2.8.11"
	code, _, stderr := u.call(t, "charm/hooks/start")
	assert.Zero(t, code, stderr)
	assert.Equal(t, []string{"status-set -- blocked this charm needs Juju 2.9 or later, this is 2.8.11"}, u.calls(t, "status-set", "config-get"))
	code, _, _ = u.call(t, "charm/actions/health")
	assert.Zero(t, code)
	assert.Equal(t, []string{"action-fail -- this Juju is too old: this charm needs Juju 2.9 or later, this is 2.8.11"}, u.calls(t, "action-fail", "action-set"))
}

func TestActions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ action, params, fail string }{
		"unknown":           {"dance", "{}", `unknown action "dance"`},
		"a wrong parameter": {"health", `{"loud": true}`, `cannot use parameter "loud"`},
		"of a wrong type":   {"check-removal", `{"unit": 2}`, `cannot use parameter "unit"`},
		"unhealthy":         {"health", "{}", "unhealthy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUnit(t)
			u.says(t, "action-get", test.params)
			code, stdout, stderr := u.call(t, "charm/actions/"+test.action)
			require.Zero(t, code, stderr)
			fails := u.calls(t, "action-fail")
			require.Len(t, fails, 1)
			assert.True(t, strings.HasPrefix(fails[0], "action-fail -- "+test.fail), fails[0])
			assert.Equal(t, name == "unhealthy", len(u.calls(t, "action-set")) > 0, "a report is carried all the same")
			assert.Empty(t, stdout)
			assert.Empty(t, u.calls(t, "status-set"), "an action sets no status")
		})
	}
}

func TestEtcdByName(t *testing.T) {
	t.Parallel()
	u := unit{dir: t.TempDir(), env: map[string]string{"HOME": t.TempDir()}}
	for path, want := range map[string]string{"etcd --version": "etcd Version: 3.7.3", "etcdctl version": "etcdctl version: 3.7.3", "etcdutl version": "etcdutl version: 3.7.3", "etcd-charm version": "etcd-charm unstamped\netcd 3.7.3\n"} {
		words := strings.Fields(path)
		code, stdout, stderr := u.call(t, words[0], words[1:]...)
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, want)
	}
	code, _, stderr := u.call(t, "etcdutl", "snapshot", "status", "no-such-file")
	assert.NotZero(t, code)
	assert.NotEmpty(t, stderr)
}

func TestOwnCommandRefuses(t *testing.T) {
	t.Parallel()
	u := unit{dir: t.TempDir(), env: map[string]string{}}
	for _, args := range [][]string{{"dance"}, {"proxy"}, {"proxy", "--config", "no-such-file"}, {"version", "x"}} {
		code, _, stderr := u.call(t, "etcd-charm", args...)
		assert.NotZero(t, code, args)
		assert.Contains(t, stderr, "Error:", args)
	}
}

func TestUnsaid(t *testing.T) {
	t.Parallel()
	lines := []string{"ETCDCTL_ENDPOINTS=a,b", "ETCDCTL_CACERT=/ca", "ETCDCTL_KEY=/k=1", "ETCDCTL_DIAL_TIMEOUT=1s", "nonsense"}
	env := func(key string) (string, bool) { return "", key == "ETCDCTL_KEY" } // set, though to nothing
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"nothing said":     {[]string{"get", "endpoints"}, []string{lines[0], lines[1], lines[3]}},
		"flag and value":   {[]string{"get", "--endpoints", "x", "a"}, []string{lines[1], lines[3]}},
		"flag=value":       {[]string{"--cacert=/x", "--dial-timeout=2s", "get"}, []string{lines[0]}},
		"after the dashes": {[]string{"put", "--", "--endpoints", "x"}, []string{lines[0], lines[1], lines[3]}},
	} {
		assert.Equal(t, test.want, unsaid(lines, test.args, env), name)
	}
}

// On a unit etcdctl needs no flags, and flags and environment take precedence over the presets.
func TestEtcdctlPresets(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	u := unit{dir: t.TempDir(), env: map[string]string{}}
	release := filepath.Join(u.dir, "opt/etcd-charm/etcd-0/3.7.3-0123456789ab")
	require.NoError(t, os.MkdirAll(release, 0o755))
	copyBinary(t, self, filepath.Join(release, "etcd-charm"))
	require.NoError(t, os.Symlink("etcd-charm", filepath.Join(release, "etcdctl")))
	etc := filepath.Join(u.dir, "etc/etcd-charm/etcd-0")
	require.NoError(t, os.MkdirAll(etc, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(etc, "etcdctl.env"), []byte("ETCDCTL_ENDPOINTS=http://127.0.0.1:1\nETCDCTL_DIAL_TIMEOUT=10ms\nETCDCTL_COMMAND_TIMEOUT=10ms\n"), 0o600))
	status := []string{"endpoint", "health"}
	_, stdout, stderr := u.call(t, "opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcdctl", status...)
	assert.Contains(t, stdout+stderr, "127.0.0.1:1")
	_, stdout, stderr = u.call(t, "opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcdctl", append(status, "--endpoints=http://127.0.0.1:2")...)
	assert.Contains(t, stdout+stderr, "127.0.0.1:2")
	u.env["ETCDCTL_ENDPOINTS"] = "http://127.0.0.1:3"
	_, stdout, stderr = u.call(t, "opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcdctl", status...)
	assert.Contains(t, stdout+stderr, "127.0.0.1:3")

	// A user who may not read the presets is told so, and does not wait for a server that would not
	// answer.
	delete(u.env, "ETCDCTL_ENDPOINTS")
	require.NoError(t, os.Remove(filepath.Join(etc, "etcdctl.env")))
	require.NoError(t, os.Mkdir(filepath.Join(etc, "etcdctl.env"), 0o755)) // root may read every file
	etcdctl := "opt/etcd-charm/etcd-0/3.7.3-0123456789ab/etcdctl"
	code, stdout, stderr := u.call(t, etcdctl, "--command-timeout=1h", "get", "x")
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Regexp(t, `^etcdctl: .*: run sudo etcdctl, which may read .*, or give --endpoints\n$`, stderr)
	code, _, _ = u.call(t, etcdctl, "version")
	assert.Equal(t, 0, code)
	_, stdout, stderr = u.call(t, etcdctl, "--endpoints=http://127.0.0.1:1", "--dial-timeout=10ms", "--command-timeout=10ms", "endpoint", "health")
	assert.Contains(t, stdout+stderr, "127.0.0.1:1")
}

func copyBinary(t *testing.T, from, to string) {
	t.Helper()
	if os.Link(from, to) == nil {
		return
	}
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, 0o700))
}
