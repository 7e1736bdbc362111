package main

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
)

// wrote, got and swapped are operations of one client, each at its time, on key k.
func wrote(at time.Duration, value string, rev int64) op {
	return op{Kind: put, Key: "k", Value: value, Rev: rev, Call: at, Return: at + 1, Outcome: done}
}

func got(at time.Duration, found string, rev int64) op {
	return op{Kind: get, Key: "k", Found: found, Rev: rev, Call: at, Return: at + 1, Outcome: done}
}

func swapped(at time.Duration, expect, value string, rev int64) op {
	return op{Kind: cas, Key: "k", Expect: expect, Value: value, Swapped: true, Rev: rev, Call: at, Return: at + 1, Outcome: done}
}

// TestOtherData: the data is replaced at time 100 to 200, and revision 20 was its last.
func TestOtherData(t *testing.T) {
	t.Parallel()
	const next = 20 + jump
	restored := replacement{Kind: restoring, Began: 100, Ended: 200, Last: 20, First: next, Snapshot: 11}
	recovered := func(held ...string) replacement {
		return replacement{Kind: recovering, Began: 100, Ended: 200, Last: 20, First: next, Held: held}
	}
	a, b, c := wrote(10, "a", 11), wrote(40, "b", 12), wrote(50, "c", 13)
	late := op{Kind: put, Key: "k", Value: "u", Call: 60, Return: 70, Outcome: unknown}
	tests := []struct {
		name string
		by   replacement
		ops  []op
		want []string // faults
		not  bool     // linearizable
	}{
		{"a restore takes back", restored, []op{a, b, c, got(210, "a", 11), wrote(220, "d", next+1), got(230, "d", next+1)}, nil, false},
		{"an old write while it goes on", restored, []op{a, b, wrote(110, "c", 13), got(150, "a", 11)}, nil, false},
		{"a restore that takes nothing back", restored, []op{a, b, c, got(210, "c", 13)}, []string{"client 0 sees revision 13 again"}, true},
		{"a swap of what is gone", restored, []op{a, b, c, swapped(210, "c", "d", next+1)}, nil, true},
		{"a restore that takes back more", restored, []op{wrote(5, "z", 10), a, b, got(210, "z", 10)}, nil, true},
		{"old data that serves on", restored, []op{a, b, got(210, "a", 11), wrote(220, "e", 14)}, []string{"client 0 sees revision 14 again"}, false},
		{"a write that nobody knows the end of, and that is gone", restored, []op{a, late, got(210, "a", 11)}, nil, false},
		{"one that comes back", restored, []op{a, late, got(210, "u", 14)}, []string{"client 0 sees revision 14 again"}, false},
		{"no jump", replacement{Kind: restoring, Began: 100, Ended: 200, Last: 20, First: 21, Snapshot: 11}, []op{a}, []string{"revisions did not jump: from 20 to 21"}, false},
		{"a recovery that keeps all", recovered("a", "b", "c"), []op{a, b, c, got(210, "c", 13)}, nil, false},
		{"one that loses what nobody left had", recovered("a", "b"), []op{a, b, c, got(210, "b", 12)}, nil, false},
		{"one that loses what one left had", recovered("a", "b", "c"), []op{a, b, c, got(210, "b", 12)}, nil, true},
		{"one that keeps more than was found", recovered("a"), []op{a, b, c, got(210, "c", 13), got(220, "c", 13)}, nil, false},
		{"one that keeps what was swapped", recovered("a"), []op{a, b, swapped(210, "b", "d", next+1)}, nil, false},
		{"a write that nobody knows the end of, and that is kept", recovered("a"), []op{a, late, got(210, "u", 14)}, nil, false},
		{"what it lost comes back", recovered("a"), []op{a, b, got(210, "a", 11), wrote(300, "e", 14)}, []string{"client 0 sees revision 14 again"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			resets, faults := otherData(test.ops, nil, []replacement{test.by})
			assert.Len(t, faults, len(test.want))
			for _, want := range test.want {
				assert.Condition(t, func() bool { return contains(faults, want) }, "%q is not among %q", want, faults)
			}
			verdict, _ := linearizable(append(test.ops, resets...), nil, time.Minute)
			assert.Equal(t, test.not, verdict == porcupine.Illegal)
		})
	}
}

