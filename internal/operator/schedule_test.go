package operator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatARestoreNamesIsKept: as long as the operation is on record and has not replaced the data,
// the timer does not delete the snapshot to make room for another.
func TestWhatARestoreNamesIsKept(t *testing.T) {
	t.Parallel()
	had := []Snapshot{{Name: "old", Path: "/kept/old.db.zst", Taken: 3}, {Name: "bad", Taken: 4, Error: "no"}, {Name: "new", Taken: 6}, {Name: "apart", Taken: 7, Why: beforeRestore}}
	for name, tc := range map[string]struct {
		phase  string
		change func(*Operation, *World)
		want   string
	}{
		"by its name":         {toAnswer, func(o *Operation, _ *World) { o.Snapshot = "old" }, "old"},
		"by its file's name":  {toAnswer, func(o *Operation, _ *World) { o.Snapshot = "old.db.zst" }, "old"},
		"by its file":         {toAnswer, func(o *Operation, _ *World) { o.Snapshot = "/kept/old.db.zst" }, "old"},
		"the newest":          {toAnswer, nil, "new"},
		"from before a time":  {toAnswer, func(o *Operation, _ *World) { o.Before = 5 }, "old"},
		"one that is no good": {toAnswer, func(o *Operation, _ *World) { o.Snapshot = "bad" }, ""},
		"a file":              {toAnswer, func(o *Operation, _ *World) { o.Snapshot = "/tmp/a.db" }, ""},
		"a data directory":    {toAnswer, func(o *Operation, _ *World) { o.Snapshot = dataDir }, ""},
		"from another unit":   {toAnswer, func(o *Operation, _ *World) { o.Source = "etcd/2" }, ""},
		"while what is there is kept first": {toPrepare, func(_ *Operation, w *World) {
			w.Work = []Work{{WorkRequest: WorkRequest{ID: restoreID + "-before", Kind: TakeSnapshot}, State: WorkRuns}}
		}, "new"},
		"while work reads it": {toPrepare, func(_ *Operation, w *World) {
			w.Work = []Work{{WorkRequest: WorkRequest{ID: restoreID, Kind: PrepareRestore, Snapshot: "new"}, State: WorkRuns}}
		}, "new"},
		"once it is over": {toAnswer, func(o *Operation, _ *World) { o.Outcome = outcomeCancelled }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, w := restoreOf(tc.phase), World{}
			if tc.change != nil {
				tc.change(&o, &w)
			}
			m, machine := during(o, 1)
			machine.Work, machine.Kept.Snapshots = w.Work, had
			machine = fenced(m, machine)
			want := Schedule{Interval: 21600, Keep: 2, Wanted: tc.want}
			if machine.Schedule == want {
				machine.Schedule.Wanted = "of an operation that is over"
			}
			assert.Equal(t, WriteSchedule{want}, Decide(lookAgain, m, machine).Step)
			machine.Schedule = want
			assert.Nil(t, Decide(lookAgain, m, machine).Step)
		})
	}
}

