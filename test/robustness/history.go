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
	peek = "peek" // a serializable get: old it may be, false it may not

	// reset is no client's: the key has the value that other data has for it, "" if none.
	reset = "reset"
)

// How an operation ended. What came of a write that ended with an error nobody knows: it may have its effect any time
// later, or never. So it is with one that was refused for want of space: where etcd finds that out only as it applies the
// write, it carries it out and refuses it (etcdserver/apply/quota.go).
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
	Return  time.Duration `json:"return"` // both since the history began
	Outcome string        `json:"outcome"`
	Swapped bool          `json:"swapped,omitempty"` // a cas that put
	Found   string        `json:"found,omitempty"`   // by a get, or by a cas that did not put
	Rev     int64         `json:"rev,omitempty"`     // of what was written or found
	Err     string        `json:"err,omitempty"`
}

func (o op) writes() bool { return o.Kind == put || o.Kind == cas }

// acknowledged reports whether the client knows that it wrote.
func (o op) acknowledged() bool { return o.Outcome == done && (o.Kind == put || o.Swapped) }

// event is what a watcher was told.
type event struct {
	Rev     int64  `json:"rev"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Deleted bool   `json:"deleted,omitempty"`
}

// watch is everything that a watcher was told of revisions from From to Until.
type watch struct {
	Name   string `json:"name"`
	From   int64  `json:"from"`
	Until  int64  `json:"until"`
	Opened int    `json:"opened"`
	// Compacted is what it was told when it could not be resumed, as where the data was replaced; 0 is that it could.
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

// client is a number that nobody has yet. Who does not know how an operation ended goes on under a new one, for the old
// one is still at it.
func (h *history) client() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return h.clients - 1
}

// write keeps a history: a line for the run, for each operation, and for each watch.
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
