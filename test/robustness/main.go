// Command robustness operates a cluster with the charm, and does to it what happens to clusters: it
// scales, rolls, refreshes, renews and replaces while processes die, pause and lose each other, and
// while clients read, write and watch. The rule it keeps: no single report is trusted. What clients
// and watchers saw is judged afterwards, as a whole, by an independent model: a register for each
// key, and a list of what was written.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/load"
)

const (
	users = 10
	rest  = time.Second // between steps
)

func main() {
	sim.ToolMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "robustness:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	Tool        string        `json:"-"`
	Out         string        `json:"-"`
	Time        time.Duration `json:"time"`
	Seed        uint64        `json:"seed"`
	Juju        string        `json:"juju"`
	Faults      []string      `json:"faults"`
	Maintenance []string      `json:"maintenance"`
	Link        string        `json:"-"`
	charms      [2]string
}

func flags() settings {
	var s settings
	flag.StringVar(&s.Link, "ldflags", "-s -w -B gobuildid",
		"what the linker is told when the charm is built")
	flag.StringVar(&s.Tool, "tool", "bin/juju-sim-tool", "program of the hook tools")
	flag.StringVar(&s.Out, "out", "dist", "where the history of a run that fails goes")
	flag.DurationVar(&s.Time, "time", 5*time.Minute, "how long steps are begun")
	flag.Uint64Var(&s.Seed, "seed", 0, "of the schedule; zero is a new one")
	flag.StringVar(&s.Juju, "juju", "", "series of Juju; empty is chosen by the seed")
	faults := flag.String("faults", strings.Join(faultNames, ","), "which there are")
	maintenance := flag.String("maintenance", strings.Join(maintenanceNames, ","), "which there is")
	flag.Parse()
	s.Faults, s.Maintenance = strings.Split(*faults, ","), strings.Split(*maintenance, ",")
	if s.Seed == 0 {
		s.Seed = rand.Uint64()>>32 + 1 //nolint:gosec // short enough to type
	}
	if s.Juju == "" {
		s.Juju = []string{"2.9", "3.6", "4.0"}[s.Seed%3]
	}
	return s
}

// ahead is how far the clock of the founder's machine is ahead; 0 is right.
func (s settings) ahead() time.Duration {
	if !slices.Contains(s.Faults, founding) {
		return 0
	}
	ahead := slices.DeleteFunc(offs(), func(off time.Duration) bool { return off < time.Minute })
	// the remainder chooses the Juju version: each meets each
	return ahead[s.Seed/3%uint64(len(ahead))]
}

// again is the command that runs the same schedule.
func (s settings) again() string {
	if slices.Equal(s.Faults, faultNames) && slices.Equal(s.Maintenance, maintenanceNames) {
		return fmt.Sprintf("make robustness TIME=%v SEED=%d", s.Time, s.Seed)
	}
	return fmt.Sprintf("go run ./test/robustness -time %v -seed %d -faults %s -maintenance %s",
		s.Time, s.Seed, strings.Join(s.Faults, ","), strings.Join(s.Maintenance, ","))
}

func run(ctx context.Context) error {
	s := flags()
	for _, fault := range s.Faults {
		if !slices.Contains(faultNames, fault) {
			return fmt.Errorf("there is no fault %q: %q", fault, faultNames)
		}
	}
	for _, kind := range s.Maintenance {
		if !slices.Contains(maintenanceNames, kind) {
			return fmt.Errorf("there is no maintenance %q: %q", kind, maintenanceNames)
		}
	}
	fmt.Printf("seed %d, Juju %s, for %v: %s\n", s.Seed, s.Juju, s.Time, s.again())
	dir, err := os.MkdirTemp("", "robustness-")
	if err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // services on machines are other users
		return fmt.Errorf("cannot open the directory: %w", err)
	}
	charm, err := buildCharm(ctx, dir, s.Link)
	if err != nil {
		return err
	}
	s.charms = [2]string{charm, filepath.Join(dir, "next")}
	if err := load.NextRelease(charm, s.charms[1]); err != nil {
		return err
	}
	c := &cluster{}
	c.links = newLinks("2380", c.owner)
	defer c.links.Close()
	c.sim, err = sim.New(sim.Options{
		Series: s.Juju, Dir: filepath.Join(dir, machinesDir),
		Tool: s.Tool, Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar},
		Parallel: 3, Ingress: c.ingress,
	})
	if err != nil {
		return fmt.Errorf("cannot simulate: %w", err)
	}
	defer c.sim.Close()
	ahead := s.ahead()
	if err := c.found(ctx, charm, ahead); err != nil {
		log := filepath.Join(s.Out, fmt.Sprintf("robustness-%d.log", s.Seed))
		return errors.Join(err, os.WriteFile(log, []byte(c.tale(context.WithoutCancel(ctx))), 0o600))
	}
	return trial(ctx, s, c)
}

