package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// fenced writes u's fence, with its own data and the given peers.
func (u *unit) fenced(peers ...string) {
	u.t.Helper()
	d := u.lookData()
	u.here(operator.WriteFence{Fence: operator.Fence{ClusterID: d.ClusterID, MemberID: d.MemberID, Peers: peers}})
}

func (u *unit) peerURL() string { return u.url(u.fleet.config.ManagementPort) }

// gate runs u's gate by hand, as the service manager would: with the settings of its server.
func (u *unit) gate() (hold operator.Hold, said string) {
	u.t.Helper()
	env, err := envLines(u.memberEnv())
	require.NoError(u.t, err)
	var out bytes.Buffer
	code := Gate(u.t.Context(), u.fence(), func(key string) string { return lookup(env, key) }, &out)
	if code == 0 {
		return operator.NotHeld, out.String()
	}
	hold = operator.HoldOf(code)
	assert.Contains(u.t, out.String(), hold.String())
	return hold, out.String()
}

// The gate of a member with real peers, for every answer that they may give.
func TestGate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)
	a.found()
	b.tell(b.learn()) // a can remove b while b is down
	b.fenced(a.peerURL())
	hold, said := b.gate()
	require.Equal(t, operator.NotHeld, hold, "still a member")
	assert.Contains(t, said, "answers for cluster")

	b.fenced("https://"+freshAddress()+":2380", a.peerURL())
	hold, said = b.gate()
	assert.Equal(t, operator.NotHeld, hold, "nobody listens")
	assert.Contains(t, said, "does not listen")

	t.Run("files", func(t *testing.T) {
		text, err := os.ReadFile(b.fence())
		require.NoError(t, err)
		for _, bad := range []string{"", "{", "null", "[]", `{"version":1,"cluster":"x"}`, `{"peers":["https://10.0.0.1:2380"]}`, "\x00"} {
			require.NoError(t, os.WriteFile(b.fence(), []byte(bad), 0o644))
			hold, said := b.gate()
			assert.Equal(t, operator.NotHeld, hold, "%q: %s", bad, said)
			assert.Equal(t, operator.Fence{}, b.lookFence(), bad)
		}
		require.NoError(t, os.Remove(b.fence()))
		hold, said := b.gate()
		assert.Equal(t, operator.NotHeld, hold)
		assert.Contains(t, said, "no fence can be read")
		require.NoError(t, os.WriteFile(b.fence(), text, 0o644))
	})

	t.Run("replaced", func(t *testing.T) {
		d := b.lookData()
		is := operator.Fence{ClusterID: d.ClusterID, MemberID: d.MemberID, Replaced: []uint64{7, d.ClusterID}, Peers: []string{a.peerURL()}}
		b.here(operator.WriteFence{Fence: is}, operator.WriteFence{Fence: is})
		assert.Equal(t, is, b.lookFence(), "it is read back")
		hold, said := b.gate()
		assert.Equal(t, operator.HeldReplaced, hold)
		assert.NotContains(t, said, a.peerURL(), "nobody is asked")
	})

	t.Run("another cluster at the peer's address", func(t *testing.T) {
		other := newFleet(t)
		other.authority = f.authority
		c := other.add(t)
		c.found()
		b.fenced(a.peerURL(), c.peerURL())
		hold, said := b.gate()
		assert.Equal(t, operator.HeldElsewhere, hold)
		assert.Contains(t, said, "("+c.peerURL()+")")
	})

	t.Run("a peer that is not trusted", func(t *testing.T) {
		other := newFleet(t)
		c := other.add(t)
		c.found()
		b.fenced(a.peerURL(), c.peerURL())
		hold, said := b.gate()
		assert.Equal(t, operator.HeldUntrusted, hold, said)
	})

	t.Run("a peer that refuses our authority", func(t *testing.T) {
		other := newFleet(t)
		c := other.add(t)
		c.found()
		// b trusts c's authority besides its own; c does not trust b's.
		was, err := os.ReadFile(b.tls(peerTrustFile))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(b.tls(peerTrustFile), slices.Concat(was, other.authority.TrustPeer), 0o644))
		b.fenced(c.peerURL())
		hold, said := b.gate()
		assert.Equal(t, operator.HeldRefused, hold, said)
		require.NoError(t, os.WriteFile(b.tls(peerTrustFile), was, 0o644))
	})

	t.Run("what is no peer", func(t *testing.T) {
		for name, serve := range map[string]func(net.Conn){
			"hangs up":      func(c net.Conn) { c.Close() },
			"says nonsense": func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n")); c.Close() },
		} {
			b.fenced(listener(t, serve), a.peerURL())
			hold, said := b.gate()
			assert.Equal(t, operator.NotHeld, hold, "%s: %s", name, said)
		}
		// A peer that accepts the connection and says nothing takes no more than the gate's time.
		b.fenced(listener(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), a.peerURL())
		hold, said := b.gate()
		assert.Equal(t, operator.NotHeld, hold, said)
		b.fenced("plainly wrong", "http://"+a.ip+":2380")
		hold, said = b.gate()
		assert.Equal(t, operator.NotHeld, hold, said)
	})

	t.Run("our certificate on the peer's list", func(t *testing.T) {
		serial := b.lookTLS(b.model()).Peer.Serial
		b.fenced(a.peerURL())
		a.here(a.lists(operator.Refused{Peer: []string{serial}}))
		hold, said := b.gate()
		assert.Equal(t, operator.HeldRefused, hold, said)
		a.here(a.lists(operator.Refused{}))
		hold, said = b.gate()
		assert.Equal(t, operator.NotHeld, hold, said)
	})

	t.Run("our own certificate is gone", func(t *testing.T) {
		require.NoError(t, os.Rename(b.tls(certFile(peerName)), b.tls("away")))
		hold, said := b.gate()
		assert.Equal(t, operator.NotHeld, hold, said)
		require.NoError(t, os.Rename(b.tls("away"), b.tls(certFile(peerName))))
	})

	// b is removed while it is down, and its machine boots.
	t.Run("removed", func(t *testing.T) {
		b.here(operator.Stop{Why: "test"})
		b.fenced(a.peerURL())
		a.do(operator.RemoveMember{ID: b.lookData().MemberID})
		hold, said := b.gate()
		assert.Equal(t, operator.HeldUnlisted, hold, said)
		b.here(operator.Start{})
		w := b.eventually("a held service", func(w operator.World) bool { return w.Service.Held != operator.NotHeld })
		assert.Equal(t, operator.HeldUnlisted, w.Service.Held)
		assert.False(t, w.Service.Running)
		assert.False(t, w.Service.Failing)
		assert.True(t, w.Service.Enabled)
		assert.Contains(t, b.journal(), "stays down until the next hook of its unit: the cluster does not list our member any more ("+a.peerURL()+")")
		assert.Contains(t, b.journal(), "if the unit was removed by force no hook will come")
		b.here(operator.Stop{Why: "test"})
		assert.Equal(t, operator.NotHeld, b.look().Service.Held, "who is stopped is not held")

		b.here(operator.MoveAside{Why: "test"})
		hold, said = b.gate()
		assert.Equal(t, operator.NotHeld, hold, "a first start has nothing to lose: %s", said)
	})

	// The other member is off: a server that starts then hears no peer, and serves as far as it
	// can.
	t.Run("nobody else is there", func(t *testing.T) {
		a.fenced("https://"+freshAddress()+":2380", "https://"+freshAddress()+":2380")
		a.here(operator.Restart{})
		w := a.eventually("a member that serves", func(w operator.World) bool { return w.Local.Ready })
		assert.Equal(t, operator.NotHeld, w.Service.Held)
	})
}

