package main

import (
	"context"
	"errors"
	"fmt"
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

// hand is the same servers without the charm: plain processes, which somebody careful ends and starts by hand.
type hand struct {
	servers map[string]*server // by unit
}

type server struct {
	argv []string
	env  []string
	cmd  *exec.Cmd
	done chan struct{}
}

// takeOver ends the supervised servers and starts them anew with the same data, certificates and settings. No hook may run
// from then on.
func takeOver(ctx context.Context, ask load.Ask) (*hand, error) {
	units, err := load.Units(ask)
	if err != nil {
		return nil, err
	}
	h := &hand{servers: map[string]*server{}}
	for unit := range units {
		dir, err := load.Config(ask, unit)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(dir, "etcd.env"))
		if err != nil {
			return nil, fmt.Errorf("cannot read the settings of %s: %w", unit, err)
		}
		root, err := ask("root", unit)
		if err != nil {
			return nil, err
		}
		binaries, err := filepath.Glob(filepath.Join(root, "opt/etcd-charm", strings.ReplaceAll(unit, "/", "-"), "*", "etcd"))
		if err != nil || len(binaries) == 0 {
			return nil, errors.Join(errors.New("there is no etcd"), err)
		}
		s := &server{argv: []string{binaries[len(binaries)-1]}}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				s.env = append(s.env, line)
			}
		}
		if _, err := ask("kill", unit, "supervise|/etcd$"); err != nil {
			return nil, err
		}
		h.servers[unit] = s
	}
	for _, s := range h.servers {
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	for _, s := range h.servers {
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (s *server) start() error {
	s.cmd = exec.Command(s.argv[0]) //nolint:gosec // the charm's own
	s.cmd.Env = s.env
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start etcd: %w", err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // it was told to end
	}(s.cmd, s.done)
	return nil
}

// ready waits for /readyz on the metrics URL.
func (s *server) ready(ctx context.Context) error {
	at := slices.IndexFunc(s.env, func(line string) bool { return strings.HasPrefix(line, "ETCD_LISTEN_METRICS_URLS=") })
	_, url, _ := strings.Cut(s.env[at], "=")
	client := http.Client{Timeout: time.Second}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("cannot ask for readiness: %w", err)
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

// again ends a server by a signal and starts it anew.
func (s *server) again(ctx context.Context, sig os.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("cannot end etcd: %w", err)
	}
	<-s.done
	return errors.Join(s.start(), s.ready(ctx))
}

func (h *hand) end() {
	for _, s := range h.servers {
		if s.cmd != nil {
			_ = s.cmd.Process.Signal(syscall.SIGKILL)
			<-s.done
		}
	}
}

// handRoll restarts one after another, the leader last.
func (b *bench) handRoll(ctx context.Context) error {
	leader, err := load.Leader(ctx, b.ask(ctx))
	if err != nil {
		return err
	}
	for unit, s := range b.hand.servers {
		if unit != leader {
			if err := s.again(ctx, syscall.SIGTERM); err != nil {
				return err
			}
		}
	}
	return b.hand.servers[leader].again(ctx, syscall.SIGTERM)
}

func (b *bench) handKill(ctx context.Context) error {
	leader, err := load.Leader(ctx, b.ask(ctx))
	if err != nil {
		return err
	}
	return b.hand.servers[leader].again(ctx, syscall.SIGKILL)
}
