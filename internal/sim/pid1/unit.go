package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What systemctl show says of a unit (ActiveState, Result).
const (
	inactive     = "inactive"
	activating   = "activating"
	active       = "active"
	deactivating = "deactivating"
	failed       = "failed"
	success      = "success"
)

// unit is a service. All of it is guarded by its manager's mutex.
type unit struct {
	m    *Manager
	name string
	text []byte // of the file that is loaded; nil is none
	file file

	active, sub, result string
	pid                 int           // of the main process; 0 is none
	restarts            int           // by itself, in a row
	started             time.Duration // the main process
	stopping            chan struct{} // not nil while the service runs or waits to run again; closed to end it
	ended               bool          // stopping is closed
	again               bool          // start it when it has ended
}

func (u *unit) running() bool { return u.stopping != nil }

// load reads the unit file.
func (u *unit) load() error {
	text, err := os.ReadFile(u.m.unitFile(u.name))
	if errors.Is(err, fs.ErrNotExist) {
		u.text = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read unit file: %w", err)
	}
	file, err := parse(text)
	if err != nil {
		return fmt.Errorf("unit %s has a bad unit file setting: %w", u.name, err)
	}
	u.text, u.file = text, file
	return nil
}

// stale reports whether the file is another than what is loaded.
func (u *unit) stale() bool {
	text, err := os.ReadFile(u.m.unitFile(u.name))
	if u.text == nil {
		return err == nil
	}
	return err != nil || !bytes.Equal(text, u.text)
}

func (u *unit) become(active, sub string) {
	u.active, u.sub = active, sub
	u.m.changed.Broadcast()
}

// start starts the service unless it runs, or waits to run again: then systemd too leaves it so.
func (u *unit) start() {
	switch {
	case !u.running():
		u.restarts, u.stopping, u.ended = 0, make(chan struct{}), false
		u.become(activating, "start")
		go u.keep(u.stopping)
	case u.ended:
		u.again = true
	}
}

// stop begins to end the service.
func (u *unit) stop() {
	if u.running() && !u.ended {
		u.ended = true
		close(u.stopping)
	}
}

// signal sends a signal to all processes of the service, or to the main one if so is written.
// A process that was stopped by a signal goes on, to hear it.
func (u *unit) signal(sig syscall.Signal) {
	if u.pid == 0 {
		return
	}
	to := -u.pid // it leads a process group
	if u.file.killProcessOnly {
		to = u.pid
	}
	_ = syscall.Kill(to, sig) // it may have ended by itself
	_ = syscall.Kill(to, syscall.SIGCONT)
}

// keep runs the service until it ends for good.
func (u *unit) keep(stopping chan struct{}) {
	// The kernel tells a process of its parent's death by the thread that made it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for {
		end := u.once(stopping)
		if u.ended || !u.file.again(end) {
			u.rest(end)
			return
		}
		u.become(activating, "auto-restart")
		delay := u.file.restartDelay
		u.m.mu.Unlock()
		select {
		case <-stopping:
		case <-time.After(delay):
		}
		u.m.mu.Lock()
		if u.ended {
			u.rest(exit{})
			return
		}
		u.restarts++
		u.say("%s: Scheduled restart job, restart counter is at %d.", u.name, u.restarts)
		u.say("Stopped %s.", u.file.title(u.name))
		u.become(activating, "start")
	}
}

// rest is the state of a service that does not run.
func (u *unit) rest(end exit) {
	u.stopping = nil
	switch {
	case u.ended:
		u.result = success
		u.say("Stopped %s.", u.file.title(u.name))
		u.become(inactive, "dead")
	case end.clean():
		u.result = success
		u.say("%s: Deactivated successfully.", u.name)
		u.become(inactive, "dead")
	default:
		u.become(failed, failed)
	}
	if u.again && !u.m.off {
		u.again = false
		_ = u.load() // a bad file leaves what was loaded
		u.start()
	}
}

// once runs the service until it ends, and says how.
func (u *unit) once(stopping chan struct{}) exit {
	u.say("Starting %s...", u.file.title(u.name))
	for _, argv := range u.file.pre {
		if end := u.run(argv, stopping, false); !end.clean() || u.ended {
			return u.judge(end, "Control")
		}
	}
	return u.judge(u.run(u.file.argv, stopping, true), "Main")
}

func (u *unit) judge(end exit, which string) exit {
	if u.ended || end.clean() {
		return end
	}
	u.result = end.result()
	u.say("%s: %s process exited, %s", u.name, which, end)
	u.say("%s: Failed with result '%s'.", u.name, u.result)
	if u.active == activating {
		u.say("Failed to start %s.", u.file.title(u.name))
	}
	return end
}

