package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/juju-charms/etcd-charm/test/load"
)

// maintenanceNames and faultNames are what a schedule chooses from.
var (
	maintenanceNames = []string{
		"scale-5", "scale-4", "roll", "refresh", "renew", "replace",
		snapshotting, restoring, recovering,
	}
	faultNames = []string{
		"kill", "kill-all", "pause", "power", "isolate", "cut", "slow", "disk", "clock", "quota", founding,
	}
)

// founding is the fault that happens once, before all steps: the clock of the founder's machine is
// ahead.
const founding = "founding"

// nemesis does the steps. One goroutine uses it.
type nemesis struct {
	cluster *cluster
	history *history
	charms  [2]string // the one that runs, and one that does the same
	turn    int       // makes settings differ
	quota   int64     // of the databases, by the option
	did     map[string]int
	missed  int // faults that found nothing to act on
	heard   int // how often a server showed that its clock was off
	failed  int // restores that failed because of a fault
	say     func(format string, args ...any)

	taken    []taken
	replaced []replacement
}

// step does one step: the fault begins during maintenance and always ends, and then all comes to
// rest.
func (n *nemesis) step(ctx context.Context, s step) error {
	befell := make(chan error, 1)
	go func() { befell <- n.fault(ctx, s) }()
	err := n.maintain(ctx, s)
	if failure := <-befell; errors.Is(failure, errClock) {
		err = errors.Join(err, failure)
	} else if failure != nil {
		n.missed++
		n.say("  %s: %v", s.fault, failure)
	} else if s.fault != "" {
		n.did[s.fault]++
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	if s.maintenance != "" {
		n.did[s.maintenance]++
	}
	if err := n.cluster.settled(ctx); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// maintain does what an operator does.
func (n *nemesis) maintain(ctx context.Context, s step) error {
	n.turn++
	rng := rand.New(rand.NewPCG(s.choice, 0))
	switch s.maintenance {
	case "scale-5":
		return n.scale(ctx, rng, 2)
	case "scale-4":
		return n.scale(ctx, rng, 1)
	case "roll":
		return n.change(ctx, words("config", app, fmt.Sprintf("snapshot_count=%d", 10000+n.turn)))
	case "refresh":
		n.charms[0], n.charms[1] = n.charms[1], n.charms[0]
		return n.change(ctx,
			words("refresh", app, "--path", n.charms[0]),
			words("refresh", proxyApp, "--path", n.charms[0]))
	case "renew":
		return n.renew(ctx)
	case "replace":
		dead := n.some(rng, 1)[0]
		if err := n.cluster.do(ctx, "power-off", dead); err != nil {
			return err
		}
		return n.replaceUnits(ctx, dead)
	case snapshotting:
		_, err := n.snapshot(ctx, rng)
		return err
	case restoring:
		return n.restore(ctx, rng)
	case recovering:
		return n.recover(ctx, rng)
	}
	return nil
}

func words(all ...string) []string { return all }

// change runs verbs, and waits until the charm has done what they ask for.
func (n *nemesis) change(ctx context.Context, lines ...[]string) error {
	for _, line := range lines {
		if err := n.cluster.do(ctx, line...); err != nil {
			return err
		}
	}
	return n.cluster.settled(ctx)
}

// replaceUnits replaces units whose machines are off for good. What is on those machines is gone
// too: clients that are open would otherwise go on to show certificates of theirs, which are
// revoked.
func (n *nemesis) replaceUnits(ctx context.Context, dead ...string) error {
	for _, unit := range dead {
		dir, err := load.Config(n.cluster.ask(ctx), unit)
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, "tls"))
		}
		if err != nil {
			return err
		}
	}
	return n.change(ctx,
		append(words("remove-unit", "--force"), dead...),
		words("add-unit", app, "-n", fmt.Sprint(len(dead))))
}

// some are randomly chosen units.
func (n *nemesis) some(rng *rand.Rand, count int) []string {
	units := n.cluster.sim.Model.Units(app)
	rng.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	return units[:count]
}

