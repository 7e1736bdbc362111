package host

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestLife follows a cluster from its founding through a join, a removal and a return, on real servers.
func TestLife(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)

	w := a.look()
	assert.Equal(t, operator.Absent, w.Reach)
	assert.Equal(t, operator.NoService, w.Service.Kind)
	assert.Empty(t, w.Installed)
	ids, _ := a.Seen(t.Context())
	assert.Empty(t, ids)

	w = a.found()
	assert.Equal(t, w.Carried, w.Installed)
	assert.Equal(t, operator.OurData, w.Data.State)
	assert.Equal(t, w.ClusterID, w.Data.ClusterID)
	assert.Positive(t, w.Local.Term)
	assert.Positive(t, w.Local.Index)
	assert.Equal(t, operator.Local{
		Live: true, Ready: true, ClusterID: w.ClusterID, MemberID: w.Data.MemberID, Voters: 1,
		Term: w.Local.Term, Index: w.Local.Index, Applied: w.Local.Applied, Revision: w.Local.Revision,
	}, w.Local)
	assert.Equal(t, a.server(operator.Initial{}).Digest(), w.Service.Config, "read from the live process")
	assert.Equal(t, w.WrittenConfig, w.Service.Config)
	assert.Equal(t, w.Carried, w.Service.Release)
	assert.True(t, w.Service.Enabled && w.Service.Running && !w.Service.Failing)
	assert.Equal(t, operator.Turn{Known: true}, w.Turn)
	assert.Equal(t, f.authority.Trust(), w.TLS.Trust)
	require.Len(t, w.Members, 1)
	m := w.Members[0]
	assert.True(t, m.Answers && m.Ready && m.Started() && m.Leader == m.ID)
	assert.Positive(t, m.DBSize)
	assert.Equal(t, f.config.QuotaBytes, m.Quota)
	assert.InDelta(t, 365*24, m.CertRemaining.Hours(), 2)
	ids, turn := a.Seen(t.Context())
	assert.Equal(t, []uint64{m.ID}, ids)
	assert.Equal(t, operator.Turn{Known: true}, turn)

	// A unit with nothing on its disk can see the cluster all the same.
	w = b.look()
	assert.Equal(t, operator.Healthy, w.Reach)
	assert.Equal(t, f.record.ClusterID, w.ClusterID)

	w = b.learn()
	id := w.Data.MemberID
	assert.Equal(t, 1, voters(w))
	assert.True(t, w.Local.Live)
	assert.False(t, w.Local.Ready, "a learner is not ready")
	assert.Equal(t, 1, w.Local.Voters)
	b.do(operator.AddLearner{PeerURL: b.url(f.config.ManagementPort)}) // the answer to the first may be lost
	b.do(operator.Promote{ID: id}, operator.AwaitReady{}, operator.Promote{ID: id}, operator.AwaitPeer{}, operator.AwaitPeer{ID: m.ID})
	b.tell(b.look())
	a.eventually("two voters", func(w operator.World) bool { return voters(w) == 2 })
	ids, _ = a.Seen(t.Context())
	assert.Len(t, ids, 2)

	require.ErrorContains(t, b.Do(t.Context(), operator.MoveAside{Why: "too early"}), "running")

	// 2→1 while both run: the removed server exits with 0 and stays down. A status request in the
	// moment of its removal makes it panic instead (etcd 3.7.3, IsLocalMemberLearner), and every
	// later start fails.
	require.ErrorIs(t, a.Do(t.Context(), operator.RemoveMember{ID: id, Unstarted: true}), errStarted)
	assert.Equal(t, 2, voters(a.look()))
	a.do(operator.RemoveMember{ID: id}, operator.RemoveMember{ID: id})
	assert.Equal(t, 1, voters(a.look()))
	w = b.eventually("the removed server to end", func(w operator.World) bool { return !w.Service.Running || w.Service.Failing })
	assert.Equal(t, operator.Healthy, w.Reach)
	assert.Equal(t, id, w.Data.MemberID, "read from the stopped data")

	b.do(operator.Stop{Why: "removed"}, operator.MoveAside{Why: "removed from the cluster"})
	w = b.look()
	assert.Equal(t, operator.NoData, w.Data.State)
	assert.False(t, w.Service.Enabled || w.Service.Running || w.Service.Failing)
	aside, err := filepath.Glob(b.data() + ".*-removed-from-the-cluster")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	_, err = os.Stat(filepath.Join(aside[0], "member", "wal"))
	require.NoError(t, err, "nothing is deleted")

	w = b.join()
	assert.Equal(t, 2, voters(w))
	assert.NotEqual(t, id, w.Data.MemberID)
	assertNoSecrets(t, a, b)
}

