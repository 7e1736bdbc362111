package sim

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProgramCleansUp ends the program in every way but SIGKILL while a hook runs and a service is
// up: nothing of it is left.
func TestProgramCleansUp(t *testing.T) {
	t.Parallel()
	charm, err := filepath.Abs("testdata/charms/trace")
	require.NoError(t, err)
	for name, end := range map[string]func(cmd *exec.Cmd, stdout *os.File) error{
		"interrupt": func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(os.Interrupt) },
		"terminate": func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(syscall.SIGTERM) },
		"hang up":   func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(syscall.SIGHUP) },
		"reader gone": func(_ *exec.Cmd, stdout *os.File) error {
			return stdout.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "sim")
			require.NoError(t, os.WriteFile(dir+".txt", []byte("deploy "+charm+"\n"+
				"settle\n"+
				"let ROOT root trace/0\n"+
				"cp serve $ROOT/do-update-status\n"+
				"update-status\n"+
				"settle --timeout 3s\n"+
				"status\nstatus\nstatus\n"+
				"-- serve --\nsetsid sleep 424242 </dev/null >/dev/null 2>&1 &\ntouch $SIM_ROOT/up; sleep 1\n"), 0o600))
			read, write, err := os.Pipe()
			require.NoError(t, err)
			cmd := exec.Command(os.Args[0], "script", "-d", dir, dir+".txt")
			cmd.Env = append(os.Environ(), programVar+"=1")
			cmd.Stdout, cmd.Stderr = write, write
			require.NoError(t, cmd.Start())
			write.Close()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			lines := bufio.NewReader(read)
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(line, "> deploy"), line)
			require.Eventually(t, func() bool { return isFile(filepath.Join(dir, "m0", "up")) }, 20*time.Second, time.Millisecond)
			require.NoError(t, end(cmd, read))
			_ = cmd.Wait()
			assert.NoDirExists(t, dir)
			left, err := (&Sim{dir: dir, opts: Options{Env: testEnv}}).processes(0)
			require.NoError(t, err)
			assert.Empty(t, left)
			if name != "reader gone" {
				assert.Equal(t, 1, cmd.ProcessState.ExitCode())
				read.Close()
			}
		})
	}
}