// run runs a process until it ends. The lock is free while it runs.
func (u *unit) run(argv []string, stopping chan struct{}, main bool) exit {
	if u.ended {
		return exit{}
	}
	cmd, notify, err := u.command(argv, main)
	if err != nil {
		u.say("%s: Failed at step EXEC spawning %s: %v", u.name, argv[0], err)
		return exit{code: 203}
	}
	u.pid, u.started = cmd.Process.Pid, monotonic()
	pid := u.pid
	switch {
	case main && notify != nil:
		go u.listen(notify, pid)
	case main:
		u.serves()
	}
	gone := make(chan struct{})
	go u.end(pid, u.file.stopTimeout, stopping, gone)
	u.m.mu.Unlock()
	err = cmd.Wait()
	close(gone)
	if notify != nil {
		notify.Close()
	}
	u.m.mu.Lock()
	if !u.file.killProcessOnly {
		_ = syscall.Kill(-pid, syscall.SIGKILL) // what the main process leaves behind
	}
	u.pid = 0
	return exitOf(err)
}

// command starts a process of the service: in a session of its own, with its output in the journal.
// A shell sets what Go cannot set between fork and exec, and is replaced by the program.
func (u *unit) command(argv []string, main bool) (*exec.Cmd, *net.UnixConn, error) {
	env, err := u.file.environ(u.m.env)
	if err != nil {
		return nil, nil, err
	}
	if info, err := os.Stat(argv[0]); err != nil || info.Mode()&0o111 == 0 {
		return nil, nil, errors.Join(err, fs.ErrPermission)
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
	cmd := exec.Command("/bin/sh", slices.Concat([]string{"-c", prepare + `exec "$@"`, "sh"}, argv)...) //nolint:gosec // what the unit file says
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, "/", journal, journal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var notify *net.UnixConn
	if main && u.file.notify {
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
func (u *unit) listen(notify *net.UnixConn, pid int) {
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return
		}
		if slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
			u.m.mu.Lock()
			if u.pid == pid {
				u.serves()
			}
			u.m.mu.Unlock()
		}
	}
}

func (u *unit) serves() {
	if u.active == activating {
		u.say("Started %s.", u.file.title(u.name))
		u.become(active, "running")
	}
}

// end ends a process when the service is stopped: by SIGTERM, and by SIGKILL when its time is over.
func (u *unit) end(pid int, patience time.Duration, stopping, gone chan struct{}) {
	select {
	case <-gone:
		return
	case <-stopping:
	}
	u.tell(pid, syscall.SIGTERM)
	if patience == 0 {
		return
	}
	select {
	case <-gone:
	case <-time.After(patience):
		u.tell(pid, syscall.SIGKILL)
	}
}

func (u *unit) tell(pid int, sig syscall.Signal) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	if u.pid != pid {
		return
	}
	if sig == syscall.SIGTERM {
		u.say("Stopping %s...", u.file.title(u.name))
		u.become(deactivating, "stop-sigterm")
	}
	u.signal(sig)
}

func (u *unit) openJournal() (*os.File, error) {
	path := u.m.journal(u.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// say writes a line of systemd's own into the unit's journal. Nobody is there to hear of an error.
func (u *unit) say(format string, args ...any) {
	journal, err := u.openJournal()
	if err != nil {
		return
	}
	defer journal.Close()
	fmt.Fprintf(journal, format+"\n", args...)
}

// exit is how a process ended.
type exit struct {
	code   int
	killed bool
	sig    syscall.Signal
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

// clean is what systemd takes for a success (systemd.service(5), SuccessExitStatus=).
func (e exit) clean() bool {
	if !e.killed {
		return e.code == 0
	}
	return slices.Contains([]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}, e.sig)
}

func (e exit) result() string {
	if e.killed {
		return "signal"
	}
	return "exit-code"
}

// status is the name of the signal, as a unit file says it: SIGKILL.
func (e exit) status() string { return unix.SignalName(e.sig) }

func (e exit) String() string {
	if e.killed {
		return fmt.Sprintf("code=killed, status=%d/%s", e.sig, strings.TrimPrefix(e.status(), "SIG"))
	}
	word := "n/a"
	switch e.code {
	case 1:
		word = "FAILURE"
	case 203:
		word = "EXEC"
	}
	return fmt.Sprintf("code=exited, status=%d/%s", e.code, word)
}
