package operator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The status of a cluster that may be lost, and what the action does on that unit, follow from one
// judgement.
func TestStatusNamesFoundClusterWhereItFounds(t *testing.T) {
	t.Parallel()
	two := func(m *Model) { m.Units.Value["etcd/1"] = Alive }
	for name, tc := range map[string]struct {
		change func(*Model, *World)
		status string // "" is not compared
		founds bool
	}{
		"the only unit, which leads": {func(*Model, *World) {}, "the cluster is lost; run action found-cluster confirm=id-c1", true},
		"the only unit, which does not lead yet": {
			func(m *Model, _ *World) { m.Leader = Know(false) }, "cluster c1 is lost; once this unit leads, it can found another", false,
		},
		"two fresh units": {
			func(m *Model, _ *World) { two(m) }, "no known unit holds cluster c1; if it is lost: keep one unit only; 1 more in health", false,
		},
		"two fresh units, the other leads": {func(m *Model, _ *World) {
			two(m)
			m.Leader = Know(false)
		}, "no known unit holds cluster c1; if it is lost: keep one unit only; 1 more in health", false},
		"another that leaves": {func(m *Model, _ *World) { m.Units.Value["etcd/1"] = Dying }, "", false},
		"another that is about to serve it": {func(m *Model, _ *World) {
			two(m)
			o := restoreOf(toServe)
			o.Target = hexID(clusterID)
			m.Cluster.Value.AppBag.Operation = o
		}, "no member of cluster c1 answers here; bring the machines back; 1 more in health", false},
		"another that holds its data": {func(m *Model, _ *World) {
			two(m)
			m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {ClusterID: clusterID}}
		}, "no member of cluster c1 answers here; bring the machines back", false},
		"only another that leaves names it": {func(m *Model, _ *World) {
			m.Units.Value["etcd/1"] = Dying
			m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {ClusterID: clusterID}}
			*m = record(*m, AppBag{})
		}, "no member of cluster c1 answers here; bring the machines back", false},
		"our server answers": {func(_ *Model, w *World) { w.Local.Live = true }, "", false},
		"members are listed": {func(_ *Model, w *World) { w.Members = members(1) }, "", false},
		"a peer that no unit names answers": {func(_ *Model, w *World) {
			w.Peers = []PeerAnswer{{URL: "https://10.0.0.11:2380", Reply: PeerAnswers, ClusterID: clusterID}}
		}, "cluster c1 still answers at 10.0.0.11:2380; copy its data, stop it", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := lostCluster()
			tc.change(&m, &w)
			_, result, err := FoundCluster(map[string]any{"confirm": "c1"}, m, w)
			require.NoError(t, err)
			require.Equal(t, tc.founds, result.Failed == "", result.Failed)
			status := Decide(lookAgain, m, w).Status.Message
			if tc.status != "" {
				assert.Equal(t, tc.status, status)
			}
			_, health, err := Health(nil, m, w)
			require.NoError(t, err)
			for _, text := range []string{status, health.Text, StatusOf(Examine(m, w)).Message} {
				assert.Equal(t, tc.founds, strings.Contains(text, "found-cluster"), text)
			}
		})
	}
}

// peersSay are the answers that a peer may give, with what each means.
var peersSay = []struct {
	answer PeerAnswer
	says   PeerSays
}{
	{PeerAnswer{}, SaysNothing},
	{PeerAnswer{Reply: PeerSilent, ClusterID: clusterID, Members: []uint64{1}}, SaysNothing},
	{PeerAnswer{Reply: PeerUntrusted}, SaysUntrusted},
	{PeerAnswer{Reply: PeerRefuses}, SaysRefused},
	{PeerAnswer{Reply: PeerAnswers, ClusterID: 7, Members: []uint64{1, 2}}, SaysElsewhere},
	{PeerAnswer{Reply: PeerAnswers, ClusterID: clusterID, Members: []uint64{2, 3}}, SaysUnlisted},
	{PeerAnswer{Reply: PeerAnswers, ClusterID: clusterID, Members: []uint64{1, 2}}, SaysListed},
}

func TestWhatAPeerSays(t *testing.T) {
	t.Parallel()
	for _, tc := range peersSay {
		assert.Equal(t, tc.says, tc.answer.Says(clusterID, 1), "%+v", tc.answer)
		assert.Equal(t, tc.answer.Reply == PeerAnswers && tc.answer.ClusterID == clusterID, tc.says.Alive())
	}
}

// A unit whose data is gone asks the peers in its fence before it takes the cluster for lost, and
// asks nobody else, and never otherwise.
func TestWhoIsAskedBeforeAClusterIsLost(t *testing.T) {
	t.Parallel()
	peers := []string{"https://10.0.0.11:2380", "https://10.0.0.12:2380"}
	for name, tc := range map[string]struct {
		change func(*Model, *World)
		want   []string
	}{
		"it seems to be lost": {func(*Model, *World) {}, peers},
		"no fence":            {func(_ *Model, w *World) { w.Fence = Fence{} }, nil},
		"of another cluster":  {func(_ *Model, w *World) { w.Fence.ClusterID = 7 }, nil},
		"data is here":        {func(_ *Model, w *World) { w.Data = Data{State: OurData, ClusterID: clusterID, MemberID: 1} }, nil},
		"another unit":        {func(m *Model, _ *World) { m.Units.Value["etcd/1"] = Alive }, nil},
		"a member answers":    {func(_ *Model, w *World) { w.Reach = NoQuorum }, nil},
		"it ended in order":   {func(m *Model, _ *World) { m.Cluster.Value.AppBag.Ended = clusterID }, nil},
	} {
		m, w := lostCluster()
		w.Fence = Fence{ClusterID: clusterID, MemberID: 1, Peers: peers}
		tc.change(&m, &w)
		assert.Equal(t, tc.want, PeersInDoubt(m, w), name)
	}
}

