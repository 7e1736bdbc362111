package host

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func TestNameMembers(t *testing.T) {
	t.Parallel()
	word := func(id uint64) operator.Word { return operator.Word{ClusterID: id, ClientURL: "https://b"} }
	for name, tt := range map[string]struct {
		record operator.Record
		words  map[string]operator.Word
		data   operator.Data
		want   named
	}{
		"nobody":                   {},
		"the record alone":         {record: operator.Record{ClusterID: 1}, want: named{clusters: []uint64{1}}},
		"a record that ended":      {record: operator.Record{ClusterID: 1, Ended: 1}},
		"a record founded anew":    {record: operator.Record{ClusterID: 2, Ended: 1}, want: named{clusters: []uint64{2}}},
		"another unit":             {words: map[string]operator.Word{"etcd/1": word(3)}, want: named{urls: []string{"https://b"}, clusters: []uint64{3}, anybody: true}},
		"a unit that only came up": {words: map[string]operator.Word{"etcd/1": {PeerURL: "https://b"}}},
		"a unit that is gone":      {words: map[string]operator.Word{"etcd/9": word(3)}},
		"a unit that stopped": {
			words: map[string]operator.Word{"etcd/1": {ClusterID: 3, ClientURL: "https://b", Stopped: true}},
		},
		"the record counts, not the unit": {
			record: operator.Record{ClusterID: 1}, words: map[string]operator.Word{"etcd/1": word(3)},
			want: named{urls: []string{"https://b"}, clusters: []uint64{1}, anybody: true},
		},
		"our data": {data: operator.Data{State: operator.OurData, ClusterID: 4}, want: named{clusters: []uint64{4}, anybody: true}},
		"our data is of another cluster": {
			data: operator.Data{State: operator.OurData, ClusterID: 4}, record: operator.Record{ClusterID: 1},
			want: named{clusters: []uint64{1}, anybody: true},
		},
		"data that is not ours": {data: operator.Data{State: operator.AlienData}, want: named{anybody: true}},
	} {
		m := operator.Model{
			Units:   operator.Know(map[string]operator.Life{"etcd/0": operator.Alive, "etcd/1": operator.Dying}),
			Cluster: operator.Know(operator.Cluster{Record: tt.record, Words: tt.words}),
		}
		assert.Equal(t, tt.want, nameMembers(m, tt.data), name)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	said := func(url string, cluster, member uint64, linear bool) answer {
		a := answer{url: url, status: &etcdserverpb.StatusResponse{Header: &etcdserverpb.ResponseHeader{ClusterId: cluster, MemberId: member}}}
		a.list = []*etcdserverpb.Member{{ID: member, Name: url}}
		if linear {
			a.linear, a.ready = a.list, true
		}
		return a
	}
	for name, tt := range map[string]struct {
		own     string
		answers []answer
		cluster uint64
		linear  bool
		list    string // whose
		left    int
	}{
		"nobody":                    {},
		"a local view":              {answers: []answer{said("a", 1, 1, false)}, cluster: 1, list: "a", left: 1},
		"our own local view first":  {own: "b", answers: []answer{said("a", 1, 1, false), said("b", 1, 2, false)}, cluster: 1, list: "b", left: 2},
		"linearizable beats local":  {own: "a", answers: []answer{said("a", 1, 1, false), said("b", 1, 2, true)}, cluster: 1, linear: true, list: "b", left: 2},
		"linearizable beats a twin": {answers: []answer{said("a", 1, 1, false), said("b", 2, 2, true)}, cluster: 2, linear: true, list: "b", left: 1},
		"of two, the lower":         {answers: []answer{said("a", 2, 1, true), said("b", 1, 2, true)}, cluster: 1, linear: true, list: "b", left: 1},
	} {
		v := view{own: tt.own, answers: tt.answers}
		v.settle()
		assert.Equal(t, tt.cluster, v.clusterID, name)
		assert.Equal(t, tt.linear, v.linear, name)
		assert.Len(t, v.answers, tt.left, name)
		if tt.list != "" && assert.NotEmpty(t, v.members, name) {
			assert.Equal(t, tt.list, v.members[0].Name, name)
		}
	}
}

func TestAlarmText(t *testing.T) {
	t.Parallel()
	v := view{answers: []answer{{status: &etcdserverpb.StatusResponse{Errors: []string{
		"etcdserver: no leader", "memberID:7 alarm:NOSPACE", "memberID:7  alarm:NOSPACE ", "memberID:99999999999999999999 alarm:CORRUPT",
		(&etcdserverpb.AlarmMember{MemberID: 3, Alarm: etcdserverpb.AlarmType_CORRUPT}).String(),
		(&etcdserverpb.AlarmMember{Alarm: etcdserverpb.AlarmType_CORRUPT}).String(),
	}}}}}
	assert.Equal(t, []operator.Alarm{{Kind: "CORRUPT"}, {MemberID: 3, Kind: "CORRUPT"}, {MemberID: 7, Kind: "NOSPACE"}}, v.alarms())
}

// TestAlarm: a real server says of an alarm what alarmText reads.
func TestAlarm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.config.QuotaBytes = 1 << 20
	a := f.add(t)
	id := a.found().Data.MemberID
	cl, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer cl.Close()
	a.eventually("no space", func(w operator.World) bool {
		_, _ = cl.Put(t.Context(), "k", strings.Repeat("x", 1<<19))
		return len(w.Alarms) > 0
	})
	w := a.look()
	assert.Equal(t, []operator.Alarm{{MemberID: id, Kind: "NOSPACE"}}, w.Alarms)
	assert.Equal(t, operator.Healthy, w.Reach)
	assert.True(t, w.Members[0].Ready, "it still reads")
	assert.NotEmpty(t, w.Members[0].Errors)
}

