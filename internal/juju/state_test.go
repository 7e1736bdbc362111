package juju

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// By these names a unit knows that it was a member, and which consumers it has told of themselves.
func TestStateOfSchema1(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/state.schema1.yaml")
	require.NoError(t, err)
	f := newFake()
	require.NoError(t, yaml.Unmarshal(text, &f.state))
	assert.Equal(t, map[string]string{
		BagKey("cluster:0"): "0123456789abcdef0123456789abcdef",
		BagKey("proxy:9"):   "456789abcdef0123456789abcdef0123",
		BagKey("proxy:12"):  "123456789abcdef0123456789abcdef0",
		BagKey("proxy:13"):  "3456789abcdef0123456789abcdef012",
		BagKey("proxy:140"): "3456789abcdef0123456789abcdef012",
		"ports":             "2379/tcp",
	}, observe(t, f).Published)
}
