package proxy

import (
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	h2 "golang.org/x/net/http2"
)

// Of frames, in bytes (RFC 9113, sections 4.1 and 6.7).
const (
	frameHeaderLen = 9
	pingFrameLen   = frameHeaderLen + 8
)

// estimator is what the PINGs of grpc-go's BDP estimator hold, and the answers to
// them (internal/transport/bdp_estimator.go). It sends one for every answer that
// comes while none is under way, to learn how much the way holds: alone, it costs as
// much as the answer. Its keepalives hold something else, as do other libraries'
// PINGs: whoever sends those may hang up on an answer that is late.
var estimator = [8]byte{2, 4, 16, 16, 9, 14, 7, 7}

// pingWait is how long an estimator's PING or its answer waits at most, but for the
// rest of a frame or header block, and for answerWait behind a frame that waits
// itself.
const pingWait = 50 * time.Millisecond

// maxWaiting bounds the PINGs that wait, in bytes; later ones do not.
const maxWaiting = 4 * pingFrameLen

// answerWait is how long the beginning of an answer waits for its end at most.
// etcd sends the HEADERS, the message and the trailers of an RPC one by one, some
// 20 µs apart; a client that is woken for each has nothing from it.
const answerWait = time.Millisecond

// maxHeld bounds the beginnings that wait, in bytes: longer frames do not, nor does
// a PING while there are any.
const maxHeld = 1 << 10

// frames passes on one direction of an HTTP/2 connection in fewer packets than it
// came in. An estimator's PINGs wait: after half of pingWait they go with other
// frames, after all of it alone; RFC 9113 gives them no place among the others, but
// for one: none comes between HEADERS and what continues them. While long messages are under way
// they do not wait, for the sender's window may have to grow. In the direction of
// answers HEADERS, and the first DATA behind them, wait for what follows, if the
// client has said all it had to say on that stream. All else passes as soon as its
// frame is known, and all but those PINGs in order. What is no HTTP/2 passes, too.
type frames struct {
	dst     io.Writer
	asked   *streams // whose requests are whole
	answers bool     // the direction

	mu      sync.Mutex // guards what follows and orders the writes
	rest    int        // bytes to come of the last frame
	open    bool       // the last frame's header block goes on in the next
	early   bool       // the last frame is HEADERS or the first DATA of an answer
	begun   uint32     // the stream whose HEADERS came last, until its DATA comes
	long    bool       // long messages are under way
	held    []byte     // early frames that wait
	waiting []byte     // PINGs that wait
	since   time.Time  // when the first PING came

	answerTimer, pingTimer *time.Timer
}

// newRequests begins with the client's preface, which is no frame.
func newRequests(dst io.Writer, asked *streams) *frames {
	return newFrames(&frames{dst: dst, asked: asked, rest: len(h2.ClientPreface)})
}

func newAnswers(dst io.Writer, asked *streams) *frames {
	return newFrames(&frames{dst: dst, asked: asked, answers: true})
}

func newFrames(f *frames) *frames {
	f.answerTimer = time.AfterFunc(answerWait, f.release)
	f.pingTimer = time.AfterFunc(pingWait, f.release)
	f.answerTimer.Stop()
	f.pingTimer.Stop()
	return f
}

// pass passes on b[:n], puts in its place what is too little to tell yet, and
// returns how much that is: it has to come again with more behind it. b has room
// for maxWaiting bytes more than n.
func (f *frames) pass(b []byte, n int) (left int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, early, rest := f.sort(b, n)
	if f.rest > 0 || len(f.held)+len(early) > maxHeld {
		now, early = b[:len(now)+len(early)], nil
	}
	if len(now) > 0 {
		err = f.write(now)
	}
	if len(early) > 0 {
		if len(f.held) == 0 {
			f.answerTimer.Reset(answerWait)
		}
		f.held = append(f.held, early...)
	}
	return copy(b, rest), err
}

// write writes what is held and p behind it, in one if p is short.
func (f *frames) write(p []byte) error {
	if len(f.held) > 0 {
		f.answerTimer.Stop()
		if len(p) <= maxHeld {
			p = append(f.held, p...)
			f.held = p
		} else if _, err := f.dst.Write(f.held); err != nil {
			return err
		}
		f.held = f.held[:0]
	}
	_, err := f.dst.Write(p)
	return err
}

