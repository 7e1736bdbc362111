package host

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestSettingsOfSchema1: a later charm reads from a running server's settings what it was started
// with, at which URL to ask it, and its release. It then restarts the server in its turn, or not at
// all.
func TestSettingsOfSchema1(t *testing.T) {
	t.Parallel()
	env, err := envLines("testdata/etcd.schema1.env")
	require.NoError(t, err)
	p := process{pid: 1, env: env}
	assert.Equal(t, "2a1734abca56cc0182dd7c538e33e328", p.config(), "settings that are as they were are recognised")
	assert.Equal(t, "3.7.3-fd1a189cd593", p.release())
	assert.Equal(t, "https://127.0.242.1:2379", ownURL(env))
	assert.Equal(t, "http://127.0.242.1:2381", localURL(lookup(env, "ETCD_LISTEN_METRICS_URLS")))
	assert.Zero(t, operator.InitialOf(env), "a first start that is spent stays so")
}
