package operator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// begun is the record that an action leaves which begins an operation, and has asked for a hook.
func begun(t *testing.T, steps []Step, result Result) AppBag {
	t.Helper()
	require.Empty(t, result.Failed)
	require.Len(t, steps, 1)
	assert.Equal(t, LookAgain, steps[0].(StartWork).Request.Kind, "a leader who is left alone hears of it")
	record, err := etcdcluster.DecodeApp("cluster:0", "etcd", result.Bags[0].Bag)
	require.NoError(t, err)
	return record
}

// TestRestoreParams: each way to say what is to be restored excludes the others.
func TestRestoreParams(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	for name, tc := range map[string]struct {
		params map[string]any
		err    string
	}{
		"nothing":                 {map[string]any{}, `missing parameter: one of "snapshot", "before" and "from"`},
		"a name and a time":       {map[string]any{"snapshot": "a", "before": "2026-01-31T23:59:00Z"}, `cannot use parameter "before" together with a snapshot that has a name`},
		"latest and a time":       {map[string]any{"snapshot": "latest", "before": "2026-01-31T23:59:00Z"}, ""},
		"a time that is none":     {map[string]any{"before": "yesterday"}, `cannot use parameter "before": it must be a time`},
		"a day":                   {map[string]any{"before": "2026-01-31"}, `cannot use parameter "before": it must be a time`},
		"data-dir and a snapshot": {map[string]any{"from": "data-dir", "snapshot": "a"}, `cannot use parameter "from" together with a snapshot`},
		"from elsewhere":          {map[string]any{"from": "s3"}, `cannot use parameter "from": it must be "data-dir"`},
		"a flag that is none":     {map[string]any{"snapshot": "a", "unverified": "yes"}, `cannot use parameter "unverified": it must be true or false`},
		"a flag as a text":        {map[string]any{"snapshot": "a", "dry-run": "true"}, ""},
		"a control character":     {map[string]any{"snapshot": "/a\n"}, `cannot use parameter "snapshot"`},
		"a number":                {map[string]any{"snapshot": 7}, `cannot use parameter "snapshot"`},
	} {
		_, _, err := Restore(tc.params, m, w)
		if tc.err == "" {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, tc.err, name)
		}
	}
}

// inStore is what a unit of the tests keeps.
func inStore(w World) World {
	w.Kept = Kept{Snapshots: []Snapshot{
		{Name: "a", Taken: 100, Revision: 40, Keys: 3, Size: 4096}, {Name: "b", Taken: 200, Revision: 50, Keys: 4, Size: 4096}, {Name: "c", Taken: 300, Error: "torn"},
	}}
	for i := range w.Members {
		w.Members[i].Revision = 60
	}
	w.Now = 1000
	return w
}