// sort takes PINGs that can wait out of b[:n] and puts in those that are due. It tells what is to
// pass now, behind it what can wait, and what is too little to tell.
func (f *frames) sort(b []byte, n int) (now, early, left []byte) {
	// b[:e] passes now, b[e:w] can wait, b[r:n] is not sorted yet.
	for e, w, r := 0, 0, 0; ; {
		k := min(f.rest, n-r)
		if w < r {
			copy(b[w:], b[r:r+k])
		}
		w, r, f.rest = w+k, r+k, f.rest-k
		if f.due() {
			if k := w + len(f.waiting); r < k { // make room
				n = k + copy(b[k:], b[r:n])
				r = k
			}
			w += copy(b[w:], f.waiting)
			f.noPings()
		}
		if !f.early {
			e = w
		}
		if f.rest > 0 || n-r < frameHeaderLen {
			return b[:e], b[e:w], b[r:n]
		}
		if f.rest = f.begin(b[r:n]); f.rest > 0 {
			continue
		}
		if n-r < pingFrameLen {
			return b[:e], b[e:w], b[r:n]
		}
		if ping := b[r : r+pingFrameLen]; [8]byte(ping[frameHeaderLen:]) == estimator {
			f.wait(ping)
			r += pingFrameLen
			continue
		}
		f.rest, f.early, f.open = pingFrameLen, false, false
	}
}

// begin looks at a frame's header and returns the frame's length, or 0 if it is a
// PING, which waits if it is an estimator's.
func (f *frames) begin(header []byte) int {
	n := frameHeaderLen + int(binary.BigEndian.Uint32(header)>>8)
	kind, flags, stream := h2.FrameType(header[3]), h2.Flags(header[4]), binary.BigEndian.Uint32(header[5:])
	if kind == h2.FramePing && n == pingFrameLen && len(f.waiting) < maxWaiting {
		return 0
	}
	f.early, f.open = false, false
	last := flags.Has(h2.FlagDataEndStream) // of HEADERS and DATA
	switch kind {
	case h2.FrameHeaders:
		f.open, f.long = !flags.Has(h2.FlagHeadersEndHeaders), false
		if f.answers && !last && f.asked.has(stream) {
			f.early, f.begun = n <= maxHeld, stream
		}
	case h2.FrameContinuation, h2.FramePushPromise:
		f.open = !flags.Has(h2.FlagContinuationEndHeaders)
	case h2.FrameData:
		f.long = n > maxHeld
		if f.answers && stream == f.begun {
			f.early, f.begun = n <= maxHeld && !last, 0
		}
	case h2.FrameWindowUpdate: // of a stream: who reads it, reads much
		f.long = stream != 0
	}
	if !f.answers && last && (kind == h2.FrameHeaders || kind == h2.FrameData) {
		f.asked.add(stream)
	}
	return n
}

// wait makes a PING wait.
func (f *frames) wait(ping []byte) {
	if len(f.waiting) == 0 {
		f.since = time.Now()
		f.pingTimer.Reset(pingWait)
	}
	f.waiting = append(f.waiting, ping...)
}

// due says whether there are PINGs that can go with others now.
func (f *frames) due() bool {
	return len(f.waiting) > 0 && f.rest == 0 && !f.open && (f.long || time.Since(f.since) >= pingWait/2)
}

// noPings is said when those that waited go.
func (f *frames) noPings() {
	f.waiting = f.waiting[:0]
	f.pingTimer.Stop()
}

// release passes on what has waited long enough. PINGs that cannot go now go with
// the frame that is in their way. If it fails, whoever reads from dst learns that.
func (f *frames) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var pings []byte
	if f.due() {
		pings = f.waiting
		f.noPings()
	}
	if len(f.held)+len(pings) > 0 {
		_ = f.write(pings)
	}
}

// end passes on what waits and what is left, for nothing else comes.
func (f *frames) end(left []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answerTimer.Stop()
	f.pingTimer.Stop()
	if f.rest == 0 && !f.open {
		left = slices.Concat(f.waiting, left)
	}
	if len(f.held)+len(left) > 0 {
		_ = f.write(left)
	}
	f.waiting = nil
}

// streams remembers the latest of a connection's streams, about as many as have
// requests under way at once. It never takes one for another.
type streams [64]atomic.Uint32

// A client's streams have odd numbers.
func (s *streams) slot(stream uint32) *atomic.Uint32 { return &s[stream/2%uint32(len(s))] }

func (s *streams) add(stream uint32)      { s.slot(stream).Store(stream) }
func (s *streams) has(stream uint32) bool { return s.slot(stream).Load() == stream }
