package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/test/load"
)

// sides are a cluster under the charm and one by hand, each with three members. A side that failed
// is made again.
type sides struct {
	b    *bench
	juju *juju
	bare *bare
}

func (s *sides) charm(ctx context.Context) (*juju, error) {
	if s.juju != nil {
		return s.juju, nil
	}
	j, err := s.b.deployed(ctx, 3)
	s.juju = j
	return j, err
}

func (s *sides) hand(ctx context.Context) (*bare, error) {
	if s.bare != nil {
		return s.bare, nil
	}
	h, err := s.b.newBare(ctx)
	if err != nil {
		return nil, err
	}
	s.bare = h
	return h, h.form(ctx, 3)
}

func (s *sides) dropCharm() {
	if s.juju != nil {
		_ = s.juju.Close()
		s.juju = nil
	}
}

func (s *sides) dropHand() {
	if s.bare != nil {
		_ = s.bare.Close()
		s.bare = nil
	}
}

// event is something that happens to a cluster while users write.
type event struct {
	name    string
	took    string // the figure for how long it took
	watched bool   // with an open watch for each member
	charm   func(context.Context, *juju) error
	hand    func(*bare, context.Context) error
}

func (b *bench) events() []event {
	return []event{
		{"roll", "roll.3.seconds", false, b.roll, (*bare).roll},
		{"refresh", "refresh.seconds", false, b.refresh, (*bare).refresh},
		{"scale", "scale.seconds", false, b.scale, (*bare).scale},
		{"kill-leader", "kill-leader.seconds", false, b.kill, (*bare).kill},
		{"roll-watched", "roll.3-watched.seconds", true, b.roll, (*bare).roll},
	}
}

// changes measures what a quiet hook costs, and what users feel while a cluster changes.
func (b *bench) changes(ctx context.Context) error {
	s := &sides{b: b}
	defer s.dropHand()
	defer s.dropCharm()
	var failures []error
	if b.wants("hook.") {
		j, err := s.charm(ctx)
		if err == nil {
			err = b.quietHooks(ctx, j)
		}
		failures = append(failures, err)
	}
	bad := 0
	for _, e := range b.events() {
		runs := b.runs
		if e.watched { // each takes half a minute, most of which etcd waits
			runs = max(1, runs/3)
		}
		for run := range runs {
			if b.wants(e.name+".", e.took) {
				progress("%s %d of %d", e.name, run+1, runs)
				report, err := b.byCharm(ctx, s, e)
				if err != nil {
					s.dropCharm()
					failures = append(failures, fmt.Errorf("%s: %w", e.name, err))
					break
				}
				bad += report.Failed + report.Lost
			}
			if b.wants("bare."+e.name+".", "bare."+e.took) {
				progress("bare.%s %d of %d", e.name, run+1, runs)
				if err := b.byHand(ctx, s, e); err != nil {
					s.dropHand()
					failures = append(failures, fmt.Errorf("bare.%s: %w", e.name, err))
					break
				}
			}
		}
	}
	if bad > 0 {
		failures = append(failures, fmt.Errorf("%d writes failed or were lost", bad))
	}
	return errors.Join(failures...)
}

func (b *bench) byCharm(ctx context.Context, s *sides, e event) (load.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	j, err := s.charm(ctx)
	if err != nil {
		return load.Report{}, err
	}
	members := func(ctx context.Context) (load.Target, error) { return load.Members(j.ask(ctx)) }
	return b.watchChange(ctx, "", e, members, func() error { return e.charm(ctx, j) })
}

func (b *bench) byHand(ctx context.Context, s *sides, e event) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	h, err := s.hand(ctx)
	if err != nil {
		return err
	}
	_, err = b.watchChange(ctx, "bare.", e, h.target, func() error { return e.hand(h, ctx) })
	return err
}

// watchChange makes an event happen while users write, from a second before it to a second after.
func (b *bench) watchChange(
	ctx context.Context, side string, e event,
	members func(context.Context) (load.Target, error), happen func() error,
) (load.Report, error) {
	t, err := members(ctx)
	if err != nil {
		return load.Report{}, err
	}
	if e.watched {
		t.Watches = len(t.Endpoints)
	}
	b.turn++
	users, err := load.Start(ctx, t, fmt.Sprint(b.turn))
	if err != nil {
		return load.Report{}, err
	}
	time.Sleep(time.Second)
	began := time.Now()
	failure := happen()
	took := time.Since(began)
	time.Sleep(time.Second)
	report, err := users.Stop(ctx)
	if err = errors.Join(failure, err); err != nil {
		return report, err
	}
	name := side + e.name
	progress("%s took %.1f s: %s", name, took.Seconds(), report)
	b.add(name+".failed-writes", "count", float64(report.Failed))
	b.add(name+".lost-writes", "count", float64(report.Lost))
	b.add(name+".retried-writes", "count", float64(report.Retried))
	b.add(name+".gap-ms", "ms", milliseconds(report.Gap))
	b.add(name+".slowest-write-ms", "ms", milliseconds(report.Worst))
	b.add(side+e.took, "seconds", took.Seconds())
	return report, nil
}

// roll changes a setting that needs a restart.
func (b *bench) roll(ctx context.Context, j *juju) error {
	return errors.Join(
		j.do(ctx, "config", "etcd", fmt.Sprintf("snapshot_count=%d", 10000+b.turn)),
		j.healthy(ctx, 3),
	)
}

// refresh replaces the charm by one with another binary, and goes back at the next turn.
func (b *bench) refresh(ctx context.Context, j *juju) error {
	path := b.next
	if j.refreshed {
		path = b.charm
	}
	j.refreshed = !j.refreshed
	return errors.Join(j.do(ctx, "refresh", "etcd", "--path", path), j.healthy(ctx, 3))
}

// scale goes from three to five and back.
func (*bench) scale(ctx context.Context, j *juju) error {
	more, err := j.ask(ctx)("add-unit", "etcd", "-n", "2")
	if err != nil {
		return err
	}
	return errors.Join(
		j.healthy(ctx, 5),
		j.do(ctx, append([]string{"remove-unit"}, strings.Fields(more)...)...),
		j.healthy(ctx, 3),
	)
}

// kill kills the leader, which systemd starts again.
func (*bench) kill(ctx context.Context, j *juju) error {
	leader, err := load.Leader(ctx, j.ask(ctx))
	if err != nil {
		return err
	}
	return errors.Join(
		j.do(ctx, "kill", leader, "/etcd$"),
		j.do(ctx, "update-status"),
		j.healthy(ctx, 3),
	)
}
