package fate

import (
	"flag"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
)

var (
	seed  = flag.Int64("seed", -1, "live this one random schedule; should it go wrong, shrink and tell it")
	first = flag.Uint64("first", 1, "the first seed")
	long  = flag.Duration("fate", envDuration(), "how long random schedules are lived, and more hostile cases with them; FATE in the environment says the same")
)

func envDuration() time.Duration {
	d, err := time.ParseDuration(os.Getenv("FATE"))
	if err != nil {
		return 0
	}
	return d
}

// shortest and longest bound the number of ops of a random schedule. The lengths are spread evenly
// over their logarithm. Measured per second, that finds the mutants as often as long schedules
// alone, and runs half as many schedules again. Short schedules find what goes wrong while a
// cluster is founded, long ones what takes three members.
const shortest, longest = 14, 200

// schedule returns the options and ops of a seed. Its first numbers choose the options.
func schedule(seed uint64) (Options, []Op) {
	r := rand.New(rand.NewPCG(seed, 0))
	o := Options{Departed: r.IntN(2) == 0, Stale: r.IntN(2) == 0, Empty: seed%8 != 0, Gone: seed%3 == 0}
	ops := make([]Op, int(shortest*math.Pow(longest/shortest, r.Float64())))
	for i := range ops {
		ops[i] = Op{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256))}
	}
	return o, ops
}

// run runs a schedule. It returns what went wrong, and whether the end needs an administrator.
func run(o Options, ops []Op) (string, bool) {
	s := New(o)
	defer s.Close()
	s.AddUnit()
	s.Relate(o.Empty)
	for _, op := range ops {
		s.Apply(op)
		if s.wrong != "" {
			return s.wrong, false
		}
	}
	return s.Calm(), s.NeedsAdministrator
}

// class returns a problem without its numbers, so that shrinking does not drift to another problem.
func class(problem string) string {
	words := strings.FieldsFunc(problem, func(r rune) bool { return !unicode.IsLetter(r) })
	return strings.Join(words[:min(len(words), 9)], " ")
}

// shrink removes ops while the schedule still goes wrong in the same way. It is our own and not
// rapid's, so that a seed is one schedule and no search: seeds can be spread over cores, run for a
// given time, and replayed alone.
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

// explain shrinks a schedule that went wrong, and prints its course.
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
	t.Logf("departed %v, empty %v, stale %v: %v", o.Departed, o.Empty, o.Stale, ops)
	t.Log(problem)
}

// TestRandom runs random schedules on every core. They are always the same ones: as many as are
// quick, or for as long as FATE says. Each is one seed, so it does not matter which core runs it.
// The first that goes wrong is shrunk and printed.
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
	most := uint64(30000)
	switch {
	case *long > 0:
		most = math.MaxUint64 - *first
	case raced:
		most = 120
	}
	began := time.Now()
	var next, begged atomic.Uint64
	var mutex sync.Mutex
	bad := map[string]uint64{} // the lowest seed for each problem
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for *long == 0 || time.Since(began) < *long {
				n := next.Add(1) - 1
				if n >= most {
					break
				}
				problem, begs := run(schedule(*first + n))
				if begs {
					begged.Add(1)
				}
				if problem != "" {
					mutex.Lock()
					if old, known := bad[class(problem)]; !known || *first+n < old {
						bad[class(problem)] = *first + n
					}
					mutex.Unlock()
				}
			}
		})
	}
	workers.Wait()
	lived, took := min(next.Load(), most), time.Since(began)
	t.Logf("%d schedules, %.0f a second on %d cores; %d ended with an administrator", lived, float64(lived)/took.Seconds(), runtime.GOMAXPROCS(0), begged.Load())
	told := false
	for _, seed := range slices.Sorted(maps.Values(bad)) {
		o, ops := schedule(seed)
		if !told {
			explain(t, o, ops)
			told = true
		}
		problem, _ := run(o, ops)
		t.Errorf("seed %d: %s: go test ./internal/sim/fate -run TestRandom -seed %d", seed, problem, seed)
	}
}