// kept is a world in which good snapshots of those ages lie.
func kept(w World, now int64, ages ...time.Duration) World {
	w.Now = now
	for _, age := range ages {
		at := now - int64(age/time.Second)
		w.Kept.Snapshots = append(w.Kept.Snapshots, Snapshot{
			Name: "etcd-0-" + time.Unix(at, 0).UTC().Format("20060102T150405Z"), Taken: at, Revision: 7, Keys: 3, Size: 2 << 20, Stored: 1 << 20, Cluster: clusterID,
		})
	}
	w.Kept.Space, w.Kept.Free = 10<<30, 50<<30
	return w
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		model func(*Model)
		world func(*World)
		want  Step
	}{
		"as it should be":       {},
		"nothing is written":    {world: func(w *World) { w.Schedule = Schedule{} }, want: WriteSchedule{Schedule{21600, 2, 0, ""}}},
		"another interval":      {model: func(m *Model) { m.Config.SnapshotSeconds = 60 }, want: WriteSchedule{Schedule{60, 2, 0, ""}}},
		"off":                   {model: func(m *Model) { m.Config.SnapshotSeconds = 0 }, want: WriteSchedule{Schedule{0, 2, 0, ""}}},
		"more space":            {model: func(m *Model) { m.Config.KeepBytes = 1 << 30 }, want: WriteSchedule{Schedule{21600, 2, 1 << 30, ""}}},
		"options that are none": {model: func(m *Model) { m.Config.SnapshotKeep, m.ConfigProblem = 3, "option port: no" }},
		"no quorum":             {world: func(w *World) { w.Schedule, w.Reach = Schedule{}, NoQuorum }},
		"no member of ours":     {world: func(w *World) { w.Schedule, w.Data.MemberID = Schedule{}, 9 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := world(m)
			if tc.model != nil {
				tc.model(&m)
			}
			if tc.world != nil {
				tc.world(&w)
			}
			p := Decide(lookAgain, m, w)
			if tc.want == nil {
				_, writes := p.Step.(WriteSchedule)
				assert.False(t, writes)
				return
			}
			assert.Equal(t, tc.want, p.Step)
		})
	}
	assert.Equal(t, []string{"6h", "1m", "1m30s", "1h30m", "24h"}, []string{seconds(21600), seconds(60), seconds(90), seconds(5400), seconds(86400)})
}

// TestASnapshotGivesWay: a step that stops or blocks the member first ends a snapshot's stream;
// work that reads a copy goes on.
func TestASnapshotGivesWay(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	stream := Work{WorkRequest: WorkRequest{ID: "scheduled", Kind: TakeSnapshot}, State: WorkRuns, Progress: "copy: 1 of 2 MiB"}
	end := EndWork{"scheduled", "it gives way to: restart service"}
	for name, tc := range map[string]struct {
		work  Work
		tried bool
		want  Step
	}{
		"a stream":              {work: stream, want: end},
		"one that only begins":  {work: Work{WorkRequest: stream.WorkRequest, State: WorkRuns}, want: end},
		"one that is checked":   {work: Work{WorkRequest: stream.WorkRequest, State: WorkRuns, Progress: "check: 0 of 2 MiB"}, want: Restart{}},
		"one that has ended":    {work: Work{WorkRequest: stream.WorkRequest, State: WorkDone}, want: Restart{}},
		"one that will not end": {work: stream, tried: true, want: Restart{}},
		"other work":            {work: Work{WorkRequest: WorkRequest{ID: "x", Kind: Drill}, State: WorkRuns}, want: Restart{}},
	} {
		w.Work = []Work{tc.work}
		w.Tried = nil
		if tc.tried {
			w.Tried = []Attempt{{end, assert.AnError}}
		}
		var p Plan
		p.want(newView(lookAgain, m, w), Restart{})
		assert.Equal(t, tc.want, p.Step, name)
	}
	for _, s := range []Step{Stop{"x"}, Uninstall{}, Defrag{ID: 1}} {
		w.Work, w.Tried = []Work{stream}, nil
		assert.IsType(t, EndWork{}, newView(lookAgain, m, w).first(s), s.String())
	}
	for _, s := range []Step{Start{}, WriteMember{}, ReleaseTurn{}} {
		assert.Equal(t, s, newView(lookAgain, m, w).first(s))
	}
}

