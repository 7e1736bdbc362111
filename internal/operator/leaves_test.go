package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

const year = leafSeconds

// leavesOf are three certificates of unit n, issued at a time.
func leavesOf(n int, issued int64) []Issued {
	serial := func(kind int) string { return fmt.Sprintf("%d%d%x", n+1, kind, issued) }
	return etcdcluster.SortIssued([]Issued{{Kind: PeerLeaf, Serial: serial(1), End: issued + year}, {Kind: ServerLeaf, Serial: serial(2), End: issued + year}, {Kind: AdminLeaf, Serial: serial(3), End: issued + year}})
}

// told is m in which all units published certificates that they issued at a time, and the leader
// put them on record.
func told(m Model, issued int64) Model {
	c := m.Cluster.Value
	c.UnitBags = map[string]UnitBag{}
	for i := range len(m.Units.Value) {
		leaves := leavesOf(i, issued)
		c.AppBag.Leaves = append(c.AppBag.Leaves, UnitLeaves{Unit: unitName(i), Leaves: leaves})
		if i > 0 {
			unitBag := m.Cluster.Value.UnitBags[unitName(i)]
			unitBag.Leaves = leaves
			c.UnitBags[unitName(i)] = unitBag
		}
	}
	m.Cluster = Know(c)
	return m
}

// certifiedAt is w in which our certificates are those in told.
func certifiedAt(w World, issued int64) World {
	w.Now = issued + 1
	w.TLS.Issued = leavesOf(0, issued)
	for _, leaf := range w.TLS.Issued {
		map[LeafKind]*Leaf{PeerLeaf: &w.TLS.Peer, ServerLeaf: &w.TLS.Server, AdminLeaf: &w.TLS.Admin}[leaf.Kind].Serial = leaf.Serial
	}
	return w
}

func serials(leaves []Issued, peer bool) []string {
	var out []string
	for _, leaf := range leaves {
		if (leaf.Kind == PeerLeaf) == peer {
			out = append(out, leaf.Serial)
		}
	}
	slices.Sort(out)
	return out
}

// without is w whose cluster does not list unit n.
func without(w World, n int) World {
	var list []Member
	for _, mem := range w.Members {
		if mem.Name != memberName(unitName(n)) {
			list = append(list, mem)
		}
	}
	w.Members = list
	w.Fence.Peers = slices.DeleteFunc(slices.Clone(w.Fence.Peers), func(url string) bool {
		return url == "https://"+address(n)+":2380"
	})
	return w
}

