package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

const (
	// watchTime is how long a look or a step may take before watched checks whether the disk
	// answers at all.
	watchTime = 15 * time.Second
	// grace is how long a function may take to return once its context has ended.
	grace = 2 * time.Second
	// muteTime is how long a file system may take to list a directory.
	muteTime = 5 * time.Second
)

// watched calls do, which may touch a file system that does not answer, such as a network file
// system. A system call on such a path waits in the kernel, and no context ends it. When do takes
// longer than watch, watched asks mute for a path that does not answer. If there is one, watched
// leaves the hanging call behind and returns the path.
func watched[T any](
	ctx context.Context, watch time.Duration, mute func() string, do func() T,
) (result T, path string) {
	type end struct {
		result T
		panics any
	}
	ended := make(chan end, 1)
	go func() {
		var e end
		defer func() {
			if p := recover(); p != nil {
				e.panics = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			ended <- e
		}()
		e.result = do()
	}()
	late := time.NewTicker(watch)
	defer late.Stop()
	for done := ctx.Done(); ; {
		select {
		case e := <-ended:
			if e.panics != nil {
				panic(e.panics) // panic here, where it is recovered and logged
			}
			return e.result, ""
		case <-done:
			done = nil
			late.Reset(grace)
		case <-late.C:
			if path := mute(); path != "" {
				return result, path
			}
		}
	}
}

// muteIn returns a directory of the unit that does not answer; "" if all do. The goroutine that
// asks it is left behind too.
func (h *Host) muteIn() string {
	for _, dir := range []string{
		h.opt(), h.etc(), filepath.Clean(h.tls("")),
		filepath.Dir(h.unitFile()), filepath.Dir(h.tool("")), filepath.Dir(h.compared()),
		h.state(), h.data(), filepath.Join(h.data(), "member"), filepath.Join(h.data(), "member", "wal"),
		filepath.Join(h.data(), "member", "snap"),
	} {
		answered := make(chan struct{})
		go func() {
			_, _ = os.ReadDir(dir) // any answer will do
			close(answered)
		}()
		select {
		case <-answered:
		case <-time.After(muteTime):
			return dir
		}
	}
	return ""
}