// listener takes connections and hands them to serve; it returns its URL.
func listener(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", freshAddress()+":0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "https://" + l.Addr().String()
}

// A unit whose data is gone, and which is the only one left, asks the peers in its fence: one of
// them may go on though its unit was removed by force.
func TestPeersAreAskedBeforeTheClusterIsLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)
	a.found()
	b.tell(b.join())
	b.fenced("https://"+freshAddress()+":2380", a.peerURL())
	require.Empty(t, b.look().Peers, "there is nothing to doubt")
	f.units = []*unit{b}
	require.Empty(t, b.look().Peers, "the data is here")
	b.here(operator.Stop{Why: "its disk is gone"}, operator.MoveAside{Why: "its disk is gone"})
	b.seen = view{} // a later hook has not seen the member list

	w := b.look()
	require.Len(t, w.Peers, 2)
	assert.Equal(t, operator.SaysNothing, w.Peers[0].Says(f.record.ClusterID, 0))
	assert.True(t, w.Peers[1].Says(f.record.ClusterID, 0).Alive())
	assert.Equal(t, a.peerURL(), w.Peers[1].URL)
	report := operator.Examine(b.model(), w)
	assert.Contains(t, operator.StatusOf(report).Message, "still answers at")

	a.here(operator.Stop{Why: "somebody ends it there"})
	w = b.look()
	require.Len(t, w.Peers, 2)
	assert.False(t, w.Peers[1].Says(f.record.ClusterID, 0).Alive())
	assert.NotContains(t, operator.StatusOf(operator.Examine(b.model(), w)).Message, "still answers")
}

// The gate ends by its own deadline, however many peers hang.
func TestGateIsBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.add(t)
	a.prepare()
	env := func(key string) string {
		for _, line := range a.memberPaths() {
			if value, ok := strings.CutPrefix(line, key+"="); ok {
				return value
			}
		}
		return ""
	}
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	// No outer deadline ends it: with a wrong gate this test would hang.
	answers, err := askPeers(context.WithoutCancel(t.Context()), []string{listener(t, hang), listener(t, hang), listener(t, hang)}, env)
	require.NoError(t, err)
	require.Len(t, answers, 3)
	for _, answer := range answers {
		assert.Equal(t, operator.PeerSilent, answer.Reply, answer.words)
	}
	assert.Less(t, gateTime, 5*time.Second)
}

// A copy of the program that has no gate is never asked for one: it would fail, and keep the member
// down.
func TestOnlyAReleaseWithAGateHasOne(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.add(t)
	a.prepare()
	a.here(operator.WriteMember{Server: a.server(operator.Initial{})})
	text, err := os.ReadFile(a.unitFile())
	require.NoError(t, err)
	gate := fmt.Sprintf("ExecCondition=%s --fence %s\n", filepath.Join(a.release(a.carries()), GateName), a.fence())
	assert.Contains(t, string(text), gate)
	w := a.look()
	assert.NotEqual(t, operator.Altered, w.WrittenConfig)

	require.NoError(t, os.WriteFile(a.unitFile(), bytes.Replace(text, []byte(gate), nil, 1), 0o644))
	assert.Equal(t, operator.Altered, a.look().WrittenConfig, "somebody took the gate away")

	require.NoError(t, os.Remove(filepath.Join(a.release(a.carries()), GateName)))
	assert.Empty(t, a.look().Installed, "the carried release is not whole without")
	a.here(operator.WriteMember{Server: a.server(operator.Initial{})})
	text, err = os.ReadFile(a.unitFile())
	require.NoError(t, err)
	assert.NotContains(t, string(text), "ExecCondition")
	assert.NotEqual(t, operator.Altered, a.look().WrittenConfig)
	a.here(operator.Install{Release: a.carries()})
	assert.Equal(t, operator.Altered, a.look().WrittenConfig, "now it has one")
}
