package host_test

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/proxy"
)

// TestWriteProxy compares what host writes with what the proxy reads, and runs a service of that
// kind.
func TestWriteProxy(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := host.New(host.Options{Root: root, Unit: "proxy/3"})
	host.Supervised(t, h)
	m := operator.Model{Unit: "proxy/3", Cluster: operator.Know(operator.Cluster{})}
	look := func() operator.World {
		w, err := h.Observe(t.Context(), m)
		require.NoError(t, err)
		return w
	}
	do := func(steps ...operator.Step) {
		for _, s := range steps {
			require.NoError(t, h.Do(t.Context(), s), s)
		}
	}
	t.Cleanup(func() { assert.NoError(t, h.Do(context.WithoutCancel(t.Context()), operator.Stop{})) })
	assert.Equal(t, operator.ProxyFiles{}, look().Proxy)

	authority, err := h.NewAuthority("etcd")
	require.NoError(t, err)
	given, err := authority.Credentials("uuid", "proxy:1", 1, look().Period)
	require.NoError(t, err)
	u := operator.Upstream{
		Release: look().Carried, Listen: []string{"127.0.0.1:2379", "[::1]:2379"},
		Members: []operator.UpstreamMember{
			{Name: "etcd0", PeerURL: "https://10.0.0.1:2380", ClientURL: "https://10.0.0.1:2379"},
			{Name: "yes", PeerURL: "https://10.0.0.2:2380"},
		},
		Cert: given.Cert, Key: given.Key, CA: given.CA,
	}
	do(operator.Install{Release: u.Release}, operator.WriteProxy{Upstream: u})
	assert.Equal(t, u.Digest(), look().Proxy.Written)
	assert.Greater(t, look().Proxy.CertRemaining, 200*24*time.Hour)
	assert.Less(t, look().Proxy.CertRemaining, 366*24*time.Hour)
	assert.Equal(t, 455*24*time.Hour, look().Proxy.CertLife)

	path := filepath.Join(root, "etc/etcd-charm/proxy-3/proxy.yaml")
	config, err := proxy.ReadConfig(path)
	require.NoError(t, err)
	assert.Equal(t, u.Listen, config.Listen)
	assert.Equal(t, []proxy.Member{
		{Name: "etcd0", PeerURL: "https://10.0.0.1:2380", ClientURL: "https://10.0.0.1:2379"},
		{Name: "yes", PeerURL: "https://10.0.0.2:2380"},
	}, config.Members)
	assert.Equal(t, filepath.Join(root, "var/lib/etcd-charm/proxy-3/proxy/members.json"), config.Learned)
	kept, err := os.Stat(filepath.Dir(config.Learned))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), kept.Mode().Perm())
	for name, want := range map[string]string{config.Credentials.CA: given.CA, config.Credentials.Cert: given.Cert, config.Credentials.Key: given.Key} {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}

	do(operator.Start{})
	w := look()
	assert.Equal(t, operator.ProxyService, w.Service.Kind)
	assert.True(t, w.Service.Running)
	assert.Equal(t, u.ProcessDigest(), w.Service.Config)
	assert.Equal(t, u.Release, w.Service.Release)
	assert.Empty(t, w.WrittenConfig)
	assert.Equal(t, operator.Absent, w.Reach)

	// A former charm's file, which kept no members, is written again.
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	former, _, _ := strings.Cut(string(written), "learned: ")
	require.NoError(t, os.WriteFile(path, []byte(former), 0o600))
	assert.NotEqual(t, u.Digest(), look().Proxy.Written)
	do(operator.WriteProxy{Upstream: u})

	// A changed file on disk is seen; so is a process that listens elsewhere.
	require.NoError(t, os.WriteFile(config.Credentials.Cert, []byte(given.CA), 0o600))
	assert.NotEqual(t, u.Digest(), look().Proxy.Written)
	u.Listen = u.Listen[:1]
	do(operator.WriteProxy{Upstream: u})
	w = look()
	assert.Equal(t, u.Digest(), w.Proxy.Written)
	assert.NotEqual(t, u.ProcessDigest(), w.Service.Config)
	do(operator.Restart{})
	assert.Equal(t, u.ProcessDigest(), look().Service.Config)

	// A socket beside the port, and then a socket alone: its path, its group, and etcdctl's
	// endpoint.
	endpoints := func() string {
		text, err := os.ReadFile(filepath.Join(root, "etc/etcd-charm/proxy-3/etcdctl.env"))
		require.NoError(t, err)
		return string(text)
	}
	assert.Equal(t, "ETCDCTL_ENDPOINTS=http://127.0.0.1:2379\n", endpoints())
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	require.NoError(t, err)
	u.Socket = operator.Socket{Path: look().Socket, Group: group.Name}
	assert.Equal(t, filepath.Join(root, "run/etcd-charm/proxy-3/etcd.sock"), u.Socket.Path)
	do(operator.WriteProxy{Upstream: u})
	assert.Equal(t, u.Digest(), look().Proxy.Written)
	config, err = proxy.ReadConfig(path)
	require.NoError(t, err)
	assert.Equal(t, []string{"[::1]:2379"}, config.Also)
	assert.Equal(t, proxy.Socket(u.Socket), config.Socket)
	do(operator.Restart{})
	assert.Equal(t, u.URLs(), look().Service.Listens)
	assert.Equal(t, u.ProcessDigest(), look().Service.Config)
	assert.Equal(t, "ETCDCTL_ENDPOINTS=http://127.0.0.1:2379\n", endpoints())
	alone := u
	alone.Listen = nil
	do(operator.WriteProxy{Upstream: alone})
	assert.Equal(t, alone.Digest(), look().Proxy.Written)
	assert.Equal(t, "ETCDCTL_ENDPOINTS=unix://"+u.Socket.Path+"\n", endpoints())
	unit := filepath.Join(root, "etc/systemd/system/etcd-charm-proxy-3.service")
	text, err := os.ReadFile(unit)
	require.NoError(t, err)
	assert.Contains(t, string(text), "\nSupplementaryGroups="+group.Name+"\n# Kept from one start to the next: a container may have it mounted.\nRuntimeDirectory=etcd-charm/proxy-3\n")
	u.Socket = operator.Socket{}
	do(operator.WriteProxy{Upstream: u}, operator.Restart{})
	text, err = os.ReadFile(unit)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "RuntimeDirectory")
	nowhere := operator.Upstream{Release: u.Release}
	require.Error(t, h.Do(t.Context(), operator.WriteProxy{Upstream: nowhere}))

	// A provider without TLS: the keys are removed.
	plain := u
	plain.Cert, plain.Key, plain.CA = "", "", ""
	do(operator.WriteProxy{Upstream: plain}, operator.WriteProxy{Upstream: plain})
	assert.Equal(t, plain.Digest(), look().Proxy.Written)
	_, err = os.Stat(config.Credentials.Key)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = proxy.ReadConfig(path)
	require.NoError(t, err)
	plain.Cert = given.Cert
	require.Error(t, h.Do(t.Context(), operator.WriteProxy{Upstream: plain}))

	do(operator.Stop{}, operator.Stop{})
	assert.False(t, look().Service.Running)
}
