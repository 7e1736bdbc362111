package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Kinds of operations, each on one key.
const (
	put  = "put"
	get  = "get"
	cas  = "cas"  // a transaction: if the value is the expected one, put; otherwise get
	peek = "peek" // a serializable get: it may be old, but not wrong

	// reset is not a client's: the key has its value in the new data, "" if none.
	reset = "reset"
)

// How an operation ended. Nobody knows whether a write that ended with an error had an effect: it
// may have it at any later time, or never. The same holds for one that was refused for lack of
// space: if etcd notices that only as it applies the write, it carries it out and refuses it
// (etcdserver/apply/quota.go).
const (
	done    = "ok"
	unknown = "unknown"
	failed  = "failed"
)

// op is an operation as its client saw it. Values are unique: no two writes have the same.
type op struct {
	Client  int           `json:"client"`
	Kind    string        `json:"kind"`
	Key     string        `json:"key"`
	Value   string        `json:"value,omitempty"`  // that is written
	Expect  string        `json:"expect,omitempty"` // of a cas; "" is a key that is not there
	Call    time.Duration `json:"call"`
	Return  time.Duration `json:"return"` // both since the beginning of the history
	Outcome string        `json:"outcome"`
	Swapped bool          `json:"swapped,omitempty"` // a cas that put
	Found   string        `json:"found,omitempty"`   // by a get, or by a cas that did not put
	Rev     int64         `json:"rev,omitempty"`     // of what was written or found
	Err     string        `json:"err,omitempty"`
}

func (o op) writes() bool { return o.Kind == put || o.Kind == cas }

// acknowledged reports whether the client knows that it wrote.
func (o op) acknowledged() bool { return o.Outcome == done && (o.Kind == put || o.Swapped) }

// event is what a watcher received.
type event struct {
	Rev     int64  `json:"rev"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Deleted bool   `json:"deleted,omitempty"`
}

// watch is everything that a watcher received of revisions from From to Until.
type watch struct {
	Name   string `json:"name"`
	From   int64  `json:"from"`
	Until  int64  `json:"until"`
	Opened int    `json:"opened"`
	// Compacted is set if the watch could not be resumed, for instance because the data was
	// replaced: the compacted revision that it was told. 0 means that it could.
	Compacted int64   `json:"compacted,omitempty"`
	Events    []event `json:"events"`
}

// history is what all clients did and saw. Its methods may be called from several goroutines.
type history struct {
	began time.Time

	mu      sync.Mutex
	ops     []op
	clients int
}

func (h *history) now() time.Duration { return time.Since(h.began) }

func (h *history) add(o op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// client returns a number that is not in use yet. A client that does not know how an operation
// ended goes on under a new number, because the old one may still be busy.
func (h *history) client() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return h.clients - 1
}

// write writes a history: a line for the run, for each operation, and for each watch.
func write(path string, what any, ops []op, watches []watch) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot keep the history: %w", err)
	}
	defer f.Close()
	lines := json.NewEncoder(f)
	err = lines.Encode(what)
	for i := 0; i < len(ops) && err == nil; i++ {
		err = lines.Encode(ops[i])
	}
	for i := 0; i < len(watches) && err == nil; i++ {
		err = lines.Encode(watches[i])
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot keep the history: %w", err)
	}
	return nil
}
