package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// registers is a register per key, with the operations on it.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			keys := map[string][]porcupine.Operation{}
			for _, o := range all {
				key := of(o.Input).Key
				keys[key] = append(keys[key], o)
			}
			var parts [][]porcupine.Operation
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				parts = append(parts, keys[key])
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, in, _ any) (bool, any) {
			was, _ := state.(string)
			return next(was, of(in))
		},
		DescribeOperation: func(in, _ any) string { return describe(of(in)) },
		DescribeState:     func(state any) string { return fmt.Sprint(state) },
	}
}

func of(in any) op {
	o, _ := in.(op)
	return o
}

// next reports whether an operation can have happened to a register, and what the register contains
// then.
func next(was string, o op) (possible bool, is string) {
	switch {
	case o.Kind == put, o.Kind == reset:
		return true, o.Value
	case o.Kind == get:
		return o.Found == was, was
	case o.Outcome == unknown && o.Expect != was:
		return true, was
	case o.Outcome == unknown:
		return true, o.Value
	case o.Swapped:
		return o.Expect == was, o.Value
	}
	return o.Expect != was && o.Found == was, was
}

func describe(o op) string {
	switch {
	case o.Kind == get:
		return fmt.Sprintf("get %q", o.Found)
	case o.Kind == reset:
		return fmt.Sprintf("other data, with %q", o.Value)
	case o.Kind == put:
		return fmt.Sprintf("put %q %s", o.Value, o.Outcome)
	case o.Swapped || o.Outcome == unknown:
		return fmt.Sprintf("cas %q to %q %s", o.Expect, o.Value, o.Outcome)
	}
	return fmt.Sprintf("cas %q to %q found %q", o.Expect, o.Value, o.Found)
}

// linearizable looks for an order of all operations in which each key is a single register. A write
// whose outcome is unknown is open until the end. One whose value nobody ever saw is left out:
// values are unique, and an operation that fails shows what it found, so such a write fits at the
// end if the rest fits at all.
func linearizable(
	ops []op, watches []watch, timeout time.Duration,
) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	seen := map[string]bool{}
	end := time.Duration(0)
	for _, o := range ops {
		seen[o.Found], seen[o.Expect] = true, true
		end = max(end, o.Return+1)
	}
	for _, w := range watches {
		for _, e := range w.Events {
			seen[e.Value] = true
		}
	}
	var all []porcupine.Operation
	for _, o := range ops {
		switch {
		case o.Kind == peek, o.Outcome == failed, o.Outcome == unknown && !seen[o.Value]:
			continue
		case o.Outcome == unknown:
			o.Return = end
		}
		all = append(all, porcupine.Operation{
			ClientId: o.Client, Input: o, Output: o,
			Call: int64(o.Call), Return: int64(o.Return),
		})
	}
	return porcupine.CheckOperationsVerbose(registers(), all, timeout)
}

// truth is what was written, by revision, according to clients and watchers together.
type truth struct {
	at      map[int64]event
	written map[string]op // by value
	faults  []string
}

func (t *truth) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Sprintf(format, args...))
}

// learn takes a statement that e was written.
func (t *truth) learn(who string, e event) {
	if was, ok := t.at[e.Rev]; ok && was != e {
		t.fault("%s: revision %d is %s=%q, and others saw %s=%q",
			who, e.Rev, e.Key, e.Value, was.Key, was.Value)
		return
	}
	t.at[e.Rev] = e
	if o, ok := t.written[e.Value]; !ok || o.Key != e.Key || e.Deleted {
		t.fault("%s: nobody wrote what revision %d says: %s=%q", who, e.Rev, e.Key, e.Value)
	}
}

// learned is what clients and watchers report together. What a client read was written at the
// revision that it read.
func learned(ops []op, watches []watch) *truth {
	t := &truth{at: map[int64]event{}, written: map[string]op{}}
	for _, o := range ops {
		if o.writes() {
			t.written[o.Value] = o
		}
	}
	for _, o := range ops {
		switch {
		case o.acknowledged():
			t.learn(fmt.Sprintf("client %d", o.Client), event{Rev: o.Rev, Key: o.Key, Value: o.Value})
		case o.Outcome == done && o.Found != "":
			t.learn(fmt.Sprintf("client %d", o.Client), event{Rev: o.Rev, Key: o.Key, Value: o.Found})
		}
	}
	for _, w := range watches {
		for _, e := range w.Events {
			t.learn("watcher "+w.Name, e)
		}
	}
	return t
}

// complete compares watches with each other and with the clients: each must show every write once,
// in the order of revisions, and nothing else. A watch that ended because the data was replaced is
// complete up to its end.
func complete(ops []op, watches []watch, replaced []replacement) []string {
	t := learned(ops, watches)
	for _, w := range watches {
		t.watched(w, replaced)
	}
	revs := slices.Sorted(maps.Keys(t.at))
	for _, w := range watches {
		told := map[int64]bool{}
		for _, e := range w.Events {
			told[e.Rev] = true
		}
		for _, rev := range revs {
			if rev >= w.From && rev <= w.Until && !told[rev] {
				t.fault("watcher %s: revision %d is missing: %s=%q",
					w.Name, rev, t.at[rev].Key, t.at[rev].Value)
			}
		}
	}
	t.once()
	return t.faults
}

// watched checks one watch by itself.
func (t *truth) watched(w watch, replaced []replacement) {
	end := int64(math.MaxInt64) // of the data that it watches
	for _, r := range slices.Backward(replaced) {
		if w.From < r.floor() {
			end = r.floor()
		}
	}
	if w.Compacted != 0 && w.Compacted < end {
		t.fault("watcher %s: revisions before %d are compacted, and %d was needed",
			w.Name, w.Compacted, w.Until+1)
	}
	last := w.From - 1
	for _, e := range w.Events {
		switch {
		case e.Rev == last:
			t.fault("watcher %s: revision %d is told twice", w.Name, e.Rev)
		case e.Rev < last:
			t.fault("watcher %s: revision %d is told after %d", w.Name, e.Rev, last)
		case e.Rev >= end:
			t.fault("watcher %s: goes on at revision %d of other data, and was not told", w.Name, e.Rev)
		}
		last = max(last, e.Rev)
	}
}

// once checks that no write has its effect twice.
func (t *truth) once() {
	at := map[string]int64{}
	for _, rev := range slices.Sorted(maps.Keys(t.at)) {
		value := t.at[rev].Value
		if was, ok := at[value]; ok {
			t.fault("%q was written at revision %d and again at %d", value, was, rev)
		}
		at[value] = rev
	}
}
