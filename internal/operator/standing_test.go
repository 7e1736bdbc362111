package operator

import (
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
)

func TestStanding(t *testing.T) {
	t.Parallel()
	silent := func(w *World) { w.Reach, w.ClusterID, w.Members, w.Local = Unreachable, 0, nil, Local{} }
	for _, tc := range []struct {
		name   string
		units  int
		change func(*Model, *World)
		want   standing
	}{
		{"one of three", 3, func(*Model, *World) {}, voterAmongOthers},
		{"one of three, on no record", 3, func(m *Model, _ *World) { *m = record(*m, AppBag{}) }, voterAmongOthers},
		{"one of three, another on record", 3, func(m *Model, _ *World) { *m = record(*m, AppBag{ClusterID: 7}) }, voterAmongOthers},
		{"not listed", 3, func(_ *Model, w *World) { w.Members = w.Members[1:] }, outside},
		{"taken out in this pass, and nobody answers", 3, func(_ *Model, w *World) {
			silent(w)
			w.Done = []Step{RemoveMember{ID: 1}}
		}, outside},
		{"another taken out in this pass", 3, func(_ *Model, w *World) { w.Done = []Step{RemoveMember{ID: 2}} }, voterAmongOthers},
		{"a learner", 3, func(_ *Model, w *World) { w.Members[0].Learner = true }, learner},
		{"no quorum", 3, func(_ *Model, w *World) { w.Reach = NoQuorum }, stuck},
		{"nobody answers", 3, func(_ *Model, w *World) { silent(w) }, stuck},
		{"another cluster answers", 3, func(_ *Model, w *World) { w.ClusterID = 7 }, stuck},
		{"the only voter, another unit is there", 2, func(_ *Model, w *World) { w.Members = members(1) }, stuck},
		{"the only voter, its vote apart a learner", 2, func(_ *Model, w *World) { w.Members[1].Learner = true }, stuck},
		{"the only unit", 1, func(*Model, *World) {}, lastUnit},
		{"the only unit, stopped", 1, func(_ *Model, w *World) { silent(w) }, lastUnit},
		{"the only unit, goal-state unknown", 1, func(m *Model, _ *World) { m.Units = Unknown[map[string]Life]("no answer") }, stuck},
		{"all others leave", 3, func(m *Model, w *World) {
			m.Units.Value["etcd/1"], m.Units.Value["etcd/2"] = Dying, Dying
			silent(w)
		}, lastUnit},
		{"ended", 2, func(m *Model, w *World) {
			*m = record(*m, AppBag{ClusterID: clusterID, Ended: clusterID})
			silent(w)
		}, ended},
		{"another on record", 2, func(m *Model, w *World) {
			*m = record(*m, AppBag{ClusterID: 7})
			silent(w)
		}, superseded},
		{"another was on record and ended", 2, func(m *Model, w *World) {
			*m = record(*m, AppBag{ClusterID: 7, Ended: 7})
			silent(w)
		}, stuck},
		{"on no record, alone in its cluster", 2, func(m *Model, w *World) {
			*m = record(*m, AppBag{})
			w.Members = members(1)
		}, unrecorded},
		{"on no record, and not to be put there by us", 2, func(m *Model, w *World) {
			*m = record(*m, AppBag{})
			m.Leader = Know(false)
			w.Members = members(1)
		}, stuck},
		{"on no record, and nobody answers", 2, func(m *Model, w *World) {
			*m = record(*m, AppBag{})
			silent(w)
		}, stuck},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := model(tc.units)
			w := world(m)
			tc.change(&m, &w)
			assert.Equal(t, tc.want.String(), newView(Event{Kind: hooks.Stop}, m, w).standing().String())
		})
	}
}
