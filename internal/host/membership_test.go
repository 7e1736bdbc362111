package host

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestUnreachableFromWithin: a member behind an address that only others reach is still promoted and waited for.
func TestUnreachableFromWithin(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.add(t)
	a.prepare()
	s := a.server(operator.Initial{New: true, Token: a.ip, Cluster: "etcd0=" + a.url(2380)})
	s.ClientURL = "https://192.0.2.1:2379" // TEST-NET-1, RFC 5737
	a.do(operator.WriteMember{Server: s}, operator.Start{}, operator.AwaitReady{}, operator.AwaitPeer{})
	w := a.eventually("health", func(w operator.World) bool { return w.Reach == operator.Healthy })
	require.True(t, w.Members[0].Ready)
}
