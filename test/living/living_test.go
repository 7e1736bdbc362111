// Package living shows that a cluster stays safe while everything about it changes: one script for
// each promise, in testdata. The rule it keeps: users write all the time, and a script judges by
// what they notice, by which members were down together, and by what an operator reads. The verbs
// are juju-sim's; commands_test.go has the others.
package living

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/built"
	"github.com/juju-charms/etcd-charm/test/load"
)

func TestMain(m *testing.M) { sim.Main(m) }

// atATime is how many scripts run at a time: each runs several etcd servers.
const atATime = 3

func TestScripts(t *testing.T) {
	t.Parallel()
	archive := built.Archive(t)
	next := filepath.Join(t.TempDir(), "next")
	require.NoError(t, load.NextRelease(archive, next))
	same := filepath.Join(t.TempDir(), "same")
	require.NoError(t, load.NextBuild(archive, same))
	turns := make(chan struct{}, atATime)
	cmds := sim.Cmds(t.Context(), options(t))
	for name, cmd := range commands(t.Context(), cmds) {
		cmds[name] = cmd
	}
	old := filepath.Join(t.TempDir(), "older")
	make36 := sync.OnceValue(func() error { return olderCharm(t.Context(), archive, old) })
	cmds["older"] = func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(make36())
		ts.Setenv(args[0], old)
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: cmds,
		Setup: func(env *testscript.Env) error {
			turns <- struct{}{}
			env.Defer(func() { <-turns })
			env.Setenv("CHARM", archive)
			env.Setenv("CHARM2", next) // another server and another proxy
			env.Setenv("CHARM3", same) // another build with the same
			env.Setenv("PATH", os.Getenv("PATH"))
			return nil
		},
	})
}

func options(t *testing.T) sim.Options {
	t.Helper()
	return sim.Options{Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Patience: patience, Tool: built.Tool(t)}
}
