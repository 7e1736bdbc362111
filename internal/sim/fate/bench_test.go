package fate

import "testing"

// BenchmarkSchedule lives one random schedule per round, of 14 to 199 ops, with all that the hooks then still have to do.
func BenchmarkSchedule(b *testing.B) {
	for n := range b.N {
		if problem, _ := run(schedule(*first + uint64(n))); problem != "" {
			b.Fatal(problem)
		}
	}
}
