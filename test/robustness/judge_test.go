package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
)

func TestLinearizable(t *testing.T) {
	t.Parallel()
	write := func(client int, call, ret time.Duration, value string) op {
		return op{Client: client, Kind: put, Key: "k", Value: value, Call: call, Return: ret, Outcome: done}
	}
	read := func(client int, call, ret time.Duration, found string) op {
		return op{Client: client, Kind: get, Key: "k", Found: found, Call: call, Return: ret, Outcome: done}
	}
	swap := func(client int, call, ret time.Duration, expect, value, found string) op {
		return op{Client: client, Kind: cas, Key: "k", Expect: expect, Value: value, Found: found, Swapped: found == "", Call: call, Return: ret, Outcome: done}
	}
	end := func(o op, outcome string) op {
		o.Outcome = outcome
		return o
	}
	other := func(o op) op {
		o.Key = "l"
		return o
	}
	tests := []struct {
		name string
		ops  []op
		want porcupine.CheckResult
	}{
		{"nothing", nil, porcupine.Ok},
		{"one after the other", []op{write(0, 1, 2, "a"), read(1, 3, 4, "a"), write(0, 5, 6, "b"), read(1, 7, 8, "b")}, porcupine.Ok},
		{"side by side either is right", []op{write(0, 1, 9, "a"), read(1, 2, 3, ""), read(1, 4, 5, "a")}, porcupine.Ok},
		{"a stale read", []op{write(0, 1, 2, "a"), write(0, 3, 4, "b"), read(1, 5, 6, "a")}, porcupine.Illegal},
		{"a read that goes back", []op{write(0, 1, 9, "a"), read(1, 2, 3, "a"), read(2, 4, 5, "")}, porcupine.Illegal},
		{"a lost write", []op{write(0, 1, 2, "a"), read(1, 3, 4, "")}, porcupine.Illegal},
		{"a read of what nobody wrote", []op{write(0, 1, 2, "a"), read(1, 3, 4, "z")}, porcupine.Illegal},
		{"keys apart", []op{write(0, 1, 2, "a"), other(read(1, 3, 4, ""))}, porcupine.Ok},
		{"a swap of two", []op{write(0, 1, 2, "a"), swap(0, 3, 5, "a", "b", ""), swap(1, 3, 5, "a", "c", "b"), read(2, 6, 7, "b")}, porcupine.Ok},
		{"both swap", []op{write(0, 1, 2, "a"), swap(0, 3, 5, "a", "b", ""), swap(1, 3, 5, "a", "c", "")}, porcupine.Illegal},
		{"a swap refused without cause", []op{write(0, 1, 2, "a"), swap(1, 3, 5, "a", "c", "a")}, porcupine.Illegal},
		{"an unknown write that came late", []op{write(0, 1, 2, "a"), end(write(1, 3, 4, "b"), unknown), read(0, 5, 6, "a"), read(0, 7, 8, "b")}, porcupine.Ok},
		{"an unknown write that never came", []op{write(0, 1, 2, "a"), end(write(1, 3, 4, "b"), unknown), read(0, 5, 6, "a")}, porcupine.Ok},
		{"an unknown write before it began", []op{read(0, 1, 2, "b"), end(write(1, 3, 4, "b"), unknown)}, porcupine.Illegal},
		{"an unknown write that comes twice", []op{end(write(1, 1, 2, "b"), unknown), read(0, 3, 4, "b"), write(2, 5, 6, "c"), read(0, 7, 8, "b")}, porcupine.Illegal},
		{"an unknown swap that came", []op{write(0, 1, 2, "a"), end(swap(1, 3, 4, "a", "b", ""), unknown), read(0, 5, 6, "b")}, porcupine.Ok},
		{"an unknown swap that could not", []op{write(0, 1, 2, "a"), end(swap(1, 3, 4, "z", "b", ""), unknown), read(0, 5, 6, "b")}, porcupine.Illegal},
		{"a failed read says nothing", []op{write(0, 1, 2, "a"), end(read(1, 3, 4, ""), failed)}, porcupine.Ok},
		{"a peek may be old", []op{write(0, 1, 2, "a"), write(0, 3, 4, "b"), {Kind: peek, Key: "k", Found: "a", Call: 5, Return: 6, Outcome: done}}, porcupine.Ok},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, _ := linearizable(test.ops, nil, time.Minute)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestUndecidedIsToldApart(t *testing.T) {
	t.Parallel()
	var ops []op
	for i := range 200 {
		value := time.Duration(i).String()
		ops = append(ops, op{Kind: put, Key: "k", Value: value, Call: 1, Return: 1000, Outcome: done})
		ops = append(ops, op{Kind: get, Key: "k", Found: value, Call: 1, Return: 1000, Outcome: done})
	}
	ops = append(ops, op{Kind: get, Key: "k", Found: "nobody's", Call: 1, Return: 1000, Outcome: done})
	got, _ := linearizable(ops, nil, time.Millisecond)
	assert.Equal(t, porcupine.Unknown, got)
}

func TestComplete(t *testing.T) {
	t.Parallel()
	ops := []op{
		{Kind: put, Key: "k", Value: "a", Rev: 11, Outcome: done},
		{Kind: put, Key: "l", Value: "b", Rev: 12, Outcome: done},
		{Kind: put, Key: "k", Value: "c", Outcome: unknown},
		{Kind: cas, Key: "k", Expect: "c", Value: "d", Swapped: true, Rev: 15, Outcome: done},
		{Kind: cas, Key: "k", Expect: "a", Value: "x", Found: "d", Rev: 15, Outcome: done},
		{Kind: put, Key: "k", Value: "never", Outcome: unknown},
	}
	a, b, c, d := event{Rev: 11, Key: "k", Value: "a"}, event{Rev: 12, Key: "l", Value: "b"}, event{Rev: 14, Key: "k", Value: "c"}, event{Rev: 15, Key: "k", Value: "d"}
	tests := []struct {
		name string
		ops  []op
		told []event
		want []string
	}{
		{"all, in order", nil, []event{a, b, c, d}, nil},
		{"a duplicate", nil, []event{a, b, b, c, d}, []string{"watcher w: revision 12 is told twice"}},
		{"told again later", nil, []event{a, b, c, b, d}, []string{"watcher w: revision 12 is told after 14"}},
		{"a gap", nil, []event{a, c, d}, []string{`watcher w: revision 12 is missing: l="b"`}},
		{"a gap that only another watcher shows", nil, []event{a, b, d}, []string{`watcher w: revision 14 is missing: k="c"`}},
		{"the end is missing", nil, []event{a, b, c}, []string{`watcher w: revision 15 is missing: k="d"`}},
		{"out of order", nil, []event{b, a, c, d}, []string{"watcher w: revision 11 is told after 12"}},
		{"before its beginning", nil, []event{{Rev: 9, Key: "k", Value: "never"}, a, b, c, d}, []string{"watcher w: revision 9 is told after 10", `watcher v: revision 9 is missing`}},
		{"nobody's", nil, []event{a, b, {Rev: 13, Key: "k", Value: "z"}, c, d}, []string{`watcher w: nobody wrote what revision 13 says: k="z"`, `watcher v: revision 13 is missing`}},
		{"under another key", nil, []event{a, {Rev: 12, Key: "k", Value: "b"}, c, d}, []string{`watcher w: revision 12 is k="b", and others saw l="b"`}},
		{"another value", nil, []event{a, b, {Rev: 14, Key: "k", Value: "never"}, d}, []string{`watcher w: revision 14 is k="never", and others saw k="c"`}},
		{"a deletion", nil, []event{a, b, {Rev: 13, Key: "k", Deleted: true}, c, d}, []string{"watcher w: nobody wrote what revision 13 says"}},
		{"a write that comes twice", nil, []event{a, b, {Rev: 13, Key: "k", Value: "a"}, c, d}, []string{`"a" was written at revision 11 and again at 13`}},
		{"a peek that lies", []op{{Kind: peek, Key: "k", Found: "a", Rev: 14, Outcome: done}}, []event{a, b, c, d}, []string{`revision 14 is k="c", and others saw k="a"`}},
		{"a read of what nobody wrote", []op{{Kind: get, Key: "k", Found: "z", Rev: 13, Outcome: done}}, []event{a, b, c, d}, []string{`client 0: nobody wrote what revision 13 says`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			other := watch{Name: "v", From: 5, Until: 15, Events: []event{a, b, c, d}}
			got := complete(append(test.ops, ops...), []watch{other, {Name: "w", From: 11, Until: 15, Events: test.told}}, nil)
			if test.want == nil {
				assert.Empty(t, got)
			}
			for _, want := range test.want {
				assert.Condition(t, func() bool { return contains(got, want) }, "%q is not among %q", want, got)
			}
		})
	}
	assert.Equal(t, []string{"watcher w: revisions before 9 are compacted, and 8 was needed"},
		complete(nil, []watch{{Name: "w", Compacted: 9, Until: 7}}, nil))
}

func contains(all []string, part string) bool {
	return slices.ContainsFunc(all, func(one string) bool { return strings.Contains(one, part) })
}
