// Package longwork runs work that outlives the hook that began it: a transient service runs a
// program of ours, with its request, its progress and its result in files of the unit.
//
// The process that does the work holds a lock on a file as long as it lives; the kernel frees the
// lock however the process ends. So work runs if its lock is held, and has ended if there is a
// result. If there is neither, its process died before it could write one.
package longwork

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// The files of one work, in a directory of its own.
const (
	RequestFile  = "request.json"
	progressFile = "progress.json"
	resultFile   = "result.json"
	lockFile     = "lock"
)

// Progress receives how far work is: what is being done, and how many bytes of how many. The total
// is 0 while it is not known.
type Progress func(what string, done, total int64)

// Do does one kind of work, and says in words what came of it.
type Do func(ctx context.Context, r operator.WorkRequest, p Progress) (result string, err error)

// begun is the request as it is written.
type begun struct {
	operator.WorkRequest
	Began int64 `json:"began"` // Unix seconds
}

// ended is the result as it is written.
type ended struct {
	State  operator.WorkState `json:"state"`
	Ended  int64              `json:"ended"` // Unix seconds
	Result string             `json:"result,omitempty"`
	Error  string             `json:"error,omitempty"`
}

// progressed is the progress as it is written.
type progressed struct {
	Progress string `json:"progress"`
}

// Begin writes down what is to be done. Earlier work in that directory is forgotten.
func Begin(dir string, r operator.WorkRequest, now time.Time) error {
	if err := Forget(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot begin work: %w", err)
	}
	return write(dir, RequestFile, begun{r, now.Unix()})
}

// Forget deletes the files of work.
func Forget(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot forget work: %w", err)
	}
	return nil
}

// errUnknown means that this release does not know how to do the work.
var errUnknown = errors.New("this release does not know this kind of work")

// errEnded means that the work was ended on purpose, or ran out of time.
var errEnded = errors.New("it was ended")

// Run does the work that a directory's request asks for, and writes the result. The error is that
// of the work, joined with the error of writing the result.
func Run(ctx context.Context, dir string, kinds map[operator.WorkKind]Do) error {
	var r begun
	if err := read(dir, RequestFile, &r); err != nil {
		return fmt.Errorf("cannot read the request: %w", err)
	}
	release, err := takeUp(dir)
	if err != nil {
		return fmt.Errorf("cannot do work %s: %w", r.ID, err)
	}
	defer release()
	result, err := recovered(func() (string, error) {
		do := kinds[r.Kind]
		if do == nil {
			return "", fmt.Errorf("%w: %s", errUnknown, r.Kind)
		}
		return do(ctx, r.WorkRequest, tell(dir, each))
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errEnded, context.Cause(ctx))
	}
	out := ended{State: operator.WorkDone, Ended: time.Now().Unix(), Result: result}
	if err != nil {
		out.State, out.Error = operator.WorkFailed, err.Error()
	}
	return errors.Join(err, write(dir, resultFile, out))
}

// recovered turns a panic into an error: the journal has the stack, and the result says so.
func recovered(do func() (string, error)) (result string, err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", p, debug.Stack())
			err = errors.New("internal error: see the journal of its service")
		}
	}()
	return do()
}

// each is how often progress is written down.
const each = time.Second

// tell writes progress down, at most so often. If that fails the work goes on.
func tell(dir string, each time.Duration) Progress {
	var mu sync.Mutex
	var what, said string
	var at time.Time
	return func(now string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if now == what && time.Since(at) < each {
			return
		}
		what, at = now, time.Now()
		// The file's time is when the work last moved.
		if text := inWords(now, done, total); text != said {
			said = text
			_ = write(dir, progressFile, progressed{text})
		}
	}
}

func inWords(what string, done, total int64) string {
	const mib = 1 << 20
	switch {
	case total > 0:
		return fmt.Sprintf("%s: %d of %d MiB", what, done/mib, (total+mib-1)/mib)
	case done > 0:
		return fmt.Sprintf("%s: %d MiB", what, done/mib)
	}
	return what
}

