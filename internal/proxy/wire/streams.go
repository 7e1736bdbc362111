package wire

import "sync/atomic"

// Streams remembers the latest of a connection's streams whose requests are whole, about as many as
// are under way at once. It never confuses two streams. The zero value remembers none. The sorters
// of both directions share it, each in a goroutine of its own.
type Streams [64]atomic.Uint32

// A client's streams have odd numbers.
func (s *Streams) slot(stream uint32) *atomic.Uint32 { return &s[stream/2%uint32(len(s))] }

func (s *Streams) add(stream uint32)      { s.slot(stream).Store(stream) }
func (s *Streams) has(stream uint32) bool { return s.slot(stream).Load() == stream }
