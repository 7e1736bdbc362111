// Package wire sorts the frames of an HTTP/2 connection so that they go in fewer packets than they
// came in: the parts of an answer are put together, and the PINGs of grpc-go's bandwidth estimator
// lose their place among the other frames; all else keeps its order, and no byte changes.
//
// It is pure: bytes and the time go in, what to write and the next deadline come out. The caller
// has the clock, the timer, the sockets and the lock.
package wire

import (
	"slices"
	"time"

	h2 "golang.org/x/net/http2"
)

// Sizes of frames, in bytes (RFC 9113, sections 4.1 and 6.7).
const (
	frameHeaderLen = 9
	pingFrameLen   = frameHeaderLen + 8
)

// estimator is the content of the PINGs of grpc-go's BDP estimator, and of the answers to them
// (internal/transport/bdp_estimator.go). To learn how much the path holds, grpc-go sends one for
// each answer that comes while none is under way. Alone, a PING costs as much as the answer.
// grpc-go's keepalives have another content, as do other libraries' PINGs: their senders may hang
// up when an answer is late.
var estimator = [8]byte{2, 4, 16, 16, 9, 14, 7, 7}

// pingWait is how long an estimator's PING or its answer waits at most. It may wait longer for the
// rest of a frame or header block, and for answerWait behind a frame that waits itself.
const pingWait = 20 * time.Millisecond

// maxWaiting bounds the PINGs that wait, in bytes; further ones do not wait.
const maxWaiting = 4 * pingFrameLen

// Spare is the room that Sort needs behind its bytes, for PINGs that join them.
const Spare = maxWaiting

// answerWait is how long the beginning of an answer waits for its end at most. etcd sends the
// HEADERS, the message and the trailers of an RPC one by one, some 20 µs apart; waking the client
// for each gains it nothing.
const answerWait = time.Millisecond

// maxHeld bounds the beginnings that wait, in bytes. Longer frames do not wait, and while
// beginnings wait, PINGs do not.
const maxHeld = 1 << 10

// Sorter sorts one direction of an HTTP/2 connection. An estimator's PINGs wait: after half of
// pingWait they go with other frames, after all of it alone. RFC 9113 lets a PING stand anywhere
// but between HEADERS and what continues them. PINGs do not wait while long messages are under way,
// because the sender's window may have to grow, nor on a connection that is otherwise idle, where
// no other frames would go with them. In the direction of answers HEADERS, and the first DATA
// behind them, wait for what follows, if the client has sent all of its request on that stream. All
// else passes as soon as its frame is known. What is not HTTP/2 passes, too.
type Sorter struct {
	asked   *Streams // whose requests are whole
	answers bool     // the direction

	rest    int       // bytes to come of the last frame
	open    bool      // the last frame's header block goes on in the next
	early   bool      // the last frame is HEADERS or the first DATA of an answer
	begun   uint32    // the stream whose HEADERS came last, until its DATA comes
	long    bool      // long messages are under way
	held    []byte    // early frames that wait
	before  []byte    // the buffer that held them before; out may still refer to it
	holding time.Time // when the first of them came
	waiting []byte    // PINGs that wait
	since   time.Time // when the first of them came

	// Frames other than PINGs have come from first to last, with less than pingWait between them.
	first, last time.Time

	out [2][]byte // what was returned last
}

// Requests returns the sorter of what the client sends, which begins with its preface.
func Requests(asked *Streams) *Sorter {
	return &Sorter{asked: asked, rest: len(h2.ClientPreface)} // the preface is not a frame
}

// Answers returns the sorter of what the server sends.
func Answers(asked *Streams) *Sorter { return &Sorter{asked: asked, answers: true} }

// Sort takes the bytes that have come by now. It returns what to write, in that order, and what is
// too short to judge yet, which has to come again with more behind it. Sort changes b, and up to
// Spare bytes behind its end. What it returns may be part of b, and is valid until the next call.
func (s *Sorter) Sort(b []byte, now time.Time) (writes [][]byte, left []byte) {
	pass, early, left := s.split(slices.Grow(b, Spare), now)
	if s.rest > 0 || len(s.held)+len(early) > maxHeld {
		pass, early = pass[:len(pass)+len(early)], nil
	}
	if len(pass) > 0 {
		writes = s.write(pass)
	}
	if len(early) > 0 {
		if len(s.held) == 0 {
			s.holding = now
		}
		s.held = append(s.held, early...)
	}
	return writes, left
}

// Deadline returns when Release is due, zero if nothing waits for a time. PINGs that cannot go now
// go with the frame that is in their way.
func (s *Sorter) Deadline() time.Time {
	var at time.Time
	if len(s.waiting) > 0 && s.between() {
		at = s.since.Add(pingWait)
	}
	if len(s.held) > 0 {
		if end := s.holding.Add(answerWait); at.IsZero() || end.Before(at) {
			at = end
		}
	}
	return at
}

// Release returns what has waited long enough by now. The result is valid until the next call.
func (s *Sorter) Release(now time.Time) (writes [][]byte) {
	heldDue := len(s.held) > 0 && now.Sub(s.holding) >= answerWait
	pingsDue := len(s.waiting) > 0 && s.between() && now.Sub(s.since) >= pingWait
	if !heldDue && !pingsDue {
		return nil
	}
	var pings []byte
	if s.due(now) { // they go along
		pings = s.waiting
		s.waiting = s.waiting[:0]
	}
	return s.write(pings)
}

// End returns what waits, and what is left, because nothing else comes.
func (s *Sorter) End(left []byte) (writes [][]byte) {
	if s.between() {
		left = slices.Concat(s.waiting, left)
	}
	s.waiting = s.waiting[:0]
	if len(s.held)+len(left) == 0 {
		return nil
	}
	return s.write(left)
}

// write returns what is held and p behind it, in one if p is short.
func (s *Sorter) write(p []byte) [][]byte {
	s.out[0] = p
	if len(s.held) == 0 {
		return s.out[:1]
	}
	held := s.held
	if len(p) <= maxHeld {
		held = append(held, p...)
	}
	s.held, s.before = s.before[:0], held // what is held next must not overwrite what is written now
	s.out[0], s.out[1] = held, p
	if len(p) <= maxHeld {
		return s.out[:1]
	}
	return s.out[:]
}
