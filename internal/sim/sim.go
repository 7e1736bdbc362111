// Package sim runs a Juju model on one machine: package model has the rules, and the hooks are real
// processes of the real charm.
//
// The rule it keeps: a charm meets here what it would meet in Juju (files, environment, hook tools,
// addresses, ends of processes). What the simulator starts or writes stays under its own
// directories, and disappears with it. It knows nothing of a charm's purpose.
package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/internal/sim/pid1"
)

// RootVar stands for the root directory of a machine in Options.Env.
const RootVar = "{root}"

// Options configure a simulation. The zero value is usable.
type Options struct {
	// Series is the Juju series: "2.9", "3.6" or "4.0"; empty is the newest.
	Series string
	// Name is the model's name; empty means "sim".
	Name string
	// Seed, if not zero, makes the order of hooks among units random but
	// repeatable.
	Seed uint64
	// Parallel is how many hooks run at a time, on different machines; below 2
	// one at a time.
	Parallel int
	// Dir is the parent directory of everything; empty is a new temporary one.
	Dir string
	// Keep leaves the directory when the simulation is closed.
	Keep bool
	// Ingress gives the address at which others reach a machine through a binding, from the
	// machine's own; nil means the machine's own. It may be called while hooks run.
	Ingress func(address, binding string) string
	// Env is additional environment for every hook, as KEY=VALUE; RootVar in a value becomes the
	// root directory of the unit's machine.
	Env []string
	// Tool is the program the hook tools are links to: juju-sim-tool, or one that
	// calls Main or ToolMain first thing. Empty is the juju-sim-tool beside the
	// running program, or the running program.
	Tool string
	// Transcript writes each call of a hook tool as a line of JSON (Call) into the file
	// TranscriptName, with all of its input and output, including secrets.
	Transcript bool
	// HookTimeout ends a hook that hangs; zero means five minutes.
	HookTimeout time.Duration
	// Patience is how long settle and wait go on unless told otherwise; zero means five minutes.
	Patience time.Duration
	// Progress gets a line for each hook; nil discards them.
	Progress io.Writer
}

// Sim is a running simulation. Close ends it.
type Sim struct {
	// Model holds the rules and the state.
	Model *model.Model

	opts    Options
	dir     string
	slot    *slot
	tools   *toolServer
	systemd map[int]*pid1.Manager // by machine
	turn    sync.Mutex            // held while hooks or an action run
	mu      sync.Mutex
	out     io.Writer
	charms  int
	placed  map[string]int
	reaped  map[int]bool
	changed chan struct{}
	closed  bool
}

// New starts a simulation with an empty model.
func New(opts Options) (*Sim, error) {
	opts.HookTimeout = cmp.Or(opts.HookTimeout, 5*time.Minute)
	opts.Patience = cmp.Or(opts.Patience, 5*time.Minute)
	s := &Sim{
		opts: opts, out: opts.Progress, placed: map[string]int{}, reaped: map[int]bool{},
		systemd: map[int]*pid1.Manager{}, changed: make(chan struct{}, 1),
	}
	ok := false
	defer func() {
		if !ok {
			s.Close()
		}
	}()
	var err error
	if s.slot, err = takeSlot(); err != nil {
		return nil, err
	}
	if s.Model, err = model.New(model.Options{
		Series: opts.Series, Name: opts.Name, Seed: opts.Seed,
		Address: s.slot.address, Ingress: opts.Ingress, OnRecord: s.onRecord,
	}); err != nil {
		return nil, err
	}
	if s.dir, err = makeDir(opts.Dir); err != nil {
		return nil, fmt.Errorf("cannot make a directory for the simulation: %w", err)
	}
	if err := s.linkTools(); err != nil {
		return nil, fmt.Errorf("cannot link the hook tools: %w", err)
	}
	calls, err := s.openTranscript()
	if err != nil {
		return nil, fmt.Errorf("cannot write a transcript: %w", err)
	}
	if s.tools, err = serveTools(&Jujuc{s.Model, calls, s.manager, s.agentExec}); err != nil {
		return nil, fmt.Errorf("cannot serve the hook tools: %w", err)
	}
	ok = true
	return s, nil
}

func makeDir(dir string) (string, error) {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "juju-sim-")
		if err != nil {
			return "", err
		}
		// Services of a unit may run as other users.
		if err := os.Chmod(tmp, 0o755); err != nil { //nolint:gosec // a machine's / is 0755
			return "", err
		}
		return filepath.EvalSymlinks(tmp)
	}
	// The whole directory is removed at the end, so it must be one of ours or must not exist yet.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

