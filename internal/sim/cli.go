package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// DirVar names the environment variable with the default of --dir.
const DirVar = "JUJU_SIM_DIR"

// app is the command line of the juju-sim program.
type app struct {
	opts   Options
	dir    string
	quiet  bool
	hold   bool
	story  bool
	status time.Duration
	in     io.Reader
	out    io.Writer
	err    io.Writer
}

// Program runs the juju-sim program with its arguments (without its name) and returns the exit
// code. A signal that would end it first ends the simulation, with all its processes; a second
// signal ends the program at once.
func Program(opts Options, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(),
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	// A reader that went away makes writes fail; that must not end the program and leave its
	// processes running.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := Command(opts, os.Stdin, os.Stdout, os.Stderr, args).ExecuteContext(ctx); err != nil {
		if text := err.Error(); strings.HasPrefix(text, "unknown command") &&
			!strings.Contains(text, "--help") {
			err = fmt.Errorf("%s\nsee \"juju-sim --help\"", strings.TrimSpace(text))
		}
		if !errors.Is(err, context.Canceled) { // the user who pressed Ctrl-C knows
			fmt.Fprintln(os.Stderr, "ERROR", err)
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			return exit.ExitCode() // of ssh's command
		}
		return 1
	}
	return 0
}

// Command returns the command line of the juju-sim program: run, up and shell start a simulation;
// every verb is sent to the one that is up.
func Command(opts Options, in io.Reader, out, errOut io.Writer, args []string) *cobra.Command {
	a := &app{opts: opts, in: in, out: out, err: errOut}
	root := &cobra.Command{
		Use: "juju-sim", Short: "A Juju model on one machine, with real hooks",
		Long: "juju-sim runs charms by Juju's rules on this machine: each hook is a process of the charm, each unit's\n" +
			"machine a directory and a loopback address. It needs neither root nor Juju.\n\n" +
			"Start a model with \"juju-sim up\"; then use it from another terminal, as you would juju:\n\n" +
			"  juju-sim deploy dist/etcd_amd64.charm etcd -n 3\n" +
			"  juju-sim status --watch 1s\n" +
			"  juju-sim run etcd/0 health\n\n" +
			"Juju's commands do what they do in Juju, as far as \"juju-sim COMMAND --help\" says; shell reads them from\n" +
			"standard input, script reads them from files.",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&a.dir, "dir", "d", os.Getenv(DirVar),
		"directory of the simulation; by default $"+DirVar+", else one directory per user")
	root.SetHelpCommand(helpCmd(root))
	root.AddGroup(
		&cobra.Group{ID: startGroup, Title: "Start a model:"},
		&cobra.Group{ID: jujuGroup, Title: "As in Juju:"},
		&cobra.Group{ID: ownGroup, Title: "Only here:"},
		&cobra.Group{ID: faultGroup, Title: "Make something fail, only here:"})
	for _, cmd := range []*cobra.Command{a.runCmd(), a.upCmd(), a.shellCmd()} {
		cmd.GroupID = startGroup
		root.AddCommand(cmd)
	}
	for _, g := range []struct {
		id    string
		verbs []verb
	}{
		{jujuGroup, modelVerbs},
		{jujuGroup, lookVerbs},
		{ownGroup, simVerbs},
		{faultGroup, faultVerbs},
	} {
		for _, v := range g.verbs {
			root.AddCommand(a.remoteCmd(v, g.id, args))
		}
	}
	explainUsage(root)
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetArgs(args)
	return root
}

// helpCmd is cobra's own, but that an unknown command is an error.
func helpCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "Help about any command", GroupID: ownGroup,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, _, err := root.Find(args)
			if err != nil {
				return err
			}
			return cmd.Help()
		},
	}
}

// Commands returns the names of all commands of the program, sorted.
func Commands() []string {
	var names []string
	for _, cmd := range Command(Options{}, nil, io.Discard, io.Discard, nil).Commands() {
		names = append(names, cmd.Name())
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return name == "help" })
}

// The groups of commands in the help.
const (
	startGroup = "start"
	jujuGroup  = "juju"
	ownGroup   = "own"
	faultGroup = "fault"
)

// remoteCmd makes a verb a command that is sent to the simulation that is up.
func (a *app) remoteCmd(v verb, group string, args []string) *cobra.Command {
	cmd := v(nil, Env{})
	cmd.GroupID = group
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if cmd.Name() == "ssh" && !cmd.Flags().Changed("describe") {
			return a.ssh(cmd.Context(), words)
		}
		wd, err := os.Getwd()
		if err != nil {
			return err
		}
		e := Env{Out: a.out, Err: a.err, Dir: wd, Terminal: isTerminal(a.out)}
		return Remote(cmd.Context(), a.where(), e, verbArgs(cmd, args)...)
	}
	return cmd
}