func TestRestore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		params map[string]any
		model  func(*Model)
		world  func(*World)
		want   func(*Operation)
		failed string
	}{
		"the newest":      {params: map[string]any{"snapshot": "latest"}},
		"by name":         {params: map[string]any{"snapshot": "a"}, want: func(o *Operation) { o.Snapshot = "a" }},
		"by its file":     {params: map[string]any{"snapshot": "a.db.zst"}, want: func(o *Operation) { o.Snapshot = "a" }},
		"by time":         {params: map[string]any{"before": "1970-01-01T00:02:30Z"}, want: func(o *Operation) { o.Before = 150 }},
		"a file":          {params: map[string]any{"snapshot": "/tmp/x.db", "unverified": true}, want: func(o *Operation) { o.Snapshot, o.Unverified = "/tmp/x.db", true }},
		"of another unit": {params: map[string]any{"snapshot": "z", "source": "etcd/1"}, want: func(o *Operation) { o.Snapshot, o.Source = "z", "etcd/1" }},
		"no such":         {params: map[string]any{"snapshot": "z"}, failed: "nothing is restored: no good snapshot z is kept here; action list-snapshots shows which are"},
		"one that failed": {params: map[string]any{"snapshot": "c"}, failed: "no good snapshot c is kept here"},
		"too early":       {params: map[string]any{"before": "1970-01-01T00:00:50Z"}, failed: "no good snapshot from before 1970-01-01T00:00:50Z is kept here"},
		"not confirmed":   {params: map[string]any{"snapshot": "a", "confirm": "id-c2"}, failed: "nothing is restored: confirm is not the ID of the cluster whose data is given up; confirm=id-c1"},
		"nothing to give up": {
			params: map[string]any{"snapshot": "a", "confirm": ""}, model: func(m *Model) { m.Cluster.Value.AppBag.ClusterID = 0 },
			world: func(w *World) { w.Data = Data{} }, want: func(o *Operation) { o.Snapshot, o.Units = "a", []string{"etcd/0"} },
		},
		"not on the leader": {
			params: map[string]any{"snapshot": "a", "confirm": ""}, model: func(m *Model) { m.Leader = Know(false) },
			failed: "this unit is not known to be the leader; juju run etcd/leader restore snapshot=a source=etcd/0 confirm=id-c1",
		},
		"another goes on":       {params: map[string]any{"snapshot": "a"}, model: func(m *Model) { *m = operating(toAnswer) }, failed: "operation restart-1a is in progress; operation cancel=restart-1a cancels it"},
		"another has begun":     {params: map[string]any{"snapshot": "a"}, model: func(m *Model) { m.Cluster.Value.AppBag.Operation = restoreOf(toServe) }, failed: "restore-1a is past its point of no return"},
		"a unit that is none":   {params: map[string]any{"snapshot": "a", "source": "etcd/9"}, failed: "etcd/9 is not a unit of etcd"},
		"without one that is":   {params: map[string]any{"snapshot": "a", "without": "etcd/2"}, failed: "etcd on etcd/2 still answers, and would go on with the old data; on its machine: systemctl disable --now etcd-charm-etcd-2"},
		"without the source":    {params: map[string]any{"snapshot": "a", "without": "etcd/0"}, failed: "etcd/0 is the source of the new data"},
		"without one that died": {params: map[string]any{"snapshot": "a", "without": "etcd/2"}, world: func(w *World) { *w = down(*w, 2) }, want: func(o *Operation) { o.Snapshot, o.Without = "a", []string{"etcd/2"} }},
		"a unit of an older charm": {
			params: map[string]any{"snapshot": "a"}, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/1"]
				unitBag.Can = []string{"db", "rolling-restart"}
				m.Cluster.Value.UnitBags["etcd/1"] = unitBag
			}, failed: "the charm of etcd/1 does not know restore",
		},
		"no quorum": {params: map[string]any{"snapshot": "a"}, world: func(w *World) { *w = noQuorumWorld(*w) }, want: func(o *Operation) { o.Snapshot = "a" }},
		"an alarm":  {params: map[string]any{"snapshot": "a"}, world: func(w *World) { w.Alarms = []Alarm{{2, corrupt}} }, want: func(o *Operation) { o.Snapshot = "a" }},
		"the data of a unit": {
			params: map[string]any{"from": "data-dir", "source": "etcd/2"}, model: func(m *Model) {
				unitBag := m.Cluster.Value.UnitBags["etcd/2"]
				unitBag.ClusterID = newID
				m.Cluster.Value.UnitBags["etcd/2"] = unitBag
			}, want: func(o *Operation) { o.Snapshot, o.Source, o.Target = dataDir, "etcd/2", "d2" },
		},
		"the data that is on record": {params: map[string]any{"from": "data-dir"}, failed: "cluster c1 is on record already"},
		"the data of a unit without": {
			params: map[string]any{"from": "data-dir", "source": "etcd/2"}, model: func(m *Model) { m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{} },
			failed: "etcd/2 shows no data of a cluster",
		},
		"a source that leaves":       {params: map[string]any{"snapshot": "a", "source": "etcd/1"}, model: func(m *Model) { m.Units.Value["etcd/1"] = Dying }, failed: "etcd/1 is leaving and cannot be the source"},
		"goal-state is not believed": {params: map[string]any{"snapshot": "a"}, model: func(m *Model) { m.Units = Unknown[map[string]Life]("failed") }, failed: "units unknown: failed"},
		"the peers are not known":    {params: map[string]any{"snapshot": "a"}, model: func(m *Model) { m.Cluster = Unknown[Cluster]("failed") }, failed: "peers unknown: failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := inStore(world(m))
			if tc.model != nil {
				tc.model(&m)
			}
			if tc.world != nil {
				tc.world(&w)
			}
			if _, said := tc.params["confirm"]; !said {
				tc.params["confirm"] = "id-c1"
			} else if tc.params["confirm"] == "" {
				delete(tc.params, "confirm")
			}
			steps, result, err := Restore(tc.params, m, w)
			require.NoError(t, err)
			if tc.failed != "" {
				assert.Empty(t, steps)
				assert.Contains(t, result.Failed, tc.failed)
				assert.Empty(t, result.Bags)
				return
			}
			record := begun(t, steps, result)
			is := record.Operation
			want := Operation{
				ID: is.ID, Kind: restoring, Phase: toAnswer, Units: []string{"etcd/0", "etcd/1", "etcd/2"}, Source: "etcd/0", Snapshot: "latest", Token: is.Token,
				Seen: 60, Began: 1000, Moved: 1000,
			}
			if tc.want != nil {
				tc.want(&want)
			}
			assert.Equal(t, want, is)
			assert.Len(t, is.Token, 16)
			assert.Contains(t, result.Text, "leases come back with their full time")
			assert.Contains(t, result.Text, "cancel it: juju run etcd/leader operation cancel="+is.ID)
			assert.Equal(t, m.Cluster.Value.AppBag.ClusterID, record.ClusterID, "nothing has changed yet")
		})
	}
}