// lossWorld is a world in which a cluster may be lost, with what a peer in the fence answers.
type lossWorld struct {
	m    Model
	w    World
	peer PeerAnswer
	says PeerSays
}

func (l lossWorld) String() string {
	return fmt.Sprintf("%+v, %+v, %d units, leads %v, %+v", l.w.Data, l.m.Cluster.Value.AppBag, len(l.m.Units.Value), l.m.Leader.Value, l.peer)
}

// lossWorlds are all worlds of some records, disks, units and answers.
func lossWorlds() (out []lossWorld) {
	records := []AppBag{{}, {ClusterID: clusterID}, {ClusterID: clusterID, Replaced: []uint64{5}}, {Ended: clusterID}, {ClusterID: clusterID, Ended: clusterID}}
	ours := Data{State: OurData, ClusterID: clusterID, MemberID: 1, Owner: world(model(1)).Data.Owner}
	disks := []Data{{}, ours, {State: AlienData}, {State: ForeignData, ClusterID: clusterID, MemberID: 1}}
	for i := range len(records) * len(disks) * 4 {
		for _, peer := range peersSay {
			m, w := lostCluster()
			m = record(m, records[i%len(records)])
			w.Data = disks[i/len(records)%len(disks)]
			m.Leader = Know(i/len(records)/len(disks)%2 == 0)
			if i/len(records)/len(disks) > 1 {
				m.Units.Value["etcd/1"] = Alive
			}
			w.Fence = Fence{ClusterID: clusterID, MemberID: 1, Peers: []string{"https://10.0.0.11:2380"}, Replaced: records[i%len(records)].Replaced}
			peer.answer.URL = w.Fence.Peers[0]
			if len(PeersInDoubt(m, w)) > 0 {
				w.Peers = []PeerAnswer{peer.answer}
			}
			out = append(out, lossWorld{m, w, peer.answer, peer.says})
		}
	}
	return out
}

// The gate, the statuses and action found-cluster never contradict each other, whatever the record,
// the disk and the peers say.
func TestNobodyFoundsWhatTheGateFindsAlive(t *testing.T) {
	t.Parallel()
	founded, kept := 0, 0
	for _, l := range lossWorlds() {
		_, result, err := FoundCluster(map[string]any{"confirm": hexID(l.m.Cluster.Value.AppBag.ClusterID)}, l.m, l.w)
		require.NoError(t, err)
		founds := result.Failed == ""
		status := Decide(lookAgain, l.m, l.w).Status.Message
		assert.Equal(t, founds, strings.Contains(status, "found-cluster"), "%s: %s: %s", l, status, result.Failed)
		if founds {
			founded++
			assert.Equal(t, NoData, l.w.Data.State, l)
			assert.False(t, l.says.Alive(), l)
			hold, _ := l.w.Fence.Hold(Data{State: OurData, ClusterID: clusterID, MemberID: 1}, []PeerAnswer{l.peer})
			assert.NotEqual(t, HeldUnlisted, hold, l)
		} else if len(l.w.Peers) > 0 && l.m.Leader.Value {
			kept++
			assert.True(t, l.says.Alive(), l)
		}
	}
	assert.NotZero(t, founded)
	assert.NotZero(t, kept)
}

// A hook that hears of a quorum what the gate hears of a peer bars what the gate holds, and nothing
// else.
func TestAHookBarsWhatTheGateHolds(t *testing.T) {
	t.Parallel()
	barred, free := 0, 0
	for _, l := range lossWorlds() {
		hold, _ := l.w.Fence.Hold(l.w.Data, []PeerAnswer{l.peer})
		if l.m.Cluster.Value.AppBag.Ended != 0 || l.m.Cluster.Value.AppBag.ClusterID == 0 || !l.says.Alive() {
			continue // a survey counts no other cluster than that on record
		}
		l.w.Reach, l.w.ClusterID = Healthy, l.peer.ClusterID
		for _, id := range l.peer.Members {
			l.w.Members = append(l.w.Members, Member{ID: id})
		}
		assert.Equal(t, hold, newView(lookAgain, l.m, l.w).barred(), l)
		m, w := record(l.m, AppBag{ClusterID: 7, Replaced: []uint64{clusterID}}), l.w
		w.Fence.Replaced = []uint64{clusterID}
		replaced, _ := w.Fence.Hold(w.Data, []PeerAnswer{l.peer})
		assert.Equal(t, replaced, newView(lookAgain, m, w).barred(), l)
		if hold == NotHeld {
			free++
		} else {
			barred++
		}
	}
	assert.NotZero(t, barred)
	assert.NotZero(t, free)
}
