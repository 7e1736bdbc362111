package load

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"
)

// Bind binds an address of IPv4 and does not listen, like a connection from there. It fails if a
// socket has the address.
func Bind(at netip.AddrPort) (io.Closer, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fd), at.String())
	// With the option on during bind, connections that ended a moment ago do not matter. With it
	// off afterwards, no other socket may have the address (tcp(7), SO_REUSEADDR).
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0),
	)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return socket, nil
}