func TestWhatIsSaidOfSnapshots(t *testing.T) {
	t.Parallel()
	const now = 1_800_000_000
	failed := Work{WorkRequest: WorkRequest{ID: "scheduled", Kind: TakeSnapshot}, State: WorkFailed, Ended: now, Error: "no room"}
	for name, tc := range map[string]struct {
		model func(*Model)
		world func(World) World
		want  string // in the status line; "" is nothing
	}{
		"a fresh one":             {world: func(w World) World { return kept(w, now, time.Hour) }},
		"one interval old":        {world: func(w World) World { return kept(w, now, 7*time.Hour) }},
		"two intervals, and late": {world: func(w World) World { return kept(w, now, 14*time.Hour) }, want: "etcd/0: the last snapshot is 14h old; run action snapshot"},
		"none, and young":         {world: func(w World) World { return kept(w, now) }},
		"none, and old": {
			world: func(w World) World { w.Service.Age = 14 * time.Hour; return kept(w, now) }, want: "etcd/0 has no good snapshot; run action snapshot",
		},
		"off":                 {model: func(m *Model) { m.Config.SnapshotSeconds = 0 }, world: func(w World) World { w.Schedule.Interval = 0; return kept(w, now, 900*time.Hour) }},
		"the clock went back": {world: func(w World) World { return kept(w, now, -900*time.Hour) }},
		"of another cluster": {
			world: func(w World) World {
				w = kept(w, now, time.Hour)
				w.Kept.Snapshots[0].Cluster, w.Service.Age = 0xc9, 14*time.Hour
				return w
			}, want: "has no good snapshot",
		},
		"work that failed since":  {world: func(w World) World { w.Work = []Work{failed}; return kept(w, now, time.Hour) }, want: "etcd/0: snapshot failed: no room; run list-snapshots"},
		"work that failed before": {world: func(w World) World { w.Work = []Work{failed}; return kept(w, now+7200, time.Hour) }},
		"work that was ended": {world: func(w World) World {
			w.Work = []Work{failed}
			w.Work[0].Error = EndedWork + ": SIGTERM"
			return kept(w, now, time.Hour)
		}},
		"one that failed its check": {world: func(w World) World {
			w = kept(w, now, time.Hour)
			w.Kept.Snapshots = append(w.Kept.Snapshots, Snapshot{Name: "x", Taken: now, Error: "etcd cannot read it"})
			return w
		}, want: "snapshot failed: etcd cannot read it"},
		"a learner takes none": {world: func(w World) World {
			w.Members[0].Learner = true
			return kept(w, now, 900*time.Hour)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := tc.world(world(m))
			if tc.model != nil {
				tc.model(&m)
			}
			r := Examine(m, w)
			line := StatusOf(r).Message
			if tc.want == "" {
				assert.NotContains(t, line, "snapshot")
				return
			}
			assert.Contains(t, line, tc.want)
			assert.NotEqual(t, Sound, r.Health)
		})
	}
}

// TestHealthTellsOfSnapshots: health always reports on snapshots, and names what was moved aside.
func TestHealthTellsOfSnapshots(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := kept(world(m), 1_800_000_000, 5*time.Hour, time.Hour)
	w.Kept.Aside = []AsideDir{{Path: "/var/lib/etcd-charm/etcd-0/data.2027-01-01T000000Z-x", Bytes: 64 << 20, At: 1}}
	w.Work = []Work{{WorkRequest: WorkRequest{ID: "v", Kind: VerifySnapshot}, State: WorkRuns, Progress: "unpack and check"}}
	r := Examine(m, w)
	assert.Equal(t, Sound, r.Health)
	assert.Contains(t, r.Table(), "snapshot the last is 60m old, revision 7; 2 kept here\n")
	assert.Contains(t, r.Table(), "note     data.2027-01-01T000000Z-x: data that was moved aside, 64 MiB; action\n")
	assert.Contains(t, r.Table(), "verify runs: unpack and check")
	assert.Equal(t, map[string]any{
		"age": "3600", "count": "2", "last": w.Kept.Snapshots[1].Name, "revision": "7", "moved-aside": "1", "moved-aside-bytes": "67108864",
		"space": "10737418240", "used": "69206016",
	}, r.Values()["snapshots"])
	assert.NotContains(t, Examine(m, world(m)).Values(), "snapshots")
}

