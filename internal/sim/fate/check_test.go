package fate

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestChecksSee does to a healthy application what no hook may ever do, and requires that the
// checks notice it.
func TestChecksSee(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		do   func(*Sim)
		want string
	}{
		{"an acknowledged write lost", func(s *Sim) {
			s.lag = true
			s.write()
			for _, u := range s.units {
				u.disk.data.index = 1
			}
			s.groups[0].leader = 0
		}, "is lost"},
		{"a second cluster", func(s *Sim) {
			g := *s.groups[0]
			g.id++
			s.groups = append(s.groups, &g)
		}, "grew, but the application's is"},
		{"a member without a unit", func(s *Sim) {
			g := s.groups[0]
			g.members = append(g.members, &member{id: 9, name: "etcd9", peerURL: "x", learner: true, owner: &unit{life: dead}})
		}, "4 members of 3 units"},
		{"endpoints that are not true any more", func(s *Sim) {
			for _, u := range s.units {
				pub := u.consumers["proxy:1"]
				pub.cluster = "etcd0=https://10.0.0.99:2380,etcd1=x,etcd2=y"
				u.consumers["proxy:1"] = pub
			}
		}, "consumers are told"},
		{"units that tell consumers different things", func(s *Sim) {
			pub := s.units[1].consumers["proxy:1"]
			pub.version = "3.6.0"
			s.units[1].consumers["proxy:1"] = pub
		}, "another"},
		{"a certificate that nobody put on record", func(s *Sim) {
			s.writeTLS(s.units[1], operator.WriteTLS{Authority: authority(), Peer: true})
		}, "is not on record"},
		{"a certificate taken off the record", func(s *Sim) {
			r := s.record()
			r.Leaves = r.Leaves[1:]
			s.checkRecord(nil, r)
		}, "is taken off the record"},
		{"a unit that stays and is refused", func(s *Sim) {
			refused := operator.Refused{Client: []string{s.units[2].disk.tls.Server.Serial}}
			s.writeTLS(s.units[1], operator.WriteTLS{Revoked: &operator.Revoked{Refused: refused}})
		}, "refuses a certificate of etcd/2, which stays"},
		{"a unit that left and is not refused", func(s *Sim) {
			s.ForceRemove(s.units[2], false)
			s.groups[0].members = slices.DeleteFunc(s.groups[0].members, func(m *member) bool { return m.owner == s.units[2] })
			for _, u := range s.units {
				pub := u.consumers["proxy:1"]
				pub.cluster = listed(s.groups[0], func(m *member) string { return m.name + "=" + m.peerURL })
				pub.clientURLs = listed(s.groups[0], func(m *member) string { return m.clientURL })
				u.consumers["proxy:1"] = pub
			}
		}, "and those of units that left are"},
		{"data given up that no majority has", func(s *Sim) {
			g := s.groups[0]
			id := s.units[1].disk.data.member
			g.accuse(id)
			s.units[2].disk.data.rot = true
			s.checkGivenUp(s.units[1], g, id)
		}, "gives its data up though 1 others of 3 voters have what was agreed"},
		{"CORRUPT taken back of a member that is there", func(s *Sim) {
			s.checkDisarm(s.units[0], s.groups[0], s.units[1].disk.data.member)
		}, "which is there"},
		{"CORRUPT that nobody answers", func(s *Sim) {
			s.groups[0].accuse(s.units[1].disk.data.member)
		}, "alarm CORRUPT is raised"},
		{"a unit that is not in the cluster", func(s *Sim) { s.units[2].process = process{} }, "no member runs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := beginning(t, Options{}, 3)
			defer s.Close()
			require.Empty(t, s.Settled())
			test.do(s)
			s.raft()
			s.check()
			assert.Contains(t, s.wrong+s.Settled(), test.want)
		})
	}
}
