package operator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// TestEndpointsAreThoseOfTheMetadata: each endpoint of metadata.yaml is a row, and each has a package for its interface.
func TestEndpointsAreThoseOfTheMetadata(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../metadata.yaml")
	require.NoError(t, err)
	type endpoints map[string]struct {
		Interface string `yaml:"interface"`
	}
	var metadata struct{ Peers, Provides, Requires endpoints }
	require.NoError(t, yaml.Unmarshal(text, &metadata))
	rows := map[string]Endpoint{}
	for _, at := range Endpoints() {
		require.NotContains(t, rows, at.Name)
		rows[at.Name] = at
		assert.NotEmpty(t, at.For, at.Name)
		assert.NotEqual(t, at.Encode == nil, at.Handle == nil, "%s either tells or handles", at.Name)
		assert.Equal(t, at.Encode != nil, len(at.Owns) > 0, at.Name)
	}
	for _, of := range []endpoints{metadata.Peers, metadata.Provides, metadata.Requires} {
		for name, endpoint := range of {
			assert.Contains(t, rows, name)
			assert.DirExists(t, filepath.Join("../../interfaces", strings.ReplaceAll(endpoint.Interface, "-", "")))
			delete(rows, name)
		}
	}
	assert.Empty(t, rows, "rows of no endpoint")
	for name := range metadata.Peers {
		assert.Equal(t, PeerEndpoint, name)
	}
}

// TestTellsWhenAllUnitsCan: a unit whose charm does not know an endpoint would leave its bag there
// empty, and consumers read any unit's bag.
func TestTellsWhenAllUnitsCan(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Relations = consuming(m, "proxy:1")
	w := world(m)
	require.Len(t, toConsumers(Decide(lookAgain, m, w)), 1)
	assert.Contains(t, wordOf(Decide(lookAgain, m, w)).Can, ClientEndpoint, "our own charm can")

	unitBag := m.Cluster.Value.UnitBags["etcd/1"]
	unitBag.Can = []string{"other"}
	m.Cluster.Value.UnitBags["etcd/1"] = unitBag
	p := Decide(lookAgain, m, w)
	assert.Empty(t, toConsumers(p))
	assert.Equal(t, Waiting, p.Status.Level)
	assert.Contains(t, p.Status.Message, "the charm of etcd/1 does not know endpoint proxy")

	// A consumer that was told stays told: rolling a charm back takes nothing back.
	m.Memory = Know(Memory{Bags: map[string]string{"proxy:1": "told before"}})
	assert.Len(t, toConsumers(Decide(lookAgain, m, w)), 1)

	m.Memory = Know(Memory{})
	m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{}
	assert.Len(t, toConsumers(Decide(lookAgain, m, w)), 1, "a unit that has said nothing yet is not asked")
}
