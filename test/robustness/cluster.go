package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/test/load"
)

const (
	app      = "etcd"
	proxyApp = "etcd-proxy"
	members  = 3
	// patience is how long the charm may take to come to rest once nothing disturbs it any more.
	patience = 10 * time.Minute
	// leafLife is how long a leaf certificate is valid.
	leafLife = 365 * 24 * time.Hour
	// soon is a time before the end of a certificate, which is renewed when a third of its life is
	// left.
	soon = 30 * 24 * time.Hour
)

// cluster is a model with an application etcd of three units and two proxies.
type cluster struct {
	sim     *sim.Sim
	links   *links
	field   field
	errored int // hooks that failed so often that Juju waits for an operator or for its next retry
}

// ask runs a verb and returns what it prints.
func (c *cluster) ask(ctx context.Context) load.Ask {
	return func(words ...string) (string, error) {
		var out, log bytes.Buffer
		if err := c.sim.Do(ctx, sim.Env{Out: &out, Err: &log}, words...); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, log.String())
		}
		return strings.TrimSpace(out.String()), nil
	}
}

func (c *cluster) do(ctx context.Context, words ...string) error {
	_, err := c.ask(ctx)(words...)
	return err
}

// firstQuota is the quota that the cluster begins with: small, so that it can be filled.
const firstQuota = 16 << 20

// found deploys the charm and waits until all is at rest. If the clock of the founder's machine is
// ahead, it first waits for what is possible until the clock is right.
func (c *cluster) found(ctx context.Context, charm string, ahead time.Duration) error {
	founder := app + "/0" // which leads, because it came first
	for _, line := range [][]string{
		{
			"deploy", charm, app, "-n", fmt.Sprint(members), "--config", "bind_to_all_interfaces=false",
			"--config", fmt.Sprintf("quota_backend_bytes=%d", firstQuota),
		},
		{"deploy", charm, proxyApp, "-n", "2", "--config", "role=proxy"},
		{"integrate", app + ":proxy", proxyApp + ":upstream"},
	} {
		if err := c.do(ctx, line...); err != nil {
			return err
		}
		if line[0] == "deploy" && line[2] == app && ahead != 0 {
			k, err := c.clockOf(ctx, founder)
			if err == nil { // nothing has run there yet
				err = os.MkdirAll(filepath.Dir(k.file), 0o755) //nolint:gosec // services are other users
			}
			if err == nil {
				err = k.set(ahead)
			}
			if err != nil {
				return err
			}
		}
	}
	if ahead == 0 {
		return c.settled(ctx)
	}
	if err := c.rest(ctx, func() []string { return c.founded(founder, ahead) }); err != nil {
		return fmt.Errorf("while the clock of %s is %v ahead: %w", founder, ahead, err)
	}
	return c.rightClock(ctx, founder, ahead)
}

// founded is what to wait for while the founder's clock is ahead: that all vote. If it is ahead for
// longer than leaf certificates live, the founder sees those of all others as expired. It refuses
// them and votes alone. What it has published may not be valid yet by the true time, so the proxies
// are not waited for.
func (c *cluster) founded(founder string, ahead time.Duration) []string {
	if ahead < leafLife {
		return c.unlike(app, fmt.Sprintf("^active .*%d/%d voters", members, members))
	}
	return slices.DeleteFunc(c.unlike(app, "^active .*1/1 voters"), func(said string) bool {
		return !strings.HasPrefix(said, founder+" ")
	})
}

// rightClock sets right the clock of a unit's machine, which its server has shown to be off, and
// waits until all is at rest.
func (c *cluster) rightClock(ctx context.Context, unit string, was time.Duration) error {
	k, err := c.clockOf(ctx, unit)
	if err != nil {
		return err
	}
	for _, off := range []time.Duration{was, 0} {
		if err := k.set(off); err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, patience)
		heard, failure := k.listen(within, off)
		cancel()
		if !heard {
			return errors.Join(
				fmt.Errorf("%w: the server of %s was not heard to be off by %v", errClock, unit, off),
				failure,
			)
		}
	}
	if err := c.do(ctx, "update-status"); err != nil {
		return err
	}
	return c.settled(ctx)
}

// settled lets hooks run until every unit is a voter, every voter is ready, the proxies know them
// and every certificate is valid by the true clock. Then users learn where the cluster is. A hook
// that failed is retried, as Juju does without end.
func (c *cluster) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.rest(ctx, func() []string {
		n := len(c.sim.Model.Units(app))
		return slices.Concat(c.unlike(app, fmt.Sprintf("^active %d/%d voters", n, n)),
			c.unlike(proxyApp, fmt.Sprintf("^active .*%d/%d members", n, n)), c.misdated(ctx))
	})
	if err != nil {
		return err
	}
	return c.tell(ctx)
}

// rest lets hooks run until there is nothing left to wait for.
func (c *cluster) rest(ctx context.Context, waitsFor func() []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		err := c.sim.Settle(ctx)
		waits := waitsFor()
		if err == nil && len(waits) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, model.ErrInError) {
			return fmt.Errorf("the charm does not come to rest: %w: %q", err, waits)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the charm does not come to rest: %q", waits)
		case <-again.C:
		}
		if err := c.wake(ctx, err != nil); err != nil {
			return err
		}
	}
}

