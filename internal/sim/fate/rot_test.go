package fate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRotIsAnswered: a unit gives up data that CORRUPT names, once a day, and keeps it aside.
func TestRotIsAnswered(t *testing.T) {
	t.Parallel()
	s := beginning(t, Options{}, 3)
	defer s.Close()
	u := s.units[1]
	was := u.disk.data.member
	s.Rot(u)
	require.Len(t, s.recorded().accused, 1)
	s.Poke(u)
	s.Rest()
	require.Empty(t, s.wrong)
	assert.Empty(t, s.recorded().accused, "in one hook of its own")
	require.Empty(t, s.Calm())
	assert.NotEqual(t, was, u.disk.data.member)
	assert.False(t, u.disk.data.rot)
	require.Len(t, u.disk.aside, 1)
	assert.True(t, u.disk.aside[0].rot, "nothing is deleted")

	u.rotted = 0
	s.Rot(u)
	require.Len(t, s.recorded().accused, 1)
	assert.NotEmpty(t, s.Calm(), "not on the same day")
	assert.Len(t, u.disk.aside, 1)
	s.Tick(daySeconds)
	require.Empty(t, s.Calm(), "but on the next")
	assert.Len(t, u.disk.aside, 2)
}

// TestRotOfTheMajority: if no majority has the same data, no unit gives its data up, whichever
// member the alarm names.
func TestRotOfTheMajority(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]int{"the one named is right": 0, "it is not": 1} {
		s := beginning(t, Options{}, 3)
		defer s.Close()
		g := s.recorded()
		s.units[1].disk.data.rot = bad == 1
		s.units[2].disk.data.rot = true
		g.accuse(s.units[1].disk.data.member)
		assert.NotEmpty(t, s.Calm(), name)
		require.Empty(t, s.wrong, name)
		for _, u := range s.units {
			assert.Empty(t, u.disk.aside, name)
		}
	}
}

// TestRotThatNamesNobody: etcd may not know whose data is bad at first. The charm makes it compare
// again, unless no majority has the same data.
func TestRotThatNamesNobody(t *testing.T) {
	t.Parallel()
	for name, rotten := range map[string]int{"one": 1, "two": 2} {
		s := beginning(t, Options{}, 3)
		defer s.Close()
		for _, u := range s.units[3-rotten:] {
			u.disk.data.rot = true
		}
		s.recorded().accuse(0)
		said := s.Calm()
		require.Empty(t, s.wrong, name)
		assert.Equal(t, rotten == 1, said == "", name)
		assert.Len(t, s.units[2].disk.aside, 2-rotten, name)
	}
}

// TestRotAmongTwo: of two members neither can be known to have the right data.
func TestRotAmongTwo(t *testing.T) {
	t.Parallel()
	s := beginning(t, Options{}, 2)
	defer s.Close()
	u := s.units[1]
	u.disk.data.rot = true
	s.recorded().accuse(u.disk.data.member)
	assert.NotEmpty(t, s.Calm())
	require.Empty(t, s.wrong)
	assert.Empty(t, u.disk.aside)
}

// TestStuckLearner: a learner that receives no entries is replaced, at most three times.
func TestStuckLearner(t *testing.T) {
	t.Parallel()
	for stalls := 1; stalls <= 5; stalls++ {
		s := beginning(t, Options{}, 2)
		defer s.Close()
		s.write()
		s.AddUnit()
		u := s.units[2]
		u.stalls = stalls
		for range 10 {
			s.Poke(u)
			s.Rest()
			s.Tick(300)
		}
		require.Empty(t, s.wrong)
		assert.Len(t, u.disk.aside, min(stalls, 3), stalls)
		assert.Equal(t, stalls <= 3, s.Settled() == "", stalls)
		if stalls <= 3 {
			assert.Zero(t, u.memory.Learning, "it votes")
			continue
		}
		require.Empty(t, s.Calm(), "once the way to it is mended it goes on")
		assert.Len(t, u.disk.aside, 3)
	}
}
