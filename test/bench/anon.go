package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// anon is how much anonymous memory a process had at most, in bytes: alone, and together with its
// children.
type anon struct{ own, all int64 }

// watchAnon watches a process until the function that it returns is called, which returns what it
// saw.
func watchAnon(pid int) func() anon {
	stop, most := make(chan struct{}), make(chan anon)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var highest anon
		for {
			now := anonOf(pid)
			highest = anon{max(highest.own, now.own), max(highest.all, now.all)}
			select {
			case <-stop:
				most <- highest
				return
			case <-tick.C:
			}
		}
	}()
	return func() anon {
		close(stop)
		return <-most
	}
}

// anonOf returns 0 for a process that is gone.
func anonOf(pid int) (a anon) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return anon{}
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "RssAnon:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes a number
			a.own, a.all = kib<<10, kib<<10
		}
	}
	// the pattern is well formed
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may be gone
		for child := range strings.FieldsSeq(string(text)) {
			if id, err := strconv.Atoi(child); err == nil {
				a.all += anonOf(id).all
			}
		}
	}
	return a
}
