package host

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// neighbour returns another unit on u's machine for which etcdctl is set up.
func neighbour(t *testing.T, u *unit) *Host {
	t.Helper()
	other := New(Options{Root: u.root, Unit: "other/7", Binary: u.carried})
	other.supervisor.run = u.supervisor.run
	carried := u.look().Carried
	require.NoError(t, other.Do(t.Context(), operator.Install{Release: carried}))
	s := u.server(operator.Initial{})
	require.NoError(t, other.Do(t.Context(), operator.WriteMember{Server: s}))
	return other
}

// assertGone asserts that nothing of u is left but its data.
func assertGone(t *testing.T, u *unit) {
	t.Helper()
	for _, path := range []string{u.etc(), u.opt(), u.unitFile(), u.wanted(), u.data()} {
		_, err := os.Lstat(path)
		assert.ErrorIs(t, err, os.ErrNotExist, path)
	}
	keys, err := filepath.Glob(filepath.Join(u.state(), "*.key"))
	require.NoError(t, err)
	assert.Empty(t, keys)
	w := u.look()
	assert.False(t, w.Leftovers)
	assert.Equal(t, operator.Service{}, w.Service)
}

// Everything that was installed is removed, including the keys. What other units on the machine
// have stays, and so does the data. The machine can be used again.
func TestUninstall(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	other := neighbour(t, u)
	require.True(t, u.look().Leftovers)
	for _, tool := range tools {
		link, err := os.Readlink(u.tool(tool))
		require.NoError(t, err)
		require.Contains(t, link, u.opt())
	}
	state, err := u.supervisor.state(t.Context())
	require.NoError(t, err)

	u.do(operator.Uninstall{}, operator.Uninstall{})
	assertGone(t, u)
	assert.False(t, liveProcess(t.Context(), state.process.pid).alive())
	aside, err := filepath.Glob(u.data() + ".*-the-unit-was-removed")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	assert.DirExists(t, filepath.Join(aside[0], "member", "wal"))
	for _, tool := range tools {
		link, err := os.Readlink(u.tool(tool))
		require.NoError(t, err)
		assert.Contains(t, link, other.opt())
		_, err = os.Stat(link)
		require.NoError(t, err)
	}

	require.NoError(t, other.Do(t.Context(), operator.Uninstall{}))
	for _, tool := range tools {
		_, err = os.Lstat(u.tool(tool))
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	for _, path := range []string{u.etc(), u.opt(), u.compared()} {
		assert.NoDirExists(t, filepath.Dir(path))
	}

	// Another unit comes to the machine, perhaps with the same name.
	u.fleet.record = operator.AppBag{}
	assert.Equal(t, operator.NoData, u.look().Data.State)
	u.found()
}

// A removal that was cut off anywhere continues, whatever state the service is in.
func TestUninstallGoesOn(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*testing.T, *unit){
		"the port is taken": func(t *testing.T, u *unit) {
			t.Helper()
			taken, err := net.Listen("tcp", u.ip+":2380")
			require.NoError(t, err)
			t.Cleanup(func() { _ = taken.Close() })
			u.do(operator.Start{})
			u.eventually("a failing service", func(w operator.World) bool { return w.Service.Failing })
		},
		"the service is not written": func(t *testing.T, u *unit) {
			t.Helper()
			require.NoError(t, u.supervisor.write(t.Context(), service{}))
		},
		"the keys are gone": func(t *testing.T, u *unit) {
			t.Helper()
			require.NoError(t, os.RemoveAll(u.tls("")))
		},
		"the settings are gone": func(t *testing.T, u *unit) {
			t.Helper()
			u.do(operator.Start{}, operator.AwaitReady{Learner: true})
			u.do(operator.Stop{})
			require.NoError(t, os.RemoveAll(u.etc()))
		},
		"the data is a file": func(t *testing.T, u *unit) {
			t.Helper()
			require.NoError(t, os.RemoveAll(u.data()))
			require.NoError(t, os.WriteFile(u.data(), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newFleet(t).add(t)
			u.prepare()
			s := u.server(operator.Initial{New: true, Token: u.ip, Cluster: "etcd0=" + u.url(2380)})
			u.do(operator.WriteMember{Server: s})
			cut(t, u)
			require.NoError(t, u.Do(t.Context(), operator.Uninstall{}))
			assertGone(t, u)
		})
	}
}

// Data that is to be kept in place stays there.
func TestUninstallKeepsData(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	before := u.found().Data
	u.do(operator.Uninstall{KeepData: true})
	w := u.look()
	assert.Equal(t, before, w.Data)
	assert.False(t, w.Leftovers)
	assert.NoDirExists(t, u.etc())
}

// The keys are removed whatever else fails; the rest waits until the service has ended.
func TestUninstallTakesTheKeysFirst(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, _ := dressed(t, &now)
	works := u.supervisor.run
	u.supervisor.run = func(context.Context, string, ...string) ([]byte, error) {
		return nil, errors.New("systemd does not answer")
	}
	require.ErrorContains(t, u.Do(t.Context(), operator.Uninstall{}), "systemd does not answer")
	assert.NoDirExists(t, u.tls(""))
	assert.DirExists(t, u.etc())
	assert.DirExists(t, u.data())

	u.supervisor.run = works
	u.do(operator.Uninstall{})
	assertGone(t, u)
}
