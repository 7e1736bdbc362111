package proxy

import (
	"encoding/binary"

	h2 "golang.org/x/net/http2"
)

// frameHeaderLen is in bytes (RFC 9113, section 4.1).
const frameHeaderLen = 9

// maxCredit bounds how much of a sender's window is held back, in bytes: an eighth of what HTTP/2 begins with.
const maxCredit = 8 << 10

// frames follows the frames of one direction of an HTTP/2 connection. It never
// fails: of what it does not understand it says that somebody waits for it.
type frames struct {
	header []byte // of a frame that has begun, while it is not whole
	rest   int    // bytes to come of a frame
	credit uint32 // bytes that window updates gave since the last reset
}

// idle takes the next bytes and says whether nobody waits for them: they are
// whole frames, and each is a PING, its answer, or a WINDOW_UPDATE, of which all
// since the last reset give so little that no sender waits for it.
func (f *frames) idle(p []byte) bool {
	idle := f.whole()
	for len(p) > 0 {
		if n := min(f.rest, len(p)); n > 0 {
			f.rest, p = f.rest-n, p[n:]
			continue
		}
		n := min(frameHeaderLen-len(f.header), len(p))
		f.header, p = append(f.header, p[:n]...), p[n:]
		if len(f.header) < frameHeaderLen {
			break
		}
		f.rest = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
		kind := h2.FrameType(f.header[3])
		f.header = f.header[:0]
		switch {
		case kind == h2.FramePing:
		case kind == h2.FrameWindowUpdate && len(p) >= 4:
			f.credit += min(binary.BigEndian.Uint32(p), maxCredit)
		default:
			idle = false
		}
	}
	return idle && f.whole() && f.credit < maxCredit
}

// whole says whether the next byte begins a frame.
func (f *frames) whole() bool { return f.rest == 0 && len(f.header) == 0 }
