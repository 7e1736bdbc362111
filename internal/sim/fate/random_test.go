package fate

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
)

var (
	seed  = flag.Int64("seed", -1, "live this one random schedule; should it go wrong, shrink and tell it")
	first = flag.Uint64("first", 1, "the first seed")
	long  = flag.Duration("fate", envDuration(), "how long random schedules run, and then everything else runs whole; FATE in the environment says the same")
)

func envDuration() time.Duration {
	d, err := time.ParseDuration(os.Getenv("FATE"))
	if err != nil {
		return 0
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

// run lives a schedule and returns what went wrong, and whether it ended with an administrator.
func run(o Options, ops []Op) (string, bool) {
	s := New(o)
	defer s.Close()
	s.AddUnit()
	s.Relate()
	for _, op := range ops {
		s.Apply(op)
		if s.wrong != "" {
			return s.wrong, false
		}
	}
	return s.Calm(), s.Begged
}

// class is a problem without its numbers, so that shrinking does not slip to another.
func class(problem string) string {
	words := strings.FieldsFunc(problem, func(r rune) bool { return !unicode.IsLetter(r) })
	return strings.Join(words[:min(len(words), 9)], " ")
}

// shrink cuts ops out while the schedule still goes wrong in the same way.
func shrink(o Options, ops []Op) []Op {
	want, _ := run(o, ops)
	same := func(ops []Op) bool {
		got, _ := run(o, ops)
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
	problem, _ := run(told, ops)
	if n := len(lines); n > 400 {
		lines = append(append([]string{}, lines[:250]...), lines[n-150:]...)
	}
	for _, line := range lines {
		t.Log(line)
	}
	t.Logf("departed %v, stale %v: %v", o.Departed, o.Stale, ops)
	t.Log(problem)
}

// TestRandom lives random schedules, always the same ones: as many as are quick, or for as long as FATE says.
func TestRandom(t *testing.T) {
	if *seed >= 0 {
		o, ops := schedule(uint64(*seed))
		if problem, _ := run(o, ops); problem != "" {
			explain(t, o, ops)
			t.Fatalf("seed %d: %s", *seed, problem)
		}
		return
	}
	t.Parallel()
	most := 1200
	if raced {
		most = 120
	}
	began := time.Now()
	begged, bad := 0, map[string]bool{}
	n := 0
	for ; (*long == 0 && n < most) || time.Since(began) < *long; n++ {
		o, ops := schedule(*first + uint64(n))
		problem, begs := run(o, ops)
		if begs {
			begged++
		}
		if problem != "" && !bad[class(problem)] {
			bad[class(problem)] = true
			t.Errorf("seed %d: %s", *first+uint64(n), problem)
		}
	}
	t.Logf("%d schedules, %.0f a second; %d ended with an administrator", n, float64(n)/time.Since(began).Seconds(), begged)
}
