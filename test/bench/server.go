package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/test/load"
)

// settings are a server's, as the charm writes them into etcd.env.
type settings map[string]string

// settingsOf reads a unit's.
func settingsOf(ask load.Ask, unit string) (settings, error) {
	dir, err := load.Config(ask, unit)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "etcd.env"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings of %s: %w", unit, err)
	}
	s := settings{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			s[key] = value
		}
	}
	return s, nil
}

// ready reports whether the server with these settings is a voter that serves.
func (s settings) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		s["ETCD_LISTEN_METRICS_URLS"]+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// until asks again and again until the answer is yes.
func until(ctx context.Context, what string, so func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// server is an etcd process that is not restarted automatically.
type server struct {
	unit     string // whose certificates it uses
	binary   string
	settings settings
	cmd      *exec.Cmd
	done     chan struct{}
}

// start starts the process, which ends with this one.
func (s *server) start() error {
	s.cmd = exec.Command(s.binary) //nolint:gosec // the charm's own
	for _, key := range slices.Sorted(maps.Keys(s.settings)) {
		s.cmd.Env = append(s.cmd.Env, key+"="+s.settings[key])
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("cannot start etcd: %w", err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // it was told to end
	}(s.cmd, s.done)
	return nil
}

func (s *server) ready(ctx context.Context) error {
	return until(ctx, s.settings["ETCD_NAME"]+" to be ready", func() bool {
		return s.settings.ready(ctx)
	})
}

// end ends the process by a signal, if it runs, and waits until it has ended.
func (s *server) end(sig os.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot end etcd: %w", err)
	}
	<-s.done
	s.cmd = nil
	return nil
}

// again ends the process by a signal and starts it again.
func (s *server) again(ctx context.Context, sig os.Signal) error {
	return errors.Join(s.end(sig), s.start(), s.ready(ctx))
}
