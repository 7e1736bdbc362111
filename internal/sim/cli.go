package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// DirVar names the environment variable with the default of --dir.
const DirVar = "JUJU_SIM_DIR"

// app is the command line of the juju-sim program.
type app struct {
	opts   Options
	dir    string
	quiet  bool
	hold   bool
	status time.Duration
	in     io.Reader
	out    io.Writer
	err    io.Writer
}

// Program runs the juju-sim program with its arguments (without its name) and
// returns the exit code. A signal that would end it ends the simulation first,
// with all its processes; a second one ends it as it is.
func Program(opts Options, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	// A reader that went away makes writes fail; it must not end the program with
	// its processes left running.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := Command(opts, os.Stdin, os.Stdout, os.Stderr, args).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR", err)
		return 1
	}
	return 0
}

// Command returns the command line of the juju-sim program: run, up and shell
// start a simulation; every verb speaks to the one that is up.
func Command(opts Options, in io.Reader, out, errOut io.Writer, args []string) *cobra.Command {
	a := &app{opts: opts, in: in, out: out, err: errOut}
	root := &cobra.Command{
		Use: "juju-sim", Short: "A Juju model on one machine, with real hooks",
		Long: "juju-sim runs charms by Juju's rules on this machine: each hook a process of the charm, each unit's\n" +
			"machine a directory and a loopback address. Start one with up, shell or run; the other verbs speak to it.",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&a.dir, "dir", "d", os.Getenv(DirVar), "directory of the simulation; by default $"+DirVar)
	root.AddCommand(a.runCmd(), a.upCmd(), a.shellCmd())
	for _, v := range verbs() {
		cmd := v(nil, Env{})
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			wd, err := os.Getwd()
			if err != nil {
				return err
			}
			if a.dir == "" {
				return errors.New("no simulation named: use -d DIR or set $" + DirVar)
			}
			return Remote(cmd.Context(), a.dir, Env{Out: out, Err: errOut, Dir: wd}, verbArgs(cmd, args)...)
		}
		root.AddCommand(cmd)
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetArgs(args)
	return root
}

// verbArgs drops what stands before the verb and -d itself.
func verbArgs(cmd *cobra.Command, args []string) []string {
	var rest []string
	seen := false
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-d" || arg == "--dir":
			if seen && cmd.Name() == "ssh" {
				rest = append(rest, arg)
				continue
			}
			i++
		case strings.HasPrefix(arg, "--dir="):
		default:
			seen = true
			rest = append(rest, arg)
		}
	}
	return rest
}

func (a *app) simFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.opts.Series, "juju", "4.0", "the Juju to simulate: 2.9, 3.6 or 4.0")
	f.StringVar(&a.opts.Name, "model", "sim", "name of the model")
	f.Uint64Var(&a.opts.Seed, "seed", 0, "run the units' hooks in a random order, the same for the same seed")
	f.IntVar(&a.opts.Parallel, "parallel", 1, "how many hooks run at a time")
	f.BoolVar(&a.opts.Keep, "keep", false, "leave the directory at the end")
	f.StringArrayVar(&a.opts.Env, "env", a.opts.Env, "further environment of the hooks, KEY=VALUE; "+RootVar+" is the machine's root")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no line for each hook")
	f.DurationVar(&a.status, "update-status", 5*time.Minute, "while it is up, run update-status this often")
}

func (a *app) options() Options {
	opts := a.opts
	opts.Dir = a.dir
	if !a.quiet {
		opts.Progress = a.err
	}
	return opts
}

func (a *app) upCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "up", Short: "Start an empty model and stay until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := New(a.options())
			if err != nil {
				return err
			}
			a.tellWhere(s)
			return errors.Join(s.Serve(cmd.Context(), a.status), s.Close())
		},
	}
	a.simFlags(cmd)
	return cmd
}

func (a *app) tellWhere(s *Sim) { fmt.Fprintf(a.out, "up: juju-sim -d %s status\n", s.Dir()) }

func (a *app) shellCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "shell", Short: "Start an empty model and read verbs from standard input, one a line", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := New(a.options())
			if err != nil {
				return err
			}
			a.tellWhere(s)
			ctx, cancel := context.WithCancel(cmd.Context())
			var wg sync.WaitGroup
			var serveErr error
			wg.Go(func() { serveErr = s.Serve(ctx, a.status) })
			a.readVerbs(ctx, s)
			cancel()
			wg.Wait()
			return errors.Join(serveErr, s.Close())
		},
	}
	a.simFlags(cmd)
	return cmd
}

func (a *app) readVerbs(ctx context.Context, s *Sim) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(a.in)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case line, ok := <-lines:
			if !ok {
				return
			}
			words, err := splitWords(line)
			if err == nil && len(words) > 0 {
				err = s.Do(ctx, Env{Out: a.out, Err: a.err}, words...)
			}
			if err != nil {
				fmt.Fprintf(a.err, "ERROR %v\n", err)
			}
		}
	}
}

// splitWords splits a line at spaces; single quotes hold words together, and #
// starts a comment, as in a script.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quoted := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, in = !quoted, true
		case quoted || r != ' ' && r != '\t' && r != '#' || r == '#' && in:
			word.WriteRune(r)
			in = true
		default:
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
			if r == '#' {
				return words, nil
			}
		}
	}
	if quoted {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

func (a *app) runCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "script <file.txt>...", Short: "Run scripts: text files with a verb on each line",
		Long: "Runs scripts in testscript's format: verbs, and testscript's own commands (exec, stdout, cmp ...),\n" +
			"one a line; ! before a command expects it to fail. kill and wait are kill-unit and wait-for there.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runScripts(cmd.Context(), args) },
	}
	a.simFlags(cmd)
	cmd.Flags().BoolVar(&a.hold, "hold", false, "at the end of the script stay up until Ctrl-C")
	return cmd
}

func (a *app) runScripts(ctx context.Context, files []string) error {
	opts := a.options()
	live := a.err
	if a.quiet {
		live = nil
	}
	opts.Progress = nil
	sc := &scripts{opts: opts, live: live, sims: map[*testscript.TestScript]*Sim{}}
	cmds := sc.cmds(ctx)
	if a.hold {
		cmds["hold"] = func(ts *testscript.TestScript, _ bool, _ []string) {
			s := sc.sim(ts, opts)
			s.setProgress(live)
			a.tellWhere(s)
			ts.Check(s.Serve(ctx, a.status))
		}
	}
	var failed []string
	for _, file := range files {
		if err := a.runScript(ctx, file, cmds); err != nil {
			fmt.Fprintf(a.err, "%v\n", err)
			failed = append(failed, filepath.Base(file))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

func (a *app) runScript(ctx context.Context, file string, cmds map[string]func(*testscript.TestScript, bool, []string)) error {
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
		testscript.RunT(t, testscript.Params{Files: []string{file}, Cmds: cmds, Setup: func(env *testscript.Env) error {
			wd, err := os.Getwd()
			env.Setenv("HERE", wd)
			env.Setenv("CHARM", os.Getenv("CHARM"))
			env.Setenv("PATH", os.Getenv("PATH"))
			return err
		}})
	}()
	if t.failed {
		return errors.New(t.log.String())
	}
	if a.hold {
		return nil
	}
	return ctx.Err()
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
