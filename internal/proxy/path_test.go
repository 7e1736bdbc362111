package proxy

import (
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// path is the way to a member as it is from far away; the zero value is none. What it takes to
// connect is added to a connection's first bytes: the kernel takes connections by itself.
type path struct {
	roundTrip time.Duration
	lostSYN   bool // each connection's first packet is lost, and sent again after a second
	lossEvery int  // of so many parcels of bytes one is lost, and sent again; 0 is none
}

// to opens the path to a member, as long as the test lasts, and returns the member at its near end.
func (p path) to(tb testing.TB, m Member) Member {
	tb.Helper()
	u, err := url.Parse(m.ClientURL)
	require.NoError(tb, err)
	l, err := net.Listen("tcp", "127.0.0.1:0") // members' certificates are good for it
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(near, u.Host)
		}
	}()
	return Member{Name: m.Name, ClientURL: strings.Replace(m.ClientURL, u.Host, l.Addr().String(), 1)}
}

func (p path) carry(near net.Conn, address string) {
	far, err := net.Dial("tcp", address)
	if err != nil {
		near.Close() // refused
		return
	}
	wait := p.roundTrip
	if p.lostSYN {
		wait += time.Second
	}
	go p.pump(near, far, 0)
	p.pump(far, near, wait)
}

// parcel is bytes on their way, and when they are due; none are the end.
type parcel struct {
	data []byte
	due  time.Time
}

// pump carries one direction, its end like all else.
func (p path) pump(to, from net.Conn, first time.Duration) {
	way := make(chan parcel, 1024)
	gone := make(chan struct{})
	go func() {
		defer close(way)
		for n := 1; ; n++ {
			buf := make([]byte, 32<<10)
			k, err := from.Read(buf)
			due := time.Now().Add(first + p.roundTrip/2)
			if p.lossEvery > 0 && n%p.lossEvery == 0 {
				due = due.Add(200*time.Millisecond + p.roundTrip) // TCP's least wait, and what it measured
			}
			first = 0
			select {
			case way <- parcel{buf[:k], due}:
			case <-gone:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for b := range way {
		<-time.After(time.Until(b.due))
		if _, err := to.Write(b.data); err != nil {
			break
		}
	}
	close(gone)
	to.Close()
	from.Close()
}

// over is the configuration of a proxy that is so far from its members.
func (p path) over(tb testing.TB, c *cluster) Config {
	tb.Helper()
	cfg := c.config()
	for i, m := range cfg.Members {
		cfg.Members[i] = p.to(tb, m)
	}
	return cfg
}
