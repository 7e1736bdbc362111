package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/host"
)

func TestMinter(t *testing.T) {
	t.Parallel()
	m := newMinter(unitMachine{host.New(host.Options{Unit: "etcd/0", Root: t.TempDir()})}, "etcd/0")
	a, err := m.New()
	require.NoError(t, err)
	again, err := m.Describe(a.Content)
	require.NoError(t, err)
	assert.Equal(t, a.Fingerprint, again.Fingerprint)
	assert.Equal(t, a.Trust, again.Trust)
	given, err := m.Client(a, "uuid", "proxy:1", 228)
	require.NoError(t, err)
	assert.Contains(t, given.Key, "PRIVATE KEY")
	for _, public := range []string{given.Cert, given.CA} {
		assert.Contains(t, public, "BEGIN CERTIFICATE")
		assert.NotContains(t, public, "PRIVATE KEY")
	}
	assert.NotEqual(t, given.Cert, given.CA)
	_, err = m.Describe(map[string]string{"peer-ca-key": "x"})
	require.Error(t, err)
	for key := range a.Content {
		assert.Regexp(t, `^([a-z](?:-?[a-z0-9]){2,})$`, key, "Juju takes no other key in a secret")
	}
}