func TestTakeSnapshotNow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		world func(*World)
		model func(*Model)
		want  string
	}{
		"a voter":   {},
		"a learner": {world: func(w *World) { w.Members[0].Learner = true }, want: "no snapshot is taken: etcd/0 has no voter that is ready; run it on another unit"},
		"not ready": {world: func(w *World) { w.Members[0].Ready, w.Local.Ready = false, false }, want: "has no voter that is ready"},
		"no quorum": {world: func(w *World) { w.Reach = NoQuorum }, want: "no snapshot is taken"},
		"another one": {world: func(w *World) {
			w.Work = []Work{{WorkRequest: WorkRequest{ID: "x", Kind: TakeSnapshot}, State: WorkRuns}}
		}, want: "snapshot is already running"},
		"a proxy": {model: func(m *Model) { m.Config.Role = RoleProxy }, world: func(w *World) { *w = World{} }, want: "is a proxy"},
	} {
		m := model(3)
		w := world(m)
		if tc.model != nil {
			tc.model(&m)
		}
		if tc.world != nil {
			tc.world(&w)
		}
		steps, result, err := TakeSnapshotNow(map[string]any{"to": "/tmp/x.db"}, m, w)
		require.NoError(t, err, name)
		if tc.want != "" {
			assert.Empty(t, steps, name)
			assert.Contains(t, result.Failed, tc.want, name)
			continue
		}
		require.Len(t, steps, 2, name)
		r := steps[0].(StartWork).Request
		assert.Equal(t, WorkRequest{ID: r.ID, Kind: TakeSnapshot, To: "/tmp/x.db"}, r)
		assert.Equal(t, AwaitWork{ID: r.ID}, steps[1])

		w = kept(w, 1_800_000_000, time.Hour)
		w.Kept.Snapshots[0].Work = r.ID
		w.Work = []Work{{WorkRequest: r, State: WorkDone, Result: "it is taken"}}
		done := result.Finish(w)
		assert.Equal(t, "it is taken\n", done.Text)
		assert.Equal(t, w.Kept.Snapshots[0].Name, done.Values["snapshot"].(map[string]any)["name"])
		w.Work[0].State, w.Work[0].Progress = WorkRuns, "copy: 1 of 9 MiB"
		assert.Equal(t, "snapshot runs: copy: 1 of 9 MiB; follow it: juju run etcd/0 list-snapshots\n", result.Finish(w).Text)
		w.Work[0].State, w.Work[0].Error = WorkFailed, "no room"
		assert.Equal(t, "snapshot failed: no room", result.Finish(w).Failed)
		w.Work = nil
		assert.Contains(t, result.Finish(w).Failed, "it has not started")
	}
	m := model(3)
	w := world(m)
	first := newView(Event{}, m, w).workID("snapshot")
	w.Work = []Work{{WorkRequest: WorkRequest{ID: first, Kind: TakeSnapshot}, State: WorkDone}}
	assert.NotEqual(t, first, newView(Event{}, m, w).workID("snapshot"), "two of one second are two")
	for _, bad := range []any{"x.db", "/a/../b", "/a/", 7, ""} {
		_, _, err := TakeSnapshotNow(map[string]any{"to": bad}, model(3), world(model(3)))
		require.ErrorContains(t, err, `cannot use parameter "to"`, "%v", bad)
	}
}

