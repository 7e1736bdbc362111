package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// Maintenance that replaces the data: the judgement takes it into account.
const (
	snapshotting = "snapshot" // matters once it is restored
	restoring    = "restore"
	recovering   = "recover"
)

// taken is a snapshot that a unit keeps.
type taken struct {
	Unit     string        `json:"unit"`
	Name     string        `json:"name"`
	Asked    time.Duration `json:"asked"`
	Revision int64         `json:"revision"`
}

// jump is the least by which revisions rise when data is replaced.
const jump = 1_000_000_000

// replacement is one replacement of the cluster's data.
type replacement struct {
	Kind  string        `json:"kind"`
	Began time.Duration `json:"began"` // when it began; for a recovery, no quorum answered by then
	Ended time.Duration `json:"ended"` // by then the new data served
	Last  int64         `json:"last"`  // the last known revision of the old data when it began
	First int64         `json:"first"` // a revision of the new data

	// Of a restore: the revision of the snapshot.
	Snapshot int64 `json:"snapshot,omitempty"`
	// Of a recovery: the values found in the logs of the members that are left, in no order.
	Held []string `json:"held,omitempty"`
}

// floor separates revisions of the old data, which are below it, from those of the new data.
func (r replacement) floor() int64 { return r.Last + jump/2 }

// act runs an action. It repeats an action that fails, because a fault may still be going on.
func (c *cluster) act(
	ctx context.Context, unit func() (string, error), action string, params map[string]any,
) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var failure error
	for {
		name, err := unit()
		var res model.ActionResult
		if err == nil {
			res, err = c.sim.RunAction(ctx, name, action, params)
		}
		if err == nil && res.Status == "completed" {
			return res.Results, nil
		}
		if err == nil {
			err = errors.New(res.Message)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("action %s %v: %w", action, params, cmpErr(failure, err))
		}
		failure = err
		if err := c.do(ctx, "update-status"); err != nil {
			return nil, err
		}
		_ = c.sim.Settle(ctx) // hooks that fail are tried again later
		wait(ctx, 200*time.Millisecond)
	}
}

// cmpErr is the error that says more than that the time is over.
func cmpErr(first, then error) error {
	if first != nil {
		return first
	}
	return then
}

func (c *cluster) leader() (string, error) { return c.sim.Model.Leader(app) }

func always(unit string) func() (string, error) {
	return func() (string, error) { return unit, nil }
}

// snapshot makes a unit take a snapshot.
func (n *nemesis) snapshot(ctx context.Context, rng *rand.Rand) (taken, error) {
	t := taken{Unit: n.some(rng, 1)[0], Asked: n.history.now()}
	for {
		made, err := n.cluster.act(ctx, always(t.Unit), snapshotting, nil)
		if err != nil {
			return taken{}, err
		}
		if what, there := made["snapshot"].(map[string]any); there { // else it goes on, and none begins beside it
			t.Name = fmt.Sprint(what["name"])
			t.Revision, err = strconv.ParseInt(fmt.Sprint(what["revision"]), 10, 64)
			n.taken = append(n.taken, t)
			return t, err
		}
	}
}

// kept is an earlier snapshot of the data that is served, or a new one.
func (n *nemesis) kept(ctx context.Context, rng *rand.Rand) (taken, error) {
	var newest []taken // of each unit, which keeps it
	for _, t := range slices.Backward(n.taken) {
		same := func(other taken) bool { return other.Unit == t.Unit }
		old := len(n.replaced) > 0 && t.Revision < n.replaced[len(n.replaced)-1].floor()
		if !old && slices.Contains(n.cluster.sim.Model.Units(app), t.Unit) &&
			!slices.ContainsFunc(newest, same) {
			newest = append(newest, t)
		}
	}
	if len(newest) > 0 && rng.IntN(2) == 0 {
		return newest[rng.IntN(len(newest))], nil
	}
	return n.snapshot(ctx, rng)
}

// revision is the cluster's revision, read linearizably.
func (c *cluster) revision(ctx context.Context) (cluster uint64, rev int64, err error) {
	client, err := c.field.dial(toAll, nil)
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, patience/10)
	defer cancel()
	for {
		once, done := context.WithTimeout(ctx, attempt)
		resp, err := client.Get(once, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		done()
		if err == nil {
			return resp.Header.GetClusterId(), resp.Header.GetRevision(), nil
		}
		if !wait(ctx, 100*time.Millisecond) {
			return 0, 0, err
		}
	}
}

