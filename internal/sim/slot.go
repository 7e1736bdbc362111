package sim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// slot is a block of loopback addresses that no other simulation on this host
// uses. The claim is an abstract unix socket: it belongs to the same network
// namespace as the addresses, and the kernel frees it however the process ends.
type slot struct {
	n    int
	lock net.Listener
}

const slots = 250

func takeSlot() (*slot, error) {
	for i := range slots {
		n := 1 + (os.Getpid()+i)%slots
		l, err := net.Listen("unix", fmt.Sprintf("@juju-sim-slot-%d", n))
		if err == nil {
			return &slot{n, l}, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("cannot claim addresses: %w", err)
		}
	}
	return nil, errors.New("cannot claim addresses: too many simulations run on this host")
}

// address returns the loopback address of a machine: 127.0.<slot>.<machine+1>,
// counting the second byte up after 250 machines.
func (s *slot) address(machine int) string {
	return fmt.Sprintf("127.%d.%d.%d", machine/250, s.n, machine%250+1)
}

// Close frees the addresses.
func (s *slot) Close() error { return s.lock.Close() }

// allowed reports whether the other end of a unix socket is this user or root: an
// abstract socket has no file mode to keep others out.
func allowed(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return false
	}
	return cred.Uid == 0 || int(cred.Uid) == os.Getuid()
}
