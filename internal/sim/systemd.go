package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/sim/pid1"
)

// machineContext is the context ID of calls by a machine's own commands, which run in no hook: it
// names their machine.
const machineContext = "machine-%d"

// manager returns a machine's systemd. Its services find the simulated commands before this host's.
func (s *Sim) manager(machine int) *pid1.Manager {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.systemd[machine]
	if m == nil {
		m = pid1.New(s.Root(machine), "PATH="+s.machineCommands(machine)+":"+hookPath)
		s.systemd[machine] = m
	}
	return m
}

// runs reports whether a process belongs to one of a machine's services.
func (s *Sim) runs(machine, pid int) bool {
	s.mu.Lock()
	m := s.systemd[machine]
	s.mu.Unlock()
	return m != nil && m.Runs(pid)
}

// commandsDir holds systemd's commands, as scripts, in a directory for each machine.
func (s *Sim) commandsDir() string { return filepath.Join(s.dir, "commands") }

// machineCommands is the first directory in a machine's PATH, before this host's own commands.
func (s *Sim) machineCommands(machine int) string {
	return filepath.Join(s.commandsDir(), fmt.Sprint(machine))
}

// agentExec does what juju-exec does. It runs a hook in its turn, like any other hook: juju-exec
// also waits for the unit's other hooks. Other commands are not supported.
func (s *Sim) agentExec(unit, command string) error {
	if !strings.HasSuffix(command, "/hooks/update-status") {
		return fmt.Errorf("%q is not known here", command)
	}
	if err := s.Model.UpdateStatus(unit); err != nil {
		return err
	}
	s.wake()
	return nil
}

// linkCommands makes a machine's commands. A charm does not pass its hook's environment on to them,
// so each is a script that knows the socket to ask.
func (s *Sim) linkCommands(machine int) error {
	dir := s.machineCommands(machine)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.manager(machine).Prepare(); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.dir, "commands-")
	if err != nil {
		return err
	}
	for _, name := range machineTools() {
		text := fmt.Sprintf("#!/bin/sh\nJUJU_CONTEXT_ID="+machineContext+
			" JUJU_AGENT_SOCKET_NETWORK=unix JUJU_AGENT_SOCKET_ADDRESS='%s' exec '%s' \"$@\"\n",
			machine, s.tools.address, filepath.Join(s.commandsDir(), name))
		//nolint:gosec // a program
		if err := os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil { //nolint:gosec // programs
		return err
	}
	err = os.Rename(tmp, dir)
	if errors.Is(err, fs.ErrExist) { // another call made it meanwhile
		err = os.RemoveAll(tmp)
	}
	return err
}