// The certificates of a unit are refused once goal-state does not list it and etcd lists no member
// of it: by each unit, on the port that they open.
func TestWhatLeftIsRefused(t *testing.T) {
	t.Parallel()
	const at = 1_000_000_000
	m := told(model(3), at)
	w := certifiedAt(world(m), at)
	require.Nil(t, Decide(lookAgain, m, w).Step, "nobody has left")
	left := gone(m, 2)
	for name, test := range map[string]struct {
		m Model
		w World
	}{
		"etcd lists its member":         {left, w},
		"goal-state lists the unit":     {m, without(w, 2)},
		"goal-state is not believed":    {func() Model { x := left; x.Units = Unknown[map[string]Life]("failed"); return x }(), without(w, 2)},
		"etcd does not answer":          {left, func() World { x := without(w, 2); x.Reach = Unreachable; return x }()},
		"etcd has no quorum":            {left, func() World { x := without(w, 2); x.Reach = NoQuorum; return x }()},
		"another cluster answers":       {left, func() World { x := without(w, 2); x.ClusterID = 7; return x }()},
		"the peer relation is not seen": {func() Model { x := left; x.Cluster = Unknown[Cluster]("failed"); return x }(), without(w, 2)},
	} {
		test.m.Seen = nil // nobody is taken out
		step, wrote := Decide(lookAgain, test.m, test.w).Step.(WriteTLS)
		assert.False(t, wrote, "%s: %v", name, step)
	}
	for _, leads := range []bool{true, false} {
		left.Leader = Know(leads)
		after := without(w, 2)
		step, ok := Decide(lookAgain, left, after).Step.(WriteTLS)
		require.True(t, ok)
		want := Refused{Client: serials(leavesOf(2, at), false), Peer: serials(leavesOf(2, at), true)}
		require.Len(t, want.Client, 2)
		assert.Equal(t, &Revoked{ModelUUID: "model-uuid", Refused: want}, step.Revoked)
		assert.False(t, step.Peer || step.Server || step.Admin || step.Trust)

		after.TLS.Refused = want
		assert.Nil(t, Decide(lookAgain, left, after).Step)
		after.Reach, after.Members = Unreachable, nil
		assert.Nil(t, Decide(lookAgain, left, after).Step, "no answer leaves the lists as they are")
		after = w
		after.TLS.Refused = want
		step, ok = Decide(lookAgain, m, after).Step.(WriteTLS)
		require.True(t, ok)
		assert.Equal(t, Refused{}, step.Revoked.Refused, "a wrong answer heals itself")
	}

	// A unit whose leave has to wait for long refuses them too, as long as it serves.
	dying := gone(m, 2)
	dying.Units.Value["etcd/0"] = Dying
	step, ok := Decide(Event{Kind: hooks.RelationDeparted, Departing: "etcd/0"}, dying, without(w, 2)).Step.(WriteTLS)
	require.True(t, ok)
	assert.Equal(t, serials(leavesOf(2, at), true), step.Revoked.Peer)
	assert.False(t, step.Peer || step.Server || step.Admin || step.Trust)
}

// The lists are there before etcd starts: it refuses every client if one is missing.
func TestListsComeFirst(t *testing.T) {
	t.Parallel()
	m := model(1)
	w := world(m)
	w.Service.Running = false
	for _, spoil := range []func(*TLS){func(t *TLS) { t.PeerList = false }, func(t *TLS) { t.Revoked = "" }} {
		bare := w
		spoil(&bare.TLS)
		step, ok := Decide(lookAgain, m, bare).Step.(WriteTLS)
		require.True(t, ok)
		assert.NotNil(t, step.Revoked)
	}
}

// A unit that is listed and finds a certificate of its own among those refused issues new ones, and
// only then writes the list.
func TestOwnCertificateIsReplacedBeforeItIsRefused(t *testing.T) {
	t.Parallel()
	const at = 1_000_000_000
	m := told(model(3), at)
	w := without(certifiedAt(world(m), at), 2)
	record := m.Cluster.Value.AppBag
	record.Leaves[2].Leaves = append(record.Leaves[2].Leaves, record.Leaves[0].Leaves...) // as if a disk had been copied
	m = gone(m, 2)
	step, ok := Decide(lookAgain, m, w).Step.(WriteTLS)
	require.True(t, ok)
	assert.True(t, step.Peer && step.Server && step.Admin)
	assert.Nil(t, step.Revoked)

	before := w.TLS
	for kind, own := range map[LeafKind]*Leaf{PeerLeaf: &w.TLS.Peer, ServerLeaf: &w.TLS.Server, AdminLeaf: &w.TLS.Admin} {
		w.TLS.Peer.Serial, w.TLS.Server.Serial, w.TLS.Admin.Serial = "a1", "a2", "a3"
		own.Serial = map[LeafKind]Leaf{PeerLeaf: before.Peer, ServerLeaf: before.Server, AdminLeaf: before.Admin}[kind].Serial
		step, ok = Decide(lookAgain, m, w).Step.(WriteTLS)
		require.True(t, ok, kind)
		assert.Equal(t, []bool{kind == PeerLeaf, kind == ServerLeaf, kind == AdminLeaf}, []bool{step.Peer, step.Server, step.Admin}, kind)
		assert.Nil(t, step.Revoked, "%s comes first", kind)
	}

	w.TLS.Peer.Serial, w.TLS.Server.Serial, w.TLS.Admin.Serial = "a1", "a2", "a3"
	step, ok = Decide(lookAgain, m, w).Step.(WriteTLS)
	require.True(t, ok)
	assert.False(t, step.Peer || step.Server || step.Admin)
	assert.Len(t, step.Revoked.Peer, 2)
	assert.Len(t, step.Revoked.Client, 4)
}

