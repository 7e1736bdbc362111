package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	longBackoff  = 10 * time.Second
	// drainTime is how long a child may take to end; etcd with open watches takes 8 s.
	drainTime = 60 * time.Second
)

// What the supervisor says of the service's start and end in the log that both write: by it cause tells runs apart.
const (
	startsWord = "supervisor: starts "
	endedWord  = "supervisor: the service ended: "
)

// Supervise is the process that keeps a service alive where there is no systemd; args are what the supervisor that
// spawns it gives. It returns nil when ctx ends (main ends it by SIGTERM), when the child exits with 0 (a member that
// was removed from its cluster does: it must stay down), or when another supervisor holds the lock already.
func Supervise(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("cannot supervise: the arguments are service, lock and state file")
	}
	s := &supervise{spec: args[0], stateFile: args[2]}
	lock, err := os.OpenFile(args[1], os.O_RDWR|os.O_CREATE, secret)
	if err != nil {
		return fmt.Errorf("cannot supervise: %w", err)
	}
	defer ignoreClose(lock)
	mine := syscall.Flock_t{Type: syscall.F_WRLCK}
	switch err := syscall.FcntlFlock(lock.Fd(), syscall.F_SETLK, &mine); {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EAGAIN):
		return nil
	case err != nil:
		return fmt.Errorf("cannot supervise: %w", err)
	}
	// The child is told when we die (Pdeathsig), which the kernel ties to the thread that made it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return s.loop(ctx)
}

type supervise struct {
	spec, stateFile string
	told            supervision
}

func (s *supervise) loop(ctx context.Context) error {
	backoff := firstBackoff
	for {
		began := time.Now()
		again, err := s.once(ctx)
		if !again || ctx.Err() != nil {
			return err
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "supervisor: %v\n", err)
		}
		if time.Since(began) >= young {
			backoff, s.told.Failures = firstBackoff, 0
		}
		s.told.Child = 0
		s.told.Failures++
		s.told.Crashes++
		if err := s.tell(); err != nil {
			fmt.Fprintf(os.Stderr, "supervisor: %v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, longBackoff)
	}
}

// once runs the child until it ends. It reads service and environment anew, as systemd does. again is false when the
// end is one to rest at.
func (s *supervise) once(ctx context.Context) (again bool, err error) {
	svc, err := readService(s.spec)
	if err != nil {
		return true, err
	}
	if len(svc.Argv) == 0 {
		return false, errors.New("cannot supervise: no service is written")
	}
	env, err := envLines(svc.EnvFile)
	if err != nil {
		return true, err
	}
	cmd := exec.CommandContext(ctx, svc.Argv[0], svc.Argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = drainTime
	fmt.Fprintf(os.Stderr, "%s%s\n", startsWord, svc.Argv[0])
	if err := cmd.Start(); err != nil {
		return true, fmt.Errorf("cannot start service: %w", err)
	}
	s.told.Supervisor, s.told.Child, s.told.Started = os.Getpid(), cmd.Process.Pid, time.Now()
	if err := s.tell(); err != nil {
		fmt.Fprintf(os.Stderr, "supervisor: %v\n", err)
	}
	if err := cmd.Wait(); !clean(err) {
		fmt.Fprintf(os.Stderr, "%s%v\n", endedWord, err)
		return true, nil
	}
	return false, nil
}

// clean tells an end that systemd's Restart=on-failure would not restart after.
func clean(err error) bool {
	if err == nil {
		return true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE:
		return true
	default:
		return false
	}
}

func (s *supervise) tell() error {
	s.told.Supervisor = os.Getpid()
	data, err := json.Marshal(s.told)
	if err != nil {
		return fmt.Errorf("cannot encode state: %w", err)
	}
	return writeFiles(file{path: s.stateFile, data: data, mode: secret})
}