func TestListSnapshots(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := kept(world(m), 1_800_000_000, 5*time.Hour, time.Hour)
	w.Kept.Snapshots = append(w.Kept.Snapshots, Snapshot{Name: "etcd-0-20270115T080000Z", Taken: 1_800_000_000, Error: "etcd cannot read it"})
	_, result, err := ListSnapshots(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.True(t, strings.HasPrefix(result.Text, `SNAPSHOT                 AGE  REVISION  KEYS  SIZE   KEPT   FOR
etcd-0-20270115T030000Z  5h   7         3     2 MiB  1 MiB  -
etcd-0-20270115T070000Z  60m  7         3     2 MiB  1 MiB  -
`), result.Text)
	assert.Contains(t, result.Text, "failed: etcd cannot read it")
	assert.Contains(t, result.Text, "2 MiB of 10 GiB are used by what is kept, 50 GiB are free")
	assert.Equal(t, "2", result.Values["count"])
	_, result, err = ListSnapshots(nil, m, world(m))
	require.NoError(t, err)
	assert.Contains(t, result.Text, "no snapshot is kept on this unit\n")
}

// A kept snapshot is meant by its name, by its file's name, or by the path that list-snapshots
// shows.
func TestNamesOfASnapshot(t *testing.T) {
	t.Parallel()
	k := Kept{Snapshots: []Snapshot{{Name: "a", Path: "/kept/a.db.zst"}, {Name: "a.db", Path: "/kept/a.db.db.zst"}, {Error: "no name"}}}
	for text, want := range map[string]string{
		"a": "a", "a.db.zst": "a", "/kept/a.db.zst": "a", "a.db": "a.db", "/kept/a.db.db.zst": "a.db",
		"": "", ".db.zst": ".db.zst", "b": "b", "latest": "latest", "data-dir": "data-dir", "/tmp/a.db.zst": "/tmp/a.db.zst", "/kept/a": "/kept/a",
	} {
		assert.Equal(t, want, k.nameOf(text), text)
	}
}

func TestVerifySnapshotNow(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := kept(world(m), 1_800_000_000, time.Hour)
	for which, want := range map[string]string{
		"": "", "latest": "", w.Kept.Snapshots[0].Name: "", w.Kept.Snapshots[0].Name + ".db.zst": "", "/tmp/x.db": "",
		"etcd-1-20270115T030000Z": "nothing is verified: etcd-1-20270115T030000Z is on etcd/1; juju run etcd/1 …",
		"nonsense":                "no snapshot nonsense is kept on etcd/0; list-snapshots says which are",
	} {
		params := map[string]any{"snapshot": which, "unverified": true}
		if which == "" {
			delete(params, "snapshot")
		}
		steps, result, err := VerifySnapshotNow(params, m, w)
		require.NoError(t, err)
		if want != "" {
			assert.Empty(t, steps)
			assert.Contains(t, result.Failed, want, which)
			continue
		}
		assert.Equal(t, VerifySnapshot, steps[0].(StartWork).Request.Kind)
		assert.True(t, steps[0].(StartWork).Request.Unverified)
	}
	_, result, err := VerifySnapshotNow(nil, m, world(m))
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "no snapshot latest is kept")
}

func TestPurgeKept(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := kept(world(m), 1_800_000_000, 5*time.Hour, time.Hour)
	old, newest := w.Kept.Snapshots[0].Name, w.Kept.Snapshots[1].Name
	aside := "/var/lib/etcd-charm/etcd-0/data.2027-01-01T000000Z-x"
	w.Kept.Aside = []AsideDir{{Path: aside, Bytes: 64 << 20, At: 1}}
	for name, tc := range map[string]struct {
		params map[string]any
		steps  []Step
		text   string
		failed string
	}{
		"what may":            {text: "can be deleted: 65 MiB"},
		"what would":          {params: map[string]any{"what": old}, text: "would be deleted: 1 MiB"},
		"an old one":          {params: map[string]any{"what": old, "confirm": true}, steps: []Step{Purge{Snapshots: []string{old}}}},
		"by its file":         {params: map[string]any{"what": old + ".db.zst", "confirm": true}, steps: []Step{Purge{Snapshots: []string{old}}}},
		"two things":          {params: map[string]any{"what": old + ",aside", "confirm": true}, steps: []Step{Purge{Snapshots: []string{old}, Aside: []string{aside}}}},
		"by its path":         {params: map[string]any{"what": aside, "confirm": true}, steps: []Step{Purge{Aside: []string{aside}}}},
		"by its name":         {params: map[string]any{"what": "data.2027-01-01T000000Z-x", "confirm": true}, steps: []Step{Purge{Aside: []string{aside}}}},
		"the newest":          {params: map[string]any{"what": newest, "confirm": true}, failed: "nothing is purged: " + newest + " is the newest good snapshot, which is never deleted"},
		"the data":            {params: map[string]any{"what": "/var/lib/etcd-charm/etcd-0/data", "confirm": true}, failed: "keeps no"},
		"confirmed nothing":   {params: map[string]any{"confirm": true}, text: "can be deleted: 65 MiB"},
		"one of them unheard": {params: map[string]any{"what": old + ",x", "confirm": true}, failed: "etcd/0 keeps no x; purge lists what can be deleted"},
	} {
		steps, result, err := PurgeKept(tc.params, m, w)
		require.NoError(t, err, name)
		assert.Equal(t, tc.steps, steps, name)
		assert.Contains(t, result.Text, tc.text, name)
		assert.Contains(t, result.Failed, tc.failed, name)
		assert.NotContains(t, result.Text, newest, name)
		if len(steps) > 0 {
			assert.Contains(t, result.Finish(w).Text, "deleted: ", name)
		}
	}
	_, _, err := PurgeKept(map[string]any{"confirm": "yes"}, m, w)
	require.ErrorContains(t, err, "it must be true or false")
	_, result, err := PurgeKept(nil, m, world(m))
	require.NoError(t, err)
	assert.Equal(t, "nothing is kept that can be deleted\n", result.Text)
}

