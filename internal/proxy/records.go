package proxy

import (
	"encoding/binary"
	"os"
)

// tlsHeaderBytes is type, version and length of a TLS record (RFC 8446,
// section 5.1; the same in TLS 1.2).
const tlsHeaderBytes = 5

// recordReader stands between a TCP connection and the tls.Conn above it. It hands out one TLS
// record at a time. So it holds the records that have arrived behind that one, in place of the
// tls.Conn, and knows how many are whole. etcd answers one RPC with three or four small records
// that arrive together; read singly, each would cost a write to the client and wake it up.
//
// It is read by one goroutine at a time.
type recordReader struct {
	socket
	buf      [bufferBytes]byte
	from, to int // buf[from:to] has arrived and has not been handed out
	left     int // bytes that remain of the record being handed out

	// arrivedOnly makes Read begin a record only if it is there as a whole.
	arrivedOnly bool
}

// Read hands out bytes of the current record. If arrivedOnly forbids waiting, it fails like a read
// past its deadline, which tls.Conn treats as temporary: nothing of a record has been consumed
// then.
func (r *recordReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		if r.arrivedOnly && !r.whole() {
			return 0, os.ErrDeadlineExceeded
		}
		for r.to-r.from < tlsHeaderBytes {
			if err := r.fill(); err != nil {
				return 0, err
			}
		}
		r.left = r.recordBytes()
	}
	if r.from == r.to {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(len(p), r.left)], r.buf[r.from:r.to])
	r.from += n
	r.left -= n
	return n, nil
}

// recordBytes is the length of the record whose header is at the front.
func (r *recordReader) recordBytes() int {
	return tlsHeaderBytes + int(binary.BigEndian.Uint16(r.buf[r.from+3:]))
}

func (r *recordReader) whole() bool {
	return r.to-r.from >= tlsHeaderBytes && r.to-r.from >= r.recordBytes()
}

// fill reads once more from the connection. There is always room, because what is kept is less than
// a header, or nothing.
func (r *recordReader) fill() error {
	r.to = copy(r.buf[:], r.buf[r.from:r.to])
	r.from = 0
	n, err := r.socket.Read(r.buf[r.to:])
	r.to += n
	if n > 0 {
		return nil // the error, if any, comes again
	}
	return err
}
