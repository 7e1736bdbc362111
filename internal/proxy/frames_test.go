package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
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

func ping(f *h2.Framer) error     { return f.WritePing(false, estimator) }
func pingBack(f *h2.Framer) error { return f.WritePing(true, estimator) }

// alive is the PING of grpc-go's keepalive, aliveBack the answer to one of another library's.
func alive(f *h2.Framer) error { return f.WritePing(false, [8]byte{}) }

func aliveBack(f *h2.Framer) error {
	return f.WritePing(true, [8]byte{0, 0, 0, 0, 0, 0, 0xde, 0xad})
}

// The parts of an answer on a stream.
func headers(stream uint32) func(*h2.Framer) error {
	return func(f *h2.Framer) error {
		return f.WriteHeaders(h2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte("head"), EndHeaders: true})
	}
}

// open is HEADERS whose block goes on in more.
func open(f *h2.Framer) error {
	return f.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("head")})
}
func more(f *h2.Framer) error { return f.WriteContinuation(1, true, []byte("tail")) }

func data(stream uint32) func(*h2.Framer) error {
	return func(f *h2.Framer) error { return f.WriteData(stream, false, []byte("message")) }
}

func trailers(stream uint32) func(*h2.Framer) error {
	return func(f *h2.Framer) error {
		return f.WriteHeaders(h2.HeadersFrameParam{StreamID: stream, EndStream: true, EndHeaders: true})
	}
}

// chunks is a writer that keeps apart what it was given, and when.
type chunks struct {
	got [][]byte
	at  []time.Duration
	t0  time.Time
}

func (c *chunks) Write(p []byte) (int, error) {
	c.got, c.at = append(c.got, slices.Clone(p)), append(c.at, time.Since(c.t0))
	return len(p), nil
}

// feeder gives chunks to frames as a carrier does.
type feeder struct {
	*frames
	buf  [2 * bufferBytes]byte
	left int
}

func (f *feeder) feed(tb testing.TB, p []byte) {
	tb.Helper()
	n := copy(f.buf[f.left:], p)
	left, err := f.pass(f.buf[:f.left+n+maxWaiting], f.left+n)
	require.NoError(tb, err)
	f.left = left
}

func (f *feeder) end() { f.frames.end(f.buf[:f.left]) }

func asked(ids ...uint32) *streams {
	s := &streams{}
	for _, id := range ids {
		s.add(id)
	}
	return s
}

// arrival is what comes at a time.
type arrival struct {
	at time.Duration
	p  []byte
}

