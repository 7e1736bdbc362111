package living

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/juju/charm/v12"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/juju-charms/etcd-charm/test/load"
)

// patience bounds the waits for what takes seconds, or a minute at most, on a quiet machine.
const patience = 15 * time.Minute

// command is a command of scripts; neg is a "!" before it.
type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are the commands that scripts have beside juju-sim's verbs:
//
//	writes start [UNIT]         users write to all members of etcd, only to the one on a unit, or through the proxy there
//	writes stop [given-up]      prints what they felt; a write that failed or is lost is a failure. With given-up a lost
//	                            write is none: the data went back
//	watch start KEY             a program watches a key
//	watch end                   waits until the members end its watch, and prints what it was told
//	await REGEXP VERB...        runs hooks until what the verb prints matches, and prints that: for long work, which asks for
//	                            hooks as it ends
//	restarts start              watches the members
//	restarts stop               prints which were away meanwhile, by their own logs: a unit on each line in the order in which
//	                            they were told to end, and last "at once: " and the largest number at one time
//	pids [FILE]                 the process of each member, a unit and a number on each line; it waits for one that is away,
//	                            and for a change if FILE holds the former output
//	raft-leader VAR [OTHER...]  sets $VAR to the unit that leads, and each $OTHER to one that does not
//	hold-port UNIT PORT [bound] listens there until the script ends or free-port; "bound" only binds, like a connection from
//	                            that port: it keeps others out, and no list shows it
//	free-port
//	environ UNIT                the environment that its server was started with, one variable on each line
//	leaf UNIT LEAF              the names in a leaf certificate, and the days until it expires
//	spoil UNIT TEXT             changes the text in the database of a running member
//	unpack DIR                  the packed charm as a directory, to be changed
//	tear UNIT                   cuts the log of a member that is stopped
//	older VAR                   makes a charm of the same sources with the minor version of etcd before, and sets $VAR to it
//	age UNIT LEAF due|early     replaces a leaf certificate by one that is nearly over, or not yet valid (Juju 2.9 only)
func commands(ctx context.Context, verbs map[string]command) map[string]command {
	b := &bench{ctx: ctx, verbs: verbs, at: map[*testscript.TestScript]*scene{}}
	return map[string]command{
		"writes":      b.writes,
		"watch":       b.watch,
		"await":       b.await,
		"restarts":    b.restarts,
		"pids":        b.pids,
		"raft-leader": b.raftLeader,
		"pick":        pick,
		"hold-port":   b.holdPort,
		"free-port":   b.freePort,
		"age":         b.age,
		"leaf":        b.leaf,
		"environ":     b.environ,
		"spoil":       b.spoil,
		"tear":        b.tear,
		"unpack":      unpack,
	}
}

// unpack makes a directory of the packed charm.
func unpack(ts *testscript.TestScript, _ bool, args []string) {
	archive, err := charm.ReadCharmArchive(ts.Getenv("CHARM"))
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(archive.ExpandTo(dir))
}

// bench keeps what runs beside each script.
type bench struct {
	ctx   context.Context //nolint:containedctx // the commands of scripts have none
	verbs map[string]command
	mu    sync.Mutex
	at    map[*testscript.TestScript]*scene
}

type scene struct {
	load    *load.Load
	watched map[string]watched
	watcher *watcher
	held    []io.Closer
}

func (b *bench) scene(ts *testscript.TestScript) *scene {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.at[ts]
	if s == nil {
		s = &scene{}
		b.at[ts] = s
		ts.Defer(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.at, ts)
			if s.load != nil {
				s.load.Abandon() // the script has failed, and what they write may never succeed
			}
			for _, l := range s.held {
				l.Close()
			}
		})
	}
	return s
}

// ask is what a verb prints.
func (b *bench) ask(ts *testscript.TestScript, words ...string) string {
	b.verbs["let"](ts, false, append([]string{"ASKED"}, words...))
	return ts.Getenv("ASKED")
}

// asker is ask for callers that take an error.
func (b *bench) asker(ts *testscript.TestScript) load.Ask {
	return func(words ...string) (string, error) { return b.ask(ts, words...), nil }
}

// units are the units of application etcd by name.
func (b *bench) units(ts *testscript.TestScript) map[string]load.Unit {
	units, err := load.Units(b.asker(ts))
	ts.Check(err)
	return units
}