// TestSilence: members that take connections and say nothing do not hold up the hook.
func TestSilence(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	u, silent := f.add(t), f.add(t)
	u.prepare()
	l, err := net.Listen("tcp", silent.ip+":2379")
	require.NoError(t, err)
	defer l.Close()
	silent.word = operator.Word{ClusterID: 1, ClientURL: silent.url(2379)}
	gone := f.add(t)
	gone.word = operator.Word{ClusterID: 1, ClientURL: gone.url(2379)}
	began := time.Now()
	w := u.look()
	assert.Equal(t, operator.Unreachable, w.Reach)
	assert.Less(t, time.Since(began), 5*time.Second)

	// Where the cluster is healthy, the silent get a grace only.
	named := silent.word
	silent.word, gone.word = operator.Word{}, operator.Word{}
	w = f.add(t).found()
	silent.word = operator.Word{ClusterID: w.ClusterID, ClientURL: named.ClientURL}
	began = time.Now()
	assert.Equal(t, operator.Healthy, u.look().Reach)
	assert.Less(t, time.Since(began), probeTime)
}

func TestLocalURL(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"":                            "",
		"nonsense":                    "",
		"https://10.0.0.1:2379":       "https://10.0.0.1:2379",
		"https://0.0.0.0:2379":        "https://127.0.0.1:2379",
		"https://[::]:2379":           "https://[::1]:2379",
		"https://a:1,https://b:2":     "https://a:1",
		"http://127.0.0.1:2381":       "http://127.0.0.1:2381",
		"https://[fd00::1]:2379,x://": "https://[fd00::1]:2379",
	} {
		assert.Equal(t, want, localURL(listen), listen)
	}
}

// BenchmarkObserve is a healthy look by a member of two.
func BenchmarkObserve(b *testing.B) {
	f := newFleet(b)
	first, second := f.add(b), f.add(b)
	first.found()
	second.join()
	for b.Loop() {
		require.Equal(b, operator.Healthy, first.look().Reach)
	}
}
