package secondlife

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// tail keeps the end of what a child prints.
type tail struct{ text []byte }

const tailSize = 8 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// last is the last line that is not empty, or its message. etcd writes lines of JSON; its tools end
// with "Error: …".
func (t *tail) last() string {
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	line := lines[len(lines)-1]
	var entry struct {
		Msg   string `json:"msg"`
		Error string `json:"error"`
	}
	if json.Unmarshal(line, &entry) == nil && entry.Msg != "" {
		return strings.TrimSuffix(entry.Msg+": "+entry.Error, ": ")
	}
	return strings.TrimPrefix(string(line), "Error: ")
}

// command is a child process with a minimal environment, which is asked to end when ctx ends.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs one of etcd's tools to its end.
func run(ctx context.Context, name string, args ...string) error {
	cmd := command(ctx, name, args...)
	cmd.Env = append(cmd.Env, "GOGC=400") // it reads much and keeps little
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if said := out.last(); said != "" {
		return fmt.Errorf("%s (%w)", said, err)
	}
	return err
}