// wake queues update-status, and has failed hooks retried.
func (c *cluster) wake(ctx context.Context, failed bool) error {
	for name, app := range c.sim.Model.Status().Applications {
		for unit, u := range app.Units {
			if failed && u.Workload.Current == "error" {
				c.errored++
				if err := c.do(ctx, "resolved", unit); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return c.do(ctx, "update-status")
}

// unlike returns the units whose status does not match, and that status.
func (c *cluster) unlike(app, pattern string) []string {
	var all []string
	match := regexp.MustCompile(pattern)
	for name, u := range c.sim.Model.Status().Applications[app].Units {
		if text := u.Workload.Current + " " + u.Workload.Message; !match.MatchString(text) {
			all = append(all, name+" "+text)
		}
	}
	slices.Sort(all)
	return all
}

// misdated are leaf certificates that are not valid by the true clock, now and until after they are
// renewed.
func (c *cluster) misdated(ctx context.Context) []string {
	var all []string
	look := func(app string, leaves ...string) {
		for _, unit := range c.sim.Model.Units(app) {
			for _, leaf := range leaves {
				cert, err := load.Leaf(c.ask(ctx), unit, leaf)
				if now := time.Now(); err == nil &&
					(now.Before(cert.NotBefore) || now.Add(soon).After(cert.NotAfter)) {
					err = fmt.Errorf("is from %v to %v", cert.NotBefore, cert.NotAfter)
				}
				if err != nil {
					all = append(all, fmt.Sprintf("%s: certificate %s %v", unit, leaf, err))
				}
			}
		}
	}
	look(app, "server", "peer", "admin")
	look(proxyApp, "upstream")
	return all
}

// tale is the whole log of the model, for people who investigate.
func (c *cluster) tale(ctx context.Context) string {
	var all strings.Builder
	for _, line := range [][]string{{"status", "--relations"}, {"hooks"}, {"debug-log"}} {
		text, err := c.ask(ctx)(line...)
		fmt.Fprintf(&all, "== %s %v\n%s\n", strings.Join(line, " "), err, text)
	}
	return all.String()
}

// tell lets users know where the cluster is.
func (c *cluster) tell(ctx context.Context) error {
	direct, err := load.Members(c.ask(ctx))
	if err != nil {
		return err
	}
	var proxies []string
	for _, u := range c.sim.Model.Status().Applications[proxyApp].Units {
		proxies = append(proxies, "http://"+u.Address+":2379")
	}
	slices.Sort(proxies)
	c.field.set(direct, proxies)
	return nil
}

// addresses are the units of etcd with the addresses of their machines.
func (c *cluster) addresses() map[string]string {
	all := map[string]string{}
	for name, u := range c.sim.Model.Status().Applications[app].Units {
		all[name] = u.Address
	}
	return all
}

// owner is the address of the machine whose process has a socket.
func (c *cluster) owner(socket string) string {
	programs, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range programs {
		machine := c.machineOf(exe)
		if pid := filepath.Base(filepath.Dir(exe)); machine != "" && has(pid, socket) {
			return c.sim.Model.Status().Machines[machine].Address
		}
	}
	return ""
}

// end compares the cluster with what it should be: members and units are the same, all have the
// same data at one revision, certificates are valid by the true clock, it reports itself healthy,
// and no private key was logged.
func (c *cluster) end(ctx context.Context, rev int64) []string {
	var faults []string
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	// It syncs here and never by itself: HashKV reads without a lock the endpoints that a sync
	// changes (etcd client.go, dial).
	client, err := c.field.dial(toOne, nil)
	if err != nil {
		return []string{err.Error()}
	}
	defer client.Close()
	fault(client.Sync(ctx))
	fault(c.sameMembers(ctx, client))
	fault(sameData(ctx, client, rev))
	faults = append(faults, c.misdated(ctx)...)
	health, err := c.ask(ctx)("run", app+"/leader", "health")
	if fault(err); err == nil && !strings.Contains(health, "health: healthy") {
		fault(fmt.Errorf("the charm's health report: %s", health))
	}
	log, err := c.ask(ctx)("debug-log")
	if fault(err); strings.Contains(log, "PRIVATE KEY") {
		fault(errors.New("a private key was logged"))
	}
	return faults
}

func (c *cluster) sameMembers(ctx context.Context, client *clientv3.Client) error {
	list, err := client.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("cannot list members: %w", err)
	}
	var got, want []string
	for _, m := range list.Members {
		name := m.Name
		if m.IsLearner || name == "" {
			name += " (no voter)"
		}
		got = append(got, name)
	}
	for _, unit := range c.sim.Model.Units(app) {
		want = append(want, strings.ReplaceAll(unit, "/", ""))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("members are %q, units %q", got, want)
	}
	return nil
}

// sameData compares the hash of all members' data at a revision, which each may first have to
// reach.
func sameData(ctx context.Context, client *clientv3.Client, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	hashes := map[string]uint32{}
	for _, endpoint := range client.Endpoints() {
		for {
			resp, err := client.HashKV(ctx, endpoint, rev)
			if err == nil {
				hashes[endpoint] = resp.Hash
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("cannot hash the data of %s: %w", endpoint, err)
			case <-again.C:
			}
		}
	}
	for _, hash := range hashes {
		if hash != hashes[client.Endpoints()[0]] {
			return fmt.Errorf("members hold different data at revision %d: %v", rev, hashes)
		}
	}
	return nil
}