func TestRestoreDryRun(t *testing.T) {
	t.Parallel()
	m := model(3)
	m.Leader = Know(false)
	w := inStore(world(m))
	_, result, err := Restore(map[string]any{"snapshot": "latest", "dry-run": true}, m, w)
	require.NoError(t, err)
	require.Empty(t, result.Failed)
	assert.Empty(t, result.Bags)
	assert.Equal(t, `SNAPSHOT  TAKEN                 REVISION  KEYS  BYTES
b         1970-01-01T00:03:20Z  50        4     4096

users not known: action verify-snapshot reads them
10 revisions are lost: from 51 to 60, and what is written until the restore
begins; leases come back with their full time, even those expired since;
watches start again
restore it: juju run etcd/leader restore snapshot=latest source=etcd/0 confirm=id-c1
`, result.Text)
	assert.Equal(t, "juju run etcd/leader restore snapshot=latest source=etcd/0 confirm=id-c1", result.Values["command"])

	assert.Equal(t, "not known", result.Values["users"])

	w.Kept.Snapshots[1].Revision = 59
	_, result, err = Restore(map[string]any{"snapshot": "latest", "dry-run": true}, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Text, "revision 60 is lost, and what is written until the restore begins;")

	_, result, err = Restore(map[string]any{"snapshot": "a", "source": "etcd/1", "dry-run": true}, m, w)
	require.NoError(t, err)
	assert.Equal(t, "nothing is shown: what etcd/1 has can only be seen there; juju run etcd/1 restore snapshot=a source=etcd/1 dry-run=true", result.Failed)

	_, result, err = Restore(map[string]any{"from": "data-dir", "dry-run": true}, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Text, "the data here belongs to cluster c1")

	// A kept one's name says on which unit it is.
	_, result, err = Restore(map[string]any{"snapshot": "etcd-1-20270101T000000Z", "dry-run": true}, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "juju run etcd/1 restore snapshot=etcd-1-20270101T000000Z source=etcd/1 dry-run=true")

	// A file that is not a kept snapshot is read by long work, which is waited for.
	file := map[string]any{"snapshot": "/my files/x.db", "dry-run": true}
	steps, result, err := Restore(file, m, w)
	require.NoError(t, err)
	require.Len(t, steps, 2)
	request := steps[0].(StartWork).Request
	assert.Equal(t, VerifySnapshot, request.Kind)
	assert.Equal(t, "/my files/x.db", request.Snapshot)
	assert.Equal(t, AwaitWork{ID: request.ID}, steps[1])
	w.Work = []Work{{WorkRequest: request, State: WorkRuns, Progress: "unpack", Began: w.Now}}
	assert.Contains(t, result.Finish(w).Text, "run it again: juju run etcd/0 restore snapshot='/my files/x.db' source=etcd/0 dry-run=true\n")
	w.Work[0].State, w.Work[0].Progress, w.Work[0].Result = WorkDone, "", "revision 7, 3 keys"
	const command = "juju run etcd/leader restore snapshot='/my files/x.db' source=etcd/0 confirm=id-c1"
	assert.Contains(t, result.Finish(w).Text, "revision 7, 3 keys\n")
	assert.Contains(t, result.Finish(w).Text, "restore it: "+command+"\n")
	assert.Equal(t, command, result.Finish(w).Values["command"])
	failed := w
	failed.Work = []Work{{WorkRequest: request, State: WorkFailed, Error: "too short"}}
	assert.Equal(t, "/my files/x.db cannot be restored: too short", result.Finish(failed).Failed)

	// An action that is repeated while the file is read waits for the same work. It shows a result
	// that took longer than an action waits. Otherwise the file is read again, because another may
	// be there now.
	for name, tc := range map[string]struct {
		state      WorkState
		took, past int64
		steps      int
	}{
		"it is being read":   {WorkRuns, 0, 0, 1},
		"it took long":       {WorkDone, 200, 30, 0},
		"it failed late":     {WorkFailed, 200, 30, 0},
		"it was quick":       {WorkDone, 2, 30, 2},
		"it failed at once":  {WorkFailed, 2, 30, 2},
		"that was long ago":  {WorkDone, 200, 3600, 2},
		"it failed long ago": {WorkFailed, 200, 3600, 2},
	} {
		w := w
		w.Work = []Work{{WorkRequest: request, State: tc.state, Began: w.Now - tc.past - tc.took}}
		if tc.state != WorkRuns {
			w.Work[0].Ended = w.Now - tc.past
		}
		steps, _, err := Restore(file, m, w)
		require.NoError(t, err)
		assert.Len(t, steps, tc.steps, name)
	}
}