// restore restores a snapshot, with the command that a dry run prints.
func (n *nemesis) restore(ctx context.Context, rng *rand.Rand) error {
	c := n.cluster
	t, err := n.kept(ctx, rng)
	if err != nil {
		return err
	}
	r := replacement{Kind: restoring, Snapshot: t.Revision}
	n.say("  %s of revision %d, on %s", t.Name, t.Revision, t.Unit)
	wait(ctx, time.Duration(rng.Int64N(int64(3*time.Second)))) // clients go on writing
	shown, err := c.act(ctx, always(t.Unit), restoring, map[string]any{
		"snapshot": t.Name, "dry-run": true,
	})
	if err != nil {
		return err
	}
	was, last, err := c.revision(ctx)
	if err != nil {
		return err
	}
	r.Last, r.Began = last, n.history.now()
	return n.replaceData(ctx, r, was, fmt.Sprint(shown["command"]))
}

// recover loses a majority for good and lets the rest go on. The lost members come back, or others
// take their place.
func (n *nemesis) recover(ctx context.Context, rng *rand.Rand) error {
	c := n.cluster
	units := n.some(rng, len(c.sim.Model.Units(app)))
	lost := units[:len(units)/2+len(units)%2]
	left := units[len(lost):]
	if len(left) == 0 {
		return fmt.Errorf("nobody would be left of %q", units)
	}
	was, last, err := c.revision(ctx)
	if err != nil {
		return err
	}
	for _, unit := range lost {
		if err := c.do(ctx, "power-off", unit); err != nil {
			return err
		}
	}
	slices.Sort(lost)
	r := replacement{Kind: recovering, Last: last, Began: n.history.now()}
	if r.Held, err = c.held(left); err != nil {
		return err
	}
	n.say("  lost: %q, left: %q", lost, left)
	shown, err := c.act(ctx, c.leader, recovering, map[string]any{
		"without": strings.Join(lost, ","), "dry-run": true,
	})
	if err != nil {
		return err
	}
	if err := n.replaceData(ctx, r, was, fmt.Sprint(shown["command"])); err != nil {
		return err
	}
	if rng.IntN(2) == 0 { // they are gone for good
		return n.replaceUnits(ctx, lost...)
	}
	var boots [][]string // all of them at once, a majority of what was
	for _, unit := range lost {
		boots = append(boots, words("boot", unit))
	}
	return n.change(ctx, boots...)
}

// replaceData runs the command that replaces the data, and waits until the outcome is known. If a
// fault got in the way, the data may be unchanged.
func (n *nemesis) replaceData(
	ctx context.Context, r replacement, was uint64, command string,
) error {
	c := n.cluster
	params := map[string]any{}
	for _, word := range strings.Fields(command) {
		if key, value, ok := strings.Cut(word, "="); ok {
			params[key] = value
		}
	}
	made, err := c.act(ctx, c.leader, r.Kind, params)
	if err != nil {
		return err
	}
	outcome, err := c.outcome(ctx, fmt.Sprint(made["operation"]))
	if err != nil {
		return err
	}
	n.say("  %s: %s", made["operation"], outcome)
	if err := c.tell(ctx); err != nil {
		return err
	}
	is, first, err := c.revision(ctx)
	if err != nil {
		return err
	}
	r.First, r.Ended = first, n.history.now()
	if is == was {
		n.failed++
		n.say("  %s came to nothing", r.Kind)
		return nil
	}
	n.replaced = append(n.replaced, r)
	return nil
}

// outcome lets hooks run until an operation is over, and returns its outcome.
func (c *cluster) outcome(ctx context.Context, id string) (string, error) {
	outcome := ""
	err := c.rest(ctx, func() []string {
		shown, err := c.act(ctx, c.leader, "operation", nil)
		if err != nil {
			return []string{err.Error()}
		}
		if said, over := shown["outcome"]; over && shown["operation"] == id {
			outcome = fmt.Sprint(said)
			return nil
		}
		return []string{fmt.Sprintf("operation %s: %v", id, shown)}
	})
	return outcome, err
}

// written finds puts of judged keys in a log: the fields of etcd's request, each with its length
// before it.
var written = regexp.MustCompile(`(?s)\n.` + prefix + `[0-9a-z]+\x12(.)`)

// held are the values that units have in their logs, to which nothing is added any more.
func (c *cluster) held(units []string) ([]string, error) {
	var all []string
	for _, unit := range units {
		info, err := c.sim.Model.Unit(unit)
		if err != nil {
			return nil, err
		}
		logs, err := filepath.Glob(filepath.Join(c.sim.Root(info.Machine), "var/lib/etcd-charm",
			strings.ReplaceAll(unit, "/", "-"), "data/member/wal/*.wal"))
		if err != nil || len(logs) == 0 {
			return nil, fmt.Errorf("no log of %s: %w", unit, err)
		}
		for _, log := range logs {
			data, err := os.ReadFile(log)
			if err != nil {
				return nil, err
			}
			for _, at := range written.FindAllSubmatchIndex(data, -1) {
				from, long := at[3], int(data[at[2]])
				if from+long <= len(data) {
					all = append(all, string(data[from:from+long]))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
