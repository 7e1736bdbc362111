package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func (a *app) runCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "script <file.txt>...", Short: "Run scripts: text files with a verb on each line",
		Long: "Runs scripts in testscript's format: verbs, and testscript's own commands (exec, stdout, cmp ...),\n" +
			"one a line; ! before a command expects it to fail. kill and wait are called kill-unit and wait-for, exec is\n" +
			"\"juju exec\"; say prints a text, head n shows the first n lines of what a verb prints. $JUJU_SIM is a command\n" +
			"line for this simulation; [hold] before a command runs it with --hold only.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runScripts(cmd.Context(), args) },
	}
	a.simFlags(cmd)
	cmd.Flags().BoolVar(&a.hold, "hold", false, "stay up until Ctrl-C at the end of the script")
	cmd.Flags().BoolVar(&a.story, "story", false,
		"show what scripts say, run and get, but no line for each hook, and how it ended")
	return cmd
}

func (a *app) runScripts(ctx context.Context, files []string) error {
	opts := a.options()
	live := a.err
	if a.quiet {
		live = nil
	}
	opts.Progress = nil
	sc := &scripts{opts: opts, live: live, story: a.story, sims: map[*testscript.TestScript]*Sim{}}
	sc.made = func(ts *testscript.TestScript, s *Sim) { ts.Setenv("JUJU_SIM", a.line(s)) }
	var left []*Sim
	var unclean error
	sc.closed = func(s *Sim, err error) { left, unclean = append(left, s), errors.Join(unclean, err) }
	cmds := sc.cmds(ctx)
	if a.hold {
		cmds["hold"] = func(ts *testscript.TestScript, _ bool, _ []string) {
			s := sc.sim(ts, opts)
			s.setProgress(live)
			if !a.story {
				a.greet(s)
			}
			ts.Check(s.Serve(ctx, a.status))
		}
	}
	var failed []string
	for _, file := range files {
		if err := a.runScript(ctx, file, cmds); err != nil {
			text := err.Error()
			if _, line, found := strings.Cut(text, "\nFAIL: "); found && a.story {
				// The rest was already shown.
				text = "FAIL: " + strings.TrimSpace(line)
			}
			fmt.Fprintln(a.err, text)
			failed = append(failed, filepath.Base(file))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	if a.story && unclean == nil {
		for _, s := range left {
			a.farewell(s)
		}
	}
	return unclean
}

func (a *app) runScript(
	ctx context.Context, file string, cmds map[string]func(*testscript.TestScript, bool, []string),
) error {
	if a.hold {
		var err error
		var done func()
		if file, done, err = withHold(file); err != nil {
			return err
		}
		defer done()
	}
	t := &scriptT{}
	func() {
		defer t.recover()
		testscript.RunT(t, testscript.Params{
			Files: []string{file}, Cmds: cmds, Condition: a.condition,
			Setup: func(env *testscript.Env) error {
				wd, err := os.Getwd()
				env.Setenv("HERE", wd)
				env.Setenv("CHARM", os.Getenv("CHARM"))
				env.Setenv("PATH", os.Getenv("PATH"))
				return err
			},
		})
	}()
	if t.failed {
		return errors.New(t.log.String())
	}
	if a.hold {
		return nil
	}
	return ctx.Err()
}

// condition evaluates what may be in brackets before a command of a script.
func (a *app) condition(name string) (bool, error) {
	if name != "hold" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return a.hold, nil
}

// withHold returns a copy of a script with hold as its last command.
func withHold(file string) (string, func(), error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	body, files, found := strings.Cut("\n"+string(text), "\n-- ")
	body += "\nhold\n"
	if found {
		body += "-- " + files
	}
	dir, err := os.MkdirTemp("", "juju-sim-script-")
	if err != nil {
		return "", nil, err
	}
	held := filepath.Join(dir, filepath.Base(file))
	return held, func() { os.RemoveAll(dir) }, os.WriteFile(held, []byte(body), 0o600)
}

// scriptT is testscript's T outside of go test.
type scriptT struct {
	log    strings.Builder
	failed bool
}

// errStop unwinds a script that has failed or is skipped.
var errStop = errors.New("script stopped")

func (t *scriptT) recover() {
	if r := recover(); r != nil && r != errStop { //nolint:errorlint // the very value is thrown
		panic(r)
	}
}

func (t *scriptT) Skip(args ...any) {
	fmt.Fprintln(&t.log, args...)
	panic(errStop)
}

func (t *scriptT) Fatal(args ...any) {
	t.Log(args...)
	t.FailNow()
}

func (t *scriptT) Log(args ...any) { fmt.Fprintln(&t.log, args...) }

func (t *scriptT) FailNow() {
	t.failed = true
	panic(errStop)
}

func (t *scriptT) Parallel()     {}
func (t *scriptT) Verbose() bool { return false }

func (t *scriptT) Run(_ string, f func(testscript.T)) {
	defer t.recover()
	f(t)
}
