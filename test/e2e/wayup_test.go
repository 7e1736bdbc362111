//go:build e2e

package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/test/field"
	"github.com/juju-charms/etcd-charm/test/load"
	"github.com/juju-charms/etcd-charm/test/wayup"
)

// TestWayUp plays the upgrade from the field's charm on machines: three for members, which the
// consumers share, one for a member that comes and goes, and one for each proxy.
func TestWayUp(t *testing.T) {
	archive, err := field.Charm(t.Context(), wayup.Field)
	require.NoError(t, err)
	w := emptyWorld(t, 6)
	release := func(dir *charm.CharmDir) wayup.Release { return wayup.Release{Charm: dir, Path: dir.Path} }
	plain := func(name string) wayup.Release {
		dir, err := charm.ReadCharmDir(filepath.Join("..", "system", "testdata", "charms", name))
		require.NoError(t, err)
		return release(dir)
	}
	wayup.Play(t, wayup.World{
		Model: w.Model, Runner: w.agent,
		Field: release(unpacked(t, archive, filepath.Join(w.agent.dir, "field"))), Present: release(w.charms[0]),
		Consumer: plain("consumer"), Client: plain("client"),
		Shell: func(ctx context.Context, unit, line string) (string, error) {
			return w.run(ctx, w.machine(t, unit), nil, "sh", "-c", line)
		},
		Beside: func(unit string) load.Target { return w.beside(t, w.machine(t, unit)) },
	})
}
