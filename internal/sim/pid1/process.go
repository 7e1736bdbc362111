package pid1

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a process that runs for a service. It leads a session and a process group.
type process struct {
	pid     int
	control bool        // it runs before the main process
	why     string      // why it was ended; "" if it was not
	limit   *time.Timer // for the time that it may take; nil for no limit
}

// run runs a command until it ends, and returns how it ended; for a lenient command it returns
// success.
func (u *unit) run(c command, control bool) exit {
	if u.ended {
		return exit{}
	}
	end := u.runs(c.argv, control)
	if !control {
		u.main = end
	}
	if c.lenient {
		return exit{}
	}
	return end
}

// runs runs a process until it ends. The lock is free meanwhile.
func (u *unit) runs(argv []string, control bool) exit {
	cmd, notify, err := u.spawn(argv, !control)
	if err != nil {
		return u.unable(err, argv[0])
	}
	p := &process{pid: cmd.Process.Pid, control: control}
	u.process = p
	if !control {
		u.started, u.main = monotonic(), exit{}
	}
	if notify != nil {
		go u.listen(notify, p)
	}
	if !control && (u.file.kind == "simple" || u.file.kind == "exec") {
		u.serves()
	} else {
		u.bound(u.file.startTimeout, "start operation timed out. Terminating.", "stop-sigterm")
	}
	u.m.mu.Unlock()
	err = cmd.Wait()
	u.m.mu.Lock()
	if notify != nil {
		notify.Close()
	}
	_ = syscall.Kill(-p.pid, syscall.SIGKILL) // whatever the main process leaves behind
	u.bound(0, "", "")
	u.process = nil
	end := exitOf(err)
	end.why = p.why
	return end
}

// unable returns the end of a process that could not be started.
func (u *unit) unable(err error, program string) exit {
	var broken environmentError
	if errors.As(err, &broken) {
		u.say("%s: Failed to load environment files: %v", u.name, broken.error)
		return exit{why: "resources"}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	u.say("%s: Failed at step EXEC spawning %s: %v", u.name, program, err)
	return exit{code: 203}
}

type environmentError struct{ error }

// spawn starts a process of the service in its own session, with its output in the journal. A shell
// sets what Go cannot set between fork and exec, and is then replaced by the program.
func (u *unit) spawn(argv []string, main bool) (*exec.Cmd, *net.UnixConn, error) {
	env, err := u.file.environ(u.m.env)
	if err != nil {
		return nil, nil, environmentError{err}
	}
	info, err := os.Stat(argv[0])
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return nil, nil, syscall.EACCES
	}
	journal, err := u.openJournal()
	if err != nil {
		return nil, nil, err
	}
	defer journal.Close()
	prepare := "umask " + u.file.umask + "; ulimit -c 0; "
	if u.m.limit != unix.RLIM_INFINITY {
		prepare += fmt.Sprintf("ulimit -S -f %d; ", u.m.limit/512)
	}
	//nolint:gosec // what the unit file says
	cmd := exec.Command("/bin/sh", slices.Concat([]string{"-c", prepare + `exec "$@"`, "sh"}, argv)...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, u.file.dir, journal, journal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var notify *net.UnixConn
	if main && u.file.kind == "notify" {
		// The kernel chooses a free abstract name.
		if notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"}); err != nil {
			return nil, nil, err
		}
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify.LocalAddr().String())
	}
	if err := cmd.Start(); err != nil {
		if notify != nil {
			notify.Close()
		}
		return nil, nil, err
	}
	return cmd, notify, nil
}

// listen waits until the process says that it is ready.
func (u *unit) listen(notify *net.UnixConn, p *process) {
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return
		}
		if slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
			u.m.mu.Lock()
			if u.process == p {
				u.serves()
			}
			u.m.mu.Unlock()
		}
	}
}

func (u *unit) serves() {
	if u.active == activating {
		u.say("Started %s.", u.file.title(u.name))
		u.reach("running")
		u.bound(u.file.runtimeMax, "Service reached runtime time limit. Stopping.", "stop-sigterm")
	}
}

// timedOut is the reason of a process that was ended because its time was over.
const timedOut = "timeout"

// bound gives the running process a new time limit; 0 means no limit.
func (u *unit) bound(limit time.Duration, says, sub string) {
	p := u.process
	if p == nil {
		return
	}
	if p.limit != nil {
		p.limit.Stop()
	}
	if limit == 0 {
		return
	}
	p.limit = time.AfterFunc(limit, func() {
		u.m.mu.Lock()
		defer u.m.mu.Unlock()
		if u.process != p {
			return
		}
		p.why = timedOut
		u.say("%s: %s", u.name, says)
		if sub == "" {
			u.signal(syscall.SIGKILL)
			return
		}
		u.terminate(sub)
	})
}

// terminate ends the running process: with SIGTERM, and with SIGKILL when its time is over.
func (u *unit) terminate(sub string) {
	u.become(deactivating, sub)
	u.signal(syscall.SIGTERM)
	u.bound(u.file.stopTimeout, "State '"+sub+"' timed out. Killing.", "")
}

// exit is how a process ended. The zero value is a success.
type exit struct {
	code   int
	killed bool
	sig    syscall.Signal
	why    string // why it was ended, or never began; "" means that it ended by itself
}

func exitOf(err error) exit {
	var e *exec.ExitError
	switch {
	case err == nil:
		return exit{}
	case !errors.As(err, &e):
		return exit{code: 1}
	}
	status, ok := e.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return exit{killed: true, sig: status.Signal()}
	}
	return exit{code: e.ExitCode()}
}

// clean reports whether systemd counts the end as a success (systemd.service(5),
// SuccessExitStatus=).
func (e exit) clean() bool {
	if e.why != "" || !e.killed {
		return e.why == "" && e.code == 0
	}
	return slices.Contains([]syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE,
	}, e.sig)
}

// skip is the result of a service whose condition was not met: it has not failed
// (systemd.service(5), ExecCondition=).
const skip = "exec-condition"

func (e exit) skipped() bool { return e.why == skip }

func (e exit) result() string {
	switch {
	case e.clean():
		return success
	case e.killed:
		return cmp.Or(e.why, "signal")
	default:
		return cmp.Or(e.why, "exit-code")
	}
}

// signalName returns the signal's name as a unit file has it: SIGKILL.
func (e exit) signalName() string { return unix.SignalName(e.sig) }

func (e exit) String() string {
	if e.killed {
		return fmt.Sprintf("code=killed, status=%d/%s", e.sig, strings.TrimPrefix(e.signalName(), "SIG"))
	}
	word := "n/a"
	switch e.code {
	case 0:
		word = "SUCCESS"
	case 1:
		word = "FAILURE"
	case 203:
		word = "EXEC"
	}
	return fmt.Sprintf("code=exited, status=%d/%s", e.code, word)
}