// TestRestoreDryRunShowsUsers: a dry run of a restore shows which users the snapshot lets in.
func TestRestoreDryRunShowsUsers(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("user%02d", i))
	}
	for name, tc := range map[string]struct {
		users  Users
		text   string
		values map[string]any
	}{
		"none": {Users{Known: true}, "it holds no users; authentication is off\n", map[string]any{"users": "0", "authentication": "no"}},
		"one": {
			Users{Known: true, Count: 1, Names: []string{"root"}},
			"it holds 1 user: root; authentication is off\n",
			map[string]any{"users": "1", "user-names": "root", "authentication": "no"},
		},
		"with authentication": {
			Users{Known: true, Count: 2, Names: []string{"alice", "root"}, Auth: true},
			"it holds 2 users: alice, root; authentication is on in it, and off once it is\nrestored\n",
			map[string]any{"users": "2", "user-names": "alice,root", "authentication": "yes"},
		},
		"a name that would break the line": {
			Users{Known: true, Count: 1, Names: []string{"a\nb\x1b\xff"}},
			"it holds 1 user: a b ?; authentication is off\n",
			map[string]any{"users": "1", "user-names": "a b ?", "authentication": "no"},
		},
		"more than are named": {
			Users{Known: true, Count: 1000, Names: many},
			"user18, user19 and 980 more; authentication is off\n",
			map[string]any{"users": "1000", "user-names": strings.Join(many, ","), "authentication": "no"},
		},
	} {
		m := model(3)
		w := inStore(world(m))
		w.Kept.Snapshots[1].Users = tc.users
		_, result, err := Restore(map[string]any{"snapshot": "latest", "dry-run": true}, m, w)
		require.NoError(t, err)
		assert.Contains(t, result.Text, tc.text, name)
		for key, want := range tc.values {
			assert.Equal(t, want, result.Values[key], name+": "+key)
		}
		if len(tc.users.Names) == 0 {
			assert.NotContains(t, result.Values, "user-names", name)
		}
	}
}

