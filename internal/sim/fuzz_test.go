package sim

import (
	"net"
	"net/rpc"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/hooktool"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/internal/sim/pid1"
)

// FuzzToolServer: whatever one hook sends to the server of the tools, the other hooks are still
// served.
func FuzzToolServer(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0xfc, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	m, err := model.New(model.Options{})
	require.NoError(f, err)
	off := pid1.New(f.TempDir())
	off.Halt()
	server, err := serveTools(&Jujuc{m: m, calls: &transcript{}, systemd: func(int) *pid1.Manager { return off }})
	require.NoError(f, err)
	f.Cleanup(func() { _ = server.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("unix", server.address)
		require.NoError(t, err)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Write(data)
		_ = conn.Close()

		client, err := rpc.Dial("unix", server.address)
		require.NoError(t, err)
		defer client.Close()
		var reply hooktool.Reply
		require.ErrorContains(t, client.Call(hooktool.Method, hooktool.Request{ContextId: "x"}, &reply), "unknown context")
	})
}