// assertNoSecrets looks for private keys where none may be: in arguments, environment, logs and
// settings.
func assertNoSecrets(t *testing.T, units ...*unit) {
	t.Helper()
	for _, u := range units {
		state, err := u.supervisor.state(t.Context())
		require.NoError(t, err)
		require.True(t, state.process.alive())
		proc := filepath.Join("/proc", strconv.Itoa(state.process.pid))
		places := []string{
			u.machine.Journal(u.serviceName()), u.memberEnv(), u.etcdctlEnv(), u.unitFile(),
			filepath.Join(proc, "cmdline"), filepath.Join(proc, "environ"),
		}
		for _, place := range places {
			data, err := os.ReadFile(place)
			require.NoError(t, err)
			assert.NotEmpty(t, data)
			assert.NotContains(t, string(data), "PRIVATE KEY", place)
			for key, value := range u.fleet.authority.Encode() {
				if strings.HasSuffix(key, "key") {
					assert.NotContains(t, string(data), value, place)
				}
			}
		}
		for _, name := range []string{peerName, serverName, adminName} {
			info, err := os.Stat(u.tls(keyFile(name)))
			require.NoError(t, err)
			assert.Equal(t, secret, info.Mode().Perm(), name)
		}
	}
}

// TestReach tells apart what must never be confused.
func TestReach(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.add(t), f.add(t), f.add(t)
	wa := a.found()
	wb := b.join()

	// One of two stops: the survivor knows the cluster but can prove nothing.
	b.do(operator.Stop{Why: "test"})
	w := a.eventually("lost quorum", func(w operator.World) bool { return w.Reach == operator.NoQuorum })
	assert.Equal(t, wa.ClusterID, w.ClusterID)
	assert.Len(t, w.Members, 2)
	assert.False(t, w.Turn.Known)

	// Restarted without quorum it answers on its metrics URL only.
	a.do(operator.Restart{}, operator.AwaitReady{Learner: true})
	w = a.look()
	assert.Equal(t, operator.NoQuorum, w.Reach)
	assert.Equal(t, wa.ClusterID, w.ClusterID)
	assert.True(t, w.Local.Live)
	assert.False(t, w.Local.Ready)
	assert.Equal(t, wa.ClusterID, w.Local.ClusterID)
	require.Error(t, a.Do(t.Context(), operator.TakeTurn{}))

	// A member that is named and does not answer is not the same as no member.
	assert.Equal(t, operator.Unreachable, c.look().Reach)
	m := c.model()
	m.Cluster.Value.UnitBags = nil
	w, err := c.Observe(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, operator.Absent, w.Reach)
	w, err = c.Observe(t.Context(), operator.Model{Unit: c.unitName, Cluster: operator.Unknown[operator.Cluster]("not visible")})
	require.NoError(t, err)
	assert.Equal(t, operator.Unreachable, w.Reach, "an unknown relation names nobody and everybody")

	// Everything stops: only the data names a cluster.
	a.do(operator.Stop{Why: "test"})
	w = a.look()
	assert.Equal(t, operator.Unreachable, w.Reach)
	assert.Equal(t, wa.Data, w.Data)

	// Back again.
	a.do(operator.Start{})
	b.do(operator.Start{})
	a.do(operator.AwaitReady{})
	b.do(operator.AwaitReady{})
	w = b.eventually("health", func(w operator.World) bool { return w.Reach == operator.Healthy })
	assert.Equal(t, wb.Data, w.Data)

	// Our own server in a cluster that nothing else names is only local.
	f.record.ClusterID = 0xbad
	w = a.look()
	assert.Equal(t, operator.Unreachable, w.Reach)
	assert.Equal(t, wa.ClusterID, w.Local.ClusterID)
	assert.Empty(t, w.Members)
}

// TestWipedMember: etcd lists the member as started, and its data is gone; the look shows both.
func TestWipedMember(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)
	a.found()
	id := b.join().Data.MemberID
	a.do(operator.RemoveMember{ID: 0xdead}) // an ID that is not listed is no error
	require.NoError(t, b.Do(t.Context(), operator.Stop{Why: "test"}))
	require.NoError(t, os.RemoveAll(b.data()))
	w := b.look()
	assert.Equal(t, operator.NoData, w.Data.State)
	assert.Equal(t, operator.NoQuorum, w.Reach)
	listed := w.Members[0]
	if listed.ID != id {
		listed = w.Members[1]
	}
	assert.Equal(t, id, listed.ID)
	assert.True(t, listed.Started() && !listed.Answers)
}

