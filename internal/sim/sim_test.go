package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/hooktool"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// newSim is a simulation with one settled unit of the trace charm.
func newSim(t *testing.T) *Sim {
	t.Helper()
	s, err := New(Options{Env: testEnv})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	_, err = do(t, s, "deploy", "testdata/charms/trace")
	require.NoError(t, err)
	_, err = do(t, s, "settle")
	require.NoError(t, err)
	return s
}

func do(t *testing.T, s *Sim, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := s.Do(t.Context(), Env{Out: &out, Err: io.Discard}, args...)
	return out.String(), err
}

// start runs a process that the test ends itself.
func start(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// running reports whether a child lives. A killed child is a zombie until it is waited for, and
// signal 0 would still reach it.
func running(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "stat"))
	require.NoError(t, err)
	return !isZombie(stat)
}

func TestOnlyOwnProcessesAreEnded(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	root := s.Root(0)
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	strangers := []*exec.Cmd{
		start(t, root, []string{"PWD=" + root}, "sleep", "300"),
		start(t, "/", []string{"FILE=" + root + "/x"}, "sleep", "301"),
		start(t, "/", []string{"SIM_ROOT=" + root + "0"}, "sleep", "302"),
		start(t, "/", nil, "tail", "-f", root+"/trace"),
	}
	copied := filepath.Join(root, "opt-sleep")
	require.NoError(t, copyFile(sleep, copied, 0o755))
	own := []*exec.Cmd{
		start(t, "/", nil, copied, "303"),
		start(t, "/", []string{"SIM_ROOT=" + root}, "sleep", "304"),
	}
	require.NoError(t, s.killAll(0))
	for _, cmd := range own {
		assert.Error(t, cmd.Wait(), "%v was killed", cmd.Args)
	}
	for _, cmd := range strangers {
		assert.True(t, running(t, cmd), "%v is not the simulator's", cmd.Args)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	own := start(t, "/", []string{"SIM_ROOT=" + s.Root(0)}, "sleep", "305")
	require.NoError(t, s.Close())
	require.Error(t, own.Wait())
	assert.NoDirExists(t, s.Dir())
	require.NoError(t, s.Close(), "twice is as good as once")
}

func TestDirMustBeNew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	require.NoError(t, os.WriteFile(precious, nil, 0o600))
	_, err := New(Options{Dir: dir})
	require.ErrorIs(t, err, os.ErrExist)
	assert.FileExists(t, precious)
}

func TestTwoSimulationsShareNoAddress(t *testing.T) {
	t.Parallel()
	a, b := newSim(t), newSim(t)
	ua, err := a.Model.Unit("trace/0")
	require.NoError(t, err)
	ub, err := b.Model.Unit("trace/0")
	require.NoError(t, err)
	assert.NotEqual(t, ua.Address, ub.Address)
	assert.True(t, strings.HasPrefix(ua.Address, "127."))
	seen := map[string]bool{}
	for machine := range 1200 {
		seen[a.slot.address(machine)] = true
	}
	assert.Len(t, seen, 1200)
}

func TestKeepLeavesTheDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	s, err := New(Options{Dir: dir, Keep: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	assert.DirExists(t, dir)
}

func TestHookTimeout(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.opts.HookTimeout = 50 * time.Millisecond
	hook := filepath.Join(s.Root(0), "do-update-status")
	require.NoError(t, os.WriteFile(hook, []byte("exec sleep 100"), 0o600))
	require.NoError(t, s.Model.UpdateStatus("trace/0"))
	require.ErrorIs(t, s.Settle(t.Context()), model.ErrInError)
	rs := s.Model.Records("trace/0")
	assert.Contains(t, rs[len(rs)-1].Error, "took longer than 50ms")
}

func TestInterruptedSettleKeepsTheHook(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	hook := filepath.Join(s.Root(0), "do-update-status")
	require.NoError(t, os.WriteFile(hook, []byte(`touch "$SIM_ROOT/there"; exec sleep 100`), 0o600))
	require.NoError(t, s.Model.UpdateStatus("trace/0"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Settle(ctx) }()
	require.Eventually(t, func() bool { return isFile(filepath.Join(s.Root(0), "there")) }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	assert.Equal(t, "update-status", s.Model.Status().Applications["trace"].Units["trace/0"].Queued)
}

func TestParallel(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Env: testEnv, Parallel: 4})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	for _, args := range [][]string{{"deploy", "testdata/charms/trace", "-n", "4"}, {"settle"}} {
		_, err := do(t, s, args...)
		require.NoError(t, err)
	}
	trace, err := os.ReadFile(filepath.Join(s.Root(3), "trace"))
	require.NoError(t, err)
	assert.Equal(t, 3, strings.Count(string(trace), "ring-relation-joined"))
}

// TestToolStdinGoesTwice keeps the form of Juju's protocol: a tool that needs its standard input is
// called a second time with it.
func TestToolStdinGoesTwice(t *testing.T) {
	t.Parallel()
	assert.Equal(t, hooktool.NoStdin, model.ErrNoStdin.Error())
}

func TestServeAndRemote(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, time.Hour) }()
	remote := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Remote(t.Context(), s.Dir(), Env{Out: &out, Err: io.Discard}, args...)
		return out.String(), err
	}
	require.Eventually(t, func() bool {
		_, err := remote("leader", "trace")
		return err == nil
	}, 10*time.Second, time.Millisecond)
	out, err := remote("add-unit", "trace")
	require.NoError(t, err)
	assert.Equal(t, "trace/1\n", out)
	// No settle is called: hooks run by themselves while the simulation is served.
	require.Eventually(t, func() bool {
		trace, _ := os.ReadFile(filepath.Join(s.Root(1), "trace"))
		return strings.Contains(string(trace), "trace/1 start")
	}, 10*time.Second, time.Millisecond)
	_, err = remote("leader", "nobody")
	require.EqualError(t, err, `application "nobody" not found`)
	cancel()
	require.NoError(t, <-done)
	_, err = remote("status")
	require.ErrorContains(t, err, "no simulation is up")
}

