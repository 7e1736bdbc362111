package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPortsThatAreTaken(t *testing.T) {
	t.Parallel()
	s := newSim(t) // machine 0 exists: the next are 1 and 2
	l, err := net.Listen("tcp", s.slot.address(2)+":0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	_, err = do(t, s, "check-ports", port)
	require.NoError(t, err, "nobody listens there where machine 1 is to be")
	_, err = do(t, s, "check-ports", "-n", "2", port)
	require.ErrorContains(t, err, "port "+port+" is taken on this host")
	_, err = do(t, s, "check-ports", "0")
	require.ErrorContains(t, err, `invalid port "0"`)
}

// A story shows what is said, run and answered, but not each hook, and ends with what is left over.
func TestStory(t *testing.T) {
	t.Parallel()
	charm, err := filepath.Abs("testdata/charms/trace")
	require.NoError(t, err)
	tell := func(t *testing.T, script string) (string, error) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "story.txt")
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(script, "CHARM", charm)), 0o600))
		var out bytes.Buffer
		err := Command(Options{}, nil, &out, &out, []string{"script", "--story", "--env", testEnv[0], file}).ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := tell(t, "say 'Once upon a time'\ndeploy CHARM\nwait-for trace/0 installing\nhead 1 config trace\nstdout settings\n"+
		"[hold] say no\n[!hold] say at $JUJU_SIM\n")
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(out, "Once upon a time\n> deploy "), out)
	assert.Contains(t, out, "> config trace\napplication: trace\nat ", "one line of the options")
	assert.NotContains(t, out, "leader-elected", "no line for each hook")
	assert.NotContains(t, out, "no\n")
	assert.Regexp(t, `\nat \S+ -d (\S+)\nNothing is left: every process has ended, and \S+ is removed[.]\n$`, out)

	out, err = tell(t, "say begin\ndeploy CHARM\nconfig trace nosuch\n")
	require.EqualError(t, err, "failed: story.txt")
	assert.Contains(t, out, "\nFAIL: ")
	assert.Equal(t, 1, strings.Count(out, "begin"), "what was shown is not shown again")
	assert.NotContains(t, out, "Nothing is left")
}

// A command that runs until Ctrl-C also ends when its reader is gone.
func TestWatching(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	served, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(served, time.Hour) }()
	for name, args := range map[string][]string{
		"status": {"status", "--watch", "1ms"}, "log": {"debug-log", "--tail"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &until{want: 2, reached: cancel}
		if name == "log" {
			out.want = 1
		}
		require.Eventually(t, func() bool { return isUp(s.Dir()) }, time.Minute, time.Millisecond)
		ended := make(chan error)
		go func() { ended <- Remote(ctx, s.Dir(), Env{Out: out, Err: io.Discard}, args...) }()
		_, err := do(t, s, "exec", "--unit", "trace/0", "juju-log something")
		require.NoError(t, err)
		assert.ErrorIs(t, <-ended, context.Canceled, name)
	}
	stop()
	require.NoError(t, <-done)
}

// On the command line ssh has standard input, a shell and the command's exit code.
func TestSSH(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, time.Hour) }()
	require.Eventually(t, func() bool { return isUp(s.Dir()) }, time.Minute, time.Millisecond)
	ssh := func(in string, args ...string) (string, error) {
		var out bytes.Buffer
		args = append([]string{"-d", s.Dir(), "ssh"}, args...)
		err := Command(Options{}, strings.NewReader(in), &out, &out, args).ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := ssh("what is sent", "trace/leader", "sudo", "cat")
	require.NoError(t, err)
	assert.Equal(t, "what is sent", out)
	out, err = ssh("pwd; exit 3", "trace/0")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.ExitCode())
	assert.Equal(t, s.Root(0)+"\n", out)
	_, err = ssh("", "trace/9", "true")
	require.ErrorContains(t, err, `unit "trace/9" not found`)
	stop()
	require.NoError(t, <-done)
}

// until ends a watch once text was written to it a given number of times.
type until struct {
	want    int
	reached func()
}

func (u *until) Write(p []byte) (int, error) {
	if len(p) > 0 {
		if u.want--; u.want == 0 {
			u.reached()
		}
	}
	return len(p), nil
}

func TestOneSimulationForEachUser(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv(DirVar, "")
	a := &app{out: io.Discard, err: io.Discard, opts: Options{Env: testEnv}}
	s, err := a.newNamed()
	require.NoError(t, err)
	assert.NotContains(t, a.line(s, "status"), " -d ", "it is found without")
	_, err = a.newNamed()
	require.ErrorContains(t, err, "remove it if it was left", "nobody serves it yet")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, time.Hour) }()
	require.Eventually(t, func() bool { return isUp(s.Dir()) }, time.Minute, time.Millisecond)
	_, err = a.newNamed()
	require.ErrorContains(t, err, "is up in")
	stop()
	require.NoError(t, errors.Join(<-done, s.Close()))
}

func TestShellWords(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `a/0 'two words' '' 'it'\''s' x=1`, shellWords([]string{"a/0", "two words", "", "it's", "x=1"}))
}

// A verb that panics is an error of that verb.
func TestAPanicIsAnError(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, safely(func() error { panic("at once") }), "internal error: at once\n")
	require.NoError(t, safely(func() error { return nil }))
}

// Flags of a simulation that make no sense are refused before anything is started.
func TestFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"--update-status=0s": "--update-status must be positive, such as 5m, got 0s",
		"--parallel=0":       "--parallel must be at least 1, got 0",
	} {
		dir := filepath.Join(t.TempDir(), "model")
		cmd := Command(Options{}, nil, io.Discard, io.Discard, []string{"-d", dir, "up", flag})
		require.EqualError(t, cmd.ExecuteContext(t.Context()), want)
		assert.NoDirExists(t, dir)
	}
}

func TestHelpForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	cmd := Command(Options{}, nil, io.Discard, io.Discard, []string{"help", "nosuch"})
	require.ErrorContains(t, cmd.ExecuteContext(t.Context()), `unknown command "nosuch"`)
	require.NoError(t, Command(Options{}, nil, io.Discard, io.Discard, []string{"help", "status"}).ExecuteContext(t.Context()))
}