// Each unit publishes what it has issued, and the leader puts it on record while the unit lives.
func TestLeavesGoOnRecord(t *testing.T) {
	t.Parallel()
	const at = 1_000_000_000
	m := told(model(3), at)
	w := certifiedAt(world(m), at)
	committed := m.Cluster.Value.AppBag
	m.Cluster.Value.AppBag.Leaves = nil
	p := Decide(lookAgain, m, w)
	require.NotNil(t, wordOf(p))
	assert.Equal(t, leavesOf(0, at), wordOf(p).Leaves)
	require.NotNil(t, recordOf(p))
	assert.Equal(t, committed, *recordOf(p))

	m.Cluster.Value.AppBag = committed
	p = Decide(lookAgain, m, w)
	assert.Nil(t, recordOf(p), "nothing is written again")

	// New certificates do not take the former ones off the record, because they are still valid.
	// Neither does the unit's end.
	later := leavesOf(2, at+5)
	unitBag := m.Cluster.Value.UnitBags["etcd/2"]
	unitBag.Leaves = later
	m.Cluster.Value.UnitBags["etcd/2"] = unitBag
	p = Decide(lookAgain, m, w)
	require.NotNil(t, recordOf(p))
	all := etcdcluster.SortIssued(append(leavesOf(2, at), later...))
	assert.Equal(t, UnitLeaves{Unit: "etcd/2", Leaves: all}, recordOf(p).Leaves[2])
	m.Cluster.Value.AppBag = *recordOf(p)
	m = gone(m, 2)
	delete(m.Cluster.Value.UnitBags, "etcd/2")
	assert.Equal(t, all, newView(lookAgain, m, w).leaves()[2].Leaves)

	m.Leader = Know(false)
	assert.Nil(t, recordOf(Decide(lookAgain, m, w)))
}

// Certificates are dropped when they have ended, but by no clock alone, however wrong: a dropped
// one is never refused again.
func TestLeavesGoWhenTheyHaveEnded(t *testing.T) {
	t.Parallel()
	const at = 1_000_000_000
	for name, test := range map[string]struct {
		now, other int64 // our clock, and when another unit last issued
		units      int
		stays      bool
	}{
		"still valid":                             {at + year - 1, at + year - 1, 2, true},
		"ended":                                   {at + year + 1, at + year + 1, 2, false},
		"a clock that is ahead":                   {at + 9*year, at + 100, 2, true},
		"another's clock that is ahead":           {at + 100, at + 9*year, 2, true},
		"a clock that is behind":                  {at - 9*year, at + year + 1, 2, true},
		"alone, by our clock":                     {at + year + 1, 0, 1, false},
		"alone, still valid":                      {at + year - 1, 0, 1, true},
		"others that tell of none, by our clock":  {at + year + 1, 0, 2, false},
		"others that tell of none, still valid":   {at + year - 1, 0, 2, true},
		"renewed by another eight months ago":     {at + year + 1, at + year/3, 2, true},
		"renewed by another, and long after that": {at + 2*year, at + year + 1, 2, false},
	} {
		m := model(test.units)
		m.Cluster.Value.AppBag.Leaves = []UnitLeaves{{Unit: "etcd/9", Leaves: leavesOf(9, at)}}
		if test.other != 0 {
			m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{Leaves: leavesOf(1, test.other)}
		}
		w := world(m)
		w.Now = test.now
		found := false
		for _, u := range newView(lookAgain, m, w).leaves() {
			found = found || u.Unit == "etcd/9"
		}
		assert.Equal(t, test.stays, found, name)
	}
	m := model(1)
	w := world(m)
	w.Now, w.TLS.Issued = at+year+1, append(leavesOf(0, at), leavesOf(0, at+year)...)
	assert.Equal(t, leavesOf(0, at+year), wordOf(Decide(lookAgain, m, w)).Leaves, "a unit tells of what is valid")
}