func TestCommandRunsScripts(t *testing.T) {
	t.Parallel()
	charm, err := filepath.Abs("testdata/charms/trace")
	require.NoError(t, err)
	for name, tc := range map[string]struct{ script, fails, shows string }{
		"good":  {"deploy CHARM\nsettle\nstatus\n", "", "trace/0*"},
		"bad":   {"deploy CHARM\n! settle\n", "failed: bad.txt", "unexpected success"},
		"error": {"add-unit nothing\n", "failed: error.txt", `application "nothing" not found`},
	} {
		file := filepath.Join(t.TempDir(), name+".txt")
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(tc.script, "CHARM", charm)), 0o600))
		var out bytes.Buffer
		args := []string{"script", "--env", testEnv[0], file}
		err := Command(Options{}, nil, &out, &out, args).ExecuteContext(t.Context())
		if tc.fails == "" {
			require.NoError(t, err, name)
		} else {
			require.EqualError(t, err, tc.fails, name)
		}
		assert.Contains(t, out.String(), tc.shows, name)
	}
}

func TestCommandShell(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sim")
	in := strings.NewReader("deploy testdata/charms/trace 'trace' # a comment\nsettle\nleader trace\nnonsense\n'open\n")
	var out, errOut bytes.Buffer
	args := []string{"shell", "-q", "-d", dir, "--env", testEnv[0]}
	require.NoError(t, Command(Options{}, in, &out, &errOut, args).ExecuteContext(t.Context()))
	self, err := os.Executable()
	require.NoError(t, err)
	assert.Contains(t, out.String(), "\n    "+self+" -d "+dir+" status --relations\n", "a line to copy")
	assert.True(t, strings.HasSuffix(out.String(), "\ntrace/0\n"), out.String())
	assert.Contains(t, errOut.String(), `unknown command "nonsense"`)
	assert.Contains(t, errOut.String(), "a quote is not closed")
	assert.NoDirExists(t, dir)
}

// TestHelp compares every help text with testdata/help.txt; UPDATE_GOLDEN=1 writes it.
func TestHelp(t *testing.T) {
	t.Setenv(DirVar, "")
	const golden = "testdata/help.txt"
	var all strings.Builder
	for _, name := range append([]string{""}, Commands()...) {
		var out bytes.Buffer
		args := append(strings.Fields(name), "--help")
		require.NoError(t, Command(Options{}, nil, &out, &out, args).ExecuteContext(t.Context()))
		fmt.Fprintf(&all, "$ juju-sim %s\n%s\n", strings.Join(args, " "), &out)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(all.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), all.String(), "UPDATE_GOLDEN=1 writes it")
}

// TestReferenceHasEveryCommand compares docs/reference/juju-sim.md with the existing commands.
func TestReferenceHasEveryCommand(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/juju-sim.md")
	require.NoError(t, err)
	var listed []string
	for line := range strings.Lines(string(page)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			listed = append(listed, name[:strings.IndexAny(name, "` ")])
		}
	}
	slices.Sort(listed)
	assert.Equal(t, Commands(), listed, "a row for each command, and no other")
}

func TestNothingIsUp(t *testing.T) {
	t.Parallel()
	err := Command(Options{}, nil, io.Discard, io.Discard, []string{"status", "-d", filepath.Join(t.TempDir(), "none")}).Execute()
	require.ErrorContains(t, err, "no simulation is up")
}

func TestWords(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"":                              nil,
		"  a  b ":                       {"a", "b"},
		"run u/0 act x='two words'":     {"run", "u/0", "act", "x=two words"},
		"a '' b # c":                    {"a", "", "b"},
		"wait a/0 'active #1'":          {"wait", "a/0", "active #1"},
		"config a colour=#fff # really": {"config", "a", "colour=#fff"},
	} {
		got, err := splitWords(line)
		require.NoError(t, err)
		assert.Equal(t, want, got, line)
	}
}

func TestActionParams(t *testing.T) {
	t.Parallel()
	got, err := actionParams([]string{"n=5", "s=text", "deep.er=true", "list=[1, 2]", "empty="}, false)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"n": 5, "s": "text", "deep": map[string]any{"er": true}, "list": []any{1, 2}, "empty": nil}, got)
	got, err = actionParams([]string{"n=5"}, true)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"n": "5"}, got)
	_, err = actionParams([]string{"nothing"}, false)
	require.Error(t, err)
	_, err = actionParams([]string{"a={"}, false)
	require.Error(t, err)
}

func FuzzActionParams(f *testing.F) {
	f.Add("a=1", false)
	f.Add("a.b=[x", false)
	f.Add("a.b.=x", true)
	f.Fuzz(func(t *testing.T, word string, asStrings bool) {
		params, err := actionParams([]string{word, word}, asStrings)
		if err == nil && len(params) != 1 {
			t.Fatalf("%q gave %v", word, params)
		}
	})
}

func FuzzSplitWords(f *testing.F) {
	f.Add("a 'b c' # d")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line)
		if err != nil {
			return
		}
		for _, w := range words {
			if strings.Contains(w, "'") {
				t.Fatalf("%q gave %q", line, words)
			}
		}
	})
}