// Look returns how far the work is whose files are in a directory, and whether there is any.
func Look(dir string) (operator.Work, bool) {
	var r begun
	if read(dir, RequestFile, &r) != nil || r.ID != filepath.Base(dir) {
		return operator.Work{}, false
	}
	w := operator.Work{WorkRequest: r.WorkRequest, Began: r.Began}
	// The order matters: the work is taken up after starts, and its lock is freed only after its
	// result is written.
	starting := starts(dir)
	held := isHeld(filepath.Join(dir, lockFile))
	var p progressed
	_ = read(dir, progressFile, &p) // no file is no progress
	var e ended
	switch err := read(dir, resultFile, &e); {
	case err == nil:
		w.State, w.Ended, w.Result, w.Error = e.State, e.Ended, e.Result, e.Error
	case held, starting:
		w.State, w.Progress, w.Moved = operator.WorkRuns, p.Progress, w.Began
		if info, err := os.Lstat(filepath.Join(dir, progressFile)); err == nil {
			w.Moved = info.ModTime().Unix()
		}
	default:
		w.State, w.Error = operator.WorkFailed, "it ended without a result"
		w.Ended = changed(dir)
		if p.Progress != "" {
			w.Error += ", at " + p.Progress
		}
	}
	return w, true
}

// startTime is how long a service may take until the work in it holds its lock.
const startTime = 20 * time.Second

// starts reports whether work was asked for a moment ago, and no process has taken it up yet.
func starts(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, RequestFile))
	_, locked := os.Lstat(filepath.Join(dir, lockFile))
	return err == nil && locked != nil && time.Since(info.ModTime()).Abs() < startTime
}

// Taken reports whether a process has taken the work up.
func Taken(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, lockFile))
	return err == nil
}

// changed is when one of the files was changed last, in Unix seconds.
func changed(dir string) int64 {
	var last int64
	for _, name := range []string{RequestFile, progressFile, lockFile} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			last = max(last, info.ModTime().Unix())
		}
	}
	return last
}

// All is all work below a directory, in the order in which it began.
func All(below string) []operator.Work {
	entries, _ := os.ReadDir(below)
	type dated struct {
		operator.Work
		at time.Time // orders work that began in the same second
	}
	var all []dated
	for _, e := range entries {
		dir := filepath.Join(below, e.Name())
		if w, ok := Look(dir); ok {
			info, err := os.Lstat(filepath.Join(dir, RequestFile))
			if err == nil {
				all = append(all, dated{w, info.ModTime()})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b dated) int {
		return cmp.Or(cmp.Compare(a.Began, b.Began), a.at.Compare(b.at), strings.Compare(a.ID, b.ID))
	})
	var out []operator.Work
	for _, w := range all {
		out = append(out, w.Work)
	}
	return out
}

// Prune forgets work that has ended, except the last of each kind.
func Prune(below string) error {
	last := map[operator.WorkKind]string{}
	all := All(below)
	for _, w := range all {
		if w.State != operator.WorkRuns {
			last[w.Kind] = w.ID
		}
	}
	var failed []error
	for _, w := range all {
		if w.State != operator.WorkRuns && last[w.Kind] != w.ID {
			failed = append(failed, Forget(filepath.Join(below, w.ID)))
		}
	}
	return errors.Join(failed...)
}

// ErrHeld means that another process holds a lock.
var ErrHeld = errors.New("another process is doing it")

// Hold takes the lock of a file until release is called or the process ends. All that work on a
// member take the same lock.
func Hold(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrHeld
		}
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// takeUp takes the lock of a work. It locks the file before it gives the file its name. So a
// process that looks never finds a file whose lock nobody holds yet, which would mean dead work,
// and its own lock cannot get in the way.
func takeUp(dir string) (release func(), err error) {
	path := filepath.Join(dir, lockFile)
	unnamed := path + ".new"
	if release, err = Hold(unnamed); err != nil {
		return nil, err
	}
	err = os.Link(unnamed, path)
	if removed := os.Remove(unnamed); err == nil {
		err = removed
	}
	if err == nil {
		return release, nil
	}
	release()
	if errors.Is(err, fs.ErrExist) { // it was taken up before
		return Hold(path)
	}
	return nil, err
}

// isHeld reports whether somebody holds the lock of a file.
func isHeld(path string) bool {
	f, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // nothing was written
	// The lock is shared, so that two processes that look at the same time do not take each other
	// for the holder.
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func write(dir, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o600,
		renameio.WithTempDir(dir)); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

func read(dir, name string, v any) error {
	text, err := regular.Read(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	return err
}
