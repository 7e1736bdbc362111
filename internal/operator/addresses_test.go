package operator

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		a    Address
		all  bool
		want []string
	}{
		{"wildcard", Address{"10.0.0.5", "10.0.0.5", []string{"10.0.0.5"}}, true, []string{"https://0.0.0.0:2379"}},
		{"wildcard of IPv6", Address{"fd00::5", "fd00::5", []string{"fd00::5"}}, true, []string{"https://[::]:2379"}},
		{"one address and loopback", Address{"10.0.0.5", "10.0.0.5", []string{"10.0.0.5"}}, false, []string{"https://10.0.0.5:2379", "https://127.0.0.1:2379"}},
		{"a loopback address keeps to itself", Address{"127.3.0.5", "127.3.0.5", []string{"127.3.0.5"}}, true, []string{"https://127.3.0.5:2379"}},
		{"a floating address cannot be bound", Address{"198.51.100.1", "10.0.0.5", []string{"10.0.0.5"}}, true, []string{"https://0.0.0.0:2379"}},
		{"what a floating address stands for", Address{"198.51.100.1", "10.0.0.5", []string{"10.0.0.5"}}, false, []string{"https://10.0.0.5:2379", "https://127.0.0.1:2379"}},
		{"what a name stands for", Address{"node.example", "10.0.0.5", []string{"10.0.0.5"}}, false, []string{"https://10.0.0.5:2379", "https://127.0.0.1:2379"}},
		{"loopback behind a floating address", Address{"127.103.0.5", "127.3.0.5", []string{"127.3.0.5"}}, true, []string{"https://127.3.0.5:2379"}},
		{"nothing but a name", Address{"node.example", "", nil}, false, []string{"https://0.0.0.0:2379"}},
		{"nothing but a floating IPv6 address", Address{"2001:db8::1", "", nil}, false, []string{"https://[::]:2379"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := newView(Event{}, Model{Config: Config{BindToAllInterfaces: test.all}}, World{})
			assert.Equal(t, test.want, v.listen(test.a, 2379))
		})
	}
}

func TestWordTellsThePortThatIsServed(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	m.Config.Port = 4001
	w.Members[2].Ready = false // the restart waits
	w.Tried = []Attempt{{Step: AwaitPeer{}}}
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	require.NotNil(t, wordOf(p))
	assert.Equal(t, "https://10.0.0.10:2379", wordOf(p).ClientURL)
	m.ClientAddress = Know(Address{Ingress: address(5), All: []string{address(5)}})
	w.TLS = certified(m)
	assert.Equal(t, "https://10.0.0.15:2379", wordOf(Decide(lookAgain, m, w)).ClientURL, "at the address that we have now")
	m.Config.ManagementPort = 4002
	assert.Equal(t, UpdateMember{1, "https://10.0.0.15:2380"}, peerAt(m, w, 5), "others are told of an address at once")
	w.Service.Config = newView(Event{}, m, w).desiredDigest
	w.Members[0].PeerURLs = []string{"https://10.0.0.10:4002"}
	w.WrittenConfig = w.Service.Config
	assert.Equal(t, "https://10.0.0.15:4001", wordOf(Decide(lookAgain, m, w)).ClientURL)
}

// peerAt is the first step once our machine has address n, with certificates that name it.
func peerAt(m Model, w World, n int) Step {
	m.PeerAddress = Know(Address{Ingress: address(n), All: []string{address(n)}})
	w.TLS = certified(m)
	return Decide(lookAgain, m, w).Step
}

func TestPeersHearOfAPortAfterTheRestart(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	m.Config.ManagementPort = 4002
	require.IsType(t, TakeTurn{}, firstStep(m, w), "first it has to listen there")
	s := *newView(Event{}, m, w).desired
	w.Service.Config, w.WrittenConfig, w.WrittenInitial = s.Digest(), s.Digest(), s.Initial
	assert.Equal(t, UpdateMember{1, "https://10.0.0.10:4002"}, firstStep(m, w))
}

