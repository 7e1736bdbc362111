package operator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestActionsLeaveATrueStatus: an action that changes what the status line says leaves the unit
// with the new line, and says when the other units have it.
func TestActionsLeaveATrueStatus(t *testing.T) {
	t.Parallel()
	m, w := lostCluster()
	_, result, err := FoundCluster(map[string]any{"confirm": "c1"}, m, w)
	require.NoError(t, err)
	assert.Equal(t, Status{Waiting, "no cluster has been founded yet"}, result.Status, "not that the cluster is lost")
	assert.Contains(t, joined(strings.Fields(result.Text)), "in its next hook, update-status at the latest, the leader founds")

	m, w = healthyCluster(3)
	w.Alarms = []Alarm{{2, "NOSPACE"}}
	require.Equal(t, Waiting, StatusOf(Examine(m, w)).Level)
	_, result, err = AlarmDisarm(nil, m, w)
	require.NoError(t, err)
	w.Alarms = nil
	out := result.Finish(w)
	assert.Equal(t, Status{Active, "3/3 voters, 3.7.3"}, out.Status)
	assert.Contains(t, joined(strings.Fields(out.Text)), "update-status at the latest, each other unit's does")
}

// joined is a text without its line breaks.
func joined(fields []string) string { return strings.Join(fields, " ") }

// TestStatusNow: an action says what a hook would say, and nothing if a hook would first do a step.
func TestStatusNow(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	want := Decide(lookAgain, m, w)
	require.Nil(t, want.Step)
	assert.Equal(t, want.Status, StatusNow(m, w))
	w.Installed = "another"
	require.NotNil(t, Decide(lookAgain, m, w).Step)
	assert.Zero(t, StatusNow(m, w))
}

// TestConfirmIsNoNumber: Juju's client reads key=value as YAML, where an ID may be a number. So
// what is printed is never one.
func TestConfirmIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, id := range []uint64{0xc1, 0x1234567890123456, 0x12e4, 0x1, 0xe1, 0xffffffffffffffff} {
		m, w := lostCluster()
		m = record(m, AppBag{ClusterID: id})
		_, command, found := strings.Cut(StatusOf(Examine(m, w)).Message, "run action found-cluster confirm=")
		require.True(t, found)
		assert.Regexp(t, `^id-[0-9a-f]{1,16}$`, command)
		for _, confirm := range []string{command, hexID(id)} {
			_, result, err := FoundCluster(map[string]any{"confirm": confirm}, m, w)
			require.NoError(t, err)
			assert.Empty(t, result.Failed, "%x by %s", id, confirm)
		}
	}
}

// TestCrashesFade: once a service has run for a day since it last ended by itself, its status no
// longer says so.
func TestCrashesFade(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	w.Service.Crashes, w.Service.Age = 1, day
	assert.Contains(t, Summary(Examine(m, w)), "ended by itself once")
	w.Service.Age = day + time.Second
	assert.NotContains(t, Summary(Examine(m, w)), "ended by itself")
	assert.Contains(t, texts(Examine(m, w).notes()), "ended by itself once", "health tells it for as long as systemd counts it")
}

// TestNobodyLeadsWithoutAQuorum: a member that has not noticed the loss still names a leader;
// neither line, table nor values show it.
func TestNobodyLeadsWithoutAQuorum(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(5)
	for _, silent := range []int{0, 1, 2} {
		w = down(w, silent)
	}
	for i := range w.Members {
		w.Members[i].Leader, w.Members[i].Ready = 5, false
	}
	w.Reach = NoQuorum
	r := Examine(m, w)
	assert.Equal(t, -1, r.Margin, "one more is needed, as is said beside it")
	assert.Equal(t, "no quorum, 1 more needed", r.survival())
	for _, text := range []string{Summary(r), r.Table()} {
		assert.NotRegexp(t, `leader +etcd`, text)
		assert.NotRegexp(t, `etcd/4 +leader`, text)
	}
	assert.NotContains(t, r.Values(), "leader")
}

// TestTheEndOfTheAuthoritiesIsTold: nothing that the authorities issued outlives them, and the
// charm cannot replace them.
func TestTheEndOfTheAuthoritiesIsTold(t *testing.T) {
	t.Parallel()
	ends := ca1().Ends()
	require.False(t, ends.IsZero())
	last := ends.Format(time.DateOnly)
	for name, tc := range map[string]struct {
		left   time.Duration
		health Verdict
		status string // "" is not checked
		note   string
	}{
		"more than a year":    {366 * day, Sound, "", ""},
		"less than a year":    {364 * day, Sound, "", "certificate authorities expire on " + last},
		"less than half":      {181 * day, Degraded, "certificate authorities expire on " + last + "; move to another application before", ""},
		"a day after the end": {-day, Unhealthy, "certificate authorities expired on " + last + "; move to another application", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := world(m)
			w.Now = ends.Add(-tc.left).Unix()
			if tc.left < 0 {
				for _, leaf := range []*Leaf{&w.TLS.Peer, &w.TLS.Server, &w.TLS.Admin} {
					leaf.Problem, leaf.Due = "expired", true
				}
			}
			p := Decide(lookAgain, m, w)
			assert.Nil(t, p.Step, "nothing is issued that would not be valid")
			require.NoError(t, p.Fail, "no hook fails for it")
			r := Examine(m, w)
			assert.Equal(t, tc.health, r.Health)
			assert.Contains(t, texts(r.notes()), tc.note)
			if tc.status == "" {
				assert.NotContains(t, p.Status.Message, "authorities")
			} else {
				assert.True(t, strings.HasPrefix(p.Status.Message, tc.status), p.Status.Message)
			}
		})
	}
}

