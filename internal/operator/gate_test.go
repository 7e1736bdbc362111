package operator

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of all that peers may answer the worst decides, in whatever order the answers came; silence is no
// answer.
func TestTheWorstAnswerHolds(t *testing.T) {
	t.Parallel()
	ours := Data{State: OurData, ClusterID: clusterID, MemberID: 1}
	kinds := []struct {
		answer PeerAnswer
		want   Hold
	}{
		{PeerAnswer{Reply: PeerSilent}, NotHeld},
		{PeerAnswer{Reply: PeerSilent, ClusterID: 7}, NotHeld},
		{PeerAnswer{Reply: PeerAnswers, ClusterID: clusterID, Members: []uint64{1, 2, 3}}, NotHeld},
		{PeerAnswer{Reply: PeerAnswers, ClusterID: clusterID, Members: []uint64{1}}, NotHeld},
		{PeerAnswer{Reply: PeerUntrusted}, HeldUntrusted},
		{PeerAnswer{Reply: PeerRefuses}, HeldRefused},
		{PeerAnswer{Reply: PeerAnswers, ClusterID: clusterID, Members: []uint64{2, 3}}, HeldUnlisted},
		{PeerAnswer{Reply: PeerAnswers, ClusterID: clusterID}, HeldUnlisted},
		{PeerAnswer{Reply: PeerAnswers, ClusterID: 7, Members: []uint64{1, 2, 3}}, HeldElsewhere},
		{PeerAnswer{Reply: PeerAnswers, ClusterID: 7}, HeldElsewhere},
	}
	judge := func(f Fence, d Data, answers ...PeerAnswer) Hold {
		hold, url := f.Hold(d, answers)
		if hold != NotHeld && hold != HeldReplaced {
			assert.True(t, slices.ContainsFunc(answers, func(a PeerAnswer) bool { return a.URL == url && a.hold(d) == hold }), "%v names %s", answers, url)
		} else {
			assert.Empty(t, url)
		}
		return hold
	}
	fence := Fence{ClusterID: clusterID, MemberID: 1, Replaced: []uint64{5, 6}}
	for i, a := range kinds {
		a.answer.URL = "a"
		assert.Equal(t, a.want, judge(fence, ours, a.answer), "%+v", a.answer)
		assert.Equal(t, NotHeld, judge(fence, Data{}, a.answer), "no data is no member's")
		for _, b := range kinds[i:] {
			b.answer.URL = "b"
			want := max(a.want, b.want)
			assert.Equal(t, want, judge(fence, ours, a.answer, b.answer))
			assert.Equal(t, want, judge(fence, ours, b.answer, a.answer))
			replaced := Fence{Replaced: []uint64{6, clusterID}}
			assert.Equal(t, HeldReplaced, judge(replaced, ours, a.answer, b.answer), "the record goes before what anybody says")
		}
	}
	assert.Equal(t, NotHeld, judge(Fence{}, ours), "what is not known holds nobody")
}

// Peers are asked only about the data that they were noted for: other data has other peers, or
// none.
func TestWhomTheGateAsks(t *testing.T) {
	t.Parallel()
	f := Fence{ClusterID: clusterID, MemberID: 1, Peers: []string{"https://10.0.0.11:2380"}, Replaced: []uint64{5}}
	assert.Equal(t, f.Peers, f.Asks(Data{State: OurData, ClusterID: clusterID, MemberID: 1}))
	assert.Empty(t, f.Asks(Data{State: OurData, ClusterID: 7, MemberID: 1}))
	assert.Empty(t, f.Asks(Data{State: OurData, ClusterID: clusterID, MemberID: 2}))
	assert.Empty(t, f.Asks(Data{}))
	f.ClusterID = 5
	assert.Empty(t, f.Asks(Data{State: OurData, ClusterID: 5, MemberID: 1}), "nobody's word counts against the record")
}

// Each hold has an exit code of its own, and a reason.
func TestHoldsAreTold(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for hold, is := range holds {
		assert.NotEmpty(t, hold.String())
		assert.NotZero(t, is.kind)
		assert.False(t, seen[is.code], is.code)
		seen[is.code] = true
		assert.Equal(t, hold, HoldOf(hold.Code()))
		m := model(3)
		w := world(m)
		w.Service.Running, w.Local, w.Reach = false, Local{}, Unreachable
		w.Service.Held = hold
		w.Done = []Step{Start{}}
		p := Decide(lookAgain, m, w)
		assert.Nil(t, p.Step, "%s: one start in a hook is enough", hold)
		assert.True(t, slices.ContainsFunc(p.Reasons, func(r Reason) bool { return r.Kind == is.kind }), "%s: %s", hold, texts(p.Reasons))
		w.Done = nil
		assert.Equal(t, Start{}, firstStep(m, w), "%s: each hook tries again", hold)
		w.Service.Running = true
		assert.NotContains(t, texts(Decide(lookAgain, m, w).Reasons), "held")
	}
	assert.Len(t, holds, int(HeldReplaced))
	for _, code := range []int{0, 1, 2, 203, 255} { // none, a program that failed, systemd's own
		assert.Equal(t, HeldUnnamed, HoldOf(code))
	}
}

