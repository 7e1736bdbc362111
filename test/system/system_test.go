// Package system shows what the charm is for, on the packed charm and real etcd: one script for
// each promise, in testdata. The rule it keeps: a script drives the charm as an operator would, by
// Juju's verbs, and judges it by what an operator, a consumer or an intruder can see. The verbs are
// juju-sim's; commands_test.go has the others.
package system

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/juju/charm/v12"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/built"
)

func TestMain(m *testing.M) { sim.Main(m) }

// atATime is how many scripts run at a time: each runs several etcd servers.
const atATime = 3

// patience bounds the waits for what takes seconds, or a minute at most, on a quiet machine.
const patience = 15 * time.Minute

func TestScripts(t *testing.T) {
	t.Parallel()
	archive := built.Archive(t)
	bin := programs(t, archive)
	turns := make(chan struct{}, atATime)
	cmds := sim.Cmds(t.Context(), options(t))
	for name, cmd := range commands(cmds, bin) {
		cmds[name] = cmd
	}
	charms, err := filepath.Abs("testdata/charms")
	require.NoError(t, err)
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: cmds,
		Setup: func(env *testscript.Env) error {
			turns <- struct{}{}
			env.Defer(func() { <-turns })
			env.Values[portsKey{}], env.Values[keysKey{}] = ports{}, keys{}
			env.Values[watchKey{}] = &watch{seen: map[string]bool{}, texts: map[string]string{}}
			env.Values[linesKey{}], env.Values[serversKey{}] = lines{}, map[string]bool{}
			env.Setenv("ARCHIVE", archive)
			env.Setenv("GROUP", group.Name)                  // a machine of the simulation has this host's groups
			env.Setenv("CHARM", filepath.Join(bin, "charm")) // unpacking it for each deploy would take time
			env.Setenv("CHARMS", charms)
			env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			return nil
		},
	})
}

func options(t *testing.T) sim.Options {
	t.Helper()
	return sim.Options{
		Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Patience: patience, Transcript: true, Tool: built.Tool(t),
	}
}

// programs is a directory with the charm's binary under the names etcd and etcdctl.
func programs(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, unpack(archive, filepath.Join(dir, "charm")))
	for _, name := range []string{"etcd", "etcdctl"} {
		require.NoError(t, os.Symlink(filepath.Join(dir, "charm", "bin", "etcd-charm"), filepath.Join(dir, name)))
	}
	return dir
}

func unpack(archive, dir string) error {
	read, err := charm.ReadCharmArchive(archive)
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o700), read.ExpandTo(dir))
	}
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", archive, err)
	}
	return nil
}
