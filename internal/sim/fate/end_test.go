package fate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAllLeaveAtOnce: a unit that comes after all others were removed at once founds another
// cluster. It needs no help, even if the last of the others could not record the end in its last
// hook. The running hook may die at each point.
func TestAllLeaveAtOnce(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"Juju 4.0":           {Gone: true},
		"Juju 3.6, old bags": {Gone: true, Departed: true, Stale: true},
	} {
		for units := 2; units <= 3; units++ {
			t.Run(fmt.Sprintf("%s, %d units", name, units), func(t *testing.T) {
				t.Parallel()
				begun := beginning(t, o, units)
				defer begun.Close()
				first := begun.record().ClusterID
				for at, points := 0, 1; at <= points; at++ {
					s := begun.Clone()
					s.points, s.strikeAt, s.strike, s.calm = 0, at, (*Sim).kill, 0
					for _, u := range s.units {
						s.RemoveUnit(u)
					}
					s.Rest()
					s.Tick(60)
					s.Rest()
					points = s.points
					require.Empty(t, s.wrong)
					assert.Equal(t, first, s.record().Ended, "at yield %d: the end is on record", at)
					s.AddUnit()
					require.Empty(t, s.Calm(), "at yield %d", at)
					require.False(t, s.NeedsAdministrator, "at yield %d", at)
					require.NotEqual(t, first, s.record().ClusterID)
					s.Halt()
				}
			})
		}
	}
}