// TestAJoiningMemberIsNoOrphan: a listed member whose unit has not published its address yet is
// about to join.
func TestAJoiningMemberIsNoOrphan(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	m.Units.Value["etcd/3"] = Alive
	w.Members = append(w.Members, Member{ID: 4, Learner: true, PeerURLs: []string{"https://10.0.0.13:2380"}})
	m.Seen = append(m.Seen, 4)
	r := Examine(m, w)
	assert.Empty(t, r.MembersWithoutUnit)
	delete(m.Units.Value, "etcd/3")
	assert.Equal(t, []string{"https://10.0.0.13:2380"}, Examine(m, w).MembersWithoutUnit, "unless each unit has its own")
}

// TestStatusSaysNothingThatIsSoonOld: who leads and how large the databases are may change between
// two hooks of a unit.
func TestStatusSaysNothingThatIsSoonOld(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	was := StatusOf(Examine(m, w))
	for i := range w.Members {
		w.Members[i].Leader, w.Members[i].DBSize, w.Members[i].CertRemaining = 1, 1<<30, 200*day
	}
	assert.Equal(t, was, StatusOf(Examine(m, w)))
}

// TestWhatIsSilentIsSilentHere: a member that does not answer this unit may well answer others; the
// text names the unit that asked.
func TestWhatIsSilentIsSilentHere(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	r := Examine(m, down(w, 2))
	assert.Contains(t, r.Table(), "seen by  etcd/0\n")
	assert.Equal(t, "etcd/0", r.Values()["seen-by"])
	for _, kind := range []Kind{memberSilent, upstreamMemberSilent, clusterSilent, upstreamSilent} {
		assert.Contains(t, catalogue[kind].text, " here", kind.String())
	}
}

// TestPeopleAreAnsweredFirst: Juju sorts results, so the text's key comes before all others. The
// text keeps within 80 columns with the longest plausible names.
func TestPeopleAreAnsweredFirst(t *testing.T) {
	t.Parallel()
	m, w := longNames(t)
	full := w
	full.Alarms = []Alarm{{2, "NOSPACE"}}
	for name, results := range map[string]func() []Result{
		"reports": func() []Result {
			var out []Result
			for _, act := range []Action{Health, ListMembers, AlarmList} {
				_, result, err := act(nil, m, full)
				require.NoError(t, err)
				out = append(out, result)
			}
			return out
		},
		"check-removal": func() []Result {
			_, result, err := CheckRemoval(map[string]any{"unit": longUnit}, m, w)
			require.NoError(t, err)
			return []Result{result}
		},
		"maintenance": func() []Result {
			var out []Result
			for _, act := range []Action{CompactHistory, Defragment} {
				steps, result, err := act(nil, m, w)
				require.NoError(t, err)
				require.NotEmpty(t, steps, result.Failed)
				out = append(out, result.Finish(w))
			}
			_, result, err := AlarmDisarm(nil, m, full)
			require.NoError(t, err)
			return append(out, result.Finish(w))
		},
		"found-cluster": func() []Result {
			m, w := lostCluster()
			_, result, err := FoundCluster(map[string]any{"confirm": "c1"}, m, w)
			require.NoError(t, err)
			return []Result{result}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, result := range results() {
				require.NotEmpty(t, result.Text)
				checkValues(t, result.Values)
				for key := range result.Values {
					assert.Less(t, TextKey, key)
					assert.NotEqual(t, "table", key)
				}
				for line := range strings.Lines(result.Text) {
					assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), tableWidth, line)
				}
			}
		})
	}
}

// longNames is a healthy cluster whose names, addresses and figures are as long as they may
// plausibly be.
func longNames(t *testing.T) (Model, World) {
	t.Helper()
	m, w := healthyCluster(3)
	m.App, m.Unit = longApp, longUnit
	m.Units.Value = map[string]Life{}
	for i, unit := range []string{longUnit, longApp + "/124", longApp + "/125"} {
		m.Units.Value[unit] = Alive
		mem := &w.Members[i]
		mem.Name, mem.Version, mem.StorageVersion = memberName(unit), "3.7.30-rc.10", "3.7.0"
		mem.PeerURLs = []string{"https://[fd42:1234:5678:9abc:216:3eff:fe12:3456]:2380"}
		mem.ClientURLs = []string{"https://[fd42:1234:5678:9abc:216:3eff:fe12:3456]:2379"}
		mem.DBSize, mem.DBInUse, mem.Quota = 1023<<20, 1023<<20, 2047<<20
		mem.Term, mem.Index, mem.Applied, mem.Revision = 1234, 12345678901, 12345678901, 12345678901
		mem.RTT = 1234 * time.Millisecond
	}
	r := Examine(m, w)
	require.Len(t, r.Members, 3)
	require.Equal(t, longUnit, r.Members[0].Unit)
	return m, w
}
