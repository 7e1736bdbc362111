package fate

import "testing"

// BenchmarkSchedule runs one random schedule of 14 to 199 ops per iteration, and then all that the
// hooks still have to do.
func BenchmarkSchedule(b *testing.B) {
	for n := range b.N {
		if problem, _ := run(schedule(*first + uint64(n))); problem != "" {
			b.Fatal(problem)
		}
	}
}
