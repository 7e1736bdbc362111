package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The states that systemctl show prints of a unit (ActiveState, Result).
const (
	inactive     = "inactive"
	activating   = "activating"
	active       = "active"
	deactivating = "deactivating"
	failed       = "failed"
	success      = "success"
)

// unit is a service or a timer. Its manager's mutex guards all of it.
type unit struct {
	m    *Manager
	name string
	path string // of the loaded file
	text []byte // content of that file; nil for none
	file file

	active, sub, result string
	stopping            chan struct{} // not nil while it runs or waits to run again; closed to end it
	ended               bool          // stopping is closed
	again               bool          // start it again when it has ended
	done                bool          // its last start is complete
	began, rested       time.Time     // when it was last started, and when it last came to rest

	// Of a service.
	process  *process // that runs; nil is none
	restarts int      // automatic restarts in a row
	starts   []time.Time
	main     exit          // how the main process last ended
	asked    *exit         // how its last condition ended; nil if not known
	started  time.Duration // start of the main process, by the monotonic clock

	// Of a timer.
	elapsed time.Time
	firing  bool // what it started has not ended yet
}

func (u *unit) running() bool { return u.stopping != nil }

func (u *unit) isTimer() bool { return filepath.Ext(u.name) == ".timer" }

// load reads the unit file. An administrator's file takes precedence over a transient unit's.
func (u *unit) load() error {
	for _, dir := range []string{u.m.written(), u.m.transient()} {
		path := filepath.Join(dir, u.name)
		text, err := readUnit(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read unit file: %w", err)
		}
		file, err := parse(u.name, text)
		if err != nil {
			return fmt.Errorf("unit %s has a bad unit file setting: %w", u.name, err)
		}
		u.path, u.text, u.file = path, text, file
		return nil
	}
	u.text = nil
	return nil
}

