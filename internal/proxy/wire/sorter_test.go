package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"
)

// framed is the bytes of the frames that write writes.
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

func goAway(f *h2.Framer) error { return f.WriteGoAway(1, h2.ErrCodeNo, nil) }

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

// arrival is what comes, or goes, at a time.
type arrival struct {
	at time.Duration
	p  []byte
}

// played is a sorter with a well-behaved caller: it comes back with what is left, and keeps every
// deadline.
type played struct {
	*Sorter
	buf  []byte // with what is left in front
	now  time.Duration
	gone []arrival
}

// epoch is when the sorters of these tests begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (f *played) write(writes [][]byte) {
	for _, w := range writes {
		f.gone = append(f.gone, arrival{f.now, slices.Clone(w)})
	}
}

// pass lets the time pass, with all that falls due in it.
func (f *played) pass(tb testing.TB, until time.Duration) {
	tb.Helper()
	for at := f.Deadline(); !at.IsZero() && !at.After(epoch.Add(until)); at = f.Deadline() {
		f.now = max(f.now, at.Sub(epoch))
		f.write(f.Release(at))
		require.NotEqual(tb, at, f.Deadline(), "a deadline that was kept is over")
	}
	f.now = until
}

// feed gives it bytes, with room for more behind them, as in production, or with none.
func (f *played) feed(p []byte) {
	f.buf = append(f.buf, p...)
	writes, left := f.Sort(f.buf, epoch.Add(f.now))
	f.write(writes)
	f.buf = slices.Clone(left)
}

func (f *played) end() { f.write(f.End(f.buf)) }

// beenBusy is a sorter through which frames have passed all the time.
func beenBusy(s *Sorter) *Sorter {
	s.first, s.last = epoch.Add(-time.Hour), epoch
	return s
}

func asked(ids ...uint32) *Streams {
	s := &Streams{}
	for _, id := range ids {
		s.add(id)
	}
	return s
}

