package model

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReaddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 2)
	w.settle()
	w.forget()
	before, err := w.Unit("a/1")
	require.NoError(t, err)
	address, err := w.Readdress(before.Machine)
	require.NoError(t, err)
	assert.NotEqual(t, before.Address, address)
	after, err := w.Unit("a/1")
	require.NoError(t, err)
	assert.Equal(t, address, after.Address)
	w.settle()
	assert.Equal(t, []string{"config-changed"}, w.take("a/1"))
	assert.Equal(t, []string{"ring-relation-changed a/1"}, w.take("a/0"))
	bag, err := w.Bag("ring:0", "a/1")
	require.NoError(t, err)
	assert.Equal(t, address, bag["ingress-address"])

	w.deploy("b", 1)
	fresh, err := w.Unit("b/0")
	require.NoError(t, err)
	assert.NotContains(t, []string{before.Address, address}, fresh.Address)
	_, err = w.Readdress(9)
	require.ErrorContains(t, err, "machine 9 not found")
}

func TestAgentsThatAreStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("a", 2)
	w.settle()
	w.forget()
	require.NoError(t, w.StopAgents(0))
	require.NoError(t, w.Configure("a", map[string]string{"count": "7"}, nil, 1))
	w.settle()
	assert.Empty(t, w.take("a/0"))
	leader, err := w.Leader("a")
	require.NoError(t, err)
	assert.Equal(t, "a/1", leader)
	require.NoError(t, w.StartAgents(0))
	w.settle()
	assert.Equal(t, []string{"config-changed"}, w.take("a/0"), "start is for a machine that booted")
	require.ErrorContains(t, w.StartAgents(9), "machine 9 not found")
	require.ErrorContains(t, w.StopAgents(9), "machine 9 not found")
}

func TestReachedAtAFloatingAddress(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, Options{Series: "4.0", Ingress: func(address, binding string) string {
		if binding != "ring" {
			return address
		}
		return strings.Replace(address, "10.", "198.", 1)
	}})
	w.deploy("a", 1)
	w.on["config-changed"] = func(h *hookRun) error {
		assert.Equal(t, "198.0.0.10", h.tool("network-get", "ring", "--ingress-address"))
		assert.Equal(t, "10.0.0.10", h.tool("network-get", "ring", "--bind-address"))
		assert.Equal(t, "10.0.0.10", h.tool("network-get", "out", "--ingress-address"))
		assert.Contains(t, h.tool("network-get", "ring", "--format", "json"), `"ingress-addresses":["198.0.0.10"]`)
		return nil
	}
	w.settle()
	bag, err := w.Bag("ring:0", "a/0")
	require.NoError(t, err)
	assert.Equal(t, "198.0.0.10", bag["ingress-address"])
	address, err := w.Readdress(0)
	require.NoError(t, err)
	bag, err = w.Bag("ring:0", "a/0")
	require.NoError(t, err)
	assert.Equal(t, strings.Replace(address, "10.", "198.", 1), bag["ingress-address"])
	w.on = nil
	w.settle()
}
