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
	stopVerb    verb = "stop"    // and not at boot
)

// service is what the unit's one service runs.
type service struct {
	Kind     operator.ServiceKind
	Unit     string   // "etcd/0"
	Argv     []string // an absolute path first
	EnvFile  string
	Writable string // the one directory it writes to; "" is none
	User     string // "" is whoever systemd runs as
	RunDir   string // below /run, made for it; "" is none
	Group    string // that it may give files to besides its own; "" is none
	Fence    string // the file that its gate goes by; "" is no gate
}

// release is the installed release that the service runs.
func (s service) release() string {
	if len(s.Argv) == 0 {
		return ""
	}
	return filepath.Base(filepath.Dir(s.Argv[0]))
}

// kindOf reads from its arguments what a service runs.
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
	intact  bool // what is written is what write writes for it, to the last byte
	enabled bool
	failing bool
	gated   bool          // its gate asks the peers whether it may start
	held    operator.Hold // by its gate
	crashes int           // since somebody started it
	starved bool          // a crash was for want of memory
	memory  int64         // bytes that it takes; 0 is not known
	age     time.Duration // of the main process
	log     string        // when failing: why
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

// settings are the lines that we write settings in, or that change what they say; the rest is the service manager's.
func (p process) settings() []string {
	return slices.DeleteFunc(slices.Clone(p.env), func(line string) bool {
		return !strings.HasPrefix(line, "ETCD_") && !strings.HasPrefix(line, "CHARM_")
	})
}

// settleTime is how long a fresh process may still show the environment of what started it.
const settleTime = 200 * time.Millisecond

// liveProcess reads a process's environment; the zero process if it is gone, or only waits to be buried.
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

// arguments are a live process's; none if it is gone.
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

// deadState reads from /proc/<pid>/stat, "pid (name) state …", that a process is dead. Its name may hold anything.
func deadState(stat []byte) bool {
	at := bytes.LastIndex(stat, []byte(") "))
	if at < 0 || at+2 >= len(stat) {
		return false
	}
	return stat[at+2] == 'Z' || stat[at+2] == 'X'
}

// startTime is how long a process may take to come up; that it is ready is another matter.
const startTime = 10*time.Second + gateTime

// lookInterval is between two looks at the service while it starts or stops; a look by systemctl takes 8 ms.
const lookInterval = 40 * time.Millisecond

// start starts the service and waits until its process is there.
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

// awaitProcess waits for a process other than the one before. etcd drains open watches for 8 s when it is told to
// end. A process that dies at once is found dead or failing by the next look; that is no error of the start.
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
