package operator

import (
	"cmp"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

func TestStatusOfMembers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		units  int
		change func(*Model, *World)
		level  Level
		want   string
	}{
		{"three", 3, nil, Active, "3/3 voters, leader etcd/2, 3.7.3, db 24 MiB of 2 GiB, cert 364d"},
		{"five", 5, nil, Active, "5/5 voters, leader etcd/4, 3.7.3, db 24 MiB of 2 GiB, cert 364d"},
		{"one", 1, nil, Active, "1/1 voters, leader etcd/0, 3.7.3, db 24 MiB of 2 GiB, cert 364d; survives no failure"},
		{"two", 2, nil, Active, "2/2 voters, leader etcd/1, 3.7.3, db 24 MiB of 2 GiB, cert 364d; survives no failure"},
		{"four", 4, nil, Active, "4/4 voters, leader etcd/3, 3.7.3, db 24 MiB of 2 GiB, cert 364d; survives 1 failure, as 3 would"},
		{"six", 6, nil, Active, "6/6 voters, leader etcd/5, 3.7.3, db 24 MiB of 2 GiB, cert 364d; survives 2 failures, as 5 would"},
		{"one of three is out", 3, func(_ *Model, w *World) {
			*w = down(*w, 1)
		}, Active, "2/3 voters, survives no more failure; does not answer: etcd/1"},
		{"one of five is out", 5, func(_ *Model, w *World) {
			*w = down(*w, 1)
		}, Active, "4/5 voters, survives 1 more failure; does not answer: etcd/1"},
		{"four and one learner", 5, func(_ *Model, w *World) {
			w.Members[1].Learner = true
		}, Active, "4/4 voters, survives 1 failure, as 3 would; learner, no voter yet: etcd/1"},
		{"no quorum", 3, func(_ *Model, w *World) {
			*w = withoutQuorum(*w)
		}, Waiting, "no quorum: 0 of 3 voters ready, 1 answering, 2 needed; bring the other machines back; 3 more in health"},
		{"no space", 3, func(_ *Model, w *World) {
			w.Alarms = []Alarm{{2, "NOSPACE"}}
			w.Members[1].DBSize = 2 << 30
		}, Blocked, "NOSPACE alarm on etcd/1: writes are refused; run action compact, then defrag, then alarm-disarm; 1 more in health"},
		{"mixed versions", 3, func(_ *Model, w *World) {
			w.Members[2].Version = "3.6.14"
		}, Active, "3/3 voters, leader etcd/2, 3.6.14 and 3.7.3, db 24 MiB of 2 GiB, cert 364d"},
		{"long lists are cut", 9, func(m *Model, w *World) {
			for i := range 4 {
				*w = down(*w, i+1)
			}
			w.Members[0].Ready, w.Members[5].Learner, w.Members[0].Leader = false, true, 7
			m.Units.Value["etcd/9"] = Alive
			w.Members[0].CertRemaining, w.TLS.Peer.Remaining, w.Members[5].Version = time.Hour, time.Hour, "3.6.14"
			w.Members[6].Version = "3.5.30"
		}, Waiting, "no quorum: 3 of 8 voters ready, 4 answering, 5 needed; bring the other machines back; 6 more in health"},
		{"unknown quota", 1, func(_ *Model, w *World) {
			w.Members[0].Quota = 0
		}, Active, "1/1 voters, leader etcd/0, 3.7.3, db 24 MiB, cert 364d; survives no failure"},
		{"unreachable", 3, func(_ *Model, w *World) {
			*w = World{Reach: Unreachable}
		}, Waiting, "no member of cluster c1 answers; bring the other machines back"},
		{"not founded", 1, func(m *Model, w *World) {
			*m, *w = fresh(1)
			w.TLS = TLS{}
		}, Waiting, "no cluster has been founded yet"},
		{"lost", 1, func(m *Model, w *World) {
			*m, *w = lostCluster()
		}, Blocked, "cluster c1 is lost; run action found-cluster confirm=c1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyCluster(tc.units)
			if tc.change != nil {
				tc.change(&m, &w)
			}
			assert.Equal(t, Status{tc.level, tc.want}, StatusOf(Examine(m, w)))
		})
	}
}

func TestStatusOfProxies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*Model, *World)
		want   Status
	}{
		{"all answer", nil, Status{Active, "proxy on 127.0.0.1:2379, 3/3 members reachable, 3.7.3, cert 364d"}},
		{"one is silent", func(_ *Model, w *World) {
			w.Upstream[1].Answers = false
		}, Status{Active, "2/3 members reachable; does not answer: etcd1"}},
		{"all are silent", func(_ *Model, w *World) {
			w.Upstream = []UpstreamProbe{{Name: "etcd0"}}
		}, Status{Waiting, "no member of upstream answers: etcd0"}},
		{"no relation", func(m *Model, w *World) {
			m.Upstream, w.Upstream = Know([]databag.Relation{}), nil
		}, Status{Blocked, "needs a cluster; juju integrate etcd-proxy:upstream <etcd application>:proxy"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyProxy(3)
			if tc.change != nil {
				tc.change(&m, &w)
			}
			assert.Equal(t, tc.want, StatusOf(Examine(m, w)))
		})
	}
}

func TestReasonsNameOnlyActionsThatExist(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`run action ([a-z-]+)|(alarm-disarm|compact|defrag|found-cluster)`)
	found := 0
	for _, e := range catalogue {
		for _, match := range named.FindAllStringSubmatch(e.text+" "+e.remedy, -1) {
			assert.Contains(t, Actions, cmp.Or(match[1], match[2]), e.name)
			found++
		}
	}
	assert.NotZero(t, found)
	assert.Contains(t, Actions, "health") // line
}
