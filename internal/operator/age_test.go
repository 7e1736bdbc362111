package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// seen is what unit etcd/0 of the fixture remembers of its data.
func seen(index uint64) Seen {
	return Seen{ClusterID: clusterID, MemberID: 1, Term: 2, Index: index, Revision: 40, At: 1000}
}

// remembering is m with what it remembers of its data.
func remembering(m Model, s Seen) Model {
	memory := m.Memory.Value
	memory.Seen = s
	m.Memory = Know(memory)
	return m
}

func TestAgeInDoubt(t *testing.T) {
	t.Parallel()
	d := Data{State: OurData, ClusterID: clusterID, MemberID: 1}
	says := func(term, index uint64) Local {
		return Local{Live: true, ClusterID: clusterID, MemberID: 1, Term: term, Index: index}
	}
	for name, tt := range map[string]struct {
		memory Memory
		data   Data
		local  Local
		want   bool
	}{
		"nothing is remembered":          {Memory{}, d, Local{}, false},
		"another member is":              {Memory{Seen: Seen{clusterID, 9, 2, 91, 40, 0}}, d, Local{}, false},
		"another cluster is":             {Memory{Seen: Seen{9, 1, 2, 91, 40, 0}}, d, Local{}, false},
		"no data":                        {Memory{Seen: seen(91)}, Data{}, Local{}, false},
		"it does not run":                {Memory{Seen: seen(91)}, d, Local{}, true},
		"it does not serve yet":          {Memory{Seen: seen(91)}, d, Local{Live: true, ClusterID: clusterID, MemberID: 1}, true},
		"it says less":                   {Memory{Seen: seen(91)}, d, says(2, 90), true},
		"it says as much":                {Memory{Seen: seen(91)}, d, says(2, 91), false},
		"it says more, of a former term": {Memory{Seen: seen(91)}, d, says(1, 92), true},
		"the server is of another":       {Memory{Seen: seen(91)}, d, Local{Live: true, ClusterID: 9, MemberID: 1, Term: 3, Index: 100}, true},
	} {
		assert.Equal(t, tt.want, AgeInDoubt(tt.memory, tt.data, tt.local), name)
	}
}

func TestOlder(t *testing.T) {
	t.Parallel()
	m := remembering(model(3), seen(91))
	for name, tt := range map[string]struct {
		term, index uint64 // of the log's last entry
		want        bool
	}{
		"the log was not read, or cannot be":      {0, 0, false},
		"it ends before":                          {2, 90, true},
		"it ends there":                           {2, 91, false},
		"it goes on, as etcd's own word does not": {2, 95, false},
		"it goes on in a former term":             {1, 95, true},
	} {
		w := world(m)
		w.Local = Local{}
		w.Data.Term, w.Data.Index = tt.term, tt.index
		assert.Equal(t, tt.want, newView(lookAgain, m, w).older(), name)
	}
	w := world(m)
	w.Data.Term, w.Data.Index = 2, 90
	w.Local.Term, w.Local.Index = 2, 91
	assert.False(t, newView(lookAgain, m, w).older(), "its server has caught up: then nothing is missing any more")
}

// A quiet hook does not write the memory for this alone: only for a new member, a new term, or an
// hour's entries.
func TestRememberAge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		was  Seen
		is   Local
		now  int64
		want Seen // the zero value: nothing is written
	}{
		"for the first time":    {Seen{}, Local{Term: 2, Index: 91, Revision: 40}, 1000, seen(91)},
		"nothing new":           {seen(91), Local{Term: 2, Index: 91, Revision: 40}, 90000, Seen{}},
		"a few entries more":    {seen(91), Local{Term: 2, Index: 99, Revision: 41}, 1001, Seen{}},
		"an hour later":         {seen(91), Local{Term: 2, Index: 99, Revision: 41}, 4600, Seen{clusterID, 1, 2, 99, 41, 4600}},
		"the clock went back":   {seen(91), Local{Term: 2, Index: 99, Revision: 41}, 999, Seen{clusterID, 1, 2, 99, 41, 999}},
		"a new term":            {seen(91), Local{Term: 3, Index: 92, Revision: 40}, 1001, Seen{clusterID, 1, 3, 92, 40, 1001}},
		"it says less":          {seen(91), Local{Term: 2, Index: 30, Revision: 9}, 90000, Seen{}},
		"it does not serve yet": {seen(91), Local{}, 90000, Seen{}},
		"another member": {
			Seen{clusterID, 9, 7, 1000, 900, 1000}, Local{Term: 2, Index: 91, Revision: 40}, 1000, seen(91),
		},
		"of another member nothing": {
			Seen{}, Local{MemberID: 9, Term: 2, Index: 91}, 1000, Seen{},
		},
	} {
		m := remembering(model(3), tt.was)
		w := world(m)
		tt.is.Live, tt.is.Ready, tt.is.ClusterID, tt.is.Voters = true, true, clusterID, 3
		if tt.is.MemberID == 0 {
			tt.is.MemberID = 1
		}
		w.Local, w.Now = tt.is, tt.now
		v := newView(lookAgain, m, w)
		p := Plan{}
		rememberAge(v, &p)
		if tt.want == (Seen{}) {
			assert.Nil(t, p.Memory, name)
			continue
		}
		require.NotNil(t, p.Memory, name)
		assert.Equal(t, tt.want, p.Memory.Seen, name)

		m.Memory = Unknown[Memory]("state-get failed")
		assert.Nil(t, Decide(lookAgain, m, w).Memory, "%s: what is not known is not written over", name)
	}
	// If the memory is written anyway, this is written too.
	m := remembering(model(3), seen(91))
	w := world(m)
	w.Local.Term, w.Local.Index, w.Now = 2, 95, 1001
	v := newView(lookAgain, m, w)
	p := Plan{}
	p.memory(v).Ports = "2379"
	rememberAge(v, &p)
	assert.Equal(t, uint64(95), p.Memory.Seen.Index)
}
