//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// machines drives the script that raises machines; machine n is called m<n>.
type machines struct{ script string }

func name(n int) string { return fmt.Sprintf("m%d", n) }

// do calls the script itself: up, kill, boot, down, ip.
func (m machines) do(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, m.script, args...))
}

// run runs a command as root on a machine; stdin may be nil.
func (m machines) run(ctx context.Context, n int, stdin []byte, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.script, append([]string{"run", name(n)}, argv...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[1:], " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), err
}

// address is the address of machine n; from moved on they are new addresses of machines.
func (m machines) address(n int) string {
	out, err := m.do(context.Background(), "ip", name(n%moved))
	if err != nil {
		panic(err)
	}
	addr := strings.TrimSpace(out)
	if n < moved {
		return addr
	}
	return fmt.Sprintf("%s.%d", addr[:strings.LastIndex(addr, ".")], 100+n-moved)
}

// bootAt boots the machine of a member, which is off, at another address than before.
func (m machines) bootAt(t *testing.T, n int, unit, address string) {
	t.Helper()
	for _, args := range [][]string{{"config", "device", "set", name(n), "eth0", "ipv4.address=" + address}, {"start", name(n)}} {
		_, err := output(exec.CommandContext(t.Context(), "lxc", args...))
		require.NoError(t, err)
	}
	// Its certificate is for the old address, so the others refuse it. Either its gate notices that
	// and keeps it down until a hook has looked, or it does not in time, and the member waits to be
	// let in.
	m.eventually(t, n, patience, "ip -4 addr show eth0 | grep -q 'inet "+address+"/' && "+
		"{ pgrep -x etcd || systemctl show "+service(unit)+" | grep -qx Result=exec-condition; }")
}

// sh runs a line of shell on a machine and returns what it printed, trimmed; a failure ends the
// test.
func (m machines) sh(t *testing.T, n int, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := m.run(ctx, n, nil, "sh", "-c", line)
	require.NoError(t, err, out)
	return strings.TrimSpace(out)
}

// eventually repeats a line of shell until it succeeds, at most for the given time.
func (m machines) eventually(t *testing.T, n int, within time.Duration, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		out, err := m.run(ctx, n, nil, "sh", "-c", line)
		if err == nil {
			return strings.TrimSpace(out)
		}
		pause(ctx, 200*time.Millisecond)
		require.NoError(t, ctx.Err(), "not within %s: %v: %s", within, err, out)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	tick := time.NewTimer(d)
	defer tick.Stop()
	select {
	case <-ctx.Done():
	case <-tick.C:
	}
}

// raise brings up n fresh machines, and takes them down at the end unless KEEP is set.
func raise(t *testing.T, n int) machines {
	t.Helper()
	m := machines{script: env(t, "MACHINES")}
	_, err := m.do(t.Context(), "down")
	if err != nil {
		t.Log("machines down:", err) // the daemon may not exist yet; up installs it
	}
	start := time.Now()
	_, err = m.do(t.Context(), "up", fmt.Sprint(n))
	require.NoError(t, err)
	t.Logf("%d machines up in %s", n, time.Since(start).Round(time.Second))
	if os.Getenv("KEEP") == "" {
		t.Cleanup(func() {
			_, err := m.do(context.Background(), "down")
			require.NoError(t, err)
		})
	}
	return m
}

func env(t *testing.T, key string) string {
	t.Helper()
	value := os.Getenv(key)
	require.NotEmpty(t, value, "%s is not set: run `make e2e`", key)
	return value
}
