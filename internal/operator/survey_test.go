package operator

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorded are the raw answers of real servers in one situation; units and clusters are numbered
// from 1. internal/host, TestAnswers, compares them with real servers.
func recorded(t *testing.T, situation string) []Answer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "answers", strings.ReplaceAll(situation, " ", "-")+".json"))
	require.NoError(t, err)
	var answers []Answer
	require.NoError(t, json.Unmarshal(text, &answers))
	return answers
}

// surveyOf makes a survey ask as the host does, and gives it the answers; all other URLs are
// silent. It returns what was found and which URLs were asked.
func surveyOf(m Model, data Data, own string, live bool, answers []Answer) (SurveyResult, []string) {
	s := NewSurvey(m, data, own, nil)
	var asked []string
	for urls := s.Ask(); len(urls) > 0; urls = s.Ask() {
		asked = append(asked, urls...)
		for _, url := range urls {
			a := Answer{URL: url}
			if at := slices.IndexFunc(answers, func(a Answer) bool { return a.URL == url }); at >= 0 {
				a = answers[at]
			}
			s.Add(a)
		}
	}
	return s.Find(live, live), asked
}

func clientAt(n int) string { return fmt.Sprintf("https://10.0.0.%d:2379", n) }

// TestSurvey is rule 2, "unreachable is not absent", over what real servers say.
func TestSurvey(t *testing.T) {
	t.Parallel()
	three, alone, removed := recorded(t, "three"), recorded(t, "first alone"), recorded(t, "third removed")
	stale := append(slices.Clone(removed[:2]), recorded(t, "third alone")[2])
	silent := []Answer(nil)
	ours := func(cluster, member uint64) Data { return Data{State: OurData, ClusterID: cluster, MemberID: member} }
	for name, tt := range map[string]struct {
		words   []int  // the units whose bags name a client URL and the recorded cluster
		record  uint64 // the cluster on record; 0 is none
		data    Data   // of the unit that looks, which is not one of words
		own     int    // its own server's number; 0 is none
		live    bool   // its own server is live on its metrics URL
		answers []Answer

		reach   Reach
		cluster uint64
		answer  []uint64 // the members that answer
		members int
		turn    bool
	}{
		"all is well":               {words: []int{2, 3}, record: 1, data: ours(1, 1), own: 1, live: true, answers: three, reach: Healthy, cluster: 1, answer: []uint64{1, 2, 3}, members: 3, turn: true},
		"a unit without data looks": {words: []int{1, 2, 3}, record: 1, answers: three, reach: Healthy, cluster: 1, answer: []uint64{1, 2, 3}, members: 3, turn: true},
		"one bag leads to all":      {words: []int{2}, record: 1, answers: three, reach: Healthy, cluster: 1, answer: []uint64{1, 2, 3}, members: 3, turn: true},

		"cut off from the others":       {words: []int{2, 3}, record: 1, data: ours(1, 1), own: 1, live: true, answers: alone, reach: NoQuorum, cluster: 1, answer: []uint64{1}, members: 3},
		"others hear each other only":   {words: []int{2, 3}, record: 1, data: ours(1, 1), own: 1, answers: three[1:], reach: Healthy, cluster: 1, answer: []uint64{2, 3}, members: 3, turn: true},
		"silence of a named cluster":    {words: []int{2, 3}, record: 1, answers: silent, reach: Unreachable},
		"silence, with data":            {record: 1, data: ours(1, 1), answers: silent, reach: Unreachable},
		"silence, and nobody is named":  {answers: silent, reach: Absent},
		"silence, and data lies here":   {data: Data{State: AlienData}, answers: silent, reach: Unreachable},
		"a unit that only came up":      {words: nil, record: 0, answers: three, reach: Absent},
		"started without quorum":        {words: []int{2}, record: 1, data: ours(1, 1), own: 1, live: true, answers: recorded(t, "restarted without quorum"), reach: NoQuorum, cluster: 1},
		"a member that others reach":    {words: []int{}, record: 1, data: ours(1, 1), own: 1, live: true, answers: recorded(t, "only others reach it"), reach: Healthy, cluster: 1, answer: []uint64{1}, members: 2, turn: true},
		"a learner answers":             {words: []int{1, 2}, record: 1, answers: recorded(t, "learner"), reach: Healthy, cluster: 1, answer: []uint64{1, 2}, members: 2, turn: true},
		"only a learner answers":        {words: []int{1, 2}, record: 1, answers: recorded(t, "learner")[1:], reach: NoQuorum, cluster: 1},
		"a stale list is not believed":  {words: []int{1, 2, 3}, record: 1, answers: stale, reach: Healthy, cluster: 1, answer: []uint64{1, 2}, members: 2, turn: true},
		"only a stale list is heard":    {words: []int{3}, record: 1, answers: stale[2:], reach: NoQuorum, cluster: 1, answer: []uint64{3}, members: 3},
		"the recorded one of two":       {words: []int{1, 2}, record: 2, answers: recorded(t, "two clusters"), reach: Healthy, cluster: 2, answer: []uint64{2}, members: 1, turn: true},
		"two, none on record":           {words: []int{1, 2}, answers: recorded(t, "two clusters"), reach: Healthy, cluster: 1, answer: []uint64{1}, members: 1, turn: true},
		"another cluster than recorded": {words: []int{1}, record: 9, answers: three, reach: Unreachable},
		"our own, which nobody names":   {words: []int{2}, record: 2, data: ours(1, 1), own: 1, live: true, answers: recorded(t, "two clusters")[:1], reach: Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Cluster{AppBag: AppBag{ClusterID: tt.record}, UnitBags: map[string]UnitBag{}}
			units := map[string]Life{"etcd/0": Alive}
			for _, n := range tt.words {
				unit := fmt.Sprintf("etcd/%d", n)
				named := tt.record
				if named == 0 {
					named = uint64(n)
				}
				url := clientAt(n)
				units[unit], c.UnitBags[unit] = Alive, UnitBag{ClientURL: url, ClusterID: named}
			}
			own := ""
			if tt.own != 0 {
				own = clientAt(tt.own)
			}
			got, _ := surveyOf(Model{Units: Know(units), Cluster: Know(c)}, tt.data, own, tt.live, tt.answers)
			assert.Equal(t, tt.reach, got.Reach)
			assert.Equal(t, tt.cluster, got.ClusterID)
			assert.Len(t, got.Members, tt.members)
			var answer []uint64
			for _, m := range got.Members {
				if m.Answers {
					answer = append(answer, m.ID)
				}
			}
			assert.Equal(t, tt.answer, answer)
			assert.Equal(t, tt.turn, got.Turn.Known)
			if tt.reach != Healthy {
				assert.False(t, got.Turn.Known, "without a quorum nobody knows the turn")
			}
		})
	}
}

