// Command bench measures what the charm costs and what its users notice, on real processes under
// juju-sim and beside bare etcd, and prints one table. docs/reference/benchmarks.md says how each
// figure is taken.
//
// The rule it keeps: what is compared is measured in turns in one run, a figure is the median of
// its runs, and a part that fails does not lose the figures of the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/proxy"
	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/load"
)

func main() {
	sim.ToolMain()
	if len(os.Args) == 5 && os.Args[1] == takeCommand {
		if err := takeSnapshot(context.Background(), os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 4 && os.Args[1] == proxyCommand {
		if err := proxy.MainAs(context.Background(), proxy.Variant(os.Args[2]), os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	book

	charm string // packed
	next  string // unpacked, with another binary that does the same
	tool  string // program of the hook tools
	dir   string // of its own, removed at the end
	runs  int
	turn  int // changes each time, to make settings differ

	mib, pairs, kills int // of the second life
}

// part measures some of the figures. It ends whatever it starts.
type part struct {
	name    string
	figures []string // prefixes of their names
	measure func(context.Context) error
	apart   bool // it takes long: measured only if named
}

func (b *bench) parts() []part {
	return []part{
		{"size", []string{"charm."}, b.size, false},
		{"forming", []string{"form.", "join.", "bare.form.", "bare.join."}, b.forming, false},
		{"changes", []string{"hook.", "roll", "refresh.", "scale.", "kill-leader.", "bare.roll", "bare.refresh.", "bare.scale.", "bare.kill-leader."}, b.changes, false},
		{"proxies", []string{"direct.", "proxy.", "gateway.", "grpc-proxy."}, b.proxies, false},
		{"proxy-parts", []string{"one.direct.", "one.shipped.", "one.unsorted.", "one.plain."}, b.proxyParts, false},
		{"consumers", []string{"consumers."}, b.consumers, false},
		{"members", []string{"members."}, b.members, false},
		{"second-life", []string{"snapshot.", "restore.", "recover.", "bare.snapshot.", "bare.restore.", "bare.recover."}, b.secondLife, true},
	}
}

func run(ctx context.Context) error {
	var b bench
	flag.StringVar(&b.charm, "charm", "", "packed charm")
	flag.StringVar(&b.tool, "tool", "bin/juju-sim-tool", "program of the hook tools")
	flag.IntVar(&b.runs, "n", 1, "runs of each")
	flag.IntVar(&b.mib, "mib", 1400, "size of the database of the second life")
	flag.IntVar(&b.pairs, "pairs", 5, "pairs of its snapshots and restores")
	flag.IntVar(&b.kills, "kills", 50, "clusters that are killed for it")
	only := flag.String("only", "",
		"names of parts and prefixes of the names of figures, separated by commas; all by default")
	out := flag.String("o", "", "file for the figures as JSON")
	flag.Parse()
	b.only = b.figuresOf(strings.Split(*only, ","))
	var err error
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	defer os.RemoveAll(b.dir)
	b.next = filepath.Join(b.dir, "next")
	if err := load.NextRelease(b.charm, b.next); err != nil {
		return err
	}
	failure := b.all(ctx)
	b.print(os.Stdout)
	if *out != "" {
		failure = errors.Join(failure, b.write(*out, *only != ""))
	}
	return failure
}

// figuresOf replaces the name of a part by those of its figures.
func (b *bench) figuresOf(only []string) (out []string) {
	for _, o := range only {
		i := slices.IndexFunc(b.parts(), func(p part) bool { return p.name == o })
		if i < 0 {
			out = append(out, o)
			continue
		}
		out = append(out, b.parts()[i].figures...)
	}
	return out
}

// all measures every part that is asked for, also after one has failed.
func (b *bench) all(ctx context.Context) error {
	var failures []error
	for _, p := range b.parts() {
		if !b.wants(p.figures...) || p.apart && slices.Contains(b.only, "") || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		if err := p.measure(ctx); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.name, err))
		}
		progress("%s took %v", p.name, time.Since(began).Round(time.Second))
	}
	return errors.Join(append(failures, ctx.Err())...)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// size measures the packed charm.
func (b *bench) size(context.Context) error {
	info, err := os.Stat(b.charm)
	if err != nil {
		return fmt.Errorf("cannot look at the charm: %w", err)
	}
	b.add("charm.bytes", "bytes", float64(info.Size()))
	return nil
}
