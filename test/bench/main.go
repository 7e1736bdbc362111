// Command bench prints what users feel while a cluster changes: writes that failed or were lost, the longest time with no
// successful write, and how long the change took, as operated by the charm and as done by hand on the bare processes.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/load"
)

func main() {
	sim.ToolMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one model with an application etcd.
type bench struct {
	sim    *sim.Sim
	runs   int
	charms [2]string
	turn   int // changes each time, so that settings do
	rows   []row
	hand   *hand
}

// row is one kind of event.
type row struct {
	name    string
	reports []load.Report
	took    []time.Duration
}

func run(ctx context.Context) error {
	charm := flag.String("charm", "", "packed charm")
	tool := flag.String("tool", "bin/juju-sim-tool", "program of the hook tools")
	runs := flag.Int("n", 1, "runs of each event")
	only := flag.String("only", "", "events, separated by commas; all by default")
	flag.Parse()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	next := filepath.Join(dir, "next")
	if err := load.NextRelease(*charm, next); err != nil {
		return err
	}
	s, err := sim.New(sim.Options{Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Parallel: 3, Tool: *tool})
	if err != nil {
		return fmt.Errorf("cannot simulate: %w", err)
	}
	defer s.Close()
	b := &bench{sim: s, runs: *runs, charms: [2]string{*charm, next}}
	if err := b.all(ctx, *only); err != nil {
		return err
	}
	return b.print(os.Stdout)
}

// ask runs a verb.
func (b *bench) ask(ctx context.Context) load.Ask {
	return func(words ...string) (string, error) {
		var out, log bytes.Buffer
		if err := b.sim.Do(ctx, sim.Env{Out: &out, Err: &log}, words...); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, log.String())
		}
		return strings.TrimSpace(out.String()), nil
	}
}

// do runs verbs one after another.
func (b *bench) do(ctx context.Context, verbs ...[]string) error {
	for _, words := range verbs {
		if _, err := b.ask(ctx)(words...); err != nil {
			return err
		}
	}
	return nil
}

func words(line string) []string { return strings.Fields(line) }

// healthy lets hooks run until n voters are ready.
func (b *bench) healthy(ctx context.Context, n int) error {
	return b.do(ctx, words("settle --timeout 5m"), []string{"wait", "--timeout", "2m", "etcd", fmt.Sprintf("^active %d/%d voters", n, n)})
}

// event is something that happens to the cluster while users write.
type event struct {
	name    string
	watches int
	happen  func(context.Context) error
}

func (b *bench) events() []event {
	return []event{
		{"roll", 0, b.roll},
		{"roll-watched", 1, b.roll},
		{"refresh", 0, b.refresh},
		{"scale-3-5-3", 0, b.scale},
		{"kill", 0, b.kill},
		{"hand-roll", 0, b.handRoll},
		{"hand-roll-watched", 1, b.handRoll},
		{"hand-kill", 0, b.handKill},
	}
}

func (b *bench) all(ctx context.Context, only string) error {
	if err := b.do(ctx, []string{"deploy", b.charms[0], "etcd", "-n", "3"}); err != nil {
		return err
	}
	if err := b.healthy(ctx, 3); err != nil {
		return err
	}
	for _, e := range b.events() {
		if only != "" && !slices.Contains(strings.Split(only, ","), e.name) {
			continue
		}
		if strings.HasPrefix(e.name, "hand-") && b.hand == nil {
			h, err := takeOver(ctx, b.ask(ctx))
			if err != nil {
				return err
			}
			defer h.end()
			b.hand = h
		}
		r := row{name: e.name}
		for i := range b.runs {
			fmt.Fprintf(os.Stderr, "%s %d of %d\n", e.name, i+1, b.runs)
			report, took, err := b.measure(ctx, e)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			r.reports, r.took = append(r.reports, report), append(r.took, took)
		}
		b.rows = append(b.rows, r)
	}
	return nil
}

// measure lets an event happen while users write, from a second before it until a second after.
func (b *bench) measure(ctx context.Context, e event) (load.Report, time.Duration, error) {
	target, err := load.Members(b.ask(ctx))
	if err != nil {
		return load.Report{}, 0, err
	}
	target.Watches = e.watches * len(target.Endpoints)
	b.turn++
	l, err := load.Start(ctx, target, fmt.Sprint(b.turn))
	if err != nil {
		return load.Report{}, 0, err
	}
	time.Sleep(time.Second)
	began := time.Now()
	failure := e.happen(ctx)
	took := time.Since(began)
	time.Sleep(time.Second)
	report, err := l.Stop(ctx)
	return report, took, errors.Join(failure, err)
}

func (b *bench) roll(ctx context.Context) error {
	return errors.Join(b.do(ctx, []string{"config", "etcd", fmt.Sprintf("snapshot_count=%d", 10000+b.turn)}), b.healthy(ctx, 3))
}

func (b *bench) refresh(ctx context.Context) error {
	b.charms[0], b.charms[1] = b.charms[1], b.charms[0]
	return errors.Join(b.do(ctx, []string{"refresh", "etcd", "--path", b.charms[0]}), b.healthy(ctx, 3))
}

func (b *bench) scale(ctx context.Context) error {
	more, err := b.ask(ctx)("add-unit", "etcd", "-n", "2")
	if err != nil {
		return err
	}
	return errors.Join(b.healthy(ctx, 5), b.do(ctx, append([]string{"remove-unit"}, words(more)...)), b.healthy(ctx, 3))
}

func (b *bench) kill(ctx context.Context) error {
	leader, err := load.Leader(ctx, b.ask(ctx))
	if err != nil {
		return err
	}
	return errors.Join(b.do(ctx, []string{"kill", leader, "/etcd$"}, words("update-status")), b.healthy(ctx, 3))
}

func (b *bench) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EVENT\tRUNS\tWRITES\tFAILED\tLOST\tRETRIED\tGAP p50\tGAP MAX\tSLOWEST WRITE\tTOOK p50\tTOOK MAX")
	bad := false
	for _, r := range b.rows {
		var writes, failed, lost, retried int
		var gaps, slow []time.Duration
		for _, one := range r.reports {
			writes, failed, lost, retried = writes+one.Writes, failed+one.Failed, lost+one.Lost, retried+one.Retried
			gaps, slow = append(gaps, one.Gap), append(slow, one.Worst)
		}
		bad = bad || failed > 0 || lost > 0
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", r.name, len(r.reports), writes, failed, lost, retried,
			middle(gaps), most(gaps), most(slow), middle(r.took), most(r.took))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if bad {
		return errors.New("writes failed or were lost")
	}
	return nil
}

func middle(all []time.Duration) string {
	sorted := slices.Sorted(slices.Values(all))
	return short(sorted[len(sorted)/2])
}

func most(all []time.Duration) string { return short(slices.Max(all)) }

func short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
