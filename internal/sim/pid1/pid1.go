// Package pid1 stands in for systemd on a simulated machine: it reads the unit files under the
// machine's root, keeps their services alive, and answers systemctl and journalctl.
//
// The rule it keeps: what a charm asks of systemd gets systemd's own answer here, and nothing
// reaches the systemd of this host. It works as an ordinary user: User=, Group= and the lines of a
// sandbox are read past. It knows services only: no timers, sockets or transient units.
package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Commands are the names of the programs that it answers.
func Commands() []string { return []string{"journalctl", "systemctl"} }

// Manager is systemd on one machine. Halt ends it.
type Manager struct {
	root string
	env  []string

	mu      sync.Mutex
	changed *sync.Cond // a service is in another state
	units   map[string]*unit
	off     bool
	limit   uint64 // of the files that services write, in bytes
}

// New returns the systemd of the machine with a root directory. Services get env besides the PATH,
// as they get what `systemctl set-environment` says. It starts nothing.
func New(root string, env ...string) *Manager {
	m := &Manager{root: root, env: env, units: map[string]*unit{}, limit: unix.RLIM_INFINITY}
	m.changed = sync.NewCond(&m.mu)
	return m
}

func (m *Manager) unitFile(name string) string {
	return filepath.Join(m.root, "etc/systemd/system", name)
}

func (m *Manager) wanted(name string) string {
	return filepath.Join(m.root, "etc/systemd/system/multi-user.target.wants", name)
}

func (m *Manager) journal(name string) string {
	return filepath.Join(m.root, "var/log/journal", name+".log")
}

// Journal returns the file that holds what a unit's service prints, and what is said of it.
func (m *Manager) Journal(name string) string { return m.journal(name) }

// Boot starts what is enabled, on a machine that was halted or is new.
func (m *Manager) Boot() error {
	links, err := os.ReadDir(filepath.Dir(m.wanted("any")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read what is enabled: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off, m.limit, m.units = false, unix.RLIM_INFINITY, map[string]*unit{}
	for _, link := range links {
		u, err := m.unit(link.Name())
		if err != nil {
			return err
		}
		if u.text != nil {
			u.start()
		}
	}
	return nil
}

// Halt ends all services at once, as a power cut does, and answers nothing until Boot. It returns
// when they are gone.
func (m *Manager) Halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off = true
	for _, u := range m.units {
		for u.running() {
			u.again = false
			u.stop()
			u.signal(syscall.SIGKILL)
			m.changed.Wait()
		}
	}
}

// LimitFiles bounds the files that services write, those that run and those that start later.
func (m *Manager) LimitFiles(size uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = size
	for _, u := range m.units {
		if u.pid == 0 {
			continue
		}
		var limit unix.Rlimit
		err := unix.Prlimit(u.pid, unix.RLIMIT_FSIZE, nil, &limit)
		if err == nil {
			limit.Cur = min(size, limit.Max)
			err = unix.Prlimit(u.pid, unix.RLIMIT_FSIZE, &limit, nil)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot limit the files of %s: %w", u.name, err)
		}
	}
	return nil
}

// unit returns a unit as systemd has it loaded. One that does nothing is read again whenever
// somebody names it, for systemd forgets it in between.
func (m *Manager) unit(name string) (*unit, error) {
	if filepath.Base(name) != name {
		return nil, fmt.Errorf("unit name %s is not valid", name)
	}
	if filepath.Ext(name) == "" {
		name += ".service"
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
	for _, name := range slices.Sorted(maps.Keys(m.units)) {
		if err := m.units[name].load(); err != nil {
			return err
		}
	}
	return nil
}

// monotonic is the clock that systemd's monotonic timestamps are on.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
