package wayup

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/built"
	"github.com/juju-charms/etcd-charm/test/field"
	"github.com/juju-charms/etcd-charm/test/load"
)

func TestMain(m *testing.M) { sim.Main(m) }

// TestWayUp plays the story with real servers on this machine.
func TestWayUp(t *testing.T) {
	t.Parallel()
	archive, err := field.Charm(t.Context(), Field)
	require.NoError(t, err)
	s, err := sim.New(options(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	Play(t, World{
		Model: s.Model, Runner: s, Field: unpacked(t, archive), Present: unpacked(t, built.Archive(t)),
		Consumer: release(t, filepath.Join("..", "system", "testdata", "charms", "consumer")),
		Client:   release(t, filepath.Join("..", "system", "testdata", "charms", "client")),
		Shell: func(ctx context.Context, unit, line string) (string, error) {
			var out bytes.Buffer
			err := s.Do(ctx, sim.Env{Out: &out, Err: &out}, "ssh", unit, "sh", "-c", line)
			return out.String(), err
		},
		Beside: func(unit string) load.Target {
			info, err := s.Model.Unit(unit)
			require.NoError(t, err)
			return load.Target{Endpoints: []string{"http://" + net.JoinHostPort(info.Address, "2379")}}
		},
	})
}

// unpacked is a packed charm, unpacked.
func unpacked(t *testing.T, archive string) Release {
	t.Helper()
	read, err := charm.ReadCharmArchive(archive)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "charm")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, read.ExpandTo(dir))
	return release(t, dir)
}

func release(t *testing.T, dir string) Release {
	t.Helper()
	dir, err := filepath.Abs(dir)
	require.NoError(t, err)
	read, err := charm.ReadCharmDir(dir)
	require.NoError(t, err)
	return Release{read, dir}
}

func options(t *testing.T) sim.Options {
	t.Helper()
	return sim.Options{
		Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Patience: Patience, Progress: t.Output(), Tool: built.Tool(t),
	}
}
