package proxy

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/internal/proxy/wire"
)

// bufferBytes holds two TLS records: more is rarely ready at once, and every
// open connection keeps two buffers.
const bufferBytes = 32 << 10

// halfClosedTimeout bounds how long a member may be silent to a client that has closed its half.
const halfClosedTimeout = 30 * time.Second

// abortTimeout bounds the wait for the last bytes of a member that hung up.
const abortTimeout = 100 * time.Millisecond

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// link is a member's connection and the client's connection it is joined to. In HTTP/1 it is joined
// to none: client is nil, and only close and finishWriting are used.
type link struct {
	client  socket
	up      *upstream
	variant Variant
	asked   wire.Streams
}

// close ends both sides at once; reads and writes that wait on them return.
func (l *link) close() {
	if l.client != nil {
		_ = l.client.Close()
	}
	_ = l.up.raw.Close()
}

// abort ends the client's side and gives the member's a moment to say why it hung up: its TLS alert
// may lie unread behind a failed write.
func (l *link) abort() {
	_ = l.client.Close()
	l.up.finishing.Store(false)
	if l.up.SetReadDeadline(time.Now().Add(abortTimeout)) != nil {
		_ = l.up.raw.Close()
	}
}

// splice carries bytes both ways until both are done; head is what was already read from the
// client. It returns what ended the member's side, nil for a plain end. When the member's side
// ends, for whatever reason, both are closed: the client then connects again and is given a live
// member. When the client's side ends well, the member may still finish its answer.
func (l *link) splice(head []byte) error {
	defer l.close()
	down := make(chan error, 1)
	go func() {
		defer l.close()
		down <- l.answers()
	}()
	err := l.requests(head)
	if err == nil {
		err = l.finishWriting()
	}
	if err != nil {
		l.abort()
	}
	return <-down
}

func (l *link) finishWriting() error {
	w, ok := l.up.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("connection cannot be half closed")
	}
	l.up.finishing.Store(true)
	return errors.Join(w.CloseWrite(), l.up.SetReadDeadline(time.Now().Add(halfClosedTimeout)))
}

// requests carries the client's bytes to the member, head first.
func (l *link) requests(head []byte) error {
	c := carrier{
		src: io.MultiReader(bytes.NewReader(head), l.client),
		dst: l.sink(l.up, wire.Requests),
	}
	return c.carry()
}

// answers carries the member's bytes to the client.
func (l *link) answers() error {
	c := carrier{src: l.up, dst: l.sink(l.client, wire.Answers)}
	if l.up.records != nil {
		c.more = l.up.readMore
	}
	return c.carry()
}

// sink is what writes the bytes of one direction to dst.
func (l *link) sink(dst io.Writer, direction func(*wire.Streams) *wire.Sorter) sink {
	if l.variant == Unsorted || l.variant == Plain {
		return unsorted{dst}
	}
	return newSorted(dst, direction(&l.asked))
}

// carrier carries bytes one way.
type carrier struct {
	src  io.Reader
	more func([]byte) int // adds what src can give without waiting; nil if it cannot
	dst  sink
}

// carry copies from src to dst until src ends; nil means that it ended well. The buffer is pooled:
// io.Copy would allocate one for each connection.
func (c *carrier) carry() error {
	buf := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buf)
	left := 0
	defer func() { c.dst.end(buf[:left]) }()
	for {
		room := buf[left : len(buf)-wire.Spare]
		n, err := c.src.Read(room)
		if n > 0 && err == nil && c.more != nil {
			n += c.more(room[n:])
		}
		if n > 0 {
			rest, werr := c.dst.pass(buf[:left+n])
			if left = copy(buf[:], rest); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
