//go:build e2e

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSocket: the proxy's socket is for one group of the machine, and exists from each boot on.
func TestSocket(t *testing.T) {
	const (
		socket = "/run/etcd-charm/local-0/etcd.sock"
		ask    = "curl -s --max-time 60 --unix-socket " + socket + " http://localhost/version; echo $?"
		n      = 1 // the proxy's machine
	)
	w := newWorld(t, n+1)
	w.addUnits(t, "etcd", 1)
	_, err := w.Relate("etcd:proxy", "local:upstream")
	require.NoError(t, err)
	w.addUnits(t, "local", 1)
	set := func(options map[string]string) {
		require.NoError(t, w.Configure("local", options, nil, 1))
		w.settle(t)
	}
	message := func() string { return w.message("local/0") }

	set(map[string]string{"socket_group": "etcd-users"})
	assert.Contains(t, message(), "no group etcd-users here; groupadd --system etcd-users")
	w.sh(t, n, "curl -sf --max-time 60 http://127.0.0.1:2379/version")
	w.sh(t, n, "groupadd --system etcd-users && useradd --groups etcd-users alice && useradd bob")
	set(nil)
	w.settled(t, "local")
	assert.Contains(t, message(), "proxy on 127.0.0.1:2379 and a socket, 1/1 members")

	assert.Equal(t, "660 etcd-charm etcd-users", w.sh(t, n, "stat -c '%a %U %G' "+socket))
	assert.Equal(t, "755 etcd-charm", w.sh(t, n, "stat -c '%a %U' $(dirname "+socket+")"))
	assert.Contains(t, w.sh(t, n, "runuser -u alice -- sh -c '"+ask+"'"), "etcdserver")
	assert.Equal(t, "7", w.sh(t, n, "runuser -u bob -- sh -c '"+ask+"'"), "who is not in the group is refused")
	assert.Equal(t, "OK", w.sh(t, n, "etcdctl --endpoints unix://"+socket+" put by socket"))
	if w.sh(t, n, "cat /proc/sys/net/ipv6/conf/lo/disable_ipv6 2>/dev/null || echo 1") == "0" {
		w.sh(t, n, "curl -sf --max-time 60 http://[::1]:2379/version")
	} else {
		t.Log("the machine has no IPv6, so ::1 is not asked")
	}
	w.exposure(t, n, "local/0")

	set(map[string]string{"port": "0"})
	w.settled(t, "local")
	assert.Contains(t, message(), "proxy on a socket, 1/1 members")
	assert.Equal(t, "7", w.sh(t, n, "curl -s --max-time 60 http://127.0.0.1:2379/version; echo $?"))
	assert.Equal(t, "socket", w.sh(t, n, "etcdctl get --print-value-only by"), "root's etcdctl is told where")

	w.sh(t, n, "systemctl restart "+service("local/0"))
	w.eventually(t, n, patience, "runuser -u alice -- curl -sf --unix-socket "+socket+" http://localhost/version")
	w.powerOff(t, n)
	_, err = w.do(t.Context(), "boot", name(n))
	require.NoError(t, err)
	w.eventually(t, n, patience, "runuser -u alice -- curl -sf --unix-socket "+socket+" http://localhost/version")
	assert.Equal(t, "7", w.sh(t, n, "runuser -u bob -- sh -c '"+ask+"'"))
	require.NoError(t, w.Boot(n))
	w.settled(t, "local")

	set(map[string]string{"port": "2379", "socket_group": ""})
	w.settled(t, "local")
	w.sh(t, n, "! test -e "+socket)
	w.sh(t, n, "curl -sf --max-time 60 http://127.0.0.1:2379/version")
}