func TestPeersHearOfAnAddressBeforeWeAreReady(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := down(world(m), 0)
	m.ClientAddress = Know(Address{Ingress: address(5), All: []string{address(5)}})
	w.Local.Ready = false // far behind: the leader sends a snapshot to the address in etcd's list
	assert.Equal(t, UpdateMember{1, "https://10.0.0.15:2380"}, peerAt(m, w, 5))
	w.Local.Live = false
	assert.Equal(t, AwaitReady{Learner: true}, peerAt(m, w, 5), "it is about to listen there")
	w.Reach = NoQuorum
	assert.Nil(t, peerAt(m, w, 5), "nobody can be told")
}

func TestPeersHearOfAnAddressOnceWeListenThere(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	m.Config.BindToAllInterfaces = false
	w.Service.Config, w.WrittenConfig = "as it was", "as it was"
	assert.IsType(t, TakeTurn{}, peerAt(m, w, 5), "our server keeps to the address it was started with")
	w.Local.Ready, w.Members[0].Ready = false, false
	w.Tried = []Attempt{{AwaitReady{}, errors.New("no")}}
	assert.IsType(t, TakeTurn{}, peerAt(m, w, 5), "without its address it is not ready, and nobody misses it")
	assert.Nil(t, peerAt(m, down(w, 1), 5), "but the others have to be")
}

// etcd takes one learner at a time, even if that one is ourselves under an earlier port or address.
func TestWhoJoinsAtAnotherURLTakesTheFirstLineOut(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := wiped(world(m))
	w.Members = append(members(3)[1:], Member{ID: 9, Learner: true, PeerURLs: []string{"https://10.0.0.10:4001"}})
	assert.Equal(t, RemoveMember{ID: 9, Name: "etcd/0", Why: "it joins at another URL", Unstarted: true}, firstStep(m, w))
	w.Members[2].PeerURLs = []string{"https://10.0.0.99:2380"}
	assert.Equal(t, AwaitLearner{9}, firstStep(m, w), "another's is not ours to take out")
	m.Memory.Value.Learner = "https://10.0.0.99:2380"
	assert.Equal(t, RemoveMember{ID: 9, Name: "etcd/0", Why: "it joins at another URL", Unstarted: true}, firstStep(m, w), "unless we remember it")
}

// The learner that has not started is remembered even if its machine's disk is lost, and forgotten
// once it is no longer true.
func TestTheLearnerIsRemembered(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	url := w.Members[0].PeerURLs[0]
	assert.Empty(t, after(m, Decide(lookAgain, m, w)).Learner)
	joined := w
	joined.Done = []Step{AddLearner{url}}
	assert.Empty(t, after(m, Decide(lookAgain, m, joined)).Learner, "it has started")
	joined.Members = append([]Member{{ID: 1, Learner: true, PeerURLs: []string{url}}}, w.Members[1:]...)
	joined.Tried = []Attempt{{Promote{1}, errors.New("not yet")}}
	assert.Equal(t, url, after(m, Decide(lookAgain, m, joined)).Learner)
	joined.Reach, joined.Members = NoQuorum, nil
	assert.Equal(t, url, after(m, Decide(lookAgain, m, joined)).Learner, "whether it has started is not known")
	m.Memory.Value.Learner = url
	assert.Empty(t, after(m, Decide(lookAgain, m, w)).Learner)
}

// A member whose machine runs on although its unit is gone counts for the members that stop or
// restart now.
func TestAReadyVoterIsTakenOutInTurn(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	delete(m.Units.Value, "etcd/2")
	assert.Equal(t, TakeTurn{}, firstStep(m, w))
	w.Turn.Holder = m.Unit
	assert.Equal(t, TakeTurn{}, firstStep(m, w), "one that is left over is prolonged")
	w.Done = []Step{TakeTurn{}}
	assert.IsType(t, RemoveMember{}, firstStep(m, w))
	w.Turn.Holder = "etcd/1"
	assert.IsType(t, RemoveMember{}, firstStep(m, down(w, 2)), "nobody counts on one that is down")
}