// readUnit reads a unit file. systemd ignores anything that is neither a file nor a link
// (unit-file.c, unit_file_build_name_map).
func readUnit(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && (info.IsDir() || info.Mode()&fs.ModeNamedPipe != 0) {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(path)
}

func (u *unit) transient() bool { return u.text != nil && filepath.Dir(u.path) == u.m.transient() }

// stale reports whether the file differs from what is loaded.
func (u *unit) stale() bool {
	path := u.path
	if u.text == nil {
		path = filepath.Join(u.m.written(), u.name)
	}
	text, err := readUnit(path)
	if u.text == nil {
		return err == nil
	}
	return err != nil || !bytes.Equal(text, u.text)
}

func (u *unit) become(active, sub string) {
	if u.active != active || u.sub != sub {
		u.active, u.sub = active, sub
		u.m.changed.Broadcast()
	}
}

// start starts the unit. If the unit runs, or waits for its automatic restart, start leaves it as
// it is, as systemd does.
func (u *unit) start() {
	switch {
	case !u.running():
		u.restarts, u.result, u.stopping, u.ended = 0, success, make(chan struct{}), false
		u.done, u.began = false, time.Now()
		if u.isTimer() {
			u.elapsed, u.firing = time.Time{}, false
			u.reach("waiting")
			go u.wait()
			return
		}
		u.become(activating, "start")
		go u.keep(u.stopping)
	case u.ended:
		u.again, u.done = true, false
	}
}

// reach marks the unit's start as complete.
func (u *unit) reach(sub string) {
	u.done = true
	u.become(active, sub)
}

// stop begins to end the unit.
func (u *unit) stop() {
	u.again = false
	if !u.running() || u.ended {
		return
	}
	u.finish()
	if u.process != nil {
		u.say("Stopping %s...", u.file.title(u.name))
		u.terminate("stop-sigterm")
	}
}

// finish makes the unit end when its process ends by itself.
func (u *unit) finish() {
	u.again = false
	if u.running() && !u.ended {
		u.ended = true
		close(u.stopping)
		u.m.changed.Broadcast()
	}
}

// keep runs the service until it ends for good.
func (u *unit) keep(stopping chan struct{}) {
	// The kernel's parent-death signal follows the thread that made the process, not the parent
	// process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for {
		end := u.once()
		if end.clean() && !u.ended && u.file.kind == "oneshot" {
			u.done = true
			if u.file.stays {
				u.become(active, "exited")
				u.pause(stopping, 0)
			}
		}
		if u.ended || end.why == limitHit || !u.file.again(end) {
			u.rest(end)
			return
		}
		u.become(activating, "auto-restart")
		u.pause(stopping, max(u.file.restartDelay, time.Nanosecond))
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

// pause waits for delay, or without one indefinitely, until the unit is told to end. The lock is
// free meanwhile.
func (u *unit) pause(stopping chan struct{}, delay time.Duration) {
	u.m.mu.Unlock()
	defer u.m.mu.Lock()
	var over <-chan time.Time
	if delay > 0 {
		over = time.After(delay)
	}
	select {
	case <-stopping:
	case <-over:
	}
}

// rest puts the unit into the state of one that does not run.
func (u *unit) rest(end exit) {
	u.stopping, u.process, u.rested = nil, nil, time.Now()
	if !u.again {
		u.removeRunDirs()
	}
	u.result = end.result()
	if u.ended {
		u.say("Stopped %s.", u.file.title(u.name))
	}
	if end.clean() || end.skipped() {
		u.become(inactive, "dead")
	} else {
		u.become(failed, failed)
	}
	u.m.changed.Broadcast()
	if u.again && !u.m.off {
		u.again = false
		if u.load() == nil && u.text != nil { // otherwise there is no longer a file to start
			u.start()
		}
	}
	u.m.forget()
}

// once runs the service until it ends, and returns how it ended.
func (u *unit) once() exit {
	if u.tooOften(time.Now()) {
		u.say("%s: Start request repeated too quickly.", u.name)
		return u.judge(exit{why: limitHit}, "Main")
	}
	u.say("Starting %s...", u.file.title(u.name))
	if err := u.makeRunDirs(); err != nil {
		u.say("%s: Failed to set up runtime directory: %v", u.name, err)
		return u.judge(exit{code: 233}, "Main") // EXIT_RUNTIME_DIRECTORY
	}
	if !u.file.keepsRunDirs {
		defer u.removeRunDirs()
	}
	for _, c := range u.file.conditions {
		end := u.run(c, true)
		u.asked = &end
		if !end.killed && end.why == "" && end.code > 0 && end.code < 255 {
			u.say("%s: Skipped due to '%s'.", u.name, skip)
			u.say("Condition check resulted in %s being skipped.", u.file.title(u.name))
			u.done = true // so a waiting caller sees no failure
			return exit{why: skip}
		}
		if end := u.judge(end, "Control"); !end.clean() || u.ended {
			return end
		}
	}
	for _, c := range u.file.pre {
		if end := u.judge(u.run(c, true), "Control"); !end.clean() || u.ended {
			return end
		}
	}
	var end exit
	for _, c := range u.file.main {
		if end = u.judge(u.run(c, false), "Main"); !end.clean() || u.ended {
			break
		}
	}
	if end.clean() && !u.ended && u.file.kind == "notify" && u.active == activating {
		// The service ended without reporting that it is ready.
		return u.judge(exit{why: "protocol"}, "Main")
	}
	if end.clean() {
		u.say("%s: Deactivated successfully.", u.name)
	}
	return end
}

// makeRunDirs makes the service's directories below /run, with the mode that systemd gives them.
func (u *unit) makeRunDirs() error {
	for _, dir := range u.file.runDirs {
		path := filepath.Join(u.m.root, "run", dir)
		//nolint:gosec // RuntimeDirectoryMode=
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

// removeRunDirs removes them when the service has ended. Unless they are kept, it also removes them
// before a restart.
func (u *unit) removeRunDirs() {
	for _, dir := range u.file.runDirs {
		_ = os.RemoveAll(filepath.Join(u.m.root, "run", dir))
	}
}

// limitHit is the result of a service that was started more often than its file allows.
const limitHit = "start-limit-hit"

// tooOften counts a start, and reports whether it exceeds the limit.
func (u *unit) tooOften(now time.Time) bool {
	if u.file.limitSpan == 0 || u.file.limitStarts == 0 {
		return false
	}
	for len(u.starts) > 0 && now.Sub(u.starts[0]) > u.file.limitSpan {
		u.starts = u.starts[1:]
	}
	if len(u.starts) >= u.file.limitStarts {
		return true
	}
	u.starts = append(u.starts, now)
	return false
}

func (u *unit) judge(end exit, which string) exit {
	if end.clean() {
		return end
	}
	if end.why == "" || end.why == timedOut {
		u.say("%s: %s process exited, %s", u.name, which, end)
	}
	u.result = end.result()
	u.say("%s: Failed with result '%s'.", u.name, u.result)
	if u.active == activating {
		u.say("Failed to start %s.", u.file.title(u.name))
	}
	return end
}

// forget removes transient units that have ended, as systemd does with units that nothing refers
// to. A failed unit stays until its failure is reset, unless it was made with collect.
func (m *Manager) forget() {
	wanted := map[string]bool{}
	for _, u := range m.units {
		if u.isTimer() && u.running() {
			wanted[u.file.unit] = true
		}
	}
	for name, u := range m.units {
		over := u.active == inactive || u.active == failed && u.file.collect
		if u.transient() && over && !u.running() && !wanted[name] && os.Remove(u.path) == nil {
			delete(m.units, name)
		}
	}
}

// say writes one of systemd's own lines into the unit's journal. An error cannot be reported to
// anybody.
func (u *unit) say(format string, args ...any) {
	journal, err := u.openJournal()
	if err != nil {
		return
	}
	defer journal.Close()
	_, _ = journal.WriteString(strings.TrimSuffix(fmt.Sprintf(format, args...), "\n") + "\n")
}

func (u *unit) openJournal() (*os.File, error) {
	path := u.m.Journal(u.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// signal sends a signal to all processes of the service. A process that was stopped by a signal is
// continued, so that it receives this one.
func (u *unit) signal(sig syscall.Signal) {
	if u.process == nil {
		return
	}
	_ = syscall.Kill(-u.process.pid, sig) // it may already have ended by itself
	_ = syscall.Kill(-u.process.pid, syscall.SIGCONT)
}
