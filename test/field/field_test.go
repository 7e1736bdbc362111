package field

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCommitThatIsNotHere: the error says what to do.
func TestCommitThatIsNotHere(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	const nowhere = "1234567890123456789012345678901234567890"
	_, err := Charm(t.Context(), nowhere)
	require.ErrorContains(t, err, "this clone lacks commit "+nowhere+", of which a charm is to be made; "+
		"run `git fetch --unshallow`, or `git fetch origin "+nowhere+"`")
}

// TestOutside: nothing is passed on from the make that runs the tests.
func TestOutside(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"PATH=/bin", "HOME=/root"},
		outside([]string{"PATH=/bin", "MAKEFLAGS= -- ARCH=arm64", "HOME=/root", "MAKELEVEL=1"}))
}