// TestSurveyAsks: a survey asks every URL that bags, lists or an earlier look name, each once.
func TestSurveyAsks(t *testing.T) {
	t.Parallel()
	word := func(id uint64) UnitBag { return UnitBag{ClusterID: id, ClientURL: clientAt(2)} }
	for name, tt := range map[string]struct {
		record   AppBag
		words    map[string]UnitBag
		unknown  bool // the peer relation
		data     Data
		asked    []string
		silence  Reach  // what silence then means
		clusters uint64 // whose answers count; 0 is any cluster
	}{
		"nobody":                          {silence: Absent},
		"the peer relation is unknown":    {unknown: true, silence: Unreachable},
		"the record alone":                {record: AppBag{ClusterID: 1}, silence: Absent, clusters: 1},
		"a record that ended":             {record: AppBag{ClusterID: 1, Ended: 1}, silence: Absent},
		"a record founded again":          {record: AppBag{ClusterID: 2, Ended: 1}, silence: Absent, clusters: 2},
		"another unit":                    {words: map[string]UnitBag{"etcd/1": word(3)}, asked: []string{clientAt(2)}, silence: Unreachable, clusters: 3},
		"a unit that only came up":        {words: map[string]UnitBag{"etcd/1": {PeerURL: clientAt(2)}}, silence: Absent},
		"a unit that founded and died":    {words: map[string]UnitBag{"etcd/1": {ClientURL: clientAt(2)}}, asked: []string{clientAt(2)}, silence: Absent},
		"a unit that is gone":             {words: map[string]UnitBag{"etcd/9": word(3)}, silence: Absent},
		"a unit that stopped":             {words: map[string]UnitBag{"etcd/1": {ClusterID: 3, ClientURL: clientAt(2), Stopped: true}}, silence: Absent},
		"the record counts, not the unit": {record: AppBag{ClusterID: 1}, words: map[string]UnitBag{"etcd/1": word(3)}, asked: []string{clientAt(2)}, silence: Unreachable, clusters: 1},
		"our data":                        {data: Data{State: OurData, ClusterID: 4}, silence: Unreachable, clusters: 4},
		"our data is of another cluster":  {data: Data{State: OurData, ClusterID: 4}, record: AppBag{ClusterID: 1}, silence: Unreachable, clusters: 1},
		"data that is not ours":           {data: Data{State: AlienData}, silence: Unreachable},
	} {
		m := Model{
			Units:   Know(map[string]Life{"etcd/0": Alive, "etcd/1": Dying}),
			Cluster: Know(Cluster{AppBag: tt.record, UnitBags: tt.words}),
		}
		if tt.unknown {
			m.Cluster = Unknown[Cluster]("not visible")
		}
		got, asked := surveyOf(m, tt.data, "", false, nil)
		assert.Equal(t, tt.silence, got.Reach, name)
		assert.Equal(t, tt.asked, asked, name)
		s := NewSurvey(m, tt.data, "", nil)
		for _, id := range []uint64{1, 2, 3, 4, 5} {
			assert.Equal(t, tt.clusters == 0 || tt.clusters == id, s.counts(id), "%s: cluster %d", name, id)
		}
	}
	s := NewSurvey(Model{}, Data{}, clientAt(1), []string{clientAt(1), clientAt(2), ""})
	assert.Equal(t, []string{clientAt(1), clientAt(2)}, s.Ask())
	assert.Empty(t, s.Ask())
	healthy := s.Add(Answer{URL: clientAt(1), ClusterID: 1, MemberID: 1, Linear: []Member{{ID: 3, ClientURLs: []string{clientAt(3), clientAt(2)}}}})
	assert.True(t, healthy)
	assert.Equal(t, []string{clientAt(3)}, s.Ask(), "each is asked once")
}