func (s *Sim) linkTools() error {
	tool := s.opts.Tool
	if tool == "" {
		var err error
		if tool, err = os.Executable(); err != nil {
			return err
		}
		if small := filepath.Join(filepath.Dir(tool), "juju-sim-tool"); isFile(small) {
			tool = small
		}
	}
	tool, err := filepath.Abs(tool)
	if err != nil {
		return err
	}
	return errors.Join(
		linkAll(tool, s.toolsDir(), s.Model.Rules.Tools), linkAll(tool, s.commandsDir(), machineTools()))
}

func linkAll(tool, dir string, names []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Symlink(tool, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Close ends every process of the simulation and removes its directory, unless Keep is set. It may
// be called twice.
func (s *Sim) Close() error {
	s.mu.Lock()
	done := s.closed
	s.closed = true
	s.mu.Unlock()
	if done {
		return nil
	}
	var errs []error
	if s.Model != nil {
		for _, id := range s.machines() {
			errs = append(errs, s.killAll(id))
		}
	}
	if s.tools != nil {
		errs = append(errs, s.tools.Close())
	}
	if s.slot != nil {
		errs = append(errs, s.slot.Close())
	}
	if s.dir != "" && !s.opts.Keep {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// Dir returns the directory that holds everything of the simulation.
func (s *Sim) Dir() string { return s.dir }

func (s *Sim) toolsDir() string { return filepath.Join(s.dir, "tools") }

// Root returns the root directory of a machine.
func (s *Sim) Root(machine int) string { return filepath.Join(s.dir, fmt.Sprintf("m%d", machine)) }

func (s *Sim) machines() []int {
	var ids []int
	for range s.Model.Status().Machines {
		ids = append(ids, len(ids))
	}
	return ids
}

// env returns the environment of Options.Env on a machine.
func (s *Sim) env(machine int) []string {
	var env []string
	for _, kv := range s.opts.Env {
		env = append(env, strings.ReplaceAll(kv, RootVar, s.Root(machine)))
	}
	return env
}

// Settle runs hooks until none is queued. The error wraps model.ErrInError if
// units are left in error.
func (s *Sim) Settle(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.Model.Settle(ctx, s, s.opts.Parallel)
}

// RunAction runs an action on a unit once no hook runs.
func (s *Sim) RunAction(
	ctx context.Context, unit, name string, params map[string]any,
) (model.ActionResult, error) {
	return s.runAction(ctx, unit, name, params, nil)
}

// runAction runs an action and, unless follow is nil, calls follow when the action begins.
func (s *Sim) runAction(
	ctx context.Context, unit, name string, params map[string]any, follow func(*model.Context),
) (model.ActionResult, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	run := func(ctx context.Context, c *model.Context) (model.Outcome, error) {
		if follow != nil {
			follow(c)
		}
		return s.Run(ctx, c)
	}
	res, _, err := s.Model.RunAction(ctx, unit, name, params, model.RunnerFunc(run))
	return res, err
}

// PowerOff ends everything on a machine at once.
func (s *Sim) PowerOff(id int) error {
	if err := s.Model.PowerOff(id); err != nil {
		return err
	}
	return s.killAll(id)
}

// onRecord is called after each hook: it prints a line of progress, and takes a machine down when
// its last unit is gone.
func (s *Sim) onRecord(r model.Record) {
	s.mu.Lock()
	if s.out != nil {
		fmt.Fprintf(s.out, "%-12s %-32s %-8s %6s  %d calls\n",
			r.Unit, r.Hook, r.Result, r.Duration.Round(time.Millisecond), r.Calls)
		if r.Error != "" {
			fmt.Fprintf(s.out, "%-12s   %s\n", "", r.Error)
		}
	}
	s.mu.Unlock()
	if r.Hook == "remove" {
		if err := s.reap(); err != nil {
			s.progressf("cannot take a machine down: %v\n", err)
		}
	}
}

func (s *Sim) progressf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil {
		fmt.Fprintf(s.out, format, args...)
	}
}

// setProgress sends the lines of progress to w.
func (s *Sim) setProgress(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = w
}

// reap takes down the machines without units.
func (s *Sim) reap() error {
	var errs []error
	st := s.Model.Status()
	for _, id := range s.machines() {
		if st.Machines[fmt.Sprint(id)].State != "removed" {
			continue
		}
		s.mu.Lock()
		done := s.reaped[id]
		s.reaped[id] = true
		s.mu.Unlock()
		if !done {
			errs = append(errs, s.killAll(id))
		}
	}
	return errors.Join(errs...)
}