// lostMajority is unit etcd/0 of three, whose cluster has no quorum: etcd/2 is dead, and the others
// show their logs.
func lostMajority() (Model, World) {
	m := model(3)
	w := noQuorumWorld(world(m))
	w.Log = LogState{Term: 3, Index: 1000, Revision: 900}
	unitBag := m.Cluster.Value.UnitBags["etcd/1"]
	unitBag.Log = LogState{Term: 3, Index: 1008, Revision: 800}
	m.Cluster.Value.UnitBags["etcd/1"] = unitBag
	w.Now = 1000
	return m, w
}

func TestRecover(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		params map[string]any
		model  func(*Model)
		world  func(*World)
		want   func(*Operation)
		failed string
	}{
		"the best of two":    {params: map[string]any{"without": "etcd/2"}},
		"nobody is left out": {params: map[string]any{}, failed: "nothing is recovered: it is not known what the log of etcd/2 holds; wait for its next hook; if it is dead for good: juju run etcd/leader recover without=etcd/2 confirm=id-c1"},
		"there is a quorum":  {params: map[string]any{"without": "etcd/2"}, world: func(w *World) { w.Reach = Healthy }, failed: "cluster c1 has a quorum: there is nothing to recover"},
		"not confirmed":      {params: map[string]any{"without": "etcd/2", "confirm": "id-1"}, failed: "confirm is not the ID of the cluster whose data is given up; confirm=id-c1"},
		"a charm of before": {params: map[string]any{"without": "etcd/2"}, model: func(m *Model) {
			unitBag := m.Cluster.Value.UnitBags["etcd/1"]
			unitBag.Can = []string{"db"}
			m.Cluster.Value.UnitBags["etcd/1"] = unitBag
		}, failed: "it is not known what the log of etcd/1 holds"},
		"one that answers":     {params: map[string]any{"without": "etcd/0,etcd/2"}, failed: "etcd on etcd/0 still answers"},
		"nobody is left":       {params: map[string]any{"without": "etcd/2,etcd/1,etcd/0"}, world: func(w *World) { w.Members, w.Local = nil, Local{} }, failed: "no unit shows data to recover from; restore a snapshot"},
		"not on the leader":    {params: map[string]any{"without": "etcd/2"}, model: func(m *Model) { m.Leader = Know(false) }, failed: "juju run etcd/leader recover without=etcd/2 confirm=id-c1"},
		"nothing is on record": {params: map[string]any{"without": "etcd/2"}, model: func(m *Model) { m.Cluster.Value.AppBag.ClusterID = 0 }, failed: "no cluster is recorded"},
		"the leader wins a tie": {
			params: map[string]any{"without": "etcd/2"}, world: func(w *World) { w.Log.Index = 1008 },
			want: func(o *Operation) { o.Source, o.Order = "etcd/0", []string{"etcd/0", "etcd/1"} },
		},
		"an operation goes on": {params: map[string]any{"without": "etcd/2"}, model: func(m *Model) {
			m.Cluster.Value.AppBag.Operation = restoreOf(toStop)
		}, failed: "restore-1a is in progress"},
		"what was restored has lost its majority before all served it": {
			params: map[string]any{"without": "etcd/2"}, model: func(m *Model) { m.Cluster.Value.AppBag.Operation = restoreOf(toServe) },
		},
		"who has lost its data is nobody": {
			params: map[string]any{}, model: func(m *Model) { m.Cluster.Value.UnitBags["etcd/2"] = UnitBag{Can: can()} },
			want: func(o *Operation) { o.Units, o.Without = []string{"etcd/0", "etcd/1"}, nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := lostMajority()
			if tc.model != nil {
				tc.model(&m)
			}
			if tc.world != nil {
				tc.world(&w)
			}
			if tc.params["confirm"] == nil {
				tc.params["confirm"] = "id-c1"
			}
			steps, result, err := Recover(tc.params, m, w)
			require.NoError(t, err)
			if tc.failed != "" {
				assert.Empty(t, steps)
				assert.Contains(t, result.Failed, tc.failed)
				return
			}
			is := begun(t, steps, result).Operation
			want := Operation{
				ID: is.ID, Kind: recovering, Phase: toAnswer, Units: []string{"etcd/0", "etcd/1", "etcd/2"}, Without: []string{"etcd/2"}, Source: "etcd/1",
				Token: is.Token, Seen: 900, Order: []string{"etcd/1", "etcd/0"}, Began: 1000, Moved: 1000,
			}
			if tc.want != nil {
				tc.want(&want)
			}
			assert.Equal(t, want, is)
			assert.Contains(t, result.Text, "writes after index 1008\nthat only the lost members have are gone")
		})
	}
}