// What waits, for how long, and with what it goes.
func TestFramesWait(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	answer, other := framed(t, headers(1), data(1), trailers(1)), framed(t, headers(3), data(3), trailers(3))
	first, second, both := framed(t, ping), framed(t, pingBack), framed(t, ping, pingBack)
	h, d, end := framed(t, headers(1)), framed(t, data(1)), framed(t, trailers(1))
	long := framed(t, func(f *h2.Framer) error { return f.WriteData(1, false, make([]byte, maxHeld)) })
	credit := framed(t, func(f *h2.Framer) error { return f.WriteWindowUpdate(0, 33) })
	much := framed(t, func(f *h2.Framer) error { return f.WriteWindowUpdate(1, 1<<15) })
	for name, test := range map[string]struct {
		in, out  []arrival
		requests bool
	}{
		"an answer passes at once":        {in: []arrival{{0, answer}, {1, other}}, out: []arrival{{0, answer}, {1, other}}},
		"a ping waits to its end":         {in: []arrival{{0, first}, {90 * ms, answer}}, out: []arrival{{50 * ms, first}, {90 * ms, answer}}},
		"others do not wait for it":       {in: []arrival{{0, first}, {24 * ms, answer}}, out: []arrival{{24 * ms, answer}, {50 * ms, first}}},
		"it goes with others":             {in: []arrival{{0, first}, {1 * ms, second}, {25 * ms, answer}}, out: []arrival{{25 * ms, slices.Concat(both, answer)}}},
		"of requests, too":                {in: []arrival{{0, first}, {25 * ms, answer}}, out: []arrival{{25 * ms, slices.Concat(first, answer)}}, requests: true},
		"pings among answers":             {in: []arrival{{0, slices.Concat(first, answer, second, other)}}, out: []arrival{{0, slices.Concat(answer, other)}, {50 * ms, both}}},
		"a ping in two":                   {in: []arrival{{0, first[:11]}, {1 * ms, first[11:]}}, out: []arrival{{51 * ms, first}}},
		"a header in two":                 {in: []arrival{{0, answer[:4]}, {1 * ms, answer[4:]}}, out: []arrival{{1 * ms, answer}}},
		"not within a frame":              {in: []arrival{{0, first}, {40 * ms, d[:12]}, {60 * ms, d[12:]}}, out: []arrival{{40 * ms, slices.Concat(first, d[:12])}, {60 * ms, d[12:]}}},
		"but behind it":                   {in: []arrival{{0, slices.Concat(first, d[:12])}, {60 * ms, slices.Concat(d[12:], answer)}}, out: []arrival{{0, d[:12]}, {60 * ms, slices.Concat(d[12:], first, answer)}}},
		"a ping with too much in it":      {in: []arrival{{0, append([]byte{0, 0, 9}, append(first[3:], 1)...)}}, out: []arrival{{0, append([]byte{0, 0, 9}, append(first[3:], 1)...)}}},
		"pings end with what they are of": {in: []arrival{{0, slices.Concat(both, answer[:5])}}, out: []arrival{{0, slices.Concat(both, answer[:5])}}},
		"not within a header block":       {in: []arrival{{0, first}, {10 * ms, framed(t, open)}, {70 * ms, framed(t, more)}}, out: []arrival{{10 * ms, framed(t, open)}, {70 * ms, slices.Concat(framed(t, more), first)}}, requests: true},
		"nor where it is cut":             {in: []arrival{{0, slices.Concat(first, framed(t, open)[:11])}, {30 * ms, framed(t, open)[11:]}, {31 * ms, framed(t, more)}}, out: []arrival{{0, framed(t, open)[:11]}, {30 * ms, framed(t, open)[11:]}, {31 * ms, slices.Concat(framed(t, more), first)}}, requests: true},
		"nor at the end":                  {in: []arrival{{0, slices.Concat(first, framed(t, open))}}, out: []arrival{{0, framed(t, open)}}, requests: true},
		"not behind a long message":       {in: []arrival{{0, first}, {1, slices.Concat(long, second)}, {2, answer}, {3, first}}, out: []arrival{{1, slices.Concat(long, both)}, {2, answer}, {3 + 50*ms, first}}},
		"not beside much credit":          {in: []arrival{{0, first}, {1, much}}, out: []arrival{{1, slices.Concat(much, first)}}, requests: true},
		"too many pings":                  {in: []arrival{{0, bytes.Repeat(first, 9)}}, out: []arrival{{0, bytes.Repeat(first, 5)}, {50 * ms, bytes.Repeat(first, 4)}}},

		"a keepalive's ping does not wait":   {in: []arrival{{0, framed(t, alive)}, {1, answer}}, out: []arrival{{0, framed(t, alive)}, {1, answer}}, requests: true},
		"nor does its answer":                {in: []arrival{{0, framed(t, aliveBack)}, {1, answer}}, out: []arrival{{0, framed(t, aliveBack)}, {1, answer}}},
		"nor behind one that does":           {in: []arrival{{0, first}, {1, framed(t, alive)}}, out: []arrival{{1, framed(t, alive)}, {50 * ms, first}}},
		"it takes along one that has waited": {in: []arrival{{0, first}, {25 * ms, framed(t, aliveBack)}}, out: []arrival{{25 * ms, slices.Concat(first, framed(t, aliveBack))}}},
		"nor behind the parts of an answer":  {in: []arrival{{0, slices.Concat(h, framed(t, aliveBack))}, {1, slices.Concat(d, end)}}, out: []arrival{{0, slices.Concat(h, framed(t, aliveBack))}, {1, slices.Concat(d, end)}}},

		"the parts of an answer":    {in: []arrival{{0, h}, {100, d}, {200, end}}, out: []arrival{{200, answer}}},
		"two parts and one":         {in: []arrival{{0, slices.Concat(h, d)}, {200, end}}, out: []arrival{{200, answer}}},
		"headers wait to their end": {in: []arrival{{0, h}, {3 * ms, d}, {5 * ms, d}}, out: []arrival{{1 * ms, h}, {4 * ms, d}, {5 * ms, d}}},
		"more of a stream":          {in: []arrival{{0, h}, {100, d}, {200, d}, {300, d}}, out: []arrival{{200, slices.Concat(h, d, d)}, {300, d}}},
		"the end of another answer": {in: []arrival{{0, slices.Concat(end, framed(t, headers(3), data(3)))}, {100, framed(t, trailers(3))}}, out: []arrival{{0, end}, {100, other}}},
		"answers among each other":  {in: []arrival{{0, slices.Concat(h, framed(t, headers(3)))}, {100, d}, {200, framed(t, data(3), trailers(3))}}, out: []arrival{{100, slices.Concat(h, framed(t, headers(3)), d)}, {200, framed(t, data(3), trailers(3))}}},
		"a long answer":             {in: []arrival{{0, h}, {100, long}, {200, end}}, out: []arrival{{100, h}, {100, long}, {200, end}}},
		"the end of a long answer":  {in: []arrival{{0, slices.Concat(h, long[:40])}, {100, long[40:]}}, out: []arrival{{0, slices.Concat(h, long[:40])}, {100, long[40:]}}},
		"part of an answer":         {in: []arrival{{0, slices.Concat(h, d[:12])}, {100, d[12:]}, {200, end}}, out: []arrival{{0, slices.Concat(h, d[:12])}, {200, slices.Concat(d[12:], end)}}},
		"credit":                    {in: []arrival{{0, h}, {100, credit}}, out: []arrival{{100, slices.Concat(h, credit)}}},
		"requests do not wait":      {in: []arrival{{0, h}, {100, d}}, out: []arrival{{0, h}, {100, d}}, requests: true},
		"a stream that goes on":     {in: []arrival{{0, framed(t, headers(129))}, {100, framed(t, data(129))}}, out: []arrival{{0, framed(t, headers(129))}, {100, framed(t, data(129))}}},
		"a ping is no part":         {in: []arrival{{0, h}, {100, first}, {200, slices.Concat(d, end)}}, out: []arrival{{200, answer}, {50*ms + 100, first}}},
		"both at the end":           {in: []arrival{{0, slices.Concat(first, h)}, {1, d[:3]}}, out: []arrival{{1, slices.Concat(h, first, d[:3])}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dst := &chunks{t0: time.Now()}
				f := &feeder{frames: newAnswers(dst, asked(1, 3))}
				if test.requests {
					f.frames = newRequests(dst, &streams{})
					f.rest = 0 // without the preface
				}
				for _, a := range test.in {
					time.Sleep(a.at - time.Since(dst.t0)) // by the bubble's clock
					f.feed(t, a.p)
				}
				if last := test.out[len(test.out)-1].at; last > test.in[len(test.in)-1].at {
					time.Sleep(last - time.Since(dst.t0)) // by the same
					synctest.Wait()
				}
				f.end()
				var want chunks
				for _, a := range test.out {
					want.got, want.at = append(want.got, a.p), append(want.at, a.at)
				}
				assert.Equal(t, want.got, dst.got)
				assert.Equal(t, want.at, dst.at)
			})
		})
	}
}