// where is the directory of the simulation that is up, or will be.
func (a *app) where() string {
	if a.dir != "" {
		return a.dir
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("juju-sim-of-%d", os.Getuid()))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// verbArgs drops what comes before the verb, and -d itself.
func verbArgs(cmd *cobra.Command, args []string) []string {
	var rest []string
	seen := false
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-d" || arg == "--dir":
			if seen && (cmd.Name() == "ssh" || cmd.Name() == "exec") {
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
	cmd.PreRunE = func(*cobra.Command, []string) error { return a.checked() }
	f := cmd.Flags()
	f.StringVar(&a.opts.Series, "juju", "4.0", "the Juju to simulate: 2.9, 3.6 or 4.0")
	f.StringVar(&a.opts.Name, "model", "sim", "name of the model")
	f.Uint64Var(&a.opts.Seed, "seed", 0,
		"run the units' hooks in a random order, which is the same for the same seed")
	f.IntVar(&a.opts.Parallel, "parallel", 1, "how many hooks run at a time")
	f.BoolVar(&a.opts.Keep, "keep", false, "keep the directory at the end")
	f.StringArrayVar(&a.opts.Env, "env", a.opts.Env,
		"additional environment of the hooks, KEY=VALUE; "+RootVar+" is the machine's root")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print no line for each hook")
	f.DurationVar(&a.status, "update-status", 5*time.Minute,
		"while it is up, run update-status this often")
}

// checked returns an error for a flag of a simulation that makes no sense.
func (a *app) checked() error {
	switch {
	case a.status <= 0:
		return fmt.Errorf("--update-status must be positive, such as 5m, got %s", a.status)
	case a.opts.Parallel < 1:
		return fmt.Errorf("--parallel must be at least 1, got %d", a.opts.Parallel)
	}
	return nil
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
			s, err := a.newNamed()
			if err != nil {
				return err
			}
			a.greet(s)
			err = errors.Join(s.Serve(cmd.Context(), a.status), s.Close())
			if err == nil {
				a.farewell(s)
			}
			return err
		},
	}
	a.simFlags(cmd)
	return cmd
}

// newNamed starts a simulation where verbs without --dir look for it.
func (a *app) newNamed() (*Sim, error) {
	opts := a.options()
	opts.Dir = a.where()
	s, err := New(opts)
	if !errors.Is(err, fs.ErrExist) {
		return s, err
	}
	if isUp(opts.Dir) {
		return nil, fmt.Errorf(
			"a simulation is up in %s already: end it, or name another directory with -d", opts.Dir)
	}
	return nil, fmt.Errorf(
		"%s exists: remove it if it was left by a simulation that was killed, or name another directory with -d",
		opts.Dir)
}

// greet prints how to reach a simulation: lines to copy, which work from any directory.
func (a *app) greet(s *Sim) {
	fmt.Fprintf(a.out, "A model of Juju %s is up. Use it from another terminal:\n\n",
		s.Model.Rules.Version)
	for _, words := range [][]string{
		{"status", "--relations"}, {"status", "--watch", "1s"}, {"--help"},
	} {
		fmt.Fprintf(a.out, "    %s\n", a.line(s, words...))
	}
	fmt.Fprintln(a.out, "\nEach hook that ends is printed as a line here. Ctrl-C ends everything.")
}

// line is a command for this simulation, quoted for a shell.
func (a *app) line(s *Sim, words ...string) string {
	program, err := os.Executable()
	if err != nil {
		program = "juju-sim"
	}
	if s.Dir() != a.where() || a.dir != "" {
		words = append([]string{"-d", s.Dir()}, words...)
	}
	return shellWords(append([]string{program}, words...))
}

// farewell prints what is left of a simulation that was closed without an error.
func (a *app) farewell(s *Sim) {
	if a.opts.Keep {
		fmt.Fprintf(a.out, "Every process has ended; %s is kept.\n", s.Dir())
		return
	}
	fmt.Fprintf(a.out, "Nothing is left: every process has ended, and %s is removed.\n", s.Dir())
}

func (a *app) shellCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "shell", Short: "Start an empty model and read verbs from standard input, one a line",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.newNamed()
			if err != nil {
				return err
			}
			a.greet(s)
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
