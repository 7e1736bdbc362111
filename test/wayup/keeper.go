package wayup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// keeper compares what consumers are told with what they were told first.
type keeper struct {
	model   *model.Model
	members map[string]string

	mu      sync.Mutex
	first   map[string]map[string]string // relation to credentials
	period  int64
	spoke   map[string]bool // relation and unit that had any
	changes []string
}

// beside looks before each hook: what the hook before it wrote is committed by then.
func (k *keeper) beside(r model.Runner) model.Runner {
	return model.RunnerFunc(func(ctx context.Context, c *model.Context) (model.Outcome, error) {
		k.look()
		return r.Run(ctx, c)
	})
}

// know makes what consumers are told now the reference.
func (k *keeper) know() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.first, k.spoke, k.period = map[string]map[string]string{}, map[string]bool{}, period()
	for id := range k.relations() {
		k.first[id] = credentials(k.bag(id, etcd+"/0"))
	}
}

// period is the period for which consumers' certificates are issued: 90 days, counted from 1970. In
// another period they differ.
func period() int64 { return time.Now().Unix() / (90 * 24 * 60 * 60) }

// look returns which credentials have changed so far, of those known.
func (k *keeper) look() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if period() != k.period {
		k.first = nil
	}
	for id, consumer := range k.relations() {
		for _, unit := range k.model.Units(etcd) {
			known, now := k.first[id], credentials(k.bag(id, unit))
			if known == nil || len(now) == 0 && !k.spoke[id+" "+unit] {
				continue // a unit that has just come may not have published yet
			}
			k.spoke[id+" "+unit] = true
			if !maps.Equal(known, now) {
				change := fmt.Sprintf("%s of %s, by %s", unlike(known, now), consumer, unit)
				if !slices.Contains(k.changes, change) {
					k.changes = append(k.changes, change)
				}
			}
		}
	}
	return slices.Clone(k.changes)
}

// disagreements are the settings in which units of etcd differ.
func (k *keeper) disagreements() []string {
	var all []string
	for id, consumer := range k.relations() {
		units := k.model.Units(etcd)
		for _, unit := range units[1:] {
			one, other := k.bag(id, units[0]), k.bag(id, unit)
			if !maps.Equal(one, other) {
				all = append(all, fmt.Sprintf("%s: %s and %s on %s",
					consumer, units[0], unit, unlike(one, other)))
			}
		}
	}
	slices.Sort(all)
	return all
}

// relations are those of consumers, by ID, with the consumer.
func (k *keeper) relations() map[string]string {
	all := map[string]string{}
	for _, r := range k.model.Relations() {
		for _, end := range r.Endpoints {
			if app, _, _ := strings.Cut(end, ":"); !r.Peer && app != etcd {
				all[strconv.Itoa(r.ID)] = app
			}
		}
	}
	return all
}

// told is what a unit tells a consumer.
func (k *keeper) told(consumer, unit string) map[string]string {
	for id, app := range k.relations() {
		if app == consumer {
			return k.bag(id, unit)
		}
	}
	return nil
}

// bag is a unit's bag in a relation, without what Juju puts there itself. The unit may have no bag
// there yet, or no longer.
func (k *keeper) bag(id, unit string) map[string]string {
	bag, err := k.model.Bag(id, unit)
	if err != nil {
		return nil
	}
	for _, own := range []string{"egress-subnets", "ingress-address", "private-address"} {
		delete(bag, own)
	}
	return bag
}

// credentials are the certificates and keys in a bag.
func credentials(bag map[string]string) map[string]string {
	maps.DeleteFunc(bag, func(_, value string) bool { return !strings.Contains(value, "-----BEGIN ") })
	return bag
}

// unlike names the settings that differ.
func unlike(a, b map[string]string) string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if b[key] != a[key] {
			keys = append(keys, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, ", ")
}
