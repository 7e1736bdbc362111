package operator

import (
	"reflect"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAilments(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]ailment{
		"": unnamed,
		"listen tcp 127.0.0.9:12380: bind: address already in use":                                                                     unnamed,
		"failed to open database: cannot allocate memory":                                                                              unnamed,
		"failed to open database: invalid database":                                                                                    badData,
		"failed to open database: open /d/member/snap/db: permission denied":                                                           forbidden,
		"failed to open database: read /d/member/snap/db: input/output error":                                                          unreadable,
		"failed to create WAL: no space left on device":                                                                                diskFull,
		"failed to recover v3 backend from snapshot: failed to find database snapshot file (snap: snapshot file doesn't exist)":        badData,
		"failed to recover v3 backend from snapshot: failed to find database snapshot file (open /d/member/snap: too many open files)": unnamed,
		"failed to recover v3 backend from snapshot: failed to rename database snapshot file (rename a b: device or resource busy)":    unnamed,
		"tocommit(91) is out of range [lastIndex(30)]. Was the raft log corrupted, truncated, or lost?":                                badData,
		"walpb: crc mismatch: expected: a025f563 computed: 9bacbdcf: in file 'x.wal' at position: 3600":                                badData,
		"cannot access data directory: open /d/.touch: read-only file system":                                                          forbidden,
		"db file is flocked by another process, or taking too long":                                                                    locked,
	} {
		assert.Equal(t, want, Service{Log: log}.ailment(), log)
	}
}

const backInTime = "tocommit(91) is out of range [lastIndex(30)]. Was the raft log corrupted, truncated, or lost?"

// crashing is w with a server that keeps ending with those words in its log.
func crashing(w World, log string) World {
	w.Service.Running, w.Service.Failing, w.Service.Log, w.Local = false, true, log, Local{}
	return down(w, 0)
}

// agedWorld is a world in which our server is down, on data that ends before what we remember.
func agedWorld(m Model) (Model, World) {
	m = remembering(m, seen(91))
	w := world(m)
	w.Data.Term, w.Data.Index = 2, 30
	w.Service.Running, w.Local, w.Now = false, Local{}, 2_000_000
	return m, down(w, 0)
}

// No amnesia: bad data, or data older than it was, is given up if a majority of all voters has what
// it had, once a day, and is never just started again.
func TestRule04NoDataOfAnotherTime(t *testing.T) {
	t.Parallel()
	for name, scene := range map[string]func() (Model, World){
		"older": func() (Model, World) { return agedWorld(model(3)) },
		"bad": func() (Model, World) {
			m := model(3)
			w := crashing(world(m), backInTime)
			w.Now = 2_000_000
			return m, w
		},
	} {
		m, w := scene()
		heal, ok := firstStep(m, w).(RemoveMember)
		require.True(t, ok, name)
		assert.Equal(t, uint64(1), heal.ID, name)
		assert.Contains(t, heal.Why, name, "the log says why")
		removed := w
		removed.Members, removed.Done = w.Members[1:], []Step{heal}
		rejoins := firstStep(m, removed)
		if removed.Service.up() {
			require.IsType(t, Stop{}, rejoins, name)
			removed.Service = Service{Kind: MemberService}
			rejoins = firstStep(m, removed)
		}
		require.IsType(t, MoveAside{}, rejoins, "%s: its data goes aside like that of any that was removed", name)
		removed.Data = Data{}
		assert.Equal(t, AddLearner{"https://" + address(0) + ":2380"}, firstStep(m, removed), name)
		p := Decide(lookAgain, m, World{
			progress: removed.progress, Now: w.Now, Reach: Unreachable, Carried: release, Installed: release, TLS: w.TLS, Disk: w.Disk,
		})
		assert.Equal(t, w.Now, after(m, p).Healed, "%s: it is remembered", name)

		for why, tt := range map[string]struct {
			but  func(*Model, *World)
			says string
		}{
			"one of the others is down": {func(_ *Model, w *World) { *w = down(*w, 1) }, "bring the other members back; or juju remove-unit etcd/0"},
			"the others have no quorum": {func(_ *Model, w *World) { *w = down(down(*w, 1), 2); w.Reach = NoQuorum }, "bring the other members back"},
			"it was given up today": {func(m *Model, w *World) {
				memory := m.Memory.Value
				memory.Healed = w.Now - healedEvery + 1
				m.Memory = Know(memory)
			}, "twice in a day; check its disk; juju remove-unit etcd/0"},
			"it is alone": {func(m *Model, w *World) {
				w.Members, w.Reach = nil, Unreachable
				m.Units = Know(map[string]Life{"etcd/0": Alive})
			}, "none has better"},
			"the options cannot be used": {func(m *Model, w *World) { m.ConfigProblem = "no"; *w = down(*w, 1) }, "bring the other members back"},
		} {
			m, w := scene()
			tt.but(&m, &w)
			p := Decide(lookAgain, m, w)
			assert.Nil(t, p.Step, "%s, %s", name, why)
			assert.Equal(t, Blocked, p.Status.Level, "%s, %s", name, why)
			assert.Contains(t, texts(p.Reasons), tt.says, "%s, %s", name, why)
		}
		m, w = scene()
		memory := m.Memory.Value
		memory.Healed = w.Now - healedEvery
		m.Memory = Know(memory)
		assert.Equal(t, heal, firstStep(m, w), "%s: a day later again", name)

		m, w = scene()
		w.Members = w.Members[:2]
		m.Units = Know(map[string]Life{"etcd/0": Alive, "etcd/1": Alive})
		w = fenced(m, w)
		assert.Nil(t, firstStep(m, w), "%s: what two voters agreed to may be on neither", name)
	}

	// If all members' data is older, joining again would not help, and the status says so.
	m, w := agedWorld(model(3))
	for i := range w.Members {
		w.Members[i].Index = 80
	}
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Contains(t, p.Status.Message, "data here is older than it was (30 of 91 entries), none has better")
	assert.Equal(t, Unhealthy, Examine(m, w).Health)

	// A server that serves is not restarted although its log ends earlier. A single member goes on
	// serving what is there.
	m, w = agedWorld(model(1))
	w.Service.Running, w.Members[0] = true, members(1)[0]
	w.Local = Local{Live: true, Ready: true, ClusterID: clusterID, MemberID: 1, Voters: 1, Term: 2, Index: 30}
	w.Members[0].Index = 30
	p = Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Equal(t, Unhealthy, Examine(m, w).Health)
	w.Service.Config = "other settings"
	assert.Nil(t, firstStep(m, w), "a restart is a start")

	// A unit that leaves does not start it.
	m, w = agedWorld(model(3))
	w = down(down(w, 1), 2)
	w.Reach = NoQuorum
	for _, kind := range []hooks.Kind{hooks.Stop, hooks.Remove} {
		assert.NotEqual(t, Start{}, Decide(Event{Kind: kind}, m, w).Step, string(kind))
	}
}

