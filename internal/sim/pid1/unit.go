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

// What systemctl show says of a unit (ActiveState, Result).
const (
	inactive     = "inactive"
	activating   = "activating"
	active       = "active"
	deactivating = "deactivating"
	failed       = "failed"
	success      = "success"
)

// unit is a service or a timer. All of it is guarded by its manager's mutex.
type unit struct {
	m    *Manager
	name string
	path string // of the file that is loaded
	text []byte // of that file; nil is none
	file file

	active, sub, result string
	stopping            chan struct{} // not nil while it runs or waits to run again; closed to end it
	ended               bool          // stopping is closed
	again               bool          // start it when it has ended
	done                bool          // what it was last started for has come about
	began, rested       time.Time     // when it was last started, and when it last came to rest

	// A service's.
	process  *process // that runs; nil is none
	restarts int      // by itself, in a row
	starts   []time.Time
	main     exit          // how the main process ended last
	asked    *exit         // how its last condition ended; nil is not known
	started  time.Duration // the main process, by the monotonic clock

	// A timer's.
	elapsed time.Time
	firing  bool // what it started has not ended yet
}

func (u *unit) running() bool { return u.stopping != nil }

func (u *unit) isTimer() bool { return filepath.Ext(u.name) == ".timer" }

// load reads the unit file. What an administrator wrote goes before a transient unit's.
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

// readUnit reads a unit file. Systemd passes over what is neither a file nor a link (unit-file.c,
// unit_file_build_name_map).
func readUnit(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && (info.IsDir() || info.Mode()&fs.ModeNamedPipe != 0) {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(path)
}

func (u *unit) transient() bool { return u.text != nil && filepath.Dir(u.path) == u.m.transient() }

// stale reports whether the file is another than what is loaded.
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

// start starts the unit unless it runs, or waits to run again: then systemd too leaves it so.
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

// reach is when what a start is for has come about.
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

// finish makes the unit end when its process does, which nobody tells to.
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
	// The kernel tells a process of its parent's death by the thread that made it.
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

// pause waits, unless the unit is told to end; without a time it waits for that alone. The lock is
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

// rest is the state of a unit that does not run.
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
		if u.load() == nil && u.text != nil { // else there is nothing to start any more
			u.start()
		}
	}
	u.m.forget()
}

// once runs the service until it ends, and says how.
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
			u.done = true // whoever waits for the start hears of no failure
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
		// It has never said that it is ready, and never will.
		return u.judge(exit{why: "protocol"}, "Main")
	}
	if end.clean() {
		u.say("%s: Deactivated successfully.", u.name)
	}
	return end
}

// makeRunDirs makes what the service is to find below /run, with the mode that systemd gives it.
func (u *unit) makeRunDirs() error {
	for _, dir := range u.file.runDirs {
		path := filepath.Join(u.m.root, "run", dir)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o755)); err != nil { //nolint:gosec // RuntimeDirectoryMode=
			return err
		}
	}
	return nil
}

// removeRunDirs takes them away when the service has ended, before it is started again too unless they are kept.
func (u *unit) removeRunDirs() {
	for _, dir := range u.file.runDirs {
		_ = os.RemoveAll(filepath.Join(u.m.root, "run", dir))
	}
}

// limitHit is the result of a service that is started more often than its file lets it.
const limitHit = "start-limit-hit"

// tooOften counts a start, and reports whether it is one too many.
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

// forget takes away the transient units that are over, as systemd does with those that nobody refers
// to. One that failed stays until that is reset, unless it said otherwise.
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

// say writes a line of systemd's own into the unit's journal. Nobody is there to hear of an error.
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

// signal sends a signal to all processes of the service. One that was stopped by a signal goes on,
// to hear it.
func (u *unit) signal(sig syscall.Signal) {
	if u.process == nil {
		return
	}
	_ = syscall.Kill(-u.process.pid, sig) // it may have ended by itself
	_ = syscall.Kill(-u.process.pid, syscall.SIGCONT)
}
