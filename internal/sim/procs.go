package sim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running process of a machine.
type process struct {
	pid  int
	args string
}

// processes finds the processes that belong to a machine: those of its services, those whose
// program lies under its root, and those that have the environment of its hooks. A process that
// merely names a file there, or has its working directory there, is not one.
func (s *Sim) processes(machine int) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !s.belongs(machine, pid) {
			continue
		}
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		found = append(found, process{
			pid, string(bytes.TrimRight(bytes.ReplaceAll(args, []byte{0}, []byte{' '}), " ")),
		})
	}
	return found, nil
}

func (s *Sim) belongs(machine, pid int) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	if stat, err := os.ReadFile(filepath.Join(proc, "stat")); err != nil || isZombie(stat) {
		return false
	}
	if s.runs(machine, pid) {
		return true
	}
	root := s.Root(machine)
	if exe, err := os.Readlink(filepath.Join(proc, "exe")); err == nil &&
		strings.HasPrefix(exe, root+"/") {
		return true
	}
	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	if err != nil {
		return false
	}
	own := s.env(machine)
	for kv := range strings.SplitSeq(string(environ), "\x00") {
		if strings.HasPrefix(kv, "JUJU_CHARM_DIR="+root+"/") ||
			strings.Contains(kv, root) && slices.Contains(own, kv) {
			return true
		}
	}
	return false
}

func isZombie(stat []byte) bool {
	i := bytes.LastIndexByte(stat, ')')
	return i >= 0 && len(stat) > i+2 && stat[i+2] == 'Z'
}

// signal sends a signal to a process if it still belongs to the machine. It takes a handle first,
// so a process that gets the same pid meanwhile is not hit.
func (s *Sim) signal(machine, pid int, sig syscall.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	if !s.belongs(machine, pid) {
		return nil
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// killAll ends everything on a machine, its systemd first, and what is started meanwhile.
func (s *Sim) killAll(machine int) error {
	s.manager(machine).Halt()
	deadline := time.Now().Add(10 * time.Second)
	for {
		ps, err := s.processes(machine)
		if err != nil || len(ps) == 0 {
			return err
		}
		for _, p := range ps {
			if err := s.signal(machine, p.pid, syscall.SIGKILL); err != nil {
				return fmt.Errorf("cannot kill %d: %w", p.pid, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot end the processes of machine %d: %d are left", machine, len(ps))
		}
		time.Sleep(2 * time.Millisecond)
	}
}
