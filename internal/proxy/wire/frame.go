package wire

import (
	"encoding/binary"
	"time"

	h2 "golang.org/x/net/http2"
)

// split takes PINGs that can wait out of b and puts in those that are due. It returns what goes
// now, behind it what can wait, and what is too short to judge.
func (s *Sorter) split(b []byte, at time.Time) (now, early, left []byte) {
	n := len(b)
	b = b[:n+maxWaiting]
	// b[:e] passes now, b[e:w] can wait, b[r:n] is not sorted yet.
	for e, w, r := 0, 0, 0; ; {
		k := min(s.rest, n-r)
		if w < r {
			copy(b[w:], b[r:r+k])
		}
		w, r, s.rest = w+k, r+k, s.rest-k
		if s.due(at) {
			if k := w + len(s.waiting); r < k { // make room
				n = k + copy(b[k:], b[r:n])
				r = k
			}
			w += copy(b[w:], s.waiting)
			s.waiting = s.waiting[:0]
		}
		if !s.early {
			e = w
		}
		if s.rest > 0 || n-r < frameHeaderLen {
			return b[:e], b[e:w], b[r:n]
		}
		header := b[r : r+frameHeaderLen]
		size := frameHeaderLen + int(binary.BigEndian.Uint32(header)>>8)
		if s.mayWait(header, size, at) {
			if n-r < pingFrameLen {
				return b[:e], b[e:w], b[r:n]
			}
			if ping := b[r : r+pingFrameLen]; [8]byte(ping[frameHeaderLen:]) == estimator {
				s.wait(ping, at)
				r += pingFrameLen
				continue
			}
		}
		s.begin(header, size, at)
		s.rest = size
	}
}

// mayWait reports whether a frame may wait: a PING, if it turns out to be an estimator's.
func (s *Sorter) mayWait(header []byte, size int, at time.Time) bool {
	return h2.FrameType(header[3]) == h2.FramePing && size == pingFrameLen &&
		len(s.waiting) < maxWaiting && (len(s.waiting) > 0 || s.busy(at))
}

// busy reports whether frames other than PINGs have come for pingWait, less than that apart. Then
// more will soon come, with which a PING can go.
func (s *Sorter) busy(at time.Time) bool {
	return !s.last.IsZero() && at.Sub(s.last) < pingWait && s.last.Sub(s.first) >= pingWait
}

// begin looks at the header of a frame that does not wait for its turn.
func (s *Sorter) begin(header []byte, size int, at time.Time) {
	kind, flags, stream := h2.FrameType(header[3]), h2.Flags(header[4]),
		binary.BigEndian.Uint32(header[5:])
	s.early, s.open = false, false
	if kind == h2.FramePing {
		return
	}
	if s.last.IsZero() || at.Sub(s.last) >= pingWait {
		s.first = at
	}
	s.last = at
	last := flags.Has(h2.FlagDataEndStream) // of HEADERS and DATA
	switch kind {
	case h2.FrameHeaders:
		s.open, s.long = !flags.Has(h2.FlagHeadersEndHeaders), false
		if s.answers && !last && s.asked.has(stream) {
			s.early, s.begun = size <= maxHeld, stream
		}
	case h2.FrameContinuation, h2.FramePushPromise:
		s.open = !flags.Has(h2.FlagContinuationEndHeaders)
	case h2.FrameData:
		s.long = size > maxHeld
		if s.answers && stream == s.begun {
			s.early, s.begun = size <= maxHeld && !last, 0
		}
	case h2.FrameWindowUpdate: // on a stream: a sign of a long message
		s.long = stream != 0
	}
	if !s.answers && last && (kind == h2.FrameHeaders || kind == h2.FrameData) {
		s.asked.add(stream)
	}
}

// wait makes a PING wait.
func (s *Sorter) wait(ping []byte, at time.Time) {
	if len(s.waiting) == 0 {
		s.since = at
	}
	s.waiting = append(s.waiting, ping...)
}

// between reports whether a PING may stand here: not within a frame, nor within a header block.
func (s *Sorter) between() bool { return s.rest == 0 && !s.open }

// due reports whether there are PINGs that can go with others now.
func (s *Sorter) due(at time.Time) bool {
	return len(s.waiting) > 0 && s.between() && (s.long || at.Sub(s.since) >= pingWait/2)
}
