package operator

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestQuorumFirst is the rule in all its cases: clusters of 1 to 9 voters, any number of them
// ready, and the member in question ready or not.
func TestQuorumFirst(t *testing.T) {
	t.Parallel()
	for voters := 1; voters <= 9; voters++ {
		for others := range voters { // that are ready
			for _, ready := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d voters, %d others ready, it %t", voters, others, ready), func(t *testing.T) {
					t.Parallel()
					m := model(voters)
					w := world(m)
					for n := others + 1; n < voters; n++ {
						w = down(w, n)
					}
					if !ready {
						w = down(w, 0)
						w.Local.Ready = false
					}
					// As etcd counts: more than half of all voters decide.
					decide := func(ready, of int) bool { return 2*ready > of }

					goDown := decide(others, voters)
					if voters <= 2 { // one or two voters cannot keep a quorum: allowed when all voters are ready
						goDown = ready && others == voters-1
					}
					// Once removed it is no voter; the last voter is not removed, it only stops.
					remove := voters > 1 && decide(others, voters-1)

					v := newView(lookAgain, m, w)
					assert.Equal(t, goDown, v.mayGoDown(1).none(), "may go down: %q", v.mayGoDown(1))
					assert.Equal(t, remove, v.mayRemove(1).none(), "may be removed: %q", v.mayRemove(1))
				})
			}
		}
	}
}

// Which votes count, and the texts.
func TestQuorumFirstInWords(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		units          int
		change         func(*World)
		goDown, remove string // of etcd/0
	}{
		"three":                 {3, func(*World) {}, "", ""},
		"two":                   {2, func(*World) {}, "", ""},
		"the last":              {1, func(*World) {}, "", "etcd/0 is the last voter: its removal ends the cluster; its data directory stays on the machine"},
		"three, another silent": {3, func(w *World) { *w = down(*w, 1) }, "without etcd/0 there is no quorum: 1 of 3 voters would be ready, 2 are needed", "without etcd/0 there is no quorum: 1 of 2 voters would be ready, 2 are needed"},
		"four, another silent":  {4, func(w *World) { *w = down(*w, 1) }, "without etcd/0 there is no quorum: 2 of 4 voters would be ready, 3 are needed", ""},
		"two, the other silent": {2, func(w *World) { *w = down(*w, 1) }, "etcd/1 is not ready", "without etcd/0 there is no quorum: 0 of 1 voters would be ready, 1 are needed"},
		"two, the other answers but is not ready": {2, func(w *World) { w.Members[1].Ready = false }, "etcd/1 is not ready", "without etcd/0 there is no quorum: 0 of 1 voters would be ready, 1 are needed"},
		"two, ours silent":                        {2, func(w *World) { *w = down(*w, 0) }, "etcd/0 is not ready", ""},
		"two, ours does not call itself ready":    {2, func(w *World) { w.Local.Ready = false }, "etcd/0 is not ready", ""},
		"two, ours does not answer us":            {2, func(w *World) { w.Local = Local{} }, "etcd/0 is not ready", ""},
		"two and a learner":                       {3, func(w *World) { w.Members[2].Learner = true }, "", ""},
		"a learner beside one that is not ready": {2, func(w *World) {
			w.Members[0].Learner, w.Members[1].Ready = true, false
		}, "", ""},
		"not listed": {3, func(w *World) { w.Members = w.Members[1:2] }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(tc.units)
			w := world(m)
			tc.change(&w)
			v := newView(lookAgain, m, w)
			assert.Equal(t, tc.goDown, v.mayGoDown(1).String())
			assert.Equal(t, tc.remove, v.mayRemove(1).String())
		})
	}
	m := model(4)
	v := newView(lookAgain, m, world(m))
	assert.True(t, v.mayRemove(1, 2).none())
	assert.Equal(t, "without etcd/0, etcd/1 there is no quorum: 1 of 2 voters would be ready, 2 are needed", newView(lookAgain, m, down(world(m), 3)).mayRemove(1, 2).String(), "together")
}