// Bags stay bounded: the certificates that end first are forgotten.
func TestLeavesAreBounded(t *testing.T) {
	t.Parallel()
	m := model(2)
	var many []Issued
	for i := range int64(500) {
		many = append(many, leavesOf(0, i)...)
	}
	m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{Leaves: many}
	for i := range 1000 {
		m.Cluster.Value.AppBag.Leaves = append(m.Cluster.Value.AppBag.Leaves, UnitLeaves{Unit: fmt.Sprintf("etcd/%d", i+2), Leaves: leavesOf(i, int64(i))[:3]})
		m.Cluster.Value.AppBag.Leaves[i].Leaves = append(m.Cluster.Value.AppBag.Leaves[i].Leaves, many[:12]...)
	}
	w := world(m)
	w.TLS.Issued = many
	unitBag := newView(lookAgain, m, w).word()
	assert.Len(t, unitBag.Leaves, maxUnitLeaves)
	assert.Contains(t, unitBag.Leaves, many[len(many)-1], "the last is kept")
	n := 0
	for _, u := range newView(lookAgain, m, w).leaves() {
		n += len(u.Leaves)
		assert.LessOrEqual(t, len(u.Leaves), maxUnitLeaves)
	}
	assert.LessOrEqual(t, n, maxRecordLeaves)
	assert.Greater(t, n, maxRecordLeaves/2)
}

func TestIssuedInWords(t *testing.T) {
	t.Parallel()
	const text = "admin:1a@17,peer:2b@5,peer:1f@9,server:3@-1"
	leaves, err := etcdcluster.DecodeIssued(text)
	require.NoError(t, err)
	assert.Equal(t, []Issued{{Kind: AdminLeaf, Serial: "1a", End: 17}, {Kind: PeerLeaf, Serial: "2b", End: 5}, {Kind: PeerLeaf, Serial: "1f", End: 9}, {Kind: ServerLeaf, Serial: "3", End: -1}}, leaves)
	assert.Equal(t, text, etcdcluster.EncodeIssued(leaves))
	leaves, err = etcdcluster.DecodeIssued("")
	require.NoError(t, err)
	assert.Empty(t, leaves)
	for _, bad := range []string{
		"secret", "peer", "peer:1", "peer:@5", "peer:1@", "peer:01@5", "peer:1F@5", "peer:g@5", "peer:1@+5", "peer:1@5,", "other:1@5",
		"peer:" + strings.Repeat("1", 41) + "@5", "peer:1@99999999999999999999", strings.Repeat("peer:1@5,", 10*maxUnitLeaves) + "peer:1@5",
	} {
		_, err := etcdcluster.DecodeIssued(bad)
		if assert.Error(t, err, "%.20s", bad) {
			assert.NotContains(t, err.Error(), "secret")
		}
	}
}

// A step's text differs for different lists: a list may change more than once in a pass, and is
// then not the same step.
func TestListsAreTold(t *testing.T) {
	t.Parallel()
	one := WriteTLS{Revoked: &Revoked{Refused: Refused{Peer: []string{"1"}}}}
	two := WriteTLS{Revoked: &Revoked{Refused: Refused{Peer: []string{"1"}, Client: []string{"2"}}}}
	assert.Equal(t, "write certificates: revocations (0, and 1 of units)", one.String())
	assert.NotEqual(t, one.String(), two.String())
}
