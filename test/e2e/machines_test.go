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

// sh runs a line of shell on a machine and answers what it printed, trimmed; failure ends the test.
func (m machines) sh(t *testing.T, n int, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := m.run(ctx, n, nil, "sh", "-c", line)
		if err == nil {
			return strings.TrimSpace(out)
		}
		select {
		case <-ctx.Done():
			require.NoError(t, err, "not within %s: %s", within, out)
		case <-tick.C:
		}
	}
}

// raise brings up n fresh machines, and takes them down at the end unless KEEP is set.
func raise(t *testing.T, n int) machines {
	t.Helper()
	m := machines{script: env(t, "MACHINES")}
	_, err := m.do(t.Context(), "down")
	if err != nil {
		t.Log("machines down:", err) // the daemon may not be there yet; up installs it
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
