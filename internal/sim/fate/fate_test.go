package fate

import (
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})))
	debug.SetGCPercent(800) // much garbage is made, and little of it is kept
	os.Exit(m.Run())
}

func TestPlain(t *testing.T) {
	s := New(Options{Trace: func(l string) { t.Log(l) }})
	for range 3 {
		s.AddUnit()
	}
	require.Empty(t, s.Calm())
	s.Relate(false)
	require.Empty(t, s.Calm())
	s.Configure()
	require.Empty(t, s.Calm())
	s.Refresh()
	require.Empty(t, s.Calm())
	for len(s.living()) > 0 {
		s.RemoveUnit(s.living()[0])
		require.Empty(t, s.Calm())
	}
}
