//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/test/load"
)

// patience bounds the waits for what takes seconds on a quiet machine.
const patience = 5 * time.Minute

// members are the members at their machines' addresses, as an administrator of one of the machines
// opens them.
func (w world) members(t *testing.T) load.Target {
	t.Helper()
	var target load.Target
	for _, unit := range w.Units("etcd") {
		info, err := w.Unit(unit)
		require.NoError(t, err)
		if !info.On {
			continue
		}
		target.Endpoints = append(target.Endpoints, "https://"+net.JoinHostPort(info.Address, "2379"))
		if target.TLS != nil {
			continue
		}
		target.TLS, err = load.Trust(func(name string) ([]byte, error) {
			// It is never empty, but lxc was seen to drop all that a command had printed.
			for range 3 {
				out, err := w.run(t.Context(), info.Machine, nil, "cat", "/etc/etcd-charm/"+dashed(unit)+"/tls/"+name)
				if err != nil || out != "" {
					return []byte(out), err
				}
			}
			return nil, errors.New("it is empty: " + name)
		})
		require.NoError(t, err)
	}
	return target
}

// leader is the unit whose member is the raft leader.
func (w world) leader(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	unit, err := w.members(t).Leader(ctx)
	require.NoError(t, err)
	return unit
}

// writing runs happens while users write, and fails if one of them gave up or if a write is lost.
func (w world) writing(t *testing.T, target load.Target, happens func()) {
	t.Helper()
	l, err := load.Start(t.Context(), target, strings.ReplaceAll(t.Name(), "/", "."))
	require.NoError(t, err)
	stopped := false
	stop := func() {
		stopped = true
		report, err := l.Stop(t.Context())
		t.Log(report)
		if report.Gap > 5*time.Second {
			w.logOf(t, report.GapFrom, report.Gap)
		}
		assert.NoError(t, err)
		assert.Zero(t, report.Failed, "writes failed; the last: %v", report.Last)
		assert.Zero(t, report.Lost, "acknowledged writes are lost")
	}
	defer func() { // happens may end the test
		if !stopped {
			stop()
		}
	}()
	happens()
	stop()
}

// logOf prints what the running servers logged in a gap: which led, what was slow.
func (w world) logOf(t *testing.T, from time.Time, long time.Duration) {
	t.Helper()
	for n := range 3 {
		out, err := w.do(t.Context(), "run", name(n), "journalctl", "-q", "--no-pager", "-o", "cat", "-u", "etcd-charm-*",
			"--since", fmt.Sprintf("@%d", from.Unix()-1), "--until", fmt.Sprintf("@%d", from.Add(long).Unix()+1),
			"--grep", "raft|slow|took|leader|elect")
		t.Logf("m%d: %v\n%s", n, err, out) // an error: it said nothing, or is off
	}
}

// writeMuch writes more than etcd keeps for members that are behind: 5000 entries, and up to
// snapshot_count more.
func (w world) writeMuch(t *testing.T) {
	t.Helper()
	const writers, each = 50, 150
	c, err := w.members(t).Client()
	require.NoError(t, err)
	defer c.Close()
	put := func(key string) error { _, err := c.Put(t.Context(), key, ""); return err }
	require.Eventually(t, func() bool { return put("much") == nil }, patience, time.Second, "nobody leads")
	var writing sync.WaitGroup
	for n := range writers {
		writing.Go(func() {
			for range each {
				assert.NoError(t, put("much/"+strconv.Itoa(n)))
			}
		})
	}
	writing.Wait()
}

// behindProxy reaches TestCluster's proxy.
func (w world) behindProxy(t *testing.T) load.Target {
	t.Helper()
	return w.beside(t, proxyMachine)
}

// beside reaches the proxy of machine n on its loopback, where it serves plaintext to that machine
// only.
func (w world) beside(t *testing.T, n int) load.Target {
	t.Helper()
	way := filepath.Join(w.agent.dir, "client.socket")
	add := exec.CommandContext(t.Context(), "lxc", "config", "device", "add", name(n), "client", "proxy", "bind=host",
		"listen=unix:"+way, "connect=tcp:127.0.0.1:2379")
	_, err := output(add)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := output(exec.CommandContext(context.Background(), "lxc", "config", "device", "remove", name(n), "client"))
		require.NoError(t, err)
	})
	return load.Target{Endpoints: []string{"unix://" + way}}
}

// used is the machine of the member that carries the connection of the proxy's one client. The
// proxy keeps a connection to each member for its own health checks; the client's is an extra one.
func (w world) used(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(patience); ; pause(t.Context(), 200*time.Millisecond) {
		links := map[string]int{}
		for line := range strings.Lines(w.sh(t, proxyMachine, "ss -Htn state established '( dport = :2379 )' | awk '{print $4}'")) {
			host, _, err := net.SplitHostPort(strings.TrimSpace(line))
			require.NoError(t, err)
			if host != "127.0.0.1" {
				links[host]++
			}
		}
		most := slices.SortedFunc(maps.Keys(links), func(a, b string) int { return links[b] - links[a] })
		if len(most) > 0 && (len(most) == 1 || links[most[0]] > links[most[1]]) {
			for _, unit := range w.Units("etcd") {
				if info, err := w.Unit(unit); err == nil && info.Address == most[0] {
					return info.Machine
				}
			}
		}
		require.Less(t, time.Now(), deadline, "the client's connection is not to be told from others: %v", links)
	}
}

// felt is when writes succeeded, in order.
type felt struct {
	mu   sync.Mutex
	acks []ack
}

type ack struct{ began, ended time.Time }

// write writes until ctx ends, one attempt after the other, each for a second at most.
func (f *felt) write(ctx context.Context, c *clientv3.Client) {
	for ctx.Err() == nil {
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.Put(attempt, "blackhole", began.String())
		cancel()
		if err == nil {
			f.mu.Lock()
			f.acks = append(f.acks, ack{began, time.Now()})
			f.mu.Unlock()
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// begunSince reports whether a write succeeded that had begun since then.
func (f *felt) begunSince(then time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acks) > 0 && f.acks[len(f.acks)-1].began.After(then)
}

// gap is the longest time without a success.
func (f *felt) gap() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var most time.Duration
	for i := 1; i < len(f.acks); i++ {
		most = max(most, f.acks[i].ended.Sub(f.acks[i-1].ended))
	}
	return most
}

// blackhole runs happens on the machine of the member that serves a client behind the proxy. It
// prints how long the client, which keeps one connection and tries for a second at a time, had no
// success, and returns the machine.
func (w world) blackhole(t *testing.T, kind string, happens func(machine int)) int {
	t.Helper()
	c, err := w.behindProxy(t).Client()
	require.NoError(t, err)
	defer c.Close()
	f := &felt{}
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() { f.write(ctx, c) })
	defer writer.Wait()
	defer cancel()

	require.Eventually(t, func() bool { return f.begunSince(time.Time{}) }, patience, 20*time.Millisecond, "the proxy serves nobody")
	machine := w.used(t)
	before := f.gap()
	happens(machine)
	happened := time.Now()
	require.Eventually(t, func() bool { return f.begunSince(happened) }, patience, 20*time.Millisecond, "the client is still cut off")
	t.Logf("proxy.blackhole-ms %d (m%d %s; the longest wait before was %v)", f.gap().Milliseconds(), machine, kind, before.Round(time.Millisecond))
	return machine
}
