package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is what happens between two times of rest: maintenance, a fault, or a fault during
// maintenance.
type step struct {
	maintenance, fault string
	// chooses the member that the fault happens to; an even number is the raft leader
	victim       int
	choice       uint64        // for the choices of maintenance
	after, lasts time.Duration // of the fault: when it begins, and how long it lasts
}

func (s step) String() string {
	fault := ""
	if s.fault != "" {
		fault = fmt.Sprintf("%s after %v for %v", s.what(), s.after, s.lasts)
	}
	return strings.Join(slices.DeleteFunc([]string{s.maintenance, fault}, func(part string) bool {
		return part == ""
	}), " with ")
}

// what names the fault.
func (s step) what() string {
	if s.fault == "clock" {
		return fmt.Sprintf("clock %v off", s.off())
	}
	return s.fault
}

// off is how far a clock is off.
func (s step) off() time.Duration {
	all := offs()
	return all[s.choice%uint64(len(all))]
}

// deck returns each of its cards once before it returns one again.
type deck struct {
	cards, left []string
}

func (d *deck) deal(rng *rand.Rand) string {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.cards)
		rng.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	card := d.left[0]
	d.left = d.left[1:]
	return card
}

// schedule is the order of steps. It depends only on the seed.
type schedule struct {
	rng                 *rand.Rand
	maintenance, faults deck
}

func newSchedule(seed uint64, maintenance, faults []string) *schedule {
	faults = slices.DeleteFunc(slices.Clone(faults), func(name string) bool {
		return name == founding
	})
	return &schedule{
		rng:         rand.New(rand.NewPCG(seed, 1)),
		maintenance: deck{cards: maintenance},
		faults:      deck{cards: faults},
	}
}

func (s *schedule) next() step {
	ms := func(from, to int) time.Duration {
		return time.Duration(from+s.rng.IntN(to-from)) * time.Millisecond
	}
	st := step{
		victim: s.rng.IntN(12), choice: s.rng.Uint64(),
		after: ms(0, 3000), lasts: ms(2000, 6000),
	}
	kind := s.rng.IntN(3)
	if kind != 0 {
		st.maintenance = s.maintenance.deal(s.rng)
	}
	if kind != 1 && len(s.faults.cards) > 0 {
		st.fault = s.faults.deal(s.rng)
	}
	if st.maintenance == restoring {
		st.after *= 10 // it takes that much longer than others, and each of its phases is to meet a fault
	}
	if st.maintenance == recovering {
		st.fault = "" // a machine that is off for good must not boot, and no cluster survives more faults
	}
	return st
}