// TestRecoverOfOne: what is said of one unit is in the singular.
func TestRecoverOfOne(t *testing.T) {
	t.Parallel()
	m, w := lostMajority()
	m.Cluster.Value.UnitBags["etcd/1"] = UnitBag{Can: can()}
	_, result, err := Recover(map[string]any{"without": "etcd/1,etcd/2", "confirm": "id-c1"}, m, w)
	require.NoError(t, err)
	require.Empty(t, result.Failed)
	assert.Contains(t, result.Text, "etcd/0 stops its etcd and")
}

// TestRecoverDryRun: any unit answers at once, and changes nothing.
func TestRecoverDryRun(t *testing.T) {
	t.Parallel()
	m, w := lostMajority()
	m.Leader = Know(false)
	steps, result, err := Recover(map[string]any{"without": "etcd/2", "dry-run": true}, m, w)
	require.NoError(t, err)
	require.Empty(t, result.Failed)
	assert.Empty(t, steps)
	assert.Empty(t, result.Bags)
	assert.Equal(t, `UNIT    TERM  INDEX  BEHIND  LOG     REVISION
etcd/1  3     1008   0       intact  800
etcd/0  3     1000   8       intact  900

etcd/1 is the best: term 3, index 1008, revision 800; writes after index 1008
that only the lost members have are gone; leases come back with their full
time, even those expired since; watches start again
recover from it: juju run etcd/leader recover without=etcd/2 confirm=id-c1
`, result.Text)
	assert.Equal(t, "etcd/1", result.Values["best"])
}

// TestRecoverDryRunNamesTheDead: at night nobody knows which units to leave out. Units of which
// nothing is known are in the command, and one that answers is refused there as in the command
// itself.
func TestRecoverDryRunNamesTheDead(t *testing.T) {
	t.Parallel()
	m, w := lostMajority()
	_, result, err := Recover(map[string]any{"dry-run": true}, m, w)
	require.NoError(t, err)
	require.Empty(t, result.Failed)
	assert.Contains(t, result.Text, "etcd/2  -     -      -       not known  -\n")
	assert.Contains(t, result.Text, "leave out etcd/2 only if dead for good")
	assert.Contains(t, result.Text, "recover from it: juju run etcd/leader recover without=etcd/2 confirm=id-c1\n")
	_, result, err = Recover(map[string]any{"dry-run": true, "without": "etcd/0,etcd/2"}, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "etcd on etcd/0 still answers")
}