// ingress is where others reach a machine: members through a link, all others directly.
func (c *cluster) ingress(address, binding string) string {
	if binding != "cluster" {
		return address
	}
	return c.links.reach(address)
}

// machineOf is the number of the machine on which a program was started; "" is not one of ours.
func (c *cluster) machineOf(link string) string {
	program, err := os.Readlink(link)
	rest, ours := strings.CutPrefix(program, c.sim.Dir()+"/m")
	if err != nil || !ours {
		return ""
	}
	number, _, _ := strings.Cut(rest, "/")
	return number
}

// trial lets clients work while steps are done, and judges the result.
func trial(ctx context.Context, s settings, c *cluster) error {
	h := &history{began: time.Now()}
	first, err := mark(h, c, "first")
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	var watches, work sync.WaitGroup
	watchers := newWatchers(&c.field, s.Seed, first)
	for _, w := range watchers {
		watches.Go(func() { w.work(watching) })
	}
	for n := range users {
		work.Go(func() { newUser(h, &c.field, s.Seed, n).work(working) })
	}
	n := &nemesis{
		cluster: c, history: h, charms: s.charms, quota: firstQuota, did: map[string]int{},
		say: func(format string, args ...any) {
			fmt.Printf("%7.1fs %s\n", h.now().Seconds(), fmt.Sprintf(format, args...))
		},
	}
	if ahead := s.ahead(); ahead != 0 {
		n.say("founded while the clock of the founder was %v ahead", ahead)
		n.did[founding]++
	}
	failure := n.rage(ctx, newSchedule(s.Seed, s.Maintenance, s.Faults), s.Time)
	stopWorking()
	work.Wait()

	r := &report{settings: s, nemesis: n, history: h, took: h.now()}
	r.fault(failure)
	if failure != nil {
		r.log = c.tale(context.WithoutCancel(ctx))
	}
	last, err := mark(h, c, "last")
	r.fault(err)
	if err == nil {
		reach, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for _, w := range watchers {
			r.watches = append(r.watches, w.reaches(reach, last)...)
		}
		r.faults = append(r.faults, c.end(ctx, last)...)
	}
	stopWatching()
	watches.Wait()
	r.fault(c.links.Close())
	r.judge()
	return r.print(os.Stdout)
}

// rage does steps until the time is over.
func (n *nemesis) rage(ctx context.Context, s *schedule, long time.Duration) error {
	began := time.Now()
	for i := 1; time.Since(began) < long; i++ {
		if !wait(ctx, rest) {
			return ctx.Err()
		}
		st := s.next()
		n.say("step %d: %s", i, st)
		if err := n.step(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// mark begins or ends a history: it reads every key, writes one more, and returns that write's
// revision.
func mark(h *history, c *cluster, value string) (int64, error) {
	client, err := c.field.dial(toAll, nil)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	me := h.client()
	for i := range keys {
		h.do(client, op{Client: me, Kind: get, Key: fmt.Sprintf("%s%d", prefix, i)})
	}
	for range 10 {
		o := h.do(client, op{Client: me, Kind: put, Key: prefix + "mark", Value: value})
		if o.Outcome == done {
			return o.Rev, nil
		}
		value += "+"
		me = h.client()
	}
	return 0, errors.New("cannot write, with nothing to disturb it")
}
