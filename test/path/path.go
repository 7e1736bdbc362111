// Package path makes the path to a server as slow as to a distant one, for tests.
package path

import (
	"net"
	"time"
)

// Path is the path to a server; the zero value is none. The time to connect is added to a
// connection's first bytes, because the kernel accepts connections by itself.
type Path struct {
	RoundTrip time.Duration
	LostSYN   bool // each connection's first packet is lost, and sent again after a second
	LossEvery int  // one of so many parcels of bytes is lost, and sent again; 0 is none
}

// To opens a path to an address at 127.0.0.1 until the listener is closed.
func (p Path) To(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(near, address)
		}
	}()
	return l, nil
}

func (p Path) carry(near net.Conn, address string) {
	far, err := net.Dial("tcp", address)
	if err != nil {
		near.Close() // refused
		return
	}
	wait := p.RoundTrip
	if p.LostSYN {
		wait += time.Second
	}
	go p.pump(near, far, 0)
	p.pump(far, near, wait)
}

// parcel is bytes on their way, and when they are due. An empty one is the end.
type parcel struct {
	data []byte
	due  time.Time
}

// pump carries one direction, including its end.
func (p Path) pump(to, from net.Conn, first time.Duration) {
	way := make(chan parcel, 1024)
	gone := make(chan struct{})
	go func() {
		defer close(way)
		for n := 1; ; n++ {
			buf := make([]byte, 32<<10)
			k, err := from.Read(buf)
			due := time.Now().Add(first + p.RoundTrip/2)
			if p.LossEvery > 0 && n%p.LossEvery == 0 {
				// TCP's shortest wait, plus the measured round trip
				due = due.Add(200*time.Millisecond + p.RoundTrip)
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
