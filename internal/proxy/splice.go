package proxy

import (
	"errors"
	"io"
	"sync"
	"time"

	h2 "golang.org/x/net/http2"
)

// bufferBytes holds two TLS records: more is rarely ready at once, and every
// open connection keeps two buffers.
const bufferBytes = 32 << 10

// halfClosedTimeout bounds how long a member may go on answering a client that
// has said all it had to say.
const halfClosedTimeout = 30 * time.Second

// abortTimeout bounds the wait for a last word of a member that hung up.
const abortTimeout = 100 * time.Millisecond

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// holdTime is how long frames that nobody waits for wait for others. Clients and
// members ping each other for every request, to learn how much is under way
// (grpc-go's BDP estimator): alone, these frames cost as much as the request.
const holdTime = 10 * time.Millisecond

// maxHeld bounds what is held back, in bytes, so that there is room behind it.
const maxHeld = 1 << 10

// link is one client's connection and the member's connection it is joined to.
type link struct {
	client *socket
	up     *upstream
	proto  protocol
}

// close ends both sides at once and wakes whoever waits on them.
func (l *link) close() {
	_ = l.client.Close()
	_ = l.up.raw.Close()
}

// abort ends the client's side and gives the member's a moment to say why it
// hung up: its TLS alert may lie unread behind a failed write.
func (l *link) abort() {
	_ = l.client.Close()
	if l.up.SetReadDeadline(time.Now().Add(abortTimeout)) != nil {
		_ = l.up.raw.Close()
	}
}

// splice carries bytes both ways until both are done; head is what was read
// from the client already. It returns what ended the member's side, nil for a
// plain end. When the member's side ends, for whatever reason, both are closed:
// the client then comes back and is given a live member. When the client's side
// ends well the member may still finish its answer.
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
	return errors.Join(w.CloseWrite(), l.up.SetReadDeadline(time.Now().Add(halfClosedTimeout)))
}

// requests carries the client's bytes to the member.
func (l *link) requests(head []byte) error {
	c := carrier{dst: l.up, src: l.client}
	if l.proto == http2 {
		c.frames = &frames{rest: len(h2.ClientPreface)}
		c.frames.idle(head)
	}
	if _, err := l.up.Write(head); err != nil {
		return err
	}
	return c.carry()
}

// answers carries the member's bytes to the client.
func (l *link) answers() error {
	c := carrier{dst: l.client, src: l.up}
	if l.up.records != nil {
		c.more = l.up.readMore
	}
	if l.proto == http2 {
		c.frames = &frames{}
	}
	return c.carry()
}

// carrier carries bytes one way.
type carrier struct {
	dst    io.Writer
	src    io.Reader
	more   func([]byte) int // adds what src can give without waiting; nil where it cannot
	frames *frames          // nil holds nothing back

	mu    sync.Mutex // guards what follows and frames, for the timer passes on, too
	buf   *[bufferBytes]byte
	held  int // buf[held:end] is held back
	end   int
	timer *time.Timer
}

// carry copies from src to dst until src ends; nil means that it ended well. The
// buffer is pooled: io.Copy would allocate one anew for each connection.
func (c *carrier) carry() error {
	c.buf = buffers.Get().(*[bufferBytes]byte)
	c.timer = time.AfterFunc(holdTime, c.release)
	defer func() {
		c.timer.Stop()
		c.release()
		buffers.Put(c.buf)
	}()
	for {
		n, err := c.src.Read(c.buf[c.end:])
		if n > 0 && err == nil && c.more != nil {
			n += c.more(c.buf[c.end+n:])
		}
		if n > 0 {
			if werr := c.took(n); werr != nil {
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

// took passes on what is held back and the n bytes behind it, or holds it all
// back.
func (c *carrier) took(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	holding := c.held < c.end
	idle := c.frames != nil && c.frames.idle(c.buf[c.end:c.end+n])
	c.end += n
	if idle && c.end <= maxHeld {
		if !holding {
			c.timer.Reset(holdTime)
		}
		return nil
	}
	if holding {
		c.timer.Stop()
	}
	err := c.write()
	c.held, c.end = 0, 0
	return err
}

// release passes on what is held back. What is being read meanwhile goes behind
// it. If it fails, whoever reads from dst learns that.
func (c *carrier) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held < c.end {
		_ = c.write()
	}
}

func (c *carrier) write() error {
	_, err := c.dst.Write(c.buf[c.held:c.end])
	c.held = c.end
	if c.frames != nil {
		c.frames.credit = 0
	}
	return err
}
