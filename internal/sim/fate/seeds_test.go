package fate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHeldUnitIsFound is what a seed found: a machine is off just as its unit was about to restart with another peer port,
// and starts with it while all leave and one comes, who can learn of the cluster from that unit alone.
func TestHeldUnitIsFound(t *testing.T) {
	t.Parallel()
	s := beginning(t, Options{}, 2)
	defer s.Close()
	s.options = 1
	s.Configure()
	first, second := s.units[0], s.units[1]
	before := second.disk.config
	for n := 0; second.disk.config == before; n++ {
		require.Less(t, n, 100)
		s.Step(second)
	}
	s.Power(second, false)
	s.RemoveUnit(second)
	s.RemoveUnit(first)
	s.AddUnit()
	require.Empty(t, s.Calm())
	require.False(t, s.Begged)
}
