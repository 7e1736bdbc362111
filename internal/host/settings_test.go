package host

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestEachLineCounts: every line that is lost from, changed in or added to a member's written
// settings is seen. The charm mends it from the running server's settings, without a restart.
func TestEachLineCounts(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	u.do(operator.SpendInitial{})
	sum := u.server(operator.Initial{}).Digest()
	w := u.look()
	require.Equal(t, sum, w.WrittenConfig)
	require.Equal(t, sum, w.Service.Config)

	state, err := u.supervisor.state(t.Context())
	require.NoError(t, err)
	intact := func() bool { // looks as Observe does, but does not ask etcd a hundred times
		state.service, state.intact = u.supervisor.written()
		env, err := envLines(u.memberEnv())
		require.NoError(t, err)
		return u.lookSettings(env, state) == sum && operator.InitialOf(env) == operator.Initial{}
	}
	require.True(t, intact())
	damaged := func(path string, text []byte) {
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		assert.False(t, intact(), "%s:\n%s", path, text)
		require.NoError(t, os.WriteFile(path, before, 0o600))
	}
	for _, path := range []string{u.memberEnv(), u.etcdctlEnv()} {
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		lines := slices.Collect(strings.Lines(string(before)))
		for i, line := range lines {
			with := func(put ...string) []byte {
				return []byte(strings.Join(slices.Replace(slices.Clone(lines), i, i+1, put...), ""))
			}
			damaged(path, with())
			damaged(path, with(strings.TrimSuffix(line, "\n")+"x\n"))
			damaged(path, with(line, line))
		}
		damaged(path, append(before, "ETCD_SOMEBODY=else\n"...))
		damaged(path, append(before, "HTTPS_PROXY=http://proxy\n"...))
	}
	text, err := os.ReadFile(u.unitFile())
	require.NoError(t, err)
	damaged(u.unitFile(), bytes.ReplaceAll(text, []byte("etcd.env"), []byte("other.env")))
	damaged(u.unitFile(), append(text, '\n'))

	for _, path := range []string{u.memberEnv(), u.etcdctlEnv(), u.unitFile()} {
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(before, []byte("etc/"), []byte("etx/")), 0o600))
		assert.Equal(t, operator.Altered, u.look().WrittenConfig)
		u.do(operator.RevertMember{})
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(before), string(after), path)
		assert.Equal(t, sum, u.look().WrittenConfig, path)
	}
}

// TestStartedWithoutALine: etcd without its trusted CA refuses every client, and without its
// revocation list refuses none; it reports neither.
func TestStartedWithoutALine(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"ETCD_TRUSTED_CA_FILE", "ETCD_CLIENT_CRL_FILE", "ETCD_INITIAL_CLUSTER_STATE", operator.ConfigVar} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			u := newFleet(t).add(t)
			u.found()
			s := u.server(operator.Initial{})
			u.do(operator.WriteMember{Server: s})
			text, err := os.ReadFile(u.memberEnv())
			require.NoError(t, err)
			lines := slices.DeleteFunc(slices.Collect(strings.Lines(string(text))),
				func(line string) bool { return strings.HasPrefix(line, key+"=") })
			require.NoError(t, os.WriteFile(u.memberEnv(), []byte(strings.Join(lines, "")), 0o600))
			u.do(operator.Restart{})
			require.NoError(t, os.WriteFile(u.memberEnv(), text, 0o600)) // as if nothing had happened
			w := u.look()
			assert.Equal(t, s.Digest(), w.WrittenConfig)
			assert.True(t, w.Service.Running)
			assert.Equal(t, operator.Altered, w.Service.Config)
			require.ErrorContains(t, u.Do(t.Context(), operator.RevertMember{}), "cannot be read")

			u.do(operator.Restart{}, operator.AwaitReady{})
			w = u.look()
			assert.Equal(t, s.Digest(), w.Service.Config)
			assert.Equal(t, operator.Healthy, w.Reach)
		})
	}
}

// TestPortsReadTheirOwnFiles: each port has its own certificate, trusted CA and revocation list.
// etcd also starts without either of the lists, and then refuses no client.
func TestPortsReadTheirOwnFiles(t *testing.T) {
	t.Parallel()
	const tls = "/etc/etcd-charm/etcd-0/tls/"
	assert.Equal(t, []string{
		"ETCD_DATA_DIR=/var/lib/etcd-charm/etcd-0/data",
		"ETCD_CERT_FILE=" + tls + "server.crt",
		"ETCD_KEY_FILE=" + tls + "server.key",
		"ETCD_TRUSTED_CA_FILE=" + tls + "client-ca.crt",
		"ETCD_CLIENT_CRL_FILE=" + tls + "client.crl",
		"ETCD_PEER_CERT_FILE=" + tls + "peer.crt",
		"ETCD_PEER_KEY_FILE=" + tls + "peer.key",
		"ETCD_PEER_TRUSTED_CA_FILE=" + tls + "peer-ca.crt",
		"ETCD_PEER_CRL_FILE=" + tls + "peer.crl",
	}, newPaths("", "etcd/0").memberPaths())
}