// What the machine lacks is reported, and no data is given up for it.
func TestAilmentsAreSaid(t *testing.T) {
	t.Parallel()
	for log, says := range map[string]string{
		"failed to create WAL: no space left on device":                       "disk full: failed to create WAL: no space left on device; see health",
		"failed to open database: read /d/member/snap/db: input/output error": "cannot read data: failed to open database",
		"fatal error: fault": "cannot read data: fatal error: fault; see health",
		"failed to open database: open /d/member/snap/db: permission denied": "cannot use data: failed to open database",
		"listen tcp: address already in use":                                 "etcd keeps failing: listen tcp: address already in use",
	} {
		m := model(3)
		w := crashing(world(m), log)
		p := Decide(lookAgain, m, w)
		assert.NotEqual(t, reflect.TypeFor[RemoveMember](), reflect.TypeOf(p.Step), log)
		w.Done = []Step{Start{}}
		p = Decide(lookAgain, m, w)
		assert.Nil(t, p.Step, log)
		assert.Contains(t, p.Status.Message, says)
	}
	m := model(3)
	w := down(world(m), 0)
	w.Local, w.Service.Log = Local{}, "db file is flocked by another process, or taking too long"
	assert.Contains(t, Decide(lookAgain, m, w).Status.Message, "another process has the data here open; end it: fuser -v")
}

func TestMayForget(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		n    int
		down []int // beside ours
		may  bool
	}{
		"one":             {1, nil, false},
		"two":             {2, nil, false},
		"three":           {3, nil, true},
		"three, one down": {3, []int{1}, false},
		"four":            {4, nil, true},
		"four, one down":  {4, []int{1}, false},
		"five, one down":  {5, []int{1}, true},
		"five, two down":  {5, []int{1, 2}, false},
	} {
		m := model(tt.n)
		w := down(world(m), 0)
		w.Local = Local{}
		for _, n := range tt.down {
			w = down(w, n)
		}
		assert.Equal(t, tt.may, newView(lookAgain, m, w).mayForget(1).none(), name)
	}
}

// A clock that was ahead keeps no unit from replacing its data for longer than a day.
func TestHealedAheadOfTheClock(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.Now = 1000
	m.Memory = Know(Memory{Healed: 1000 + 9*healedEvery})
	assert.Equal(t, w.Now, after(m, Decide(lookAgain, m, w)).Healed)
}

// For a day the status says what happened.
func TestHealedIsSaid(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Memory = Know(Memory{Healed: 1000})
	w := world(m)
	w.Now = 1000 + healedEvery - 1
	assert.Contains(t, Decide(lookAgain, m, w).Status.Message, "the data here was bad or too old, the unit joined again today")
	w.Now++
	assert.NotContains(t, Decide(lookAgain, m, w).Status.Message, "joined again")

	// The clock was ahead: the true time is not known, but a day from now it no longer counts.
	w.Now = 999
	assert.Equal(t, w.Now, after(m, Decide(lookAgain, m, w)).Healed)
}
