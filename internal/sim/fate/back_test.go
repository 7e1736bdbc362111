package fate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTakenBackTwice: a unit gives its data up on its own only once a day.
func TestTakenBackTwice(t *testing.T) {
	t.Parallel()
	s := beginning(t, Options{}, 3)
	defer s.Close()
	u := s.units[1]
	back := func() string {
		was := u.disk.data.member
		for range 8 {
			s.write()
		}
		s.Poke(u)
		s.Rest()
		s.TakeBack(u)
		for range 3 {
			s.Poke(u)
			s.Rest()
		}
		require.Empty(t, s.wrong)
		if u.disk.data.member == was {
			return s.Settled()
		}
		return ""
	}
	require.Empty(t, back(), "it joined again")
	assert.Len(t, u.disk.aside, 1, "nothing is deleted")
	assert.NotEmpty(t, back(), "not on the same day")
	assert.Len(t, u.disk.aside, 1)
	s.Tick(daySeconds)
	require.Empty(t, s.Calm(), "but on the next")
	assert.Len(t, u.disk.aside, 2)
}

// TestTakenBackAmongTwo: what two voters agreed to may be on neither of them any more, so no data
// is given up.
func TestTakenBackAmongTwo(t *testing.T) {
	t.Parallel()
	s := beginning(t, Options{}, 2)
	defer s.Close()
	u := s.units[1]
	for range 8 {
		s.write()
	}
	s.Poke(u)
	s.Rest()
	s.Power(s.units[0], false)
	s.TakeBack(u)
	s.Poke(u)
	s.Rest()
	require.Empty(t, s.wrong)
	assert.Empty(t, u.disk.aside)
}
