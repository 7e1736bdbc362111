package host

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func TestListeners(t *testing.T) {
	t.Parallel()
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 32497 2
   1: 0B00007F:094C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 32502 2
   2: 0B00007F:094C 0100007F:D432 01 00000000:00000000 00:00000000 00000000     0        0 32503 2
   3: 0B00007F:094D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 32504 2
`
	assert.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:2379"), netip.MustParseAddrPort("127.0.0.11:2380")},
		listeners(strings.NewReader(table)), "connections, and what follows them, are not read")
	assert.Empty(t, listeners(strings.NewReader("")))
	assert.Empty(t, listeners(strings.NewReader("heading\n0: zz:094B 0:0 0A\n1: 0B0000:094B 0:0 0A\n2: short\n")))
}

// TestLookMachine: what listens on a port of the options is seen, of IPv4 and IPv6, and what does not is not.
func TestLookMachine(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	listen := func(address string) netip.AddrPort {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { ignoreClose(l) })
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
	own, other := listen(freshAddress()+":0"), listen(freshAddress()+":0")
	unnamed := listen(freshAddress() + ":0")
	assert.NotContains(t, h.lookMachine(operator.Config{Port: int(own.Port())}).Listening, other)
	seen := h.lookMachine(operator.Config{Port: int(own.Port()), HTTPPort: int(other.Port())}).Listening
	assert.Contains(t, seen, own)
	assert.Contains(t, seen, other)
	assert.NotContains(t, seen, unnamed)
	if _, err := net.InterfaceByName("lo"); err == nil {
		if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "[::1]:0"); err == nil {
			defer ignoreClose(l)
			at := l.Addr().(*net.TCPAddr).AddrPort()
			assert.Contains(t, h.lookMachine(operator.Config{MetricsPort: int(at.Port())}).Listening, at)
		} else {
			t.Logf("no IPv6 here, so its table is not tried: %v", err)
		}
	}
}

// TestOwnListeners: where our own process listens can be told from where others do, of a member and of a proxy.
func TestOwnListeners(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	w := u.found()
	assert.ElementsMatch(t, []string{u.url(2379), u.url(2380), "http://" + u.ip + ":2381"}, w.Service.Listens)
	for _, port := range []string{"2379", "2380", "2381"} {
		assert.Contains(t, w.Machine.Listening, netip.MustParseAddrPort(u.ip+":"+port))
	}

	p := newFleet(t).add(t)
	p.do(operator.Install{Release: p.look().Carried})
	p.do(operator.WriteProxy{Upstream: operator.Upstream{Release: p.look().Carried, Listen: []string{p.ip + ":2379"}}}, operator.Start{})
	w = p.eventually("a proxy that runs", func(w operator.World) bool { return w.Service.Config != "" })
	assert.Equal(t, []string{"http://" + p.ip + ":2379"}, w.Service.Listens)
}
