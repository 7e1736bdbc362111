package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// listenVar passes the proxy's addresses to its process, so that they can be read back from the
// process that runs.
const listenVar = "CHARM_LISTEN"

// lookMachine returns what limits our service on this machine. What cannot be read counts as no
// limit: the service finds out.
func (h *Host) lookMachine(ctx context.Context, c operator.Config) operator.Machine {
	var m operator.Machine
	// Our units bind as a user without capabilities. Only in a simulation that root runs does the
	// process keep root's.
	if h.rooted() || os.Geteuid() != 0 {
		text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start") // holds for IPv6 too
		if err == nil {
			m.LowestPort, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
		}
	}
	for _, family := range []uint8{syscall.AF_INET, syscall.AF_INET6} {
		all, err := listeners(family)
		if err != nil {
			h.logger.DebugContext(ctx, "cannot list listening sockets", "error", err)
		}
		for _, at := range all {
			if slices.Contains([]int{c.Port, c.ManagementPort, c.MetricsPort, c.HTTPPort}, int(at.Port())) {
				m.Listening = append(m.Listening, at)
			}
		}
	}
	slices.SortFunc(m.Listening, netip.AddrPort.Compare)
	if c.SocketGroup != "" {
		var unknown user.UnknownGroupError
		_, err := user.LookupGroup(c.SocketGroup)
		m.NoGroup = errors.As(err, &unknown)
	}
	return m
}

// listens returns the URLs on which a process was told, by its environment, to listen.
func listens(env []string) []string {
	var out []string
	for _, line := range env {
		key, urls, _ := strings.Cut(line, "=")
		if (strings.HasPrefix(key, "ETCD_LISTEN_") || key == listenVar) && urls != "" {
			out = append(out, strings.Split(urls, ",")...)
		}
	}
	return out
}

// listeners asks the kernel for the listening TCP sockets of one family (sock_diag(7)).
// /proc/net/tcp has the same, but reading its first page walks the table of all connections, which
// would take 15 ms in every look.
func listeners(family uint8) (out []netip.AddrPort, err error) {
	const (
		inetDiag    = 4  // NETLINK_SOCK_DIAG
		byFamily    = 20 // SOCK_DIAG_BY_FAMILY
		stateListen = 10 // TCP_LISTEN
		requestSize = syscall.NLMSG_HDRLEN + 56
	)
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, inetDiag)
	if err != nil {
		return nil, fmt.Errorf("cannot open socket: %w", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	// A struct nlmsghdr, then a struct inet_diag_req_v2 that filters by nothing but the states.
	req := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(req[0:], requestSize)
	binary.NativeEndian.PutUint16(req[4:], byFamily)
	binary.NativeEndian.PutUint16(req[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
	req[syscall.NLMSG_HDRLEN], req[syscall.NLMSG_HDRLEN+1] = family, syscall.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[syscall.NLMSG_HDRLEN+4:], 1<<stateListen)
	if err := syscall.SetsockoptTimeval(
		fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 1},
	); err != nil {
		return nil, fmt.Errorf("cannot set time-out: %w", err)
	}
	if err := syscall.Sendto(fd, req, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("cannot ask: %w", err)
	}
	for buf := make([]byte, 64<<10); ; {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil, fmt.Errorf("cannot read answer: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, fmt.Errorf("cannot read answer: %w", err)
		}
		for _, message := range messages {
			switch message.Header.Type {
			case syscall.NLMSG_DONE:
				return out, nil
			case syscall.NLMSG_ERROR:
				return nil, errors.New("the kernel does not say")
			}
			if at, ok := diagAddress(message.Data); ok {
				out = append(out, at)
			}
		}
	}
}

// diagAddress reads the local address from a struct inet_diag_msg: family, three bytes, then the
// ports and addresses in network order.
func diagAddress(msg []byte) (netip.AddrPort, bool) {
	if len(msg) < 24 {
		return netip.AddrPort{}, false
	}
	size := 4
	if msg[0] == syscall.AF_INET6 {
		size = 16
	}
	ip, ok := netip.AddrFromSlice(msg[8 : 8+size])
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(msg[4:])), ok
}
