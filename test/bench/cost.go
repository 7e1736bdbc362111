package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// consumerCounts are the numbers of relations that are compared, all with the first.
var consumerCounts = []int{1, 10, 100, 1000}

// related is a model of one member with many consumers.
type related struct {
	*juju
	n        int
	consumer string // its charm
}

// consumers measures a whole hook in which nothing changed for 1 to 1,000 relations, in turns.
// Before that it measures publishing to all of them, and after it, to one more.
func (b *bench) consumers(ctx context.Context) error {
	var all []related
	defer func() {
		for _, r := range all {
			_ = r.Close()
		}
	}()
	for _, n := range consumerCounts {
		if n > 1 && !b.wants(fmt.Sprintf("consumers.%d.", n)) {
			continue
		}
		progress("consumers: %d relations", n)
		r, err := b.relate(ctx, n)
		if err != nil {
			return fmt.Errorf("%d relations: %w", n, err)
		}
		all = append(all, r)
		if err := b.publish(ctx, r, "publish-all"); err != nil {
			return err
		}
	}
	for round := range 2 * b.runs {
		progress("consumers %d of %d", round+1, 2*b.runs)
		costs := map[int]model.Record{}
		for i := range all {
			r := all[(round+i)%len(all)]
			cost, err := r.quiet(ctx)
			if err != nil {
				return fmt.Errorf("%d relations: %w", r.n, err)
			}
			costs[r.n] = cost
		}
		for _, r := range all {
			name := fmt.Sprintf("consumers.%d", r.n)
			b.add(name+".tool-calls", "count", float64(costs[r.n].Calls))
			b.add(name+".ms", "ms", milliseconds(costs[r.n].Duration))
			b.add(name+".cpu-ms", "ms", milliseconds(costs[r.n].CPU))
			if r.n > 1 {
				b.add(name+".ratio", "ratio", float64(costs[r.n].Duration)/float64(costs[1].Duration))
				b.add(name+".cpu-ratio", "ratio", float64(costs[r.n].CPU)/float64(costs[1].CPU))
			}
		}
	}
	for _, r := range all {
		if err := errors.Join(r.addConsumer(ctx, r.n), b.publish(ctx, r, "publish-one")); err != nil {
			return err
		}
	}
	return nil
}

// relate makes a model with n consumers that the unit of etcd has not heard of yet.
func (b *bench) relate(ctx context.Context, n int) (related, error) {
	r := related{n: n, consumer: filepath.Join(b.dir, "consumer")}
	meta := "name: consumer\nsummary: reads\ndescription: reads\nrequires:\n  etcd:\n    interface: etcd-proxy\n"
	err := errors.Join(
		os.MkdirAll(r.consumer, 0o700),
		os.WriteFile(filepath.Join(r.consumer, "metadata.yaml"), []byte(meta), 0o600),
	)
	if err != nil {
		return r, fmt.Errorf("cannot write a charm: %w", err)
	}
	if r.juju, err = b.deployed(ctx, 1); err != nil {
		return r, err
	}
	for i := range n {
		if err := r.addConsumer(ctx, i); err != nil {
			return r, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// addConsumer relates one more application of one unit; all of them share a machine.
func (r related) addConsumer(ctx context.Context, i int) error {
	app := fmt.Sprintf("consumer%d", i)
	deploy := []string{"deploy", r.consumer, app}
	if i > 0 {
		deploy = append(deploy, "--to", "1")
	}
	return errors.Join(
		r.do(ctx, deploy...),
		r.do(ctx, "integrate", "etcd:proxy", app),
		r.unheard(ctx, app+"/0"),
	)
}

// unheard drops the hooks that are queued for a consumer and for etcd: running three for each
// relation would take minutes, and etcd's next hook looks at all relations.
func (r related) unheard(ctx context.Context, consumer string) error {
	nothing := model.RunnerFunc(func(context.Context, *model.Context) (model.Outcome, error) {
		return model.Outcome{Missing: true}, nil
	})
	for _, unit := range []string{consumer, "etcd/0", consumer} {
		for ran := true; ran; {
			var err error
			if _, ran, err = r.Model.Step(ctx, unit, nothing); err != nil {
				return fmt.Errorf("cannot pass over the hooks of %s: %w", unit, err)
			}
		}
	}
	return nil
}

// publish runs the hook that publishes to the consumers that have nothing yet.
func (b *bench) publish(ctx context.Context, r related, what string) error {
	cost, err := r.updateStatus(ctx, "etcd/0")
	if err != nil {
		return err
	}
	if cost.Bytes == 0 {
		return fmt.Errorf("%d relations: nothing was published", r.n)
	}
	name := fmt.Sprintf("consumers.%d.%s", r.n, what)
	b.add(name+".tool-calls", "count", float64(cost.Calls))
	b.add(name+".written-bytes", "bytes", float64(cost.Bytes))
	b.add(name+".ms", "ms", milliseconds(cost.Duration))
	return nil
}

// quiet runs a hook in which nothing changed.
func (r related) quiet(ctx context.Context) (model.Record, error) {
	cost, err := r.updateStatus(ctx, "etcd/0")
	if err == nil && cost.Bytes > 0 {
		err = fmt.Errorf("a hook in which nothing changed wrote %d bytes", cost.Bytes)
	}
	return cost, err
}

// members measures a hook in which nothing changed as a cluster grows from one to nine.
func (b *bench) members(ctx context.Context) error {
	j, err := b.deployed(ctx, 1)
	if err != nil {
		return err
	}
	defer j.Close()
	for n := 1; n <= 9; n += 2 {
		if n > 1 {
			if err := errors.Join(j.do(ctx, "add-unit", "etcd", "-n", "2"), j.healthy(ctx, n)); err != nil {
				return err
			}
		}
		progress("members: %d", n)
		name := fmt.Sprintf("members.%d.hook", n)
		for range b.runs {
			cost, err := j.updateStatus(ctx, "etcd/0")
			if err != nil {
				return err
			}
			b.add(name+".tool-calls", "count", float64(cost.Calls))
			b.add(name+".ms", "ms", milliseconds(cost.Duration))
			b.add(name+".cpu-ms", "ms", milliseconds(cost.CPU))
		}
	}
	return nil
}