// What waits, for how long, and with what it goes.
func TestSorter(t *testing.T) {
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
		"a ping waits to its end":         {in: []arrival{{0, first}, {36 * ms, answer}}, out: []arrival{{20 * ms, first}, {36 * ms, answer}}},
		"others do not wait for it":       {in: []arrival{{0, first}, {9 * ms, answer}}, out: []arrival{{9 * ms, answer}, {20 * ms, first}}},
		"it goes with others":             {in: []arrival{{0, first}, {1 * ms, second}, {10 * ms, answer}}, out: []arrival{{10 * ms, slices.Concat(both, answer)}}},
		"of requests, too":                {in: []arrival{{0, first}, {10 * ms, answer}}, out: []arrival{{10 * ms, slices.Concat(first, answer)}}, requests: true},
		"pings among answers":             {in: []arrival{{0, slices.Concat(first, answer, second, other)}}, out: []arrival{{0, slices.Concat(answer, other)}, {20 * ms, both}}},
		"a ping in two":                   {in: []arrival{{0, first[:11]}, {1 * ms, first[11:]}}, out: []arrival{{21 * ms, first}}},
		"a header in two":                 {in: []arrival{{0, answer[:4]}, {1 * ms, answer[4:]}}, out: []arrival{{1 * ms, answer}}},
		"not within a frame":              {in: []arrival{{0, first}, {15 * ms, d[:12]}, {24 * ms, d[12:]}}, out: []arrival{{15 * ms, slices.Concat(first, d[:12])}, {24 * ms, d[12:]}}},
		"but behind it":                   {in: []arrival{{0, slices.Concat(first, d[:12])}, {24 * ms, slices.Concat(d[12:], answer)}}, out: []arrival{{0, d[:12]}, {24 * ms, slices.Concat(d[12:], first, answer)}}},
		"a ping with too much in it":      {in: []arrival{{0, append([]byte{0, 0, 9}, append(first[3:], 1)...)}}, out: []arrival{{0, append([]byte{0, 0, 9}, append(first[3:], 1)...)}}},
		"pings end with what they are of": {in: []arrival{{0, slices.Concat(both, answer[:5])}}, out: []arrival{{0, slices.Concat(both, answer[:5])}}},
		"not within a header block":       {in: []arrival{{0, first}, {4 * ms, framed(t, open)}, {28 * ms, framed(t, more)}}, out: []arrival{{4 * ms, framed(t, open)}, {28 * ms, slices.Concat(framed(t, more), first)}}, requests: true},
		"nor where it is cut":             {in: []arrival{{0, slices.Concat(first, framed(t, open)[:11])}, {12 * ms, framed(t, open)[11:]}, {31 * ms, framed(t, more)}}, out: []arrival{{0, framed(t, open)[:11]}, {12 * ms, framed(t, open)[11:]}, {31 * ms, slices.Concat(framed(t, more), first)}}, requests: true},
		"nor at the end":                  {in: []arrival{{0, slices.Concat(first, framed(t, open))}}, out: []arrival{{0, framed(t, open)}}, requests: true},
		"not behind a long message":       {in: []arrival{{0, first}, {1, slices.Concat(long, second)}, {2, answer}, {3, first}}, out: []arrival{{1, slices.Concat(long, both)}, {2, answer}, {3 + 20*ms, first}}},
		"not beside much credit":          {in: []arrival{{0, first}, {1, much}}, out: []arrival{{1, slices.Concat(much, first)}}, requests: true},
		"too many pings":                  {in: []arrival{{0, bytes.Repeat(first, 9)}}, out: []arrival{{0, bytes.Repeat(first, 5)}, {20 * ms, bytes.Repeat(first, 4)}}},

		"a keepalive's ping does not wait":   {in: []arrival{{0, framed(t, alive)}, {1, answer}}, out: []arrival{{0, framed(t, alive)}, {1, answer}}, requests: true},
		"nor does its answer":                {in: []arrival{{0, framed(t, aliveBack)}, {1, answer}}, out: []arrival{{0, framed(t, aliveBack)}, {1, answer}}},
		"nor behind one that does":           {in: []arrival{{0, first}, {1, framed(t, alive)}}, out: []arrival{{1, framed(t, alive)}, {20 * ms, first}}},
		"it takes along one that has waited": {in: []arrival{{0, first}, {10 * ms, framed(t, aliveBack)}}, out: []arrival{{10 * ms, slices.Concat(first, framed(t, aliveBack))}}},
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
		"a ping is no part":         {in: []arrival{{0, h}, {100, first}, {200, slices.Concat(d, end)}}, out: []arrival{{200, answer}, {20*ms + 100, first}}},
		"both at the end":           {in: []arrival{{0, slices.Concat(first, h)}, {1, d[:3]}}, out: []arrival{{1, slices.Concat(h, first, d[:3])}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &played{Sorter: beenBusy(Answers(asked(1, 3)))}
			if test.requests {
				f.Sorter = beenBusy(Requests(&Streams{}))
				f.rest = 0 // without the preface
			}
			for _, a := range test.in {
				f.pass(t, a.at)
				f.feed(a.p)
			}
			f.pass(t, max(f.now, test.out[len(test.out)-1].at))
			f.end()
			assert.Equal(t, test.out, f.gone)
		})
	}
}

// PINGs wait only where other frames come for them to go with; in an idle direction they pass at
// once.
func TestSorterIdle(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	request, first := framed(t, headers(1), trailers(1)), framed(t, ping)
	f := &played{Sorter: Requests(&Streams{})}
	f.rest = 0
	var want []arrival
	at := func(when time.Duration, p []byte, gone ...arrival) {
		t.Helper()
		f.pass(t, when)
		f.feed(p)
		want = append(want, gone...)
		require.Equal(t, want, f.gone)
	}
	at(0, first, arrival{0, first})
	at(1*ms, request, arrival{1 * ms, request})
	at(2*ms, first, arrival{2 * ms, first})
	at(15*ms, request, arrival{15 * ms, request})
	at(16*ms, first, arrival{16 * ms, first})
	at(25*ms, request, arrival{25 * ms, request}) // for more than 20 ms now
	at(26*ms, first)
	at(30*ms, request, arrival{30 * ms, request})
	at(36*ms, request, arrival{36 * ms, slices.Concat(first, request)})
	at(37*ms, first)
	at(58*ms, nil, arrival{57 * ms, first}) // it went alone, and others would too
	at(59*ms, first, arrival{59 * ms, first})
	at(60*ms, request, arrival{60 * ms, request})
	at(61*ms, first, arrival{61 * ms, first})
	assert.True(t, f.Deadline().IsZero())
}

