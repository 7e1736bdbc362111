package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"
)

// builtins are testscript's own commands that have the same names as verbs. In a script the verbs
// go by their aliases.
var builtins = []string{"kill", "wait", "exec"}

// scripts holds the simulation of each running script.
type scripts struct {
	opts Options
	live io.Writer // receives what is said, run and answered; nil discards it
	// story leaves the line for each hook out of live.
	story bool
	mu    sync.Mutex
	sims  map[*testscript.TestScript]*Sim
	// made and closed, if not nil, are called with each simulation.
	made   func(*testscript.TestScript, *Sim)
	closed func(*Sim, error)
}

// Cmds returns every verb as a command of testscript scripts: "deploy ./charm", "! run etcd/0
// health", then "stdout …". Each script has a simulation of its own, made by its first verb and
// closed at its end. In addition to the verbs there are
//
//	model [--juju 2.9|3.6|4.0] [--seed N] [--parallel N]   before any other verb
//	let VAR verb …                                          sets $VAR to what the verb prints
//	juju verb …                                             any verb, by its first name
//	say text …                                              tells the reader of a run what follows
//	head n verb …                                           any verb; the reader sees n lines of its output
//
// kill and wait are testscript's own: write kill-unit and wait-for. ctx may be
// context.Background().
func Cmds(
	ctx context.Context, opts Options,
) map[string]func(*testscript.TestScript, bool, []string) {
	return (&scripts{opts: opts, sims: map[*testscript.TestScript]*Sim{}}).cmds(ctx)
}

func (sc *scripts) cmds(
	ctx context.Context,
) map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		"model": sc.model,
		"let":   func(ts *testscript.TestScript, neg bool, args []string) { sc.let(ctx, ts, neg, args) },
		"juju":  func(ts *testscript.TestScript, neg bool, args []string) { sc.do(ctx, ts, neg, args) },
		"head":  func(ts *testscript.TestScript, neg bool, args []string) { sc.head(ctx, ts, neg, args) },
		"say":   sc.say,
	}
	for _, name := range Verbs() {
		if !slices.Contains(builtins, name) {
			cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
				sc.do(ctx, ts, neg, append([]string{name}, args...))
			}
		}
	}
	return cmds
}

func (sc *scripts) sim(ts *testscript.TestScript, opts Options) *Sim {
	sc.mu.Lock()
	s := sc.sims[ts]
	sc.mu.Unlock()
	if s != nil {
		return s
	}
	s, err := New(opts)
	ts.Check(err)
	sc.mu.Lock()
	sc.sims[ts] = s
	sc.mu.Unlock()
	ts.Defer(func() {
		err := s.Close()
		if err != nil {
			fmt.Fprintf(os.Stderr, "cannot clean up: %v\n", err)
		}
		if sc.closed != nil {
			sc.closed(s, err)
		}
		sc.mu.Lock()
		delete(sc.sims, ts)
		sc.mu.Unlock()
	})
	if sc.made != nil {
		sc.made(ts, s)
	}
	return s
}

func (sc *scripts) model(ts *testscript.TestScript, neg bool, args []string) {
	opts := sc.opts
	flags := pflag.NewFlagSet("model", pflag.ContinueOnError)
	flags.StringVar(&opts.Series, "juju", opts.Series, "")
	flags.Uint64Var(&opts.Seed, "seed", opts.Seed, "")
	flags.IntVar(&opts.Parallel, "parallel", opts.Parallel, "")
	ts.Check(flags.Parse(args))
	sc.mu.Lock()
	made := sc.sims[ts] != nil
	sc.mu.Unlock()
	if neg || made || flags.NArg() > 0 {
		ts.Fatalf("usage: model [--juju series] [--seed n] [--parallel n], before any other verb")
	}
	sc.sim(ts, opts)
}

// say prints words as they are, and no words as an empty line.
func (sc *scripts) say(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: say text...")
	}
	if sc.live != nil {
		fmt.Fprintln(sc.live, strings.Join(args, " "))
	}
}

// head shows the reader of a run only the first lines of a verb's output; the script itself gets
// all of it.
func (sc *scripts) head(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: head n verb [argument...]")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	sc.run(ctx, ts, neg, args[1:], func(w io.Writer) io.Writer { return &firstLines{w, n} })
}

// firstLines passes only the first lines on.
type firstLines struct {
	w    io.Writer
	left int
}

func (f *firstLines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if f.left <= 0 {
			break
		}
		if _, err := f.w.Write(line); err != nil {
			return 0, err
		}
		if bytes.HasSuffix(line, []byte("\n")) {
			f.left--
		}
	}
	return len(p), nil
}

func (sc *scripts) do(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	sc.run(ctx, ts, neg, args, func(w io.Writer) io.Writer { return w })
}

func (sc *scripts) run(
	ctx context.Context, ts *testscript.TestScript, neg bool, args []string,
	shown func(io.Writer) io.Writer,
) {
	out, errOut := ts.Stdout(), ts.Stderr()
	hooks := errOut
	if sc.live != nil {
		fmt.Fprintf(sc.live, "> %s\n", shellWords(args)) // as it is typed
		out, errOut = io.MultiWriter(out, shown(sc.live)), io.MultiWriter(errOut, sc.live)
		if !sc.story {
			hooks = errOut
		}
	}
	s := sc.sim(ts, sc.opts)
	s.setProgress(hooks)
	defer s.setProgress(sc.opts.Progress)
	err := s.Do(ctx, Env{Out: out, Err: errOut, Dir: ts.MkAbs(".")}, args...)
	if err != nil {
		fmt.Fprintf(errOut, "ERROR %v\n", err)
	}
	switch {
	case err != nil && !neg:
		ts.Fatalf("%s: %v", args[0], err)
	case err == nil && neg:
		ts.Fatalf("%s: unexpected success", args[0])
	}
}

func (sc *scripts) let(ctx context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: let VAR verb [argument...]")
	}
	var out bytes.Buffer
	s := sc.sim(ts, sc.opts)
	ts.Check(s.Do(ctx, Env{Out: &out, Err: ts.Stderr(), Dir: ts.MkAbs(".")}, args[1:]...))
	ts.Setenv(args[0], strings.TrimSpace(out.String()))
}

// Main is for TestMain of a package whose tests simulate: under the name of a hook tool the test
// program acts as that tool; otherwise it runs the tests and exits.
func Main(m interface{ Run() int }) {
	ToolMain()
	os.Exit(m.Run())
}
