package proxy

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"

	"github.com/juju-charms/etcd-charm/internal/proxy/wire"
)

// chunks is a writer that keeps each write apart, and when it came. It fails after limit writes.
type chunks struct {
	mu    sync.Mutex
	got   [][]byte
	at    []time.Duration
	t0    time.Time
	limit int // 0 is none
}

func (c *chunks) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got, c.at = append(c.got, slices.Clone(p)), append(c.at, time.Since(c.t0))
	if len(c.got) == c.limit {
		return 0, assert.AnError
	}
	return len(p), nil
}

// answered is an answer whose request is whole, in two parts, and the sorter that knows of it.
func answered(t *testing.T) (begin, end []byte, sorter *wire.Sorter) {
	t.Helper()
	var asked wire.Streams
	request, answer := new(bytes.Buffer), new(bytes.Buffer)
	request.WriteString(h2.ClientPreface)
	f := h2.NewFramer(request, nil)
	require.NoError(t, f.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true}))
	wire.Requests(&asked).Sort(request.Bytes(), time.Now())
	f = h2.NewFramer(answer, nil)
	require.NoError(t, f.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, EndHeaders: true}))
	begin = slices.Clone(answer.Bytes())
	answer.Reset()
	require.NoError(t, f.WriteData(1, true, []byte("message")))
	return begin, answer.Bytes(), wire.Answers(&asked)
}

// What is left of one read goes with the next. What waits goes when its time has come. What is left
// or waits at the end is not lost.
func TestCarrySorted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, far := net.Pipe()
		begin, end, sorter := answered(t)
		dst, ended := &chunks{t0: time.Now()}, make(chan error, 1)
		go func() { ended <- (&carrier{src: src, dst: newSorted(dst, sorter)}).carry() }()
		for _, p := range [][]byte{end[:5], end[5:], begin, end, begin} {
			_, err := far.Write(p)
			require.NoError(t, err)
			synctest.Wait()
		}
		time.Sleep(3 * time.Millisecond) // by the bubble's clock
		_, err := far.Write(append(begin, end[:3]...))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, far.Close())
		require.NoError(t, <-ended)
		assert.Equal(t, [][]byte{end, slices.Concat(begin, end), begin, slices.Concat(begin, end[:3])}, dst.got)
		assert.Equal(t, []time.Duration{0, 0, time.Millisecond, 3 * time.Millisecond}, dst.at)
		time.Sleep(time.Hour) // by the same: no timer is left
		assert.Len(t, dst.got, 4)
	})
}

// After a failed write nothing more is written, even if the timer wrote: there would be a gap.
func TestSortedStopsAtAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin, end, sorter := answered(t)
		dst := &chunks{t0: time.Now(), limit: 1}
		s := newSorted(dst, sorter)
		left, err := s.pass(slices.Clone(begin))
		require.NoError(t, err)
		assert.Empty(t, left)
		time.Sleep(time.Second) // by the bubble's clock
		synctest.Wait()
		assert.Len(t, dst.got, 1)
		_, err = s.pass(slices.Clone(end))
		require.ErrorIs(t, err, assert.AnError)
		s.end(nil)
		assert.Len(t, dst.got, 1)
	})
}

// The other variants carry the same bytes, as they come.
func TestCarryUnsorted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, far := net.Pipe()
		dst, ended := &chunks{t0: time.Now()}, make(chan error, 1)
		go func() { ended <- (&carrier{src: src, dst: unsorted{dst}}).carry() }()
		begin, end, _ := answered(t)
		want := [][]byte{begin[:3], begin[3:], end, begin[:4]}
		for _, p := range want {
			_, err := far.Write(p)
			require.NoError(t, err)
		}
		require.NoError(t, far.Close())
		require.NoError(t, <-ended)
		assert.Equal(t, want, dst.got)
	})
}
