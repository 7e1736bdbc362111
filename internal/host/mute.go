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
	// watchTime is how long a look or a step may take before the disk is asked whether it answers at all.
	watchTime = 15 * time.Second
	// grace is how long it may take to hear that its time is up.
	grace = 2 * time.Second
	// muteTime is how long a file system may take to list a directory.
	muteTime = 5 * time.Second
)

// watched does what may have to do with a file system that does not answer, such as one of a network: who looks at a path
// there waits in the kernel, and hears no context. When it takes longer than watch, mute is asked for a path that does not answer: what
// hangs is then left behind, and the path returned.
func watched[T any](ctx context.Context, watch time.Duration, mute func() string, do func() T) (result T, path string) {
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
				panic(e.panics) // here it is recovered, and logged
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

// muteIn is a directory of the unit's that does not answer; "" is none. What asks it is left behind too.
func (h *Host) muteIn() string {
	for _, dir := range []string{
		h.opt(), h.etc(), filepath.Clean(h.tls("")), filepath.Dir(h.unitFile()), filepath.Dir(h.tool("")), filepath.Dir(h.compared()),
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