// TestSurveyLocal: our own server is asked on this machine, and kept apart from the cluster that
// counts.
func TestSurveyLocal(t *testing.T) {
	t.Parallel()
	m := Model{Units: Know(map[string]Life{"etcd/0": Alive}), Cluster: Know(Cluster{AppBag: AppBag{ClusterID: 1}})}
	own := Answer{URL: "https://127.0.0.1:2379", ClusterID: 1, MemberID: 2}
	learns := []Member{{ID: 1, Name: "etcd0", ClientURLs: []string{clientAt(1)}}, {ID: 2, Name: "etcd1", ClientURLs: []string{clientAt(2)}, Learner: true}}
	other := Answer{URL: clientAt(1), ClusterID: 1, MemberID: 1, List: learns, Linear: learns, Self: Member{Ready: true}}
	data := Data{State: OurData, ClusterID: 1, MemberID: 2}
	m.Cluster.Value.UnitBags = map[string]UnitBag{"etcd/1": {ClusterID: 1, ClientURL: clientAt(1)}}
	m.Units.Value["etcd/1"] = Alive

	got, asked := surveyOf(m, data, own.URL, true, []Answer{own, other})
	assert.Equal(t, Local{Live: true, ClusterID: 1, MemberID: 2, Voters: 1}, got.Local, "a learner that takes itself for a voter is not ready")
	assert.Equal(t, []string{own.URL, clientAt(1)}, asked, "not at the address that it advertises")

	got, _ = surveyOf(m, data, own.URL, true, nil)
	assert.Equal(t, Local{Live: true, Ready: true, ClusterID: 1, MemberID: 2}, got.Local, "on its metrics URL only")
	got, _ = surveyOf(m, data, "", false, nil)
	assert.Equal(t, Local{}, got.Local)
}

// TestSurveyMembers: two answers of one member are one, and the ready one counts.
func TestSurveyMembers(t *testing.T) {
	t.Parallel()
	list := []Member{{ID: 2, Name: "etcd1", ClientURLs: []string{clientAt(2)}}, {ID: 1, Name: "etcd0"}}
	got := describe(list, []Answer{
		{MemberID: 2, Self: Member{Version: "slow"}}, {MemberID: 2, Self: Member{Version: "ready", Ready: true}}, {MemberID: 2},
	})
	assert.Equal(t, []Member{{ID: 1, Name: "etcd0"}, {ID: 2, Name: "etcd1", ClientURLs: []string{clientAt(2)}, Answers: true, Ready: true, Version: "ready"}}, got)
}

