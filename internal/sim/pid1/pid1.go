// Package pid1 stands in for systemd on a simulated machine: it reads the unit files under the
// machine's root, runs their services and timers, and answers systemctl, systemd-run and
// journalctl.
//
// The rule it keeps: a charm that asks systemd gets systemd's own answer here, and nothing reaches
// the systemd of this host. pid1 refuses what it would have to do and cannot. It works as an
// ordinary user, so it ignores User=, Group= and the settings of a sandbox. A service is one
// session of processes, which ends with its main process.
package pid1

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Commands returns the names of the programs that it answers.
func Commands() []string { return []string{"journalctl", "systemctl", "systemd-run"} }

// Manager is systemd on one machine. Halt ends it.
type Manager struct {
	root string
	env  []string

	mu      sync.Mutex
	changed *sync.Cond // signals that a unit changed its state
	units   map[string]*unit
	booted  time.Time
	off     bool
	limit   uint64 // limit for files that services write, in bytes
}

// New returns the systemd of the machine with a root directory. Services get env in addition to the
// PATH, as if it were set by `systemctl set-environment`. New starts nothing.
func New(root string, env ...string) *Manager {
	m := &Manager{
		root: root, env: env, units: map[string]*unit{}, booted: time.Now(), limit: unix.RLIM_INFINITY,
	}
	m.changed = sync.NewCond(&m.mu)
	return m
}

// The directories of unit files that were written, and of transient units, which disappear at a
// boot.
func (m *Manager) written() string   { return filepath.Join(m.root, "etc/systemd/system") }
func (m *Manager) transient() string { return filepath.Join(m.root, "run/systemd/transient") }

// wants returns the links that start a unit at boot; those of any unit if the name is *.
func (m *Manager) wants(name string) []string {
	links, err := filepath.Glob(filepath.Join(m.written(), "*.wants", name))
	if err != nil {
		return nil // only for a bad pattern
	}
	return links
}

// Journal returns the file that holds the output of a unit's service, and systemd's own lines about
// it.
func (m *Manager) Journal(name string) string {
	return filepath.Join(m.root, "var/log/journal", name+".log")
}

// Prepare makes the directories of a machine with systemd: the one for unit files, and the one by
// which programs recognize that systemd runs (sd_booted(3)).
func (m *Manager) Prepare() error {
	return errors.Join(
		os.MkdirAll(m.written(), 0o755), os.MkdirAll(filepath.Join(m.root, "run/systemd/system"), 0o755))
}

// Boot starts what is enabled, on a machine that was halted or is new.
func (m *Manager) Boot() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(os.RemoveAll(m.transient()), m.Prepare()); err != nil {
		return fmt.Errorf("cannot boot: %w", err)
	}
	m.off, m.limit, m.booted, m.units = false, unix.RLIM_INFINITY, time.Now(), map[string]*unit{}
	var errs []error // an error of one unit does not keep the others from starting
	for _, link := range m.wants("*") {
		u, err := m.unit(filepath.Base(link))
		switch {
		case err != nil:
			errs = append(errs, err)
		case u.text != nil:
			u.start()
		}
	}
	return errors.Join(errs...)
}

// Halt ends all services at once, as a power cut does, and answers no command until Boot. It
// returns when all processes are gone.
func (m *Manager) Halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off = true
	for _, u := range m.units {
		u.finish()
		u.signal(syscall.SIGKILL)
	}
	for slices.ContainsFunc(slices.Collect(maps.Values(m.units)), (*unit).running) {
		m.changed.Wait()
	}
}

// Runs reports whether a process belongs to a service of this machine.
func (m *Manager) Runs(pid int) bool {
	session, err := unix.Getsid(pid)
	if err != nil {
		return false // it has ended
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.units {
		if u.process != nil && u.process.pid == session {
			return true
		}
	}
	return false
}

// LimitFiles bounds the size of the files that services write, both of those that run and of those
// that start later.
func (m *Manager) LimitFiles(size uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = size
	for _, u := range m.units {
		if u.process == nil {
			continue
		}
		var limit unix.Rlimit
		err := unix.Prlimit(u.process.pid, unix.RLIMIT_FSIZE, nil, &limit)
		if err == nil {
			limit.Cur = min(size, limit.Max)
			err = unix.Prlimit(u.process.pid, unix.RLIMIT_FSIZE, &limit, nil)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot limit the files of %s: %w", u.name, err)
		}
	}
	return nil
}

// fullName returns a unit's name, with the type that systemd adds if the name has none.
func fullName(name string) (string, error) {
	if name == "" || filepath.Base(name) != name || strings.ContainsAny(name, "*?[\\ ") {
		return "", fmt.Errorf("unit name %s is not valid", name)
	}
	switch filepath.Ext(name) {
	case ".service", ".timer":
		return name, nil
	case ".socket", ".mount", ".path", ".target", ".slice", ".scope":
		return "", fmt.Errorf("unit %s: only services and timers are known here", name)
	default:
		return name + ".service", nil
	}
}

// unit returns a unit as systemd has it loaded. A unit that does nothing is read again each time it
// is named, because systemd forgets it in between.
func (m *Manager) unit(name string) (*unit, error) {
	name, err := fullName(name)
	if err != nil {
		return nil, err
	}
	u := m.units[name]
	if u == nil {
		u = &unit{m: m, name: name, active: inactive, sub: "dead", result: success}
		m.units[name] = u
	}
	if u.active == inactive && !u.running() {
		return u, u.load()
	}
	return u, nil
}

// reload reads all unit files again.
func (m *Manager) reload() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m.units)) {
		m.units[name].asked = nil
		errs = append(errs, m.units[name].load())
	}
	return errors.Join(errs...)
}

// monotonic returns the time on the clock of systemd's monotonic timestamps.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