// What is to be written stays valid until the next call, though more waits behind it.
func TestSorterWritesStay(t *testing.T) {
	t.Parallel()
	f := Answers(asked(1, 3, 5))
	large := func(f *h2.Framer) error { return f.WriteData(1, false, make([]byte, maxHeld-100)) } // makes room for all
	writes, _ := f.Sort(framed(t, headers(1), large), epoch)
	assert.Empty(t, writes)
	for range 3 {
		_, left := f.Sort(framed(t, trailers(1), headers(3), data(3)), epoch)
		assert.Empty(t, left)
		writes, _ = f.Sort(framed(t, trailers(3), headers(5)), epoch)
		assert.Equal(t, [][]byte{framed(t, headers(3), data(3), trailers(3))}, writes)
		_, _ = f.Sort(framed(t, trailers(5), headers(1), large), epoch)
	}
	writes, _ = f.Sort(framed(t, trailers(1), headers(5)), epoch)
	assert.Equal(t, [][]byte{framed(t, headers(1), large, trailers(1))}, writes)
	assert.Equal(t, [][]byte{framed(t, headers(5))}, f.End(nil))
	assert.Empty(t, f.End(nil))
}

// Of a long frame, the part that is there passes each time something comes.
func TestSorterHugeFrame(t *testing.T) {
	t.Parallel()
	huge := slices.Concat([]byte{0xff, 0xff, 0xff, byte(h2.FrameData), 0, 0, 0, 0, 1}, make([]byte, 1<<24-1))
	f := &played{Sorter: Answers(asked(1))}
	got := 0
	for p := range slices.Chunk(huge, 32<<10) {
		f.feed(p)
		got += len(p)
		require.Empty(t, f.buf)
	}
	assert.Equal(t, len(huge), got)
	assert.Len(t, f.gone, (len(huge)+32<<10-1)/(32<<10))
	assert.Zero(t, f.rest)
}

// Sorting a busy connection makes no garbage.
func TestSorterAllocatesNothing(t *testing.T) {
	f := beenBusy(Answers(asked(1)))
	parts := [][]byte{framed(t, headers(1)), framed(t, data(1)), framed(t, trailers(1), ping)}
	buf, now := make([]byte, 1<<10), epoch
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for _, p := range parts {
			now = now.Add(time.Millisecond)
			f.Sort(buf[:copy(buf, p)], now)
			f.Release(f.Deadline())
		}
	}))
}

// BenchmarkSorter sorts an answer that comes in three parts with a PING.
func BenchmarkSorter(b *testing.B) {
	f := beenBusy(Answers(asked(1)))
	parts := [][]byte{framed(b, headers(1)), framed(b, data(1)), framed(b, trailers(1), ping)}
	buf, now := make([]byte, 1<<10), epoch
	for b.Loop() {
		for _, p := range parts {
			now = now.Add(time.Millisecond)
			f.Sort(buf[:copy(buf, p)], now)
		}
	}
}

