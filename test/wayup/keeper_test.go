package wayup

import (
	"context"
	"strings"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// bare is a charm that consists of its metadata.
type bare struct{ meta *charm.Meta }

func (b bare) Meta() *charm.Meta     { return b.meta }
func (bare) Config() *charm.Config   { return charm.NewConfig() }
func (bare) Actions() *charm.Actions { return charm.NewActions() }

// TestKeeperSees makes units tell what they must not: each kind must be noticed as soon as it
// happens.
func TestKeeperSees(t *testing.T) {
	t.Parallel()
	m, err := model.New(model.Options{})
	require.NoError(t, err)
	for name, ends := range map[string]string{etcd: "provides: {proxy: {interface: etcd-proxy}}", "plain-a": "requires: {etcd: {interface: etcd-proxy}}"} {
		meta, err := charm.ReadMeta(strings.NewReader("name: " + name + "\nsummary: s\ndescription: d\n" + ends))
		require.NoError(t, err)
		require.NoError(t, m.Deploy(name, bare{meta}, "", nil))
	}
	for range 2 {
		_, err := m.AddUnit(etcd, model.NewMachine)
		require.NoError(t, err)
	}
	id, err := m.Relate("etcd:proxy", "plain-a:etcd")
	require.NoError(t, err)

	says := map[string]string{"etcd/0": "-----BEGIN one", "etcd/1": "-----BEGIN one"}
	k := &keeper{model: m}
	tell := k.beside(model.RunnerFunc(func(ctx context.Context, c *model.Context) (model.Outcome, error) {
		if c.Hook.Name() != "update-status" {
			return model.Outcome{Missing: true}, nil
		}
		_, err := c.Run(ctx, nil, "relation-set", "-r", id, "client_cert="+says[c.Unit()], "cluster="+c.Unit())
		return model.Outcome{}, err
	}))
	told := func() {
		for unit := range says {
			require.NoError(t, m.UpdateStatus(unit))
		}
		require.NoError(t, m.Settle(t.Context(), tell, 1))
	}
	told()
	k.know()
	assert.Empty(t, k.look())
	assert.Equal(t, []string{"plain-a: etcd/0 and etcd/1 on cluster"}, k.disagreements())

	says["etcd/1"] = "-----BEGIN other"
	told()
	says["etcd/1"] = "-----BEGIN one"
	told()
	assert.Equal(t, []string{"client_cert of plain-a, by etcd/1"}, k.look(), "it is as it was, but has been another")
	assert.Equal(t, []string{"plain-a: etcd/0 and etcd/1 on cluster"}, k.disagreements())
}