// TestOperationPastTheEnd: from the point of no return on the operation cannot be cancelled, and no
// unit whose member still answers is left out.
func TestOperationPastTheEnd(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{toAnswer, toPrepare, toStop, toServe} {
		for _, o := range []Operation{restoreOf(phase), recoverOf(phase)} {
			m, w := during(o, 0)
			_, result, err := ShowOperation(map[string]any{"cancel": o.ID}, m, w)
			require.NoError(t, err)
			if phase == toServe {
				assert.Equal(t, "nothing is changed: "+o.ID+" is past its point of no return; the old data stays on the units", result.Failed)
			} else {
				require.Empty(t, result.Failed)
				record, err := etcdcluster.DecodeApp("cluster:0", "etcd", result.Bags[0].Bag)
				require.NoError(t, err)
				assert.Equal(t, outcomeCancelled, record.Operation.Outcome)
				assert.Equal(t, uint64(clusterID), record.ClusterID)
			}
			for unit, want := range map[string]string{"etcd/1": "etcd/1 is the source of the new data", "etcd/2": "etcd on etcd/2 still answers"} {
				_, result, err := ShowOperation(map[string]any{"without": unit}, m, w)
				require.NoError(t, err)
				assert.Contains(t, result.Failed, want)
			}
			steps, result, err := ShowOperation(map[string]any{"without": "etcd/2"}, m, down(w, 2))
			require.NoError(t, err)
			assert.Empty(t, result.Failed)
			require.Len(t, steps, 1, "a leader who is left alone hears of it")
			again := steps[0].(StartWork).Request
			assert.Equal(t, LookAgain, again.Kind)
			assert.NotEqual(t, o.ID+"-"+o.Phase, again.ID, "work of that name has been, when the phase began")
			_, result, err = ShowOperation(nil, m, w)
			require.NoError(t, err)
			assert.Contains(t, result.Text, "on etcd/1\n")
		}
	}
}

// TestWorkThatHangs: whoever asks the source reads how far the new data is and for how long it has
// not moved; whoever asks elsewhere reads where to ask. Cancelled, the work is ended by the
// source's next hook.
func TestWorkThatHangs(t *testing.T) {
	t.Parallel()
	for _, o := range []Operation{restoreOf(toPrepare), recoverOf(toPrepare)} {
		m, w := during(o, 0)
		_, result, err := ShowOperation(nil, m, w)
		require.NoError(t, err)
		assert.Contains(t, result.Text, "how far that is: juju run etcd/1 operation\n")
		assert.NotContains(t, result.Values, "progress")

		m, w = during(o, 1)
		w.Now = 10_000
		hung := Work{WorkRequest: WorkRequest{ID: o.ID, Kind: PrepareRestore}, State: WorkRuns, Progress: "copy: 1 of 9 MiB", Moved: w.Now - 34*60}
		w.Work = []Work{hung}
		_, result, err = ShowOperation(nil, m, w)
		require.NoError(t, err)
		assert.Contains(t, result.Text, "the new data: copy: 1 of 9 MiB, unchanged for 34m\n")
		assert.Equal(t, "copy: 1 of 9 MiB, unchanged for 34m", result.Values["progress"])
		assert.Contains(t, Examine(m, w).Table(), "restore runs: copy: 1 of 9 MiB, unchanged for 34m")

		w.Work[0].Moved = w.Now - 10
		_, result, err = ShowOperation(nil, m, w)
		require.NoError(t, err)
		assert.Contains(t, result.Text, "the new data: copy: 1 of 9 MiB\n")

		o.Outcome = outcomeCancelled
		m, _ = during(o, 1)
		assert.Equal(t, EndWork{o.ID, operationOver}, Decide(lookAgain, m, w).Step)
		_, result, err = ShowOperation(nil, m, w)
		require.NoError(t, err)
		assert.NotContains(t, result.Values, "progress")
	}
}

// TestFoundsNothingMeanwhile: a cluster that an operation is about to put back is not given up for
// an empty one.
func TestFoundsNothingMeanwhile(t *testing.T) {
	t.Parallel()
	m, w := during(restoreOf(toPrepare), 0)
	delete(m.Units.Value, "etcd/1")
	delete(m.Units.Value, "etcd/2")
	m.Cluster.Value.UnitBags = nil
	_, result, err := FoundCluster(map[string]any{"confirm": "id-c1"}, m, wiped(silent(w)))
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "operation restore-1a is in progress")
}
