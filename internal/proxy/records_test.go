package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tcpPair is both ends of a connection.
func tcpPair(tb testing.TB) (near, far *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer l.Close()
	f, err := net.Dial("tcp", l.Addr().String())
	require.NoError(tb, err)
	n, err := l.Accept()
	require.NoError(tb, err)
	tb.Cleanup(func() { n.Close(); f.Close() })
	return n.(*net.TCPConn), f.(*net.TCPConn)
}

func asSocket(tb testing.TB, c *net.TCPConn) *rawSocket {
	tb.Helper()
	s, err := newRawSocket(c)
	require.NoError(tb, err)
	return s
}

// corked is a connection that sends what is written only when told.
type corked struct {
	net.Conn
	held bytes.Buffer
	on   bool
}

func (c *corked) Write(p []byte) (int, error) {
	if c.on {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

// TestRecordsThatArriveTogether: three records in one segment, and the first
// half of a fourth, give three answers at once; nothing waits for the rest.
func TestRecordsThatArriveTogether(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "a")
	files := ca.serverFiles(t, t.TempDir(), "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	creds, err := loadCredentials(ca.clientFiles(t, t.TempDir()))
	require.NoError(t, err)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			near, far := tcpPair(t)
			require.NoError(t, near.SetDeadline(time.Now().Add(10*time.Second)))
			cork := &corked{Conn: far}
			server := tls.Server(cork, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, MaxVersion: version})
			records := &recordReader{socket: asSocket(t, near)}
			up := &upstream{Conn: tls.Client(records, creds.config("127.0.0.1", alpnH2)), raw: records.socket, records: records}
			shaken := make(chan error, 1)
			go func() { shaken <- server.Handshake() }()
			require.NoError(t, up.Conn.(*tls.Conn).Handshake())
			require.NoError(t, <-shaken)

			cork.on = true
			for _, s := range []string{"head ", "body ", "trailers ", "later"} {
				_, err := io.WriteString(server, s)
				require.NoError(t, err)
			}
			all := cork.held.Bytes()
			_, err := far.Write(all[:len(all)-3])
			require.NoError(t, err)
			buf := make([]byte, 100)
			n, err := up.Read(buf)
			require.NoError(t, err)
			n += up.readMore(buf[n:])
			assert.Equal(t, "head body trailers ", string(buf[:n]))
			assert.Zero(t, up.readMore(buf), "half a record is not waited for")
			_, err = far.Write(all[len(all)-3:])
			require.NoError(t, err)
			n, err = up.Read(buf)
			require.NoError(t, err)
			assert.Equal(t, "later", string(buf[:n]))

			cork.on = false
			require.NoError(t, server.Close())
			assert.Zero(t, up.readMore(buf))
			_, err = up.Read(buf)
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

// FuzzRecordReader: whatever arrives, in whatever pieces, is handed out unchanged and in order, and
// no read reaches past the end of a record.
func FuzzRecordReader(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 2, 'a', 'b', 23, 3, 3, 0, 1, 'c'}, uint8(3), true)
	f.Add([]byte{23, 3, 3, 255, 255, 1}, uint8(200), false)
	f.Add([]byte{23, 3, 3, 0, 0, 23, 3, 3, 0, 0}, uint8(1), true)
	f.Fuzz(func(t *testing.T, data []byte, size uint8, eager bool) {
		if len(data) > bufferBytes {
			return
		}
		// All that has arrived is in the buffer, and the connection has ended.
		near, far := tcpPair(t)
		far.Close()
		r := &recordReader{socket: asSocket(t, near)}
		r.to = copy(r.buf[:], data)
		var out []byte
		end := 0 // where the record that out is in ends
		for {
			r.arrivedOnly = eager
			p := make([]byte, 1+int(size))
			n, err := r.Read(p)
			if n > 0 && len(out) == end {
				require.GreaterOrEqual(t, len(data)-end, tlsHeaderBytes)
				end += tlsHeaderBytes + int(data[end+3])<<8 + int(data[end+4])
			}
			out = append(out, p[:n]...)
			require.LessOrEqual(t, len(out), end)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				require.True(t, eager)
				eager = false
				continue
			}
			if err != nil {
				break
			}
			require.Positive(t, n)
		}
		require.True(t, bytes.HasPrefix(data, out))
		require.Less(t, len(data)-len(out), tlsHeaderBytes, "only a broken header stays behind")
	})
}
