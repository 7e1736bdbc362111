package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

type verb string

const (
	startVerb   verb = "start"   // and at boot
	restartVerb verb = "restart" // end by SIGTERM, then start what is written
	stopVerb    verb = "stop"    // and do not start at boot
)

// service is what the unit's one service runs.
type service struct {
	Kind     operator.ServiceKind
	Unit     string   // "etcd/0"
	Argv     []string // an absolute path first
	EnvFile  string
	Writable string // the one directory it writes to; "" is none
	User     string // "" is the user that systemd runs as
	RunDir   string // below /run, made for it; "" is none
	Group    string // that it may give files to besides its own; "" is none
	Fence    string // the file by which its gate decides; "" is no gate
}

// release returns the installed release that the service runs.
func (s service) release() string {
	if len(s.Argv) == 0 {
		return ""
	}
	return filepath.Base(filepath.Dir(s.Argv[0]))
}

// kindOf derives from its arguments what a service runs.
func kindOf(argv []string) operator.ServiceKind {
	switch {
	case len(argv) > 0 && filepath.Base(argv[0]) == "etcd":
		return operator.MemberService
	case len(argv) > 1 && argv[1] == "proxy":
		return operator.ProxyService
	default:
		return operator.NoService
	}
}

type serviceState struct {
	service
	intact  bool // the unit file is exactly what write would write
	enabled bool
	failing bool
	gated   bool          // its gate is asking the peers whether it may start
	held    operator.Hold // why its gate holds it
	crashes int           // since it was last asked to start
	starved bool          // a crash was due to lack of memory
	memory  int64         // bytes in use; 0 is not known
	age     time.Duration // of the main process
	log     string        // if failing: why
	process process       // the zero value is none
}

// process is a live process; the zero value is none.
type process struct {
	pid int
	env []string
}

func (p process) alive() bool     { return p.pid != 0 }
func (p process) config() string  { return operator.EnvDigest(p.settings()) }
func (p process) release() string { return lookup(p.env, "CHARM_RELEASE") }

// settings returns the lines that are our settings, or that change their meaning. The other lines
// come from the service manager.
func (p process) settings() []string {
	return slices.DeleteFunc(slices.Clone(p.env), func(line string) bool {
		return !strings.HasPrefix(line, "ETCD_") && !strings.HasPrefix(line, "CHARM_")
	})
}

// settleTime is how long a new process may still show the environment of the process that started
// it.
const settleTime = 200 * time.Millisecond

// liveProcess reads a process's environment. It returns the zero process if the process is gone, or
// is a zombie.
func liveProcess(ctx context.Context, pid int) process {
	if pid <= 0 || syscall.Kill(pid, 0) == syscall.ESRCH {
		return process{}
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	p := process{pid: pid}
	_ = poll(ctx, 5*time.Millisecond, func(context.Context) (bool, error) {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			p = process{}
			return true, nil
		}
		p.env = strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
		return lookup(p.env, operator.ConfigVar) != "", nil
	})
	if p.config() == "" && zombie(pid) {
		return process{}
	}
	return p
}

// arguments returns a live process's arguments; none if it is gone.
func arguments(pid int) []string {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

func zombie(pid int) bool {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	return deadState(data)
}

// deadState reports whether a line of /proc/<pid>/stat, "pid (name) state …", is that of a dead
// process. The name may hold any characters.
func deadState(stat []byte) bool {
	at := bytes.LastIndex(stat, []byte(") "))
	if at < 0 || at+2 >= len(stat) {
		return false
	}
	return stat[at+2] == 'Z' || stat[at+2] == 'X'
}

// startTime is how long a process may take to come up. Becoming ready is another matter.
const startTime = 10*time.Second + gateTime

// lookInterval is the pause between two looks at the service while it starts or stops; a look by
// systemctl takes 8 ms.
const lookInterval = 40 * time.Millisecond

// start starts the service and waits until its process exists.
func (h *Host) start(ctx context.Context) error {
	if err := h.makeData(); err != nil {
		return err
	}
	if err := h.supervisor.control(ctx, startVerb); err != nil {
		return fmt.Errorf("cannot start service: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return h.awaitProcess(ctx, 0)
}

func (h *Host) restart(ctx context.Context) error {
	before, err := h.supervisor.state(ctx)
	if err != nil {
		return fmt.Errorf("cannot restart service: %w", err)
	}
	if err := h.makeData(); err != nil {
		return err
	}
	if err := h.supervisor.control(ctx, restartVerb); err != nil {
		return fmt.Errorf("cannot restart service: %w", err)
	}
	return h.awaitProcess(ctx, before.process.pid)
}

// awaitProcess waits for a process other than the one before. When etcd is told to end, it drains
// open watches for 8 s. A process that dies at once is no error here: the next look finds the
// service dead or failing.
func (h *Host) awaitProcess(ctx context.Context, before int) error {
	err := poll(ctx, lookInterval, func(ctx context.Context) (bool, error) {
		state, err := h.supervisor.state(ctx)
		switch {
		case err != nil:
			return false, err
		case state.process.alive() && state.process.pid != before:
			return true, nil
		case state.failing, state.held != operator.NotHeld:
			return true, nil
		case state.process.alive():
			return false, errors.New("the old process has not ended yet")
		default:
			return false, errors.New("no process has come up")
		}
	})
	if err != nil {
		return fmt.Errorf("cannot see service start: %w", err)
	}
	return nil
}

func (h *Host) stop(ctx context.Context) error {
	if err := h.supervisor.control(ctx, stopVerb); err != nil {
		return fmt.Errorf("cannot stop service: %w", err)
	}
	err := poll(ctx, lookInterval, func(ctx context.Context) (bool, error) {
		state, err := h.supervisor.state(ctx)
		if err == nil && state.process.alive() {
			err = errors.New("its process has not ended yet")
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("cannot stop service: %w", err)
	}
	return nil
}
