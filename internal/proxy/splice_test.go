package proxy

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is left of one read goes with the next, and what waits at the end is not lost.
func TestCarryFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, far := net.Pipe()
		dst, ended := &chunks{t0: time.Now()}, make(chan error, 1)
		frames := newAnswers(dst, &streams{})
		frames.rest = 4
		go func() { ended <- (&carrier{src: src, frames: frames}).carry() }()
		answer, pings := framed(t, headers(1), data(1), trailers(1)), framed(t, ping, pingBack)
		for _, p := range [][]byte{[]byte("PRI "), answer[:5], answer[5:], pings, answer[:3]} {
			_, err := far.Write(p)
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NoError(t, far.Close())
		require.NoError(t, <-ended)
		assert.Equal(t, [][]byte{[]byte("PRI "), answer, append(pings, answer[:3]...)}, dst.got)
		assert.Equal(t, slices.Repeat([]time.Duration{0}, 3), dst.at)
	})
}
