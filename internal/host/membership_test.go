package host

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestUnreachableFromWithin: a member behind an address that only others can reach is promoted and
// waited for all the same.
func TestUnreachableFromWithin(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.add(t)
	a.prepare()
	s := a.server(operator.Initial{New: true, Token: a.ip, Cluster: "etcd0=" + a.url(2380)})
	s.ClientURL = "https://192.0.2.1:2379" // TEST-NET-1, RFC 5737
	a.do(operator.WriteMember{Server: s}, operator.Start{}, operator.AwaitReady{}, operator.AwaitPeer{})
	w := a.eventually("health", func(w operator.World) bool { return w.Reach == operator.Healthy })
	require.True(t, w.Members[0].Ready)
}

// TestURLOfAnother: no member is listed under another member's URL, not even after a restart. etcd
// refuses such a change but replays it.
func TestURLOfAnother(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)
	a.found()
	id := b.learn().Data.MemberID
	want := list(a.look())
	a.look()
	require.ErrorIs(t, a.Do(t.Context(), operator.UpdateMember{ID: id, PeerURL: a.url(2380)}), rpctypes.ErrPeerURLExist)
	a.do(operator.Restart{}, operator.AwaitReady{})
	w := a.eventually("health", func(w operator.World) bool { return w.Reach == operator.Healthy })
	require.Equal(t, want, list(w))
}

// TestRefusedAdd: a change that the list already forbids leaves no trace in the log.
func TestRefusedAdd(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.add(t), f.add(t)
	a.found()
	b.learn()
	a.eventually("the learner's name", func(w operator.World) bool {
		return len(w.Members) == 2 && w.Members[0].Name != "" && w.Members[1].Name != ""
	})
	before := a.raftIndex()
	a.do(operator.AddLearner{PeerURL: b.url(2380)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	a.look()
	require.Error(t, a.Do(ctx, operator.AddLearner{PeerURL: "https://192.0.2.1:2380"}))
	require.Equal(t, before, a.raftIndex())
}

// list returns the members' peer URLs by member ID.
func list(w operator.World) map[uint64][]string {
	out := map[uint64][]string{}
	for _, m := range w.Members {
		out[m.ID] = m.PeerURLs
	}
	return out
}

// raftIndex returns the length of the log, as u's own member reports it.
func (u *unit) raftIndex() uint64 {
	u.t.Helper()
	for _, m := range u.look().Members {
		if m.ID == u.look().Data.MemberID {
			return m.Index
		}
	}
	u.t.Fatal("own member is not listed")
	return 0
}
