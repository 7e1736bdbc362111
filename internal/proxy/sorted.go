package proxy

import (
	"io"
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/internal/proxy/wire"
)

// sink takes the bytes of one direction of a connection.
type sink interface {
	// pass takes b and returns what has to come again with more behind it. b has room for
	// wire.Spare more bytes, which pass may use.
	pass(b []byte) (left []byte, err error)
	// end is called when nothing more comes, with what was left.
	end(left []byte)
}

// unsorted writes bytes as they come.
type unsorted struct{ dst io.Writer }

func (u unsorted) pass(b []byte) ([]byte, error) {
	_, err := u.dst.Write(b)
	return nil, err
}

func (unsorted) end([]byte) {}

// sorted writes frames as package wire sorts them. What waits is written when its time has come.
type sorted struct {
	dst io.Writer

	mu     sync.Mutex // guards what follows and orders the writes
	sorter *wire.Sorter
	timer  *time.Timer
	at     time.Time // when the timer is due, zero if it is stopped
	err    error     // of the first write that failed: none comes after it
}

func newSorted(dst io.Writer, sorter *wire.Sorter) *sorted {
	s := &sorted{dst: dst, sorter: sorter}
	s.timer = time.AfterFunc(time.Hour, s.release)
	s.timer.Stop()
	return s
}

func (s *sorted) pass(b []byte) (left []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes, left := s.sorter.Sort(b, time.Now())
	s.write(writes)
	return left, s.err
}

// release writes what has waited long enough. If that fails, the next pass returns the error.
func (s *sorted) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = time.Time{}
	s.write(s.sorter.Release(time.Now()))
}

func (s *sorted) end(left []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(s.sorter.End(left))
}

// write writes, and sets the timer for what is due next.
func (s *sorted) write(writes [][]byte) {
	for _, p := range writes {
		if s.err == nil {
			_, s.err = s.dst.Write(p)
		}
	}
	at := s.sorter.Deadline()
	if s.err != nil {
		at = time.Time{}
	}
	if at.Equal(s.at) {
		return
	}
	s.at = at
	if at.IsZero() {
		s.timer.Stop()
		return
	}
	s.timer.Reset(time.Until(at))
}