// A stream's answer may wait once its request is whole, whatever came of others.
func TestFramesAsked(t *testing.T) {
	t.Parallel()
	last := func(f *h2.Framer) error { return f.WriteData(5, true, nil) }
	open := func(f *h2.Framer) error { return f.WriteData(133, false, nil) } // of the same slot
	var s streams
	f := &feeder{frames: newRequests(io.Discard, &s)}
	f.feed(t, []byte(h2.ClientPreface))
	f.feed(t, framed(t, headers(3), headers(5), data(5), trailers(1)))
	assert.True(t, s.has(1))
	assert.False(t, s.has(3))
	assert.False(t, s.has(5))
	f.feed(t, framed(t, last, headers(133), open))
	assert.True(t, s.has(5))
	assert.False(t, s.has(133))
	f.feed(t, framed(t, trailers(133)))
	assert.True(t, s.has(133))
	assert.False(t, s.has(5), "the latest are remembered")
}

// apart tells whole PINGs of an estimator from all else.
func apart(p []byte) (pings, others []byte) {
	for len(p) >= frameHeaderLen {
		n := min(frameHeaderLen+int(binary.BigEndian.Uint32(p)>>8), len(p))
		if h2.FrameType(p[3]) == h2.FramePing && n == pingFrameLen && [8]byte(p[frameHeaderLen:n]) == estimator {
			pings = append(pings, p[:n]...)
		} else {
			others = append(others, p[:n]...)
		}
		p = p[n:]
	}
	return pings, append(others, p...)
}

// inOrder says whether p is frames in an order that HTTP/2 allows.
func inOrder(p []byte) bool {
	f := h2.NewFramer(nil, bytes.NewReader(p))
	f.SetMaxReadFrameSize(1 << 14) // or it makes room for what never comes
	for {
		if _, err := f.ReadFrame(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// However the bytes come, and whatever they are, all but an estimator's PINGs come out
// as they went in, and between them as many of those as went in. Only those that wait
// when the bytes end within a frame or a header block have no place any more.
func FuzzFrames(f *testing.F) {
	f.Add(framed(f, ping, headers(1), data(1), trailers(1), pingBack), []byte{9, 1, 30, 200})
	f.Add(framed(f, ping, alive, headers(1), aliveBack, data(1), trailers(1), pingBack), []byte{12, 20, 1, 200})
	f.Add(framed(f, data(1), ping, ping, ping, ping, ping, ping, headers(1)), []byte{3, 200, 20, 200, 3})
	f.Add(framed(f, ping, open, more, data(1), ping, trailers(1)), []byte{30, 255, 11, 200, 17, 200})
	f.Add([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x00"), []byte{})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		in = in[:min(len(in), bufferBytes)]
		synctest.Test(t, func(t *testing.T) {
			dst := &chunks{}
			fr := &feeder{frames: newAnswers(dst, asked(1, 3))}
			rest := in
			for _, n := range cuts {
				if n >= 128 { // a pause instead, by the bubble's clock
					time.Sleep(time.Duration(n-128) * 700 * time.Microsecond)
					continue
				}
				k := min(int(n), len(rest))
				fr.feed(t, rest[:k])
				rest = rest[k:]
			}
			fr.feed(t, rest)
			fr.end()
			wantPings, want := apart(in)
			gotPings, got := apart(slices.Concat(dst.got...))
			assert.True(t, bytes.Equal(want, got), "%x became %x", in, slices.Concat(dst.got...))
			if fr.rest == 0 && !fr.open {
				assert.Len(t, gotPings, len(wantPings))
			}
			if inOrder(in) {
				assert.True(t, inOrder(slices.Concat(dst.got...)), "%x became %x", in, slices.Concat(dst.got...))
			}
		})
	})
}
