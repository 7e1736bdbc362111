package pki_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestAuthorityOfSchema1(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/authority.schema1.yaml")
	require.NoError(t, err)
	content := map[string]string{}
	require.NoError(t, yaml.Unmarshal(text, &content))
	a, err := pki.DecodeAuthority(content)
	require.NoError(t, err)
	assert.Equal(t, "bbdb2e9332c3", a.Fingerprint(), "members compare it")
	assert.Equal(t, "9665e267bf98da12a08188af335ec6db", a.Trust(), "it stands in the environment of every server")
	assert.Equal(t, a.Trust(), pki.TrustDigest(a.TrustPeer, a.TrustClient))
	assert.Empty(t, pki.TrustDigest(nil, a.TrustClient))
	assert.Empty(t, pki.TrustDigest(a.TrustPeer, nil))
	assert.Equal(t, content, a.Encode(), "what is read is written alike")
}
