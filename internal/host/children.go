package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// children supervises where there is no systemd: a detached process of our own (Supervise) keeps the service alive.
// Its files: service.json says what runs, the link service.enabled that it should, the lock is held while somebody
// supervises, and state.json names the processes; a state without a held lock speaks of the dead.
type children struct{ paths }

func (c *children) spec() string      { return c.config("service.json") }
func (c *children) enabled() string   { return c.config("service.enabled") }
func (c *children) lock() string      { return filepath.Join(c.run(), "lock") }
func (c *children) stateFile() string { return filepath.Join(c.run(), "state.json") }

// supervision is what a supervisor tells of itself.
type supervision struct {
	Supervisor int       `json:"supervisor"`
	Child      int       `json:"child"` // 0 while none runs
	Started    time.Time `json:"started"`
	Failures   int       `json:"failures"` // in a row
	Crashes    int       `json:"crashes"`  // in all
}

func (c *children) write(_ context.Context, s service) error {
	if s.Kind == operator.NoService {
		return errors.Join(removed(os.Remove(c.enabled())), removed(os.Remove(c.spec())))
	}
	data, err := encodeService(s)
	if err != nil {
		return err
	}
	return writeFiles(file{path: c.spec(), data: data, mode: secret})
}

func encodeService(s service) ([]byte, error) {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode service: %w", err)
	}
	return append(data, '\n'), nil
}

func readService(path string) (service, error) {
	data, err := readOptional(path)
	if err != nil {
		return service{}, fmt.Errorf("cannot read service: %w", err)
	}
	if data == nil {
		return service{}, nil
	}
	s, err := decodeService(data)
	if err != nil {
		return service{}, fmt.Errorf("cannot read service %s: %w", path, err)
	}
	return s, nil
}

// intact reports whether the file says s and nothing else.
func (c *children) intact(s service) bool {
	data, err := encodeService(s)
	return err == nil && file{path: c.spec(), data: data}.says()
}

func decodeService(data []byte) (service, error) {
	var s service
	if err := json.Unmarshal(data, &s); err != nil {
		return service{}, err
	}
	if len(s.Argv) == 0 {
		return service{}, errors.New("it runs nothing")
	}
	return s, nil
}

// supervised returns what the living supervisor says; false if none lives. Who holds the lock is the kernel's to say:
// a state file may be of an earlier supervisor, and its process number be somebody else's by now.
func (c *children) supervised() (supervision, bool, error) {
	f, err := os.Open(c.lock())
	if errors.Is(err, fs.ErrNotExist) {
		return supervision{}, false, nil
	}
	if err != nil {
		return supervision{}, false, fmt.Errorf("cannot look for supervisor: %w", err)
	}
	defer ignoreClose(f)
	holder := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &holder); err != nil {
		return supervision{}, false, fmt.Errorf("cannot look for supervisor: %w", err)
	}
	if holder.Type == syscall.F_UNLCK {
		return supervision{}, false, nil
	}
	var s supervision
	data, err := readOptional(c.stateFile())
	if err != nil {
		return supervision{}, false, fmt.Errorf("cannot read supervisor's state: %w", err)
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &s); err != nil {
			return supervision{}, false, fmt.Errorf("cannot read supervisor's state: %w", err)
		}
	}
	if s.Supervisor != int(holder.Pid) {
		s = supervision{Supervisor: int(holder.Pid)}
	}
	return s, true, nil
}

func (c *children) state(ctx context.Context) (serviceState, error) {
	written, err := readService(c.spec())
	if err != nil {
		return serviceState{}, err
	}
	if kindOf(written.Argv) == operator.NoService {
		return serviceState{}, nil
	}
	state := serviceState{service: written, intact: c.intact(written)}
	_, err = os.Lstat(c.enabled())
	state.enabled = err == nil
	s, lives, err := c.supervised()
	if err != nil {
		return serviceState{}, err
	}
	if !lives {
		return state, nil
	}
	state.process, state.crashes = liveProcess(ctx, s.Child), s.Crashes
	state.failing = s.Failures > 0 && (!state.process.alive() || (s.Failures >= 2 && time.Since(s.Started) < young))
	if state.failing {
		state.log = cause(tail(c.log(), 64<<10)) // a run that fails at once says up to 20 KiB
	}
	return state, nil
}

func (c *children) control(ctx context.Context, v verb) error {
	if v == stopVerb {
		if err := os.Remove(c.enabled()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return c.end(ctx)
	}
	s, err := readService(c.spec())
	if err != nil {
		return err
	}
	if s.Kind == operator.NoService {
		return errors.New("no service is written")
	}
	if err := renameio.Symlink(filepath.Base(c.spec()), c.enabled()); err != nil {
		return err
	}
	if v == restartVerb {
		if err := c.end(ctx); err != nil {
			return err
		}
	}
	if _, lives, err := c.supervised(); err != nil || lives {
		return err
	}
	return c.spawn(s)
}

// end tells the supervisor to end, once, and waits until it has.
func (c *children) end(ctx context.Context) error {
	told := 0
	return poll(ctx, 10*time.Millisecond, func(context.Context) (bool, error) {
		s, lives, err := c.supervised()
		if err != nil || !lives {
			return true, err
		}
		if s.Supervisor != told {
			told = s.Supervisor
			if err := syscall.Kill(told, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return true, fmt.Errorf("cannot signal supervisor: %w", err)
			}
		}
		return false, errors.New("its process has not ended yet")
	})
}

// spawn starts a supervisor in a session of its own, so that it outlives the hook and what Juju does to the hook's
// process group.
func (c *children) spawn(s service) error {
	for _, dir := range []string{c.run(), filepath.Dir(c.log())} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(c.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, secret)
	if err != nil {
		return err
	}
	defer ignoreClose(log)
	cmd := exec.Command(filepath.Join(filepath.Dir(s.Argv[0]), binaryName), "supervise",
		c.spec(), c.lock(), c.stateFile())
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // buries it, should it die while we live
	return nil
}

// tail returns the last whole lines of a file; "" if it cannot be read.
func tail(path string, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer ignoreClose(f)
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(info.Size()-most, 0)
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	if from > 0 {
		_, data, _ = bytes.Cut(data, []byte("\n")) // the first line is but its end
	}
	return string(data)
}