// A stream's answer may wait once its request is whole, whatever has come on other streams.
func TestSorterAsked(t *testing.T) {
	t.Parallel()
	last := func(f *h2.Framer) error { return f.WriteData(5, true, nil) }
	open := func(f *h2.Framer) error { return f.WriteData(133, false, nil) } // of the same slot
	var s Streams
	f := &played{Sorter: Requests(&s)}
	f.feed([]byte(h2.ClientPreface))
	f.feed(framed(t, headers(3), headers(5), data(5), trailers(1)))
	assert.True(t, s.has(1))
	assert.False(t, s.has(3))
	assert.False(t, s.has(5))
	f.feed(framed(t, last, headers(133), open))
	assert.True(t, s.has(5))
	assert.False(t, s.has(133))
	f.feed(framed(t, trailers(133)))
	assert.True(t, s.has(133))
	assert.False(t, s.has(5), "the latest are remembered")
}

// apart separates whole PINGs of an estimator from all else.
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

// inOrder reports whether p is frames in an order that HTTP/2 allows.
func inOrder(p []byte) bool {
	f := h2.NewFramer(nil, bytes.NewReader(p))
	f.SetMaxReadFrameSize(1 << 14) // otherwise it makes room for frames that never come
	for {
		if _, err := f.ReadFrame(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// Whatever the bytes, and however they come, all but an estimator's PINGs come out as they went in,
// with as many of those PINGs between them as went in. Only PINGs that wait when the bytes end
// within a frame or a header block are lost.
func FuzzSorter(f *testing.F) {
	f.Add(framed(f, ping, headers(1), data(1), trailers(1), pingBack), []byte{9, 1, 30, 200})
	f.Add(framed(f, ping, alive, headers(1), aliveBack, data(1), trailers(1), pingBack), []byte{12, 20, 1, 200})
	f.Add(framed(f, data(1), ping, ping, ping, ping, ping, ping, headers(1)), []byte{3, 200, 20, 200, 3})
	f.Add(framed(f, ping, open, more, data(1), ping, trailers(1)), []byte{30, 255, 11, 200, 17, 200})
	f.Add([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x00"), []byte{})
	f.Add(slices.Concat(framed(f, headers(1), data(1), trailers(1)), framed(f, goAway), framed(f, ping)), []byte{129, 4, 160, 1, 129})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		in = in[:min(len(in), 32<<10)]
		for _, s := range []*Sorter{
			Answers(asked(1, 3)), beenBusy(Answers(asked(1, 3))), Requests(&Streams{}), beenBusy(Requests(&Streams{})),
		} {
			s.rest = 0 // without the preface
			f := &played{Sorter: s}
			rest := in
			for _, n := range cuts {
				if n >= 128 { // a pause instead
					f.pass(t, f.now+time.Duration(n-128)*700*time.Microsecond)
					continue
				}
				k := min(int(n), len(rest))
				f.feed(rest[:k])
				rest = rest[k:]
				waits(t, f)
			}
			f.feed(rest)
			waits(t, f)
			f.end()
			out := f.sent()
			wantPings, want := apart(in)
			gotPings, got := apart(out)
			assert.True(t, bytes.Equal(want, got), "%x became %x", in, out)
			if f.between() {
				assert.Len(t, gotPings, len(wantPings))
			}
			if inOrder(in) {
				assert.True(t, inOrder(out), "%x became %x", in, out)
			}
		}
	})
}

// sent is all that was written so far.
func (f *played) sent() (all []byte) {
	for _, a := range f.gone {
		all = append(all, a.p...)
	}
	return all
}

// waits checks what waits against its bounds, in time and in bytes.
func waits(t *testing.T, f *played) {
	t.Helper()
	assert.LessOrEqual(t, len(f.waiting), maxWaiting)
	assert.LessOrEqual(t, len(f.held), maxHeld)
	assert.Less(t, len(f.buf), pingFrameLen)
	at := f.Deadline()
	assert.LessOrEqual(t, at.Sub(epoch), f.now+pingWait)
	if len(f.held) > 0 {
		assert.LessOrEqual(t, at.Sub(epoch), f.now+answerWait)
	}
	if len(f.held) > 0 || len(f.waiting) > 0 && f.between() {
		assert.False(t, at.IsZero(), "what waits has a deadline")
	}
}
