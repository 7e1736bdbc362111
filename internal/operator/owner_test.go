package operator

import (
	"errors"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

func TestStrangers(t *testing.T) {
	t.Parallel()
	ours := Owner{"model-uuid", "etcd/0"}
	for name, tt := range map[string]struct {
		with func(*Model, *World)
		want string
	}{
		"ours": {func(*Model, *World) {}, ""},
		"another unit's": {func(_ *Model, w *World) {
			w.Data.Owner.Unit = "etcd/1"
		}, "etcd/1"},
		"that of a unit of our name in another model": {func(_ *Model, w *World) {
			w.Data.Owner.Model = "former"
		}, "etcd/0 of another model"},
		"a former unit's, whose cluster ended properly": {func(m *Model, w *World) {
			*m = record(*m, AppBag{Schema: etcdcluster.Schema, Ended: clusterID})
			w.Data.Owner.Unit = "etcd/7"
		}, ""},
		"a former unit's, and whether it ended is not known": {func(m *Model, w *World) {
			m.Cluster = Unknown[Cluster]("not visible")
			w.Data.Owner.Unit = "etcd/7"
		}, "etcd/7"},
		"nobody's by its file, listed where we are": {func(_ *Model, w *World) {
			w.Data.Owner = Owner{}
		}, ""},
		"nobody's by its file, and nobody answers": {func(_ *Model, w *World) {
			w.Data.Owner, w.Reach, w.Members = Owner{}, Unreachable, nil
		}, ""},
		"nobody's by its file, and another's by its word": {func(_ *Model, w *World) {
			w.Data.Owner, w.Data.MemberID = Owner{}, 2
		}, "etcd/1"},
		"ours by what we remember, whatever another says": {func(m *Model, w *World) {
			*m = remembering(*m, Seen{ClusterID: clusterID, MemberID: 2})
			w.Data.Owner, w.Data.MemberID = Owner{}, 2
		}, ""},
		"there before this unit was": {func(m *Model, w *World) {
			m.Memory = Know(Memory{})
			w.Data.Owner, w.Data.ClusterID = Owner{}, 7
			w.Service, w.WrittenConfig = Service{}, ""
		}, "a former unit on this machine"},
		"there before this unit was, which has told the peers of itself": {func(_ *Model, w *World) {
			w.Data.Owner, w.Data.ClusterID = Owner{}, 7
			w.Service, w.WrittenConfig = Service{}, ""
		}, "a former unit on this machine"},
		"ours, and all else on the machine was lost": {func(_ *Model, w *World) {
			w.Data.Owner, w.Reach, w.Members = Owner{}, Unreachable, nil
			w.Service, w.WrittenConfig = Service{}, ""
		}, ""},
		"there before this unit was, of a cluster that ended": {func(m *Model, w *World) {
			m.Memory = Know(Memory{})
			*m = record(*m, AppBag{Schema: etcdcluster.Schema, Ended: clusterID})
			w.Data.Owner = Owner{}
			w.Service, w.WrittenConfig = Service{}, ""
		}, ""},
		"laid down by a hook that died": {func(m *Model, w *World) {
			m.Memory = Know(Memory{})
			w.Data.Owner, w.Data.ClusterID = Owner{}, 7
		}, ""},
	} {
		m := model(3)
		m.Memory.Value.Bags = map[string]string{"cluster:0": "told"}
		w := world(m)
		require.Equal(t, ours, w.Data.Owner)
		tt.with(&m, &w)
		v := newView(lookAgain, m, w)
		want := OurData
		if tt.want != "" {
			want = ForeignData
		}
		assert.Equal(t, want, v.w.Data.State, name)
		if tt.want != "" {
			assert.Equal(t, tt.want, v.w.Data.Problem, name)
		}
	}
}

// The file is written once, if it is certain whose the data is. If the machine does not accept the
// file, nothing else stops.
func TestClaim(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.Data.Owner = Owner{}
	claim := Claim{Owner{"model-uuid", "etcd/0"}}
	assert.Equal(t, claim, firstStep(m, w))
	w.Tried = []Attempt{{claim, errors.New("read-only file system")}}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, texts(p.Reasons), "cannot note the owner of the data")

	w.Tried = nil
	w.Members[0].PeerURLs = []string{"https://10.9.9.9:2380"}
	assert.NotEqual(t, claim, firstStep(m, w), "etcd lists it elsewhere")
	m = remembering(m, seen(91))
	w.Local.Term, w.Local.Index = 2, 91
	assert.Equal(t, claim, firstStep(m, w), "but we remember it")
	w = world(m)
	w.Data.Owner, w.Reach, w.Members = Owner{}, Unreachable, nil
	m = remembering(m, Seen{})
	assert.NotEqual(t, claim, firstStep(m, w), "nobody says whose it is")
}

// Rule 4, nobody else's memory: another unit's data is never started, published, moved or taken for
// that of our member.
func TestRule04NobodyElsesMemory(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.Data.Owner.Unit, w.Data.MemberID = "etcd/1", 2
	w.Local = Local{}
	w.Service.Running, w.Service.Enabled = false, false
	w = down(w, 0)
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "data here belongs to etcd/1; put this unit's disk back")
	require.NotNil(t, wordOf(p))
	assert.Zero(t, wordOf(p).MemberID, "another unit's member is not told as ours")

	// If the machine started it at boot, it is stopped if the others have a quorum without it, and
	// left alone if it is needed.
	w.Service.Running, w.Service.Enabled = true, true
	assert.Equal(t, Stop{foreignData}, firstStep(m, w))
	w.Reach = NoQuorum
	assert.Nil(t, firstStep(m, w), "without quorum nothing is stopped")
	w.Data.ClusterID = 7
	assert.Equal(t, Stop{foreignData}, firstStep(m, w), "of another cluster nobody waits for it")
	w.Reach, w.Data.ClusterID = Healthy, clusterID
	w.Local = Local{Live: true, Ready: true, ClusterID: clusterID, MemberID: 2, Voters: 3}
	needed := down(w, 0)
	p = Decide(lookAgain, m, needed)
	assert.Nil(t, p.Step, "of three voters it and one more are ready")
	assert.Equal(t, Blocked, p.Status.Level)
	needed.Local.Twin = true
	assert.Equal(t, Stop{foreignData}, firstStep(m, needed), "the member itself runs elsewhere")
	all := world(m)
	all.Data, all.Local = w.Data, w.Local
	assert.Equal(t, TakeTurn{}, firstStep(m, all), "a ready voter goes down in its turn")
	all.Turn.Holder, all.Done = m.Unit, []Step{TakeTurn{}}
	assert.Equal(t, Stop{foreignData}, firstStep(m, all))
	all.Service, all.Local, all.Done = Service{Kind: MemberService}, Local{}, nil
	assert.Equal(t, ReleaseTurn{}, firstStep(m, all))

	// A leave does not start it either.
	w = world(m)
	w.Data.Owner.Unit, w.Service.Running, w.Service.Enabled, w.Local = "etcd/1", false, false, Local{}
	for _, e := range []Event{{Kind: hooks.Stop}, {Kind: hooks.Remove}} {
		assert.NotEqual(t, Start{}, Decide(e, m, w).Step, string(e.Kind))
	}
}