// What a hook finds is judged as the gate judges it.
func TestALookIsJudgedAsTheGateJudges(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	assert.Equal(t, NotHeld, newView(lookAgain, m, w).barred())
	unlisted := w
	unlisted.Members = w.Members[1:]
	assert.Equal(t, HeldUnlisted, newView(lookAgain, m, unlisted).barred())
	unlisted.Reach = NoQuorum
	assert.Equal(t, NotHeld, newView(lookAgain, m, unlisted).barred(), "one member's view takes nobody's data away")
	other := w
	other.Data.ClusterID = 7
	assert.Equal(t, HeldElsewhere, newView(lookAgain, m, other).barred())
	other.Data = Data{}
	assert.Equal(t, NotHeld, newView(lookAgain, m, other).barred())
}

// A unit with data of another cluster than the one on record cannot ask a member that its gate
// holds: it says so, and starts it once.
func TestYieldIsHeld(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.Data.ClusterID, w.Local, w.Service.Running = 7, Local{}, false
	require.Equal(t, Start{}, firstStep(m, w))
	w.Done, w.Service.Held = []Step{Start{}}, HeldElsewhere
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, texts(p.Reasons), "etcd is kept down")
}

// The fence has the members that a quorum lists, and stays as it is while there is none.
func TestFenceIsKeptTrue(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	want := Fence{ClusterID: clusterID, MemberID: 1, Peers: []string{"https://10.0.0.11:2380", "https://10.0.0.12:2380"}}
	require.Equal(t, want, w.Fence)
	require.Nil(t, firstStep(m, w))

	w.Fence = Fence{}
	assert.Equal(t, WriteFence{want}, firstStep(m, w))
	for name, change := range map[string]func(*Model, *World){
		"no quorum":            func(_ *Model, w *World) { w.Reach = NoQuorum },
		"nobody answers":       func(_ *Model, w *World) { w.Reach, w.ClusterID, w.Members = Unreachable, 0, nil },
		"another cluster does": func(_ *Model, w *World) { w.ClusterID = 7 },
		"no data":              func(_ *Model, w *World) { w.Data = Data{} },
		"data of another unit": func(_ *Model, w *World) { w.Data.State = ForeignData },
		"peers not known":      func(m *Model, w *World) { m.Cluster = Unknown[Cluster]("no"); w.Reach = NoQuorum },
	} {
		m, w := m, world(m)
		w.Fence.Peers = []string{"https://10.0.0.19:2380"}
		change(&m, &w)
		assert.Equal(t, w.Fence, newView(lookAgain, m, w).fence(), name)
	}

	w = world(m)
	w.Members = append(slices.Clone(w.Members[:2]), Member{ID: 9, Learner: true, PeerURLs: []string{"https://127.0.0.1:2380", "https://10.0.0.14:2380"}})
	assert.Equal(t, []string{"https://10.0.0.11:2380", "https://10.0.0.14:2380"}, newView(lookAgain, m, w).fence().Peers,
		"learners too, and no address that leads back here")

	w = world(m)
	w.Fence = Fence{}
	m.Units.Value["etcd/0"] = Dying
	assert.NotContains(t, strings.Join(stepsOf(m, w), " "), "note replaced", "who leaves keeps no fence")
}

// TestFenceForgetsWhoIsGone: without a quorum no member is taken off the list. Whatever then
// listens at the address of a machine that is gone would hold all members after a power cut.
func TestFenceForgetsWhoIsGone(t *testing.T) {
	t.Parallel()
	m := model(3)
	delete(m.Units.Value, "etcd/2")
	delete(m.Cluster.Value.UnitBags, "etcd/2")
	w := silent(world(m))
	both, one := []string{"https://10.0.0.11:2380", "https://10.0.0.12:2380"}, []string{"https://10.0.0.11:2380"}
	w.Fence.Peers = both
	assert.Equal(t, both, newView(lookAgain, m, w).fence().Peers, "nothing holds it")
	w.Service.Held = HeldUntrusted
	assert.Equal(t, one, newView(lookAgain, m, w).fence().Peers)
	unknown := m
	unknown.Units = Unknown[map[string]Life]("failed")
	assert.Equal(t, both, newView(lookAgain, unknown, w).fence().Peers, "nobody knows who is gone")
	assert.Equal(t, both, newView(lookAgain, model(3), w).fence().Peers, "it is there")
	delete(m.Units.Value, "etcd/1")
	delete(m.Cluster.Value.UnitBags, "etcd/1")
	assert.Nil(t, newView(lookAgain, m, w).fence().Peers, "as it is read back")
}

func stepsOf(m Model, w World) []string {
	if step := firstStep(m, w); step != nil {
		return []string{step.String()}
	}
	return nil
}