func TestUpdateMember(t *testing.T) {
	t.Parallel()
	a := newFleet(t).add(t)
	w := a.found()
	moved := "https://" + freshAddress() + ":2380"
	step := operator.UpdateMember{ID: w.Data.MemberID, PeerURL: moved}
	a.do(step, step)
	assert.Equal(t, []string{moved}, a.look().Members[0].PeerURLs)
	require.Error(t, a.Do(t.Context(), operator.UpdateMember{ID: 0xdead, PeerURL: moved}))
}

func TestRevertMember(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	require.ErrorContains(t, u.Do(t.Context(), operator.RevertMember{}), "no server runs")
	u.found()
	u.do(operator.SpendInitial{})
	files := func() (out []string) {
		for _, path := range []string{u.memberEnv(), u.etcdctlEnv(), u.unitFile()} {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			out = append(out, string(text))
		}
		return out
	}
	before := files()
	s := u.server(operator.Initial{})
	s.ListenClient, s.Config.SnapshotCount = []string{u.url(2479)}, 5000
	u.do(operator.WriteMember{Server: s})
	w := u.look()
	require.NotEqual(t, w.Service.Config, w.WrittenConfig)
	u.do(operator.RevertMember{})
	w = u.look()
	assert.Equal(t, w.Service.Config, w.WrittenConfig)
	assert.Equal(t, before, files(), "as it was, though the server was started for the first time with more")
}

// TestAwaitListed: the wait succeeds while the other member listens where it is listed, and not while
// it is listed elsewhere.
func TestAwaitListed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)
	own := a.found().Data.MemberID
	a.do(operator.AwaitListed{ID: own}) // alone
	other := b.join().Data.MemberID
	a.look()
	a.do(operator.AwaitListed{ID: own})
	b.do(operator.AwaitListed{ID: other})

	a.do(operator.UpdateMember{ID: other, PeerURL: "https://" + freshAddress() + ":2380"})
	a.look()
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.ErrorContains(t, a.Do(short, operator.AwaitListed{ID: own}), "not where they are listed: etcd1")
	a.do(operator.UpdateMember{ID: other, PeerURL: b.url(2380)}, operator.AwaitListed{ID: own})
}

// TestServiceRestarts: a server that is killed is started again by itself, and its crashes are
// counted until it is started on request.
func TestServiceRestarts(t *testing.T) {
	t.Parallel()
	a := newFleet(t).add(t)
	a.found()
	before, err := a.supervisor.state(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, before.process.config())
	assert.Empty(t, lookup(before.process.env, "HTTPS_PROXY"), "the machine's web proxy is not the server's")
	require.NoError(t, syscall.Kill(before.process.pid, syscall.SIGKILL))
	a.eventually("a new process", func(w operator.World) bool {
		now, err := a.supervisor.state(t.Context())
		return err == nil && w.Service.Running && now.process.alive() && now.process.pid != before.process.pid
	})
	w := a.eventually("a server that serves", func(w operator.World) bool { return w.Local.Ready })
	assert.False(t, w.Service.Failing, "one crash is no loop")
	assert.Equal(t, 1, w.Service.Crashes)

	// A power cut ends the server, and the boot starts it again.
	a.machine.Halt()
	require.NoError(t, a.machine.Boot())
	a.eventually("a server that serves", func(w operator.World) bool { return w.Local.Ready })
	a.do(operator.Start{}, operator.Start{}, operator.AwaitReady{})
	assert.True(t, a.look().Service.Running)
	assert.Zero(t, a.look().Service.Crashes, "counted from zero with each start that is asked for")
}

// TestFailingService: when another process has the port, the reason is in the words of the server's
// log.
func TestFailingService(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.add(t)
	a.prepare()
	other := f.add(t)
	other.found()
	s := a.server(operator.Initial{New: true, Token: "x", Cluster: "etcd0=" + a.url(2380)})
	s.ListenPeer = other.server(operator.Initial{}).ListenPeer
	a.do(operator.WriteMember{Server: s}, operator.Start{})
	// The wait gives up by itself, long before its deadline, because it cannot succeed.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	require.ErrorContains(t, a.Host.awaitReady(ctx, false), "address already in use")
	require.NoError(t, ctx.Err())
	w := a.eventually("a failing service", func(w operator.World) bool { return w.Service.Failing })
	assert.Contains(t, w.Service.Log, "address already in use")
	assert.Equal(t, operator.NoData, w.Data.State, "a first start that came to nothing leaves no data")

	other.do(operator.Stop{})
	w = a.eventually("a start that succeeds", func(w operator.World) bool { return w.Local.Ready })
	assert.False(t, w.Service.Failing)
	assert.Empty(t, w.Service.Log)
}