// TestASnapshotBeforeAnUpgrade: the first member that will run another server has a snapshot taken,
// and waits for it in one hook.
func TestASnapshotBeforeAnUpgrade(t *testing.T) {
	t.Parallel()
	id := upgradeID(otherServer)
	r := WorkRequest{ID: id, Kind: TakeSnapshot, Why: beforeUpgrade}
	runs := Work{WorkRequest: r, State: WorkRuns, Progress: "copy: 1 of 9 MiB"}
	wait := AwaitWork{ID: id, Hook: true}
	for name, tc := range map[string]struct {
		change func(*Model, *World)
		want   Step
		says   string
	}{
		"the first":       {want: StartWork{r}},
		"the same server": {change: func(_ *Model, w *World) { w.Carried, w.Installed = againA, againA }},
		"another began": {change: func(m *Model, w *World) {
			unitBag := m.Cluster.Value.UnitBags["etcd/1"]
			unitBag.Running = newView(lookAgain, *m, *w).desired.Generation()
			m.Cluster.Value.UnitBags["etcd/1"] = unitBag
		}, want: TakeTurn{}},
		"another restarts":  {change: func(_ *Model, w *World) { w.Turn.Holder = "etcd/1" }, want: TakeTurn{}},
		"it will not begin": {change: func(_ *Model, w *World) { w.Tried = []Attempt{{StartWork{r}, assert.AnError}} }, want: TakeTurn{}},
		"it has begun":      {change: func(_ *Model, w *World) { w.Work, w.Done = []Work{runs}, []Step{StartWork{r}} }, want: wait},
		"it takes long":     {change: func(_ *Model, w *World) { w.Work, w.Done = []Work{runs}, []Step{StartWork{r}, wait} }, says: "restart pending: snapshot first: copy: 1 of 9 MiB"},
		"in a later hook":   {change: func(_ *Model, w *World) { w.Work = []Work{runs} }, want: TakeTurn{}},
		"it is there": {change: func(_ *Model, w *World) {
			w.Work, w.Done = []Work{{WorkRequest: r, State: WorkDone}}, []Step{StartWork{r}, wait}
		}, want: TakeTurn{}},
		"of a former hook": {change: func(_ *Model, w *World) { w.Kept.Snapshots = []Snapshot{{Work: id, Error: "it was ended"}} }, want: TakeTurn{}},
		"there is no room": {change: func(_ *Model, w *World) {
			w.Work = []Work{{WorkRequest: r, State: WorkFailed, Error: "there is no room"}}
		}, want: TakeTurn{}},
		"NOSPACE": {change: func(_ *Model, w *World) { w.Alarms = []Alarm{{MemberID: 1, Kind: noSpace}} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := refreshed(buildA, otherServer)
			w.Kept = Kept{}
			if tc.change != nil {
				tc.change(&m, &w)
			}
			p := Decide(lookAgain, m, w)
			if tc.want != nil {
				assert.Equal(t, tc.want, p.Step)
				return
			}
			_, begins := p.Step.(StartWork)
			assert.False(t, begins)
			assert.Contains(t, p.Status.Message, tc.says)
		})
	}
	m, w := refreshed(buildA, otherServer)
	w.Work = []Work{{WorkRequest: r, State: WorkFailed, Error: "there is no room"}}
	report := Examine(m, w)
	assert.Contains(t, report.Table(), "has no snapshot before-upgrade: there is no room")
	assert.NotContains(t, StatusOf(report).Message, "no room", "a refresh goes on without it")
}