// scale adds units, and removes as many, new ones or old ones.
func (n *nemesis) scale(ctx context.Context, rng *rand.Rand, more int) error {
	if err := n.change(ctx, words("add-unit", app, "-n", fmt.Sprint(more))); err != nil {
		return err
	}
	return n.change(ctx, append(words("remove-unit"), n.some(rng, more)...))
}

// renew makes all leaf certificates be issued again: where the authorities can be had, the present
// ones become old; elsewhere a name is added to them.
func (n *nemesis) renew(ctx context.Context) error {
	c := n.cluster
	if c.sim.Model.Rules.Secrets {
		return n.change(ctx, words("config", app, fmt.Sprintf("extra_sans=etcd%d.example", n.turn)))
	}
	for _, unit := range c.sim.Model.Units(app) {
		for _, leaf := range []string{"server", "peer", "admin"} {
			if err := load.Age(c.ask(ctx), unit, leaf, false); err != nil {
				return err
			}
		}
	}
	return n.change(ctx, words("update-status"))
}

// fault makes a fault happen to a member for a while. The error says that it found nothing to act
// on.
func (n *nemesis) fault(ctx context.Context, s step) error {
	if s.fault == "" {
		return nil
	}
	if !wait(ctx, s.after) {
		return ctx.Err()
	}
	victim, others, err := n.victim(ctx, s.victim)
	if err != nil {
		return err
	}
	begin, end := n.inflict(ctx, s, victim, others)
	err = begin()
	n.say("  %s befalls %s: %v", s.what(), victim, err)
	if err == nil {
		wait(ctx, s.lasts)
	}
	if failure := end(); err == nil && failure != nil {
		if _, gone := n.cluster.sim.Model.Unit(victim); gone == nil {
			return failure
		}
	}
	return err
}

// wait waits, and reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// victim is the unit that a fault happens to, and all others.
func (n *nemesis) victim(
	ctx context.Context, number int,
) (victim string, others []string, err error) {
	units := n.cluster.sim.Model.Units(app)
	if len(units) == 0 {
		return "", nil, errors.New("there is no unit")
	}
	victim = units[number%len(units)]
	if number%2 == 0 {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if leader, err := load.Leader(ctx, n.cluster.ask(ctx)); err == nil &&
			slices.Contains(units, leader) {
			victim = leader
		}
	}
	return victim, slices.DeleteFunc(units, func(u string) bool { return u == victim }), nil
}

// inflict returns how a fault begins and how it ends.
func (n *nemesis) inflict(
	ctx context.Context, s step, victim string, others []string,
) (begin, end func() error) {
	c := n.cluster
	verb := func(words ...string) func() error {
		return func() error { return c.do(context.WithoutCancel(ctx), words...) }
	}
	nothing := func() error { return nil }
	switch s.fault {
	case "kill":
		return verb("kill", victim, "/etcd$"), nothing
	case "kill-all":
		return func() error {
			var all error
			for _, unit := range append(others, victim) {
				all = errors.Join(all, verb("kill", unit, "/etcd$")())
			}
			return all
		}, nothing
	case "pause":
		return verb("kill", "-s", "STOP", victim, "/etcd$"), verb("kill", "-s", "CONT", victim)
	case "power":
		return verb("power-off", victim), verb("boot", victim)
	case "disk":
		return verb("disk-full", victim), verb("disk-free", victim)
	case "clock":
		return n.stepClock(ctx, victim, s.off())
	case "quota":
		return func() error { return n.fill(ctx) },
			func() error { return n.raise(context.WithoutCancel(ctx)) }
	}
	r := rule{cut: true}
	if s.fault == "slow" {
		r = rule{delay: time.Duration(50+s.choice%200) * time.Millisecond}
	}
	where := c.addresses()
	if s.fault == "cut" && len(others) > 0 {
		others = others[:1]
	}
	var far []string
	for _, unit := range others {
		far = append(far, where[unit])
	}
	at := where[victim]
	return func() error { c.links.set(r, at, far...); return nil },
		func() error { c.links.set(rule{}, at, far...); return nil }
}
