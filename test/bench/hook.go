package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/juju-charms/etcd-charm/test/field"
)

// base is the commit with whose quiet hook the present one is compared.
const base = "3acfeb0c61887cf0801a509a260b5bbfd05a855c"

// quietHooks runs update-status on each of three members in turn, alone, in a model of the present
// charm and in one of the base's, alternately. Without the base's charm it measures only the
// present one, and the part fails.
func (b *bench) quietHooks(ctx context.Context, present *juju) error {
	turns := []*juju{present}
	old, failure := b.baseModel(ctx)
	if failure == nil {
		defer old.Close()
		turns = append(turns, old)
	}
	// The round before the first is not counted: its hooks may publish what forming left.
	for round := range b.runs + 1 {
		progress("hook.update-status %d of %d", round, b.runs)
		spent := map[*juju]time.Duration{}
		for i := range 3 {
			for _, j := range turns {
				r, err := j.updateStatus(ctx, fmt.Sprintf("etcd/%d", i))
				if err != nil {
					return errors.Join(failure, err)
				}
				spent[j] += r.CPU
				if round == 0 {
					continue
				}
				name := "hook.update-status."
				if j == old {
					name += "base-"
				}
				b.add(name+"tool-calls", "count", float64(r.Calls))
				b.add(name+"cpu-ms", "ms", milliseconds(r.CPU))
				b.add(name+"ms", "ms", milliseconds(r.Duration))
			}
		}
		if round > 0 && old != nil {
			b.add("hook.update-status.cpu-ratio", "ratio", float64(spent[present])/float64(spent[old]))
		}
		slices.Reverse(turns)
	}
	return failure
}

// baseModel is a model with three members of the base's charm.
func (b *bench) baseModel(ctx context.Context) (*juju, error) {
	charm, err := field.Charm(ctx, base)
	if err != nil {
		return nil, err
	}
	return b.deployedOf(ctx, charm, 3)
}
