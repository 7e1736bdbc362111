package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience bounds one run of anything.
const patience = 15 * time.Minute

// forming measures how long clusters take to form: with the charm from add-unit, by hand from the
// start of the first process, both until every member is a voter that serves.
func (b *bench) forming(ctx context.Context) error {
	h, err := b.newBare(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	for run := range b.runs {
		for _, n := range []int{1, 3, 5} {
			name := fmt.Sprintf("form.%d", n)
			if !b.wants(name+".", "bare."+name+".") && (n > 1 || !b.wants("join.", "bare.join.")) {
				continue
			}
			if n == most && run%2 > 0 { // it takes long
				continue
			}
			progress("%s %d of %d", name, run+1, b.runs)
			if err := b.formOnce(ctx, h, n); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (b *bench) formOnce(ctx context.Context, h *bare, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	took, join, err := b.charmForms(ctx, n)
	if err != nil {
		return err
	}
	began := time.Now()
	err = h.form(ctx, n)
	byHand := time.Since(began)
	began = time.Now()
	if err == nil && n == 1 {
		err = h.join(ctx)
	}
	joinByHand := time.Since(began)
	if err = errors.Join(err, h.end()); err != nil {
		return fmt.Errorf("by hand: %w", err)
	}
	name := fmt.Sprintf("form.%d", n)
	if n == 3 {
		if err := b.formByJoins(ctx, h, took); err != nil {
			return fmt.Errorf("by hand, by joins: %w", err)
		}
	}
	b.add(name+".seconds", "seconds", took.Seconds())
	b.add("bare."+name+".seconds", "seconds", byHand.Seconds())
	b.add(name+".ratio-to-bare", "ratio", took.Seconds()/byHand.Seconds())
	if n == 1 {
		b.add("join.2nd.ms", "ms", milliseconds(join))
		b.add("bare.join.2nd.ms", "ms", milliseconds(joinByHand))
	}
	return nil
}

// etcdsWait is how long etcd requires its voters to be connected before it accepts the next member
// (etcdserver, HealthInterval). With one voter it does not check, so a cluster of three that is
// formed by joins waits once.
const etcdsWait = 5 * time.Second

// formByJoins does by hand what the charm does, and no more: one member founds, two join as
// learners, one after the other, and are promoted. It records that time beside took, with etcd's
// own wait shown apart in both.
func (b *bench) formByJoins(ctx context.Context, h *bare, took time.Duration) error {
	began := time.Now()
	err := h.form(ctx, 1)
	for range 2 {
		if err == nil {
			err = h.join(ctx)
		}
	}
	byHand := time.Since(began)
	if err = errors.Join(err, h.end()); err != nil {
		return err
	}
	b.add("bare.form.3.joins-seconds", "seconds", byHand.Seconds())
	b.add("form.3.seconds-less-5-ratio-to-bare", "ratio",
		(took-etcdsWait).Seconds()/(byHand-etcdsWait).Seconds())
	return nil
}

// charmForms forms a cluster of n in a new model; if n is 1, a second member joins it.
func (b *bench) charmForms(ctx context.Context, n int) (took, join time.Duration, err error) {
	j, err := b.newJuju()
	if err != nil {
		return 0, 0, err
	}
	defer j.Close()
	if err := j.do(ctx, "deploy", b.charm, "etcd", "-n", "0"); err != nil {
		return 0, 0, err
	}
	if took, err = j.grow(ctx, n, n); err != nil || n > 1 {
		return took, 0, err
	}
	join, err = j.grow(ctx, 1, n+1)
	return took, join, err
}

// grow adds units and returns how long it took until all were voters that serve. It returns once
// all hooks have run.
func (j *juju) grow(ctx context.Context, more, all int) (time.Duration, error) {
	began := time.Now()
	if err := j.do(ctx, "add-unit", "etcd", "-n", fmt.Sprint(more)); err != nil {
		return 0, err
	}
	settled := make(chan error, 1)
	go func() { settled <- j.healthy(ctx, all) }()
	var failure error
	for i := range all {
		failure = errors.Join(failure, until(ctx, "the voters", func() bool {
			s, err := settingsOf(j.ask(ctx), fmt.Sprintf("etcd/%d", i))
			return err == nil && s.ready(ctx)
		}))
	}
	took := time.Since(began)
	return took, errors.Join(failure, <-settled)
}
