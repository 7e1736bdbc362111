package fate

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

var (
	seed = flag.Int64("seed", -1, "run this one random schedule, with a trace")
	long = flag.Duration("fate", envDuration(), "how long random schedules run; FATE in the environment says the same")
)

func envDuration() time.Duration {
	d, err := time.ParseDuration(os.Getenv("FATE"))
	if err != nil {
		return 4 * time.Second
	}
	return d
}

// schedule is the ops of a seed. Its first numbers choose what kind of life it is.
func schedule(seed uint64) (Options, []Op) {
	r := rand.New(rand.NewPCG(seed, 0))
	o := Options{Departed: r.IntN(2) == 0, Stale: r.IntN(2) == 0}
	ops := make([]Op, 20+r.IntN(180))
	for i := range ops {
		ops[i] = Op{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256))}
	}
	return o, ops
}

// run lives a schedule and returns what went wrong.
func run(o Options, ops []Op) string {
	s := New(o)
	s.AddUnit()
	s.Relate()
	for _, op := range ops {
		s.Apply(op)
		if s.wrong != "" {
			s.Close()
			return s.wrong
		}
	}
	defer s.Close()
	return s.Calm()
}

// class is a problem without its numbers, so that shrinking does not slip to another.
func class(problem string) string {
	words := strings.FieldsFunc(problem, func(r rune) bool { return !unicode.IsLetter(r) })
	return strings.Join(words[:min(len(words), 9)], " ")
}

// shrink cuts ops out while the schedule still goes wrong in the same way.
func shrink(o Options, ops []Op) []Op {
	want := run(o, ops)
	same := func(ops []Op) bool {
		got := run(o, ops)
		return got != "" && class(got) == class(want)
	}
	for size := len(ops) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(ops); {
			cut := append(append([]Op{}, ops[:at]...), ops[at+size:]...)
			if same(cut) {
				ops = cut
			} else {
				at += size
			}
		}
	}
	for i := range ops {
		for _, less := range []Op{{ops[i].Kind, 0, 0}, {ops[i].Kind, ops[i].A, 0}, {ops[i].Kind, ops[i].A % 5, ops[i].B}, {ops[i].Kind, ops[i].A % 5, ops[i].B % 8}} {
			old := ops[i]
			if ops[i] = less; !same(ops) {
				ops[i] = old
			} else {
				break
			}
		}
	}
	return ops
}

// explain shrinks a schedule that went wrong and tells it.
func explain(t *testing.T, o Options, ops []Op) {
	t.Helper()
	ops = shrink(o, ops)
	told := o
	var lines []string
	told.Trace = func(line string) { lines = append(lines, line) }
	problem := run(told, ops)
	if n := len(lines); n > 400 {
		lines = append(append([]string{}, lines[:250]...), lines[n-150:]...)
	}
	for _, line := range lines {
		t.Log(line)
	}
	t.Logf("departed %v, stale %v: %v", o.Departed, o.Stale, ops)
	t.Log(problem)
}

func TestRandom(t *testing.T) {
	if *seed >= 0 {
		o, ops := schedule(uint64(*seed))
		if problem := run(o, ops); problem != "" {
			explain(t, o, ops)
			t.Fatalf("seed %d: %s", *seed, problem)
		}
		return
	}
	first := uint64(1)
	if text := os.Getenv("FATE_FIRST"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = n
	}
	began := time.Now()
	n, bad := uint64(0), map[string]int{}
	for time.Since(began) < *long {
		o, ops := schedule(first + n)
		if problem := run(o, ops); problem != "" {
			if bad[problem]++; len(bad) < 15 && bad[problem] == 1 {
				t.Errorf("seed %d: %s", first+n, problem)
			}
		}
		n++
	}
	t.Logf("%d schedules in %v, %d different faults: %s", n, time.Since(began).Round(time.Millisecond), len(bad), fmt.Sprint(float64(n)/time.Since(began).Seconds()))
}