// Only our own server is asked whether authentication is on, and its answer counts only if it is of
// the cluster that was reached.
func TestSurveyOfAuthentication(t *testing.T) {
	t.Parallel()
	for _, cluster := range []uint64{1, 2} {
		on := Answer{URL: clientAt(1), ClusterID: cluster, MemberID: 1, Auth: true}
		c := Cluster{AppBag: AppBag{ClusterID: 1}}
		s := NewSurvey(Model{Cluster: Know(c)}, Data{}, clientAt(1), nil)
		assert.True(t, s.Own(clientAt(1)))
		assert.False(t, s.Own(clientAt(2)))
		s.Add(on)
		assert.Equal(t, cluster == 1, s.Find(true, false).Auth)
	}
	assert.False(t, NewSurvey(Model{}, Data{}, "", nil).Own(""))
}

// TestAlarmText: alarms are read from the text of a member's status; internal/host, TestAlarm,
// compares that with a real server.
func TestAlarmText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []Alarm{{Kind: "CORRUPT"}, {MemberID: 3, Kind: "CORRUPT"}, {MemberID: 7, Kind: "NOSPACE"}}, alarmsIn([]Answer{
		{Self: Member{Errors: []string{"etcdserver: no leader", "memberID:7 alarm:NOSPACE", "memberID:7  alarm:NOSPACE "}}},
		{Self: Member{Errors: []string{"memberID:99999999999999999999 alarm:CORRUPT", "memberID:3 alarm:CORRUPT", "alarm:CORRUPT"}}},
	}))
}

// A server on a copy of another's disk says that it is that member, as the member itself does.
func TestSurveyFindsATwin(t *testing.T) {
	t.Parallel()
	m := model(3)
	for url, want := range map[string]bool{"https://" + address(1) + ":2379": true, "https://" + address(2) + ":2379": false} {
		s := NewSurvey(m, Data{State: OurData, ClusterID: clusterID, MemberID: 2}, "https://127.0.0.1:2379", nil)
		s.Add(Answer{URL: "https://127.0.0.1:2379", ClusterID: clusterID, MemberID: 2})
		id := uint64(3)
		if want {
			id = 2
		}
		s.Add(Answer{URL: url, ClusterID: clusterID, MemberID: id})
		assert.Equal(t, want, s.Find(true, true).Local.Twin, url)
	}
}

// TestSurveyIsNotMisled: an address that leads back to this machine is not asked, and is reported,
// whether a bag or a member list names it. Our own server is asked wherever it listens.
func TestSurveyIsNotMisled(t *testing.T) {
	t.Parallel()
	model := func(ingress, named string) Model {
		return Model{
			ClientAddress: Know(Address{Ingress: ingress}),
			Cluster: Know(Cluster{AppBag: AppBag{ClusterID: 1}, UnitBags: map[string]UnitBag{
				"etcd/1": {ClusterID: 1, MemberID: 2, ClientURL: named}, "etcd/2": {ClusterID: 1, MemberID: 3, ClientURL: clientAt(3)},
			}}),
		}
	}
	listing := []Answer{{URL: clientAt(3), ClusterID: 1, MemberID: 3, Linear: []Member{
		{ID: 2, ClientURLs: []string{"https://169.254.0.9:2379", "https://localhost:2379"}}, {ID: 4, ClientURLs: []string{clientAt(4)}},
	}}}
	const own = "https://127.0.0.1:2379"
	asked := func(m Model) ([]string, []string) {
		s := NewSurvey(m, Data{}, own, nil)
		var asked []string
		for urls := s.Ask(); len(urls) > 0; urls = s.Ask() {
			asked = append(asked, urls...)
			for _, url := range urls {
				a := Answer{URL: url}
				if url == clientAt(3) {
					a = listing[0]
				}
				s.Add(a)
			}
		}
		return asked, s.Misled()
	}
	urls, misled := asked(model("10.0.0.1", "https://127.0.0.9:2379"))
	assert.Equal(t, []string{own, clientAt(3), clientAt(4)}, urls)
	assert.Equal(t, []string{
		"https://127.0.0.9:2379, a loopback address", "https://169.254.0.9:2379, a link-local address", "https://localhost:2379, a loopback address",
	}, misled)

	urls, misled = asked(model("127.0.0.1", "https://127.0.0.9:2379"))
	assert.Equal(t, []string{own, "https://127.0.0.9:2379", clientAt(3), "https://localhost:2379", clientAt(4)}, urls)
	assert.Equal(t, []string{"https://169.254.0.9:2379, a link-local address"}, misled)

	unknown := model("", "https://127.0.0.9:2379")
	unknown.ClientAddress = Known[Address]{}
	urls, misled = asked(unknown)
	assert.Len(t, urls, 6, "who does not know its own address judges none")
	assert.Empty(t, misled)
}
