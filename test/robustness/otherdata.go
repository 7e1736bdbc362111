package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// otherData returns the value of each key after each replacement of the data, and what is wrong
// with it.
//
// A restore goes back to its snapshot's revision. A recovery goes on from the end of the log from
// which it was made: at least from the last acknowledged write that one of the members left had in
// its log, and at least from whatever anybody read afterwards. What came later, up to the
// replacement, is gone, and must not be seen again.
func otherData(ops []op, watches []watch, replaced []replacement) (resets []op, faults []string) {
	t := learned(ops, watches)
	revs := slices.Sorted(maps.Keys(t.at))
	at := map[string]int64{} // by value
	for _, rev := range revs {
		at[t.at[rev].Value] = rev
	}
	keys, clients := map[string]bool{}, 0
	for _, o := range ops {
		keys[o.Key], clients = true, max(clients, o.Client+1)
	}
	var gone []span
	from := int64(0)
	for _, r := range replaced {
		if r.First < r.floor() {
			faults = append(faults, fmt.Sprintf("%s: revisions did not jump: from %d to %d",
				r.Kind, r.Last, r.First))
		}
		last := r.Snapshot
		if r.Kind == recovering {
			last = r.reaches(ops, at, from)
		}
		gone = append(gone, span{last, r.floor()})
		faults = append(faults, r.undead(ops, gone)...)
		value := map[string]string{}
		for _, rev := range revs {
			if rev <= last && !slices.ContainsFunc(gone, func(s span) bool { return s.has(rev) }) {
				value[t.at[rev].Key] = t.at[rev].Value
			}
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			resets = append(resets, op{
				Client: clients, Kind: reset, Key: key, Value: value[key],
				Call: r.Began, Return: r.Ended, Outcome: done,
			})
		}
		from, clients = r.floor(), clients+1
	}
	return resets, faults
}

// span is the revisions after one and before another.
type span struct{ after, before int64 }

func (s span) has(rev int64) bool { return rev > s.after && rev < s.before }

// reaches is the last revision from which a recovery is known to go on, of those since from.
func (r replacement) reaches(ops []op, at map[string]int64, from int64) (last int64) {
	know := func(rev int64) {
		if rev >= from && rev < r.floor() {
			last = max(last, rev)
		}
	}
	for _, o := range ops {
		switch {
		case o.acknowledged() && o.Rev < r.floor():
			if _, held := slices.BinarySearch(r.Held, o.Value); held {
				know(o.Rev)
			}
		case o.Outcome == done && o.Kind != peek && o.Call > r.Began:
			know(o.Rev)
		}
		if o.Outcome == done && o.Swapped && o.Call > r.Began {
			know(at[o.Expect])
		}
	}
	return last
}

// undead are reads after the replacement that show what is gone.
func (r replacement) undead(ops []op, gone []span) (faults []string) {
	for _, o := range ops {
		if o.Outcome != done || o.Call < r.Ended || o.Found == "" && !o.acknowledged() {
			continue
		}
		if slices.ContainsFunc(gone, func(s span) bool { return s.has(o.Rev) }) {
			faults = append(faults, fmt.Sprintf("%s: client %d sees revision %d again, which is gone: %s=%q",
				r.Kind, o.Client, o.Rev, o.Key, o.Found+o.Value))
		}
	}
	return faults
}

// lacking are acknowledged writes that a snapshot lacks although it was asked for after them.
func lacking(ops []op, all []taken, replaced []replacement) (faults []string) {
	for _, t := range all {
		end := int64(math.MaxInt64) // of the data that it is of
		for _, r := range slices.Backward(replaced) {
			if t.Revision < r.floor() {
				end = r.floor()
			}
		}
		for _, o := range ops {
			if o.acknowledged() && o.Return < t.Asked && o.Rev > t.Revision && o.Rev < end {
				faults = append(faults, fmt.Sprintf(
					"snapshot %s of revision %d lacks %q, which was written at %d before",
					t.Name, t.Revision, o.Value, o.Rev,
				))
			}
		}
	}
	return faults
}
