package proxy

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"
)

// framed is what write makes of frames.
func framed(tb testing.TB, write ...func(*h2.Framer) error) []byte {
	tb.Helper()
	var out bytes.Buffer
	f := h2.NewFramer(&out, nil)
	for _, w := range write {
		require.NoError(tb, w(f))
	}
	return out.Bytes()
}

func ping(f *h2.Framer) error     { return f.WritePing(false, [8]byte{2, 4, 16, 16, 9, 14, 7, 7}) }
func pingBack(f *h2.Framer) error { return f.WritePing(true, [8]byte{}) }
func data(f *h2.Framer) error     { return f.WriteData(1, false, []byte("data")) }
func trailers(f *h2.Framer) error {
	return f.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true})
}

func credit(n uint32) func(*h2.Framer) error {
	return func(f *h2.Framer) error { return f.WriteWindowUpdate(0, n) }
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		chunks [][]byte
		want   []bool
	}{
		"pings":               {[][]byte{framed(t, ping), framed(t, pingBack, ping)}, []bool{true, true}},
		"a little credit":     {[][]byte{framed(t, credit(33), ping)}, []bool{true}},
		"much credit":         {[][]byte{framed(t, credit(maxCredit))}, []bool{false}},
		"more than any":       {[][]byte{framed(t, credit(1<<31-1), credit(1<<31-1), credit(1<<31-1))}, []bool{false}},
		"credit that adds up": {[][]byte{framed(t, credit(maxCredit/2)), framed(t, credit(maxCredit/2))}, []bool{true, false}},
		"data behind a ping":  {[][]byte{framed(t, ping, data), framed(t, ping)}, []bool{false, true}},
		"a ping behind data":  {[][]byte{framed(t, data, ping)}, []bool{false}},
		"trailers":            {[][]byte{framed(t, trailers), framed(t, trailers, ping)}, []bool{false, false}},
		"settings":            {[][]byte{framed(t, func(f *h2.Framer) error { return f.WriteSettingsAck() })}, []bool{false}},
		"a stream's end":      {[][]byte{framed(t, func(f *h2.Framer) error { return f.WriteRSTStream(1, 8) })}, []bool{false}},
		"a ping in two":       {[][]byte{framed(t, ping)[:12], framed(t, ping)[12:], framed(t, ping)}, []bool{false, false, true}},
		"a header in two":     {[][]byte{framed(t, ping)[:3], framed(t, ping)[3:], framed(t, ping)}, []bool{false, false, true}},
		"credit in two":       {[][]byte{framed(t, credit(1))[:9], framed(t, credit(1))[9:], framed(t, ping)}, []bool{false, false, true}},
		"no HTTP/2":           {[][]byte{[]byte("HTTP/1.1 200 OK\r\n\r\n"), framed(t, ping)}, []bool{false, false}},
	} {
		var f frames
		for i, p := range test.chunks {
			assert.Equal(t, test.want[i], f.idle(p), "%s, chunk %d", name, i)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(framed(f, ping, credit(33), data, trailers), []byte{9, 1, 30})
	f.Add([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x00"), []byte{})
	f.Fuzz(func(t *testing.T, all, cuts []byte) {
		// However it is cut, the frames end in the same places.
		var whole, cut frames
		whole.idle(all)
		rest := all
		for _, n := range cuts {
			k := min(int(n), len(rest))
			cut.idle(rest[:k])
			rest = rest[k:]
		}
		cut.idle(rest)
		assert.Equal(t, whole.rest, cut.rest)
		assert.True(t, bytes.Equal(whole.header, cut.header))
	})
}

// chunks is a writer that keeps what it was given apart, and when.
type chunks struct {
	got [][]byte
	at  []time.Duration
	t0  time.Time
}

func (c *chunks) Write(p []byte) (int, error) {
	c.got, c.at = append(c.got, slices.Clone(p)), append(c.at, time.Since(c.t0))
	return len(p), nil
}

// carrying carries HTTP/2 from far to dst until far is closed.
func carrying() (far net.Conn, dst *chunks, ended chan error) {
	src, far := net.Pipe()
	dst, ended = &chunks{t0: time.Now()}, make(chan error, 1)
	go func() { ended <- (&carrier{dst: dst, src: src, frames: &frames{}}).carry() }()
	return far, dst, ended
}

// What nobody waits for goes with what somebody waits for, or after holdTime, in order and whole.
func TestCarryHoldsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, dst, ended := carrying()
		say := func(p []byte, pause time.Duration) {
			_, err := far.Write(p)
			require.NoError(t, err)
			time.Sleep(pause) // by the bubble's clock
		}
		pings, answer := framed(t, credit(33), ping), framed(t, data, trailers)
		say(answer, time.Millisecond)                // 0: passed on at once
		say(pings, time.Millisecond)                 // 1: held
		say(answer, 100*time.Millisecond)            // 2: with it
		say(pings, 5*time.Millisecond)               // 102: held …
		say(framed(t, pingBack), 3*time.Millisecond) // 107: … and this with it
		say(answer[:5], 100*time.Millisecond)        // 110: part of a frame; with them
		say(answer[5:], 20*time.Millisecond)         // 210
		say(pings, 30*time.Millisecond)              // 230: released alone at 240
		say(answer, 10*time.Millisecond)             // 260
		say(pings, 5*time.Millisecond)               // 270: held to the end
		require.NoError(t, far.Close())
		require.NoError(t, <-ended)
		ms := func(n ...int) (out []time.Duration) {
			for _, n := range n {
				out = append(out, time.Duration(n)*time.Millisecond)
			}
			return out
		}
		assert.Equal(t, [][]byte{
			answer, slices.Concat(pings, answer), slices.Concat(pings, framed(t, pingBack), answer[:5]), answer[5:], pings, answer, pings,
		}, dst.got)
		assert.Equal(t, ms(0, 2, 110, 210, 240, 260, 275), dst.at)
	})
}

// A sender's window is never held back for long: with every eighth of it, all goes.
func TestCarryBoundsCredit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, dst, ended := carrying()
		for range 8 {
			_, err := far.Write(framed(t, credit(maxCredit/4)))
			require.NoError(t, err)
		}
		for range 100 { // no credit, but many
			_, err := far.Write(framed(t, ping))
			require.NoError(t, err)
		}
		synctest.Wait()
		assert.Len(t, dst.got, 3)
		assert.Len(t, dst.got[0], 4*13)
		assert.Len(t, dst.got[1], 4*13)
		assert.Greater(t, len(dst.got[2]), maxHeld)
		require.NoError(t, far.Close())
		require.NoError(t, <-ended)
	})
}

// HTTP/1 is carried as it comes.
func TestCarryWithoutFrames(t *testing.T) {
	t.Parallel()
	dst := &chunks{}
	all := framed(t, ping, ping)
	require.NoError(t, (&carrier{dst: dst, src: io.MultiReader(bytes.NewReader(all[:17]), bytes.NewReader(all[17:]))}).carry())
	assert.Equal(t, [][]byte{all[:17], all[17:]}, dst.got)
}
