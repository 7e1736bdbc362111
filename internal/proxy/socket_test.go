package proxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sockets are the variants that differ in their sockets.
var sockets = []Variant{Shipped, Plain}

// eachSocket runs a test on both implementations.
func eachSocket(t *testing.T, test func(t *testing.T, v Variant)) {
	t.Helper()
	for _, v := range sockets {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// socketPair is both ends of a connection with small buffers.
func socketPair(tb testing.TB, v Variant) (near, far socket) {
	tb.Helper()
	n, f := tcpPair(tb)
	var ends [2]socket
	for i, c := range []*net.TCPConn{n, f} {
		s, err := v.socket(c)
		require.NoError(tb, err)
		require.NoError(tb, c.SetWriteBuffer(32<<10))
		require.NoError(tb, s.SetDeadline(time.Now().Add(time.Minute)))
		ends[i] = s
	}
	return ends[0], ends[1]
}

func tcpOf(t *testing.T, s socket) *net.TCPConn {
	t.Helper()
	if raw, ok := s.(*rawSocket); ok {
		return raw.streamConn.(*net.TCPConn)
	}
	return s.(*net.TCPConn)
}

// TestSocketCarriesAll: far more than the kernel holds goes both ways at once, in pieces of any
// size, so both sides wait for room and for bytes. What arrives is what was sent, and the end
// arrives too.
func TestSocketCarriesAll(t *testing.T) {
	t.Parallel()
	eachSocket(t, carriesAll)
}

func carriesAll(t *testing.T, v Variant) {
	t.Helper()
	near, far := socketPair(t, v)
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i * 31 >> 7)
	}
	var wg sync.WaitGroup
	for _, s := range []socket{near, far} {
		wg.Go(func() {
			for rest := sent; len(rest) > 0; {
				piece := rest[:min(len(rest), 1+rand.IntN(1<<18))]
				n, err := s.Write(piece)
				if !assert.NoError(t, err) || !assert.Len(t, piece, n) {
					return
				}
				rest = rest[n:]
			}
			assert.NoError(t, s.CloseWrite())
		})
		wg.Go(func() {
			var got bytes.Buffer
			_, err := got.ReadFrom(s)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(sent, got.Bytes()))
		})
	}
	wg.Wait()
}

// TestSocketWrites: concurrent writes, which net.Conn allows, do not mix.
func TestSocketWrites(t *testing.T) {
	t.Parallel()
	eachSocket(t, writesWhole)
}

func writesWhole(t *testing.T, v Variant) {
	t.Helper()
	near, far := socketPair(t, v)
	const size = 100_000
	var wg sync.WaitGroup
	for c := range byte(8) {
		wg.Go(func() {
			n, err := near.Write(bytes.Repeat([]byte{c}, size))
			assert.NoError(t, err)
			assert.Equal(t, size, n)
		})
	}
	got := make([]byte, 8*size)
	_, err := io.ReadFull(far, got)
	require.NoError(t, err)
	for rest := got; len(rest) > 0; rest = rest[size:] {
		assert.Equal(t, size, bytes.Count(rest[:size], rest[:1]))
	}
	wg.Wait()
}

// TestSocketWaitEnds: a read that waits for bytes and a write that waits for
// room end with the deadline and with Close; a reset is an error.
func TestSocketWaitEnds(t *testing.T) {
	t.Parallel()
	eachSocket(t, waitEnds)
}

func waitEnds(t *testing.T, v Variant) {
	t.Helper()
	waits := map[string]func(socket) error{
		"read": func(s socket) error {
			_, err := s.Read(make([]byte, 1))
			return err
		},
		"write": func(s socket) error {
			n, err := s.Write(make([]byte, 16<<20))
			assert.Less(t, n, 16<<20)
			return err
		},
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, _ := socketPair(t, v)
			require.NoError(t, near.SetDeadline(time.Now().Add(50*time.Millisecond)))
			require.ErrorIs(t, wait(near), os.ErrDeadlineExceeded)

			require.NoError(t, near.SetDeadline(time.Time{}))
			time.AfterFunc(50*time.Millisecond, func() { near.Close() })
			require.ErrorIs(t, wait(near), net.ErrClosed)

			near, far := socketPair(t, v)
			require.NoError(t, tcpOf(t, far).SetLinger(0))
			require.NoError(t, far.Close())
			err := wait(near)
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
		})
	}
}

// TestSocketAllocatesNothing: a request makes no garbage.
func TestSocketAllocatesNothing(t *testing.T) {
	near, far := socketPair(t, Shipped)
	buf := make([]byte, 100)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, err := near.Write(buf)
		if err != nil {
			t.Error(err)
		}
		_, err = far.Read(buf)
		if err != nil {
			t.Error(err)
		}
	}))
}

// BenchmarkSocket sends a request's worth of bytes there and back, on both implementations.
func BenchmarkSocket(b *testing.B) {
	for _, v := range sockets {
		b.Run(string(v), func(b *testing.B) {
			near, far := socketPair(b, v)
			buf := make([]byte, 300)
			for b.Loop() {
				for _, way := range [][2]socket{{near, far}, {far, near}} {
					_, err := way[0].Write(buf)
					require.NoError(b, err)
					_, err = io.ReadFull(way[1], buf)
					require.NoError(b, err)
				}
			}
		})
	}
}
