package proxy

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is the connection to a client or to a member: a streamConn itself, or a rawSocket on one.
type socket interface {
	net.Conn
	CloseWrite() error
}

// streamConn is a TCP connection, or one of a unix socket.
type streamConn interface {
	socket
	syscall.Conn
}

// rawSocket is a connection whose reads and writes are system calls that are not announced to Go's
// scheduler.
//
// Go announces a system call, because it may block. The announcement wakes the runtime's monitor
// thread, which then looks about every 20 µs while the process works (runtime/proc.go:
// entersyscall, sysmon). On a request of a few hundred bytes that costs more than the request.
// MSG_DONTWAIT makes sure that these calls never block. Waiting is the netpoller's, so deadlines
// and Close work as on any net.Conn.
type rawSocket struct {
	streamConn
	raw           syscall.RawConn
	in, out       transfer
	receive, send func(fd uintptr) bool // methods of in and out, bound once
}

func newRawSocket(c streamConn) (*rawSocket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot reach the socket: %w", err)
	}
	s := &rawSocket{streamConn: c, raw: raw}
	s.receive, s.send = s.in.receive, s.out.send
	return s, nil
}

// Read reads what has arrived, and waits if there is nothing.
func (s *rawSocket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.in.run("recv", s.raw.Read, s.receive, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write writes all of p unless there is an error.
func (s *rawSocket) Write(p []byte) (int, error) {
	return s.out.run("send", s.raw.Write, s.send, p)
}

// transfer is a read or a write under way. A socket has at most one of each at a time.
type transfer struct {
	mu    sync.Mutex
	p     []byte // what is left of the caller's bytes
	n     int    // bytes moved so far
	errno syscall.Errno
}

// run moves bytes of p by step. wait calls step again whenever it has returned false and the socket
// has become ready.
func (t *transfer) run(
	name string, wait func(func(uintptr) bool) error, step func(uintptr) bool, p []byte,
) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p, t.n, t.errno = p, 0, 0
	err := wait(step)
	if err == nil && t.errno != 0 {
		err = os.NewSyscallError(name, t.errno)
	}
	t.p = nil
	return t.n, err
}

// receive returns false if nothing has arrived.
func (t *transfer) receive(fd uintptr) bool {
	n, errno := move(unix.SYS_RECVFROM, fd, t.p, unix.MSG_DONTWAIT)
	if errno == unix.EAGAIN {
		return false
	}
	t.n, t.errno = n, errno
	return true
}

// send returns false if there is no room for the rest.
func (t *transfer) send(fd uintptr) bool {
	for len(t.p) > 0 {
		n, errno := move(unix.SYS_SENDTO, fd, t.p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == unix.EAGAIN {
			return false
		}
		if errno != 0 {
			t.errno = errno
			break
		}
		t.p, t.n = t.p[n:], t.n+n
	}
	return true
}

// move is recv(2) or send(2) of p, which is not empty.
func move(trap, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, fd,
			uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