// TestLacking: a snapshot has all that was acknowledged before it was asked for, of its own data.
func TestLacking(t *testing.T) {
	t.Parallel()
	replaced := []replacement{{Last: 20}}
	ops := []op{wrote(10, "a", 11), wrote(20, "b", 12), wrote(40, "c", 13), wrote(45, "d", 21+jump)}
	assert.Empty(t, lacking(ops, []taken{{Name: "s", Asked: 30, Revision: 12}}, replaced))
	assert.Equal(t, []string{`snapshot s of revision 11 lacks "b", which was written at 12 before`},
		lacking(ops, []taken{{Name: "s", Asked: 30, Revision: 11}}, replaced))
	assert.Empty(t, lacking(ops, []taken{{Name: "s", Asked: 50, Revision: 13}}, replaced))
	assert.Len(t, lacking(ops, []taken{{Name: "s", Asked: 50, Revision: 20 + jump}}, replaced), 1)
}

// TestTwoReplacements: what the first replacement took back is not there in the second.
func TestTwoReplacements(t *testing.T) {
	t.Parallel()
	first := replacement{Kind: restoring, Began: 100, Ended: 200, Last: 20, First: 20 + jump, Snapshot: 11}
	second := replacement{Kind: restoring, Began: 300, Ended: 400, Last: 30 + jump, First: 30 + 2*jump, Snapshot: 20 + jump}
	ops := []op{wrote(10, "a", 11), wrote(40, "b", 12), got(410, "a", 11)}
	resets, faults := otherData(ops, nil, []replacement{first, second})
	assert.Empty(t, faults)
	verdict, _ := linearizable(append(ops, resets...), nil, time.Minute)
	assert.Equal(t, porcupine.Ok, verdict)
}

// TestWatchesOfReplacedData: a watch ends with an error when its data is replaced, and is complete
// until then.
func TestWatchesOfReplacedData(t *testing.T) {
	t.Parallel()
	replaced := []replacement{{Kind: restoring, Began: 100, Ended: 200, Last: 20, First: 20 + jump, Snapshot: 11}}
	ops := []op{wrote(10, "a", 11), wrote(40, "b", 12), wrote(210, "c", 21+jump)}
	a, b, c := event{Rev: 11, Key: "k", Value: "a"}, event{Rev: 12, Key: "k", Value: "b"}, event{Rev: 21 + jump, Key: "k", Value: "c"}
	after := watch{Name: "w", From: 21 + jump, Until: 21 + jump, Events: []event{c}}
	for name, test := range map[string]struct {
		told []watch
		want string
	}{
		"it begins again":      {[]watch{{Name: "w", From: 11, Until: 12, Compacted: 20 + jump, Events: []event{a, b}}, after}, ""},
		"it came less far":     {[]watch{{Name: "w", From: 11, Until: 11, Compacted: 20 + jump, Events: []event{a}}, after}, ""},
		"it lacks a write":     {[]watch{{Name: "w", From: 11, Until: 12, Compacted: 20 + jump, Events: []event{b}}, after}, "revision 11 is missing"},
		"it was silent":        {[]watch{{Name: "w", From: 11, Until: 21 + jump, Events: []event{a, b}}}, "revision 1000000021 is missing"},
		"it was not told":      {[]watch{{Name: "w", From: 11, Until: 21 + jump, Events: []event{a, b, c}}}, "goes on at revision 1000000021 of other data"},
		"nothing was replaced": {[]watch{{Name: "w", From: 11, Until: 11, Compacted: 15, Events: []event{a}}, after}, "revisions before 15 are compacted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := complete(ops, test.told, replaced)
			if test.want == "" {
				assert.Empty(t, told)
			} else {
				assert.Condition(t, func() bool { return contains(told, test.want) }, "%q is not among %q", test.want, told)
			}
		})
	}
}