func (b *bench) writes(ts *testscript.TestScript, neg bool, args []string) {
	s := b.scene(ts)
	switch {
	case neg || len(args) == 0:
		ts.Fatalf("usage: writes start [UNIT] | stop [given-up]")
	case args[0] == "start" && s.load == nil:
		var t load.Target
		var err error
		if len(args) > 1 && !strings.HasPrefix(args[1], "etcd/") {
			t.Endpoints = []string{"http://" + net.JoinHostPort(b.ask(ts, "address", args[1]), "2379")}
		} else {
			t, err = load.Members(b.asker(ts))
			ts.Check(err)
		}
		if len(args) > 1 && t.TLS != nil {
			t.Endpoints, t.Fixed = []string{"https://" + net.JoinHostPort(b.ask(ts, "address", args[1]), "2379")}, true
		}
		t.Rate = 10 // the machine is shared with the other scripts
		t.Patience = patience
		s.load, err = load.Start(b.ctx, t, ts.Name())
		ts.Check(err)
	case args[0] == "stop" && s.load != nil:
		report, err := s.load.Stop(b.ctx)
		s.load = nil
		fmt.Fprintln(ts.Stdout(), report)
		ts.Check(err)
		if report.Failed > 0 || report.Lost > 0 && !slices.Contains(args, "given-up") {
			ts.Fatalf("%v; the last error: %v", report, report.Last)
		}
	default:
		ts.Fatalf("writes %s: it is so already", args[0])
	}
}

func (b *bench) await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await REGEXP VERB...")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		b.verbs["settle"](ts, false, nil)
		said := b.ask(ts, args[1:]...)
		if want.MatchString(said) {
			fmt.Fprintln(ts.Stdout(), said)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not to be seen; %s", args[0], said)
		}
	}
}

func (b *bench) pids(ts *testscript.TestScript, _ bool, args []string) {
	before := ""
	if len(args) == 1 {
		before = ts.ReadFile(args[0])
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		var out strings.Builder
		for _, name := range slices.Sorted(maps.Keys(b.units(ts))) {
			fmt.Fprintln(&out, name, b.pid(ts, name))
		}
		if out.String() != before {
			fmt.Fprint(ts.Stdout(), out.String())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the servers are still those of %s", args[0])
		}
	}
}

// pid is the process ID of a unit's server. One that has just crashed is started again within
// seconds.
func (b *bench) pid(ts *testscript.TestScript, unit string) string {
	root := b.ask(ts, "root", unit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if pid := server(ts, root); pid != "" {
			return pid
		}
	}
	ts.Fatalf("no server runs on %s", unit)
	return ""
}

// server is the process ID of the server on a machine now; "" is none.
func server(ts *testscript.TestScript, root string) string {
	programs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	for _, file := range programs {
		args, err := os.ReadFile(file)
		if program, _, _ := strings.Cut(string(args), "\x00"); err == nil && strings.HasPrefix(program, root+"/") && filepath.Base(program) == "etcd" {
			return filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

func (b *bench) environ(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(filepath.Join("/proc", b.pid(ts, args[0]), "environ"))
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), strings.ReplaceAll(string(text), "\x00", "\n"))
}

// pick sets a variable to what the first group of a pattern matches in the last command's output.
func pick(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("%s is nowhere in the output", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func (b *bench) raftLeader(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	leader, err := load.Leader(ctx, b.asker(ts))
	for err != nil && ctx.Err() == nil {
		<-tick.C // an election may be going on
		leader, err = load.Leader(ctx, b.asker(ts))
	}
	ts.Check(err)
	ts.Setenv(args[0], leader)
	if len(args) > 1 {
		others := slices.DeleteFunc(slices.Sorted(maps.Keys(b.units(ts))), func(unit string) bool { return unit == leader })
		for i, name := range args[1:] {
			ts.Setenv(name, others[i])
		}
	}
}

func (b *bench) holdPort(ts *testscript.TestScript, _ bool, args []string) {
	at := netip.MustParseAddrPort(net.JoinHostPort(b.ask(ts, "address", args[0]), args[1]))
	var l io.Closer
	var err error
	if len(args) > 2 && args[2] == "bound" {
		l, err = load.Bind(at)
	} else {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	}
	ts.Check(err)
	s := b.scene(ts)
	s.held = append(s.held, l)
}

func (b *bench) freePort(ts *testscript.TestScript, _ bool, _ []string) {
	s := b.scene(ts)
	for _, l := range s.held {
		l.Close()
	}
	s.held = nil
}
