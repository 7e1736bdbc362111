package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// links are the wires between machines. Each machine has a listener at a floating address, where
// others reach it, and behind it the address where the machine itself listens. What comes in is
// carried byte by byte, unless a rule says otherwise. The caller is found by the process at the
// other end, because on loopback all callers have one address.
type links struct {
	port string
	// the address of the machine whose process has a socket; "" is none
	owner func(socket string) string

	mu      sync.Mutex
	rules   map[string]rule // by wire
	changed chan struct{}   // closed when the rules change
	open    map[string]net.Listener
	conns   map[net.Conn]bool
	closed  bool
	failure error
	cuts    int // how often something waited at a wire that was cut
}

// rule is what happens to the bytes on a wire; the zero value is nothing.
type rule struct {
	cut   bool
	delay time.Duration
}

func newLinks(port string, owner func(socket string) string) *links {
	return &links{
		port: port, owner: owner, rules: map[string]rule{}, changed: make(chan struct{}),
		open: map[string]net.Listener{}, conns: map[net.Conn]bool{},
	}
}

// floating is where others reach the machine that has a loopback address.
func floating(address string) (string, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is4() || !ip.IsLoopback() || ip.As4()[1] >= 100 {
		return "", fmt.Errorf("cannot float %q: not a loopback address with room above it", address)
	}
	b := ip.As4()
	b[1] += 100
	return netip.AddrFrom4(b).String(), nil
}

// reach returns the floating address of a machine, and listens there from then on.
func (l *links) reach(address string) string {
	out, err := floating(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[address] != nil || l.closed {
		return out
	}
	var ln net.Listener
	if err == nil {
		ln, err = net.Listen("tcp", net.JoinHostPort(out, l.port))
	}
	if err != nil {
		l.failure = err
		return address
	}
	l.open[address] = ln
	go l.accept(ln, address)
	return out
}

// wire names what lies between two machines, in either direction.
func wire(a, b string) string { return min(a, b) + " " + max(a, b) }

// set puts a rule on the wires between one machine and others.
func (l *links) set(r rule, one string, others ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range others {
		l.rules[wire(one, other)] = r
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// look returns the rule of a wire, and a channel that is closed when it may have changed.
func (l *links) look(wire string) (rule, <-chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rules[wire], l.changed, l.closed
}

// pass waits until the wire is whole, and reports whether to go on.
func (l *links) pass(wire string) bool {
	for first := true; ; first = false {
		r, changed, closed := l.look(wire)
		if closed || !r.cut {
			return !closed
		}
		if first {
			l.mu.Lock()
			l.cuts++
			l.mu.Unlock()
		}
		<-changed
	}
}

func (l *links) accept(ln net.Listener, address string) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go l.carry(conn, address)
	}
}

// carry connects a caller with the machine behind the floating address. If nothing listens there,
// the caller is refused.
func (l *links) carry(conn net.Conn, address string) {
	if !l.hold(conn) {
		return
	}
	wire := wire(address, l.owner(otherEnd(conn)))
	if !l.pass(wire) {
		l.drop(conn)
		return
	}
	behind, err := net.DialTimeout("tcp", net.JoinHostPort(address, l.port), 5*time.Second)
	if err != nil || !l.hold(behind) {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		l.drop(conn)
		return
	}
	go l.pump(wire, behind, conn)
	l.pump(wire, conn, behind)
}

func (l *links) hold(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *links) drop(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// parcel is bytes on their way, and when they are due. An empty one is the end.
type parcel struct {
	data []byte
	due  time.Time
}

// pump carries one direction. The end of a connection is treated like bytes: it does not pass a
// wire that is cut, and is delayed on a slow one.
func (l *links) pump(wire string, to, from net.Conn) {
	way := make(chan parcel, 64)
	gone := make(chan struct{})
	go func() {
		defer close(way)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			r, _, _ := l.look(wire)
			select {
			case way <- parcel{buf[:n], time.Now().Add(r.delay)}:
			case <-gone:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range way {
		<-time.After(time.Until(p.due))
		if !l.pass(wire) {
			break
		}
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	close(gone)
	l.drop(to)
	l.drop(from)
}

// Close ends all connections, and returns an error if an address could not be listened on.
func (l *links) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.failure
	}
	l.closed = true
	close(l.changed)
	l.changed = make(chan struct{})
	for _, ln := range l.open {
		ln.Close()
	}
	for conn := range l.conns {
		conn.Close()
	}
	return l.failure
}

// otherEnd names the socket at the other end of a connection on this machine, as /proc/PID/fd does;
// "" if it is gone.
func otherEnd(conn net.Conn) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	local, remote := kernelForm(conn.RemoteAddr()), kernelForm(conn.LocalAddr())
	for line := range strings.SplitSeq(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) > 9 && f[1] == local && f[2] == remote {
			return "socket:[" + f[9] + "]"
		}
	}
	return ""
}

// kernelForm is an address in the form of /proc/net/tcp: the IP address as the machine's own
// number, and the port.
func kernelForm(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return ""
	}
	var ip [4]byte
	binary.NativeEndian.PutUint32(ip[:], binary.BigEndian.Uint32(tcp.IP.To4()))
	return fmt.Sprintf("%s:%04X", strings.ToUpper(hex.EncodeToString(ip[:])), tcp.Port)
}

// has reports whether a process has a file open.
func has(pid, file string) bool {
	fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == file {
			return true
		}
	}
	return false
}
