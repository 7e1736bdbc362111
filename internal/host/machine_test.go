package host

import (
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func TestDiagAddress(t *testing.T) {
	t.Parallel()
	four := append([]byte{2, 10, 0, 0, 0x09, 0x4b, 0, 0, 127, 0, 0, 11}, make([]byte, 60)...)
	at, ok := diagAddress(four)
	assert.True(t, ok)
	assert.Equal(t, netip.MustParseAddrPort("127.0.0.11:2379"), at)
	six := append([]byte{10, 10, 0, 0, 0x09, 0x4b, 0, 0}, make([]byte, 64)...)
	six[23] = 1
	at, ok = diagAddress(six)
	assert.True(t, ok)
	assert.Equal(t, netip.MustParseAddrPort("[::1]:2379"), at)
	for n := range 24 {
		_, ok = diagAddress(six[:n])
		assert.False(t, ok)
	}
}

// TestLookMachine: sockets that listen on a port of the options are seen, on IPv4 and IPv6, and no
// others.
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
	assert.NotContains(t, h.lookMachine(t.Context(), operator.Config{Port: int(own.Port())}).Listening, other)
	seen := h.lookMachine(t.Context(), operator.Config{Port: int(own.Port()), HTTPPort: int(other.Port())}).Listening
	assert.Contains(t, seen, own)
	assert.Contains(t, seen, other)
	assert.NotContains(t, seen, unnamed)
	if _, err := net.InterfaceByName("lo"); err == nil {
		if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "[::1]:0"); err == nil {
			defer ignoreClose(l)
			at := l.Addr().(*net.TCPAddr).AddrPort()
			assert.Contains(t, h.lookMachine(t.Context(), operator.Config{MetricsPort: int(at.Port())}).Listening, at)
		} else {
			t.Logf("no IPv6 here, so its table is not tried: %v", err)
		}
	}
}

// TestWildcardListener: when Go is told 0.0.0.0 it listens on [::] or 0.0.0.0; the kernel decides
// which.
func TestWildcardListener(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	m := newFleet(t).add(t).lookMachine(t.Context(), operator.Config{Port: port})
	require.Len(t, m.Listening, 1)
	assert.True(t, m.Listening[0].Addr().IsUnspecified())
}

// TestOwnListeners: the sockets of our own process can be told from those of others, for a member
// and for a proxy.
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

// TestGroupOfTheSocket: a missing group is reported before anything is started for it.
func TestGroupOfTheSocket(t *testing.T) {
	t.Parallel()
	h := newFleet(t).add(t)
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	require.NoError(t, err)
	for name, want := range map[string]bool{"": false, group.Name: false, "no-such-group": true} {
		assert.Equal(t, want, h.lookMachine(t.Context(), operator.Config{SocketGroup: name}).NoGroup, name)
	}
}
