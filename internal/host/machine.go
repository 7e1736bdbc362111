package host

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// listenVar carries the proxy's addresses into its process, so that what listens can be read from what runs.
const listenVar = "CHARM_LISTEN"

// lookMachine says what this machine lets our service have. What cannot be read is no obstacle: the service finds out.
func (h *Host) lookMachine(c operator.Config) operator.Machine {
	var m operator.Machine
	// Our units bind as a user without capabilities; a process of root's under our own supervisor keeps them.
	if h.serviceUser() != "" || os.Geteuid() != 0 {
		text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start") // of IPv6 too
		if err == nil {
			m.LowestPort, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for _, at := range listeners(f) {
			if slices.Contains([]int{c.Port, c.ManagementPort, c.MetricsPort, c.HTTPPort}, int(at.Port())) {
				m.Listening = append(m.Listening, at)
			}
		}
		ignoreClose(f)
	}
	slices.SortFunc(m.Listening, netip.AddrPort.Compare)
	return m
}

// listeners reads where sockets listen from a table such as /proc/net/tcp. The kernel lists those first, and only then the
// connections (Documentation/networking/proc_net_tcp.rst), of which there may be thousands: they are not read.
func listeners(table io.Reader) []netip.AddrPort {
	const listening = "0A"
	var out []netip.AddrPort
	lines := bufio.NewScanner(table)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != listening {
			break
		}
		if at, ok := kernelAddress(fields[1]); ok {
			out = append(out, at)
		}
	}
	return out
}

// kernelAddress reads "0100007F:094B": the address in words of the machine's byte order, then the port.
func kernelAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, notHex := hex.DecodeString(host)
	number, notPort := strconv.ParseUint(port, 16, 16)
	if notHex != nil || notPort != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}

// listens are the URLs that a process was told to listen on, in its environment.
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
