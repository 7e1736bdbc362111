package proxy

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClosedClientsAreSpokenOf: for a client that is closed unheard, or turned away, the log has a
// line at its default level, but not one for each try.
func TestClosedClientsAreSpokenOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refuse func(p *proxy, client socket)
		want   string
	}{
		"silent": {
			func(p *proxy, c socket) { p.unheard(c, undecided, os.ErrDeadlineExceeded) },
			"it has said nothing for 5m0s",
		},
		"TLS": {
			func(p *proxy, c socket) { p.unheard(c, alien, errAlien) },
			"is its URL https rather than http?",
		},
		"no member": {
			func(p *proxy, c socket) { p.turnAway(c, errNoMember) },
			"no member of the cluster can be reached",
		},
		"a look whether somebody listens": {
			func(p *proxy, c socket) { p.unheard(c, undecided, errors.New("cannot read: EOF")) }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out logBuffer
			p := &proxy{log: slog.New(slog.NewTextHandler(&out, nil))}
			near, _ := tcpPair(t)
			client := asSocket(t, near)
			for range 100 {
				test.refuse(p, client)
			}
			if test.want == "" {
				assert.Empty(t, out.String())
				return
			}
			assert.Equal(t, 1, strings.Count(out.String(), "\n"))
			assert.Contains(t, out.String(), test.want)
			assert.Contains(t, out.String(), near.RemoteAddr().String())
		})
	}
}

// TestTLSToThePlaintextPort: a client with an https URL is closed at once, and the log says why.
func TestTLSToThePlaintextPort(t *testing.T) {
	t.Parallel()
	r := startProxy(t, Config{})
	raw, err := net.Dial("tcp", r.addr)
	require.NoError(t, err)
	require.NoError(t, raw.SetDeadline(time.Now().Add(time.Minute)))
	require.Error(t, tls.Client(raw, &tls.Config{ServerName: "x"}).Handshake())
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), `level=WARN msg="client closed"`) },
		time.Minute, 10*time.Millisecond)
}

// full is a listener that has no descriptor left for a while.
type full struct {
	net.Listener
	tries int
}

func (f *full) Accept() (net.Conn, error) {
	if f.tries--; f.tries < 0 {
		return nil, net.ErrClosed
	}
	return nil, syscall.EMFILE
}

// TestCrowdIsSaidOnce: while all descriptors are in use, the log does not fill up.
func TestCrowdIsSaidOnce(t *testing.T) {
	t.Parallel()
	var out logBuffer
	p := &proxy{log: slog.New(slog.NewTextHandler(&out, nil))}
	p.accept(t.Context(), &full{tries: 3})
	assert.Equal(t, 1, strings.Count(out.String(), "client cannot be accepted"), out.String())
}
