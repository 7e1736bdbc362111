package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/longwork"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// works does work and waits for its end.
func (u *unit) works(r operator.WorkRequest) operator.Work {
	u.t.Helper()
	u.do(operator.StartWork{Request: r})
	w := u.eventually("the end of "+r.ID, func(w operator.World) bool {
		return len(w.Work) > 0 && w.Work[len(w.Work)-1].ID == r.ID && w.Work[len(w.Work)-1].State != operator.WorkRuns
	})
	return w.Work[len(w.Work)-1]
}

func TestSnapshotsOfAMember(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	cl, err := u.access(nil).dial(u.word.ClientURL)
	require.NoError(t, err)
	defer ignoreClose(cl)
	_, err = cl.Put(t.Context(), "fruit", "apple")
	require.NoError(t, err)

	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Keep: 2}}) // by hand alone
	work := u.works(operator.WorkRequest{ID: "one", Kind: operator.TakeSnapshot})
	require.Equal(t, operator.WorkDone, work.State, work.Error)
	w := u.look()
	require.Len(t, w.Kept.Snapshots, 1)
	s := w.Kept.Snapshots[0]
	assert.Equal(t, "one", s.Work)
	assert.Equal(t, w.ClusterID, s.Cluster)
	assert.Equal(t, w.Members[0].Revision, s.Revision)
	assert.Empty(t, s.Error)
	info, err := os.Stat(s.Path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(u.metrics())
	require.NoError(t, err)
	assert.Contains(t, string(text), `etcd_charm_snapshot_count{unit="etcd/0"} 1`)

	// What began is not begun again; what ended is kept.
	u.do(operator.StartWork{Request: operator.WorkRequest{ID: "one", Kind: operator.TakeSnapshot}})
	assert.Len(t, u.look().Kept.Snapshots, 1)

	to := filepath.Join(t.TempDir(), "mine.db")
	for _, id := range []string{"two", "three"} {
		work = u.works(operator.WorkRequest{ID: id, Kind: operator.TakeSnapshot, To: to})
		to += "2"
		require.Equal(t, operator.WorkDone, work.State, work.Error)
	}
	w = u.look()
	require.Len(t, w.Kept.Snapshots, 2, "the oldest goes once the third is good")
	assert.Equal(t, "two", w.Kept.Snapshots[0].Work)
	assert.Len(t, w.Work, 1, "of finished work the last of its kind is kept")
	work = u.works(operator.WorkRequest{ID: "four", Kind: operator.TakeSnapshot, Why: "before-restore"})
	require.Equal(t, operator.WorkDone, work.State, work.Error)
	require.Len(t, u.look().Kept.Snapshots, 3, "one that is kept apart is kept besides")

	for _, s := range u.look().Kept.Snapshots {
		assert.Equal(t, operator.Users{Known: true}, s.Users, "nobody may log in")
	}

	for which, why := range map[string]string{"latest": "", "etcd-0-20000101T000000Z": "no such snapshot", strings.TrimSuffix(to, "2"): "", "/no/such/file": "no such file"} {
		id := "verify-" + strings.ToLower(strings.Trim(strings.NewReplacer("/", "-", "_", "-").Replace(which), "-"))
		work = u.works(operator.WorkRequest{ID: id, Kind: operator.VerifySnapshot, Snapshot: which})
		if why == "" {
			assert.Equal(t, operator.WorkDone, work.State, work.Error)
			assert.Contains(t, work.Result, "is good: revision 2, 1 keys")
			assert.Contains(t, work.Result, "; no users; authentication is off")
			continue
		}
		assert.Contains(t, work.Error, why, which)
	}

	w = u.look()
	u.do(operator.Purge{Snapshots: []string{w.Kept.Snapshots[0].Name, w.Kept.Snapshots[2].Name, "../x"}, Aside: []string{u.data()}})
	w = u.look()
	require.Len(t, w.Kept.Snapshots, 2, "the newest good one stays, and what is not kept is not touched")
	assert.Equal(t, operator.OurData, w.Data.State)
}

// TestHungWorkIsEnded: work that heeds no signal is killed when it is to end, and leaves nothing.
func TestHungWorkIsEnded(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.prepare()
	u.do(operator.StartWork{Request: operator.WorkRequest{ID: "hung", Kind: "hang"}})
	w := u.eventually("its progress", func(w operator.World) bool { return len(w.Work) == 1 && w.Work[0].Progress != "" })
	assert.Equal(t, "copy: 1 of 9 MiB", w.Work[0].Progress)
	assert.NotZero(t, w.Work[0].Moved)
	u.do(operator.EndWork{ID: "hung"})
	assert.Empty(t, u.look().Work)
	assert.Contains(t, u.machine.Journal(u.workService("hung")), "hung")
}

// TestTargetsOfSnapshots: for a path to which no snapshot can be copied, nothing is asked of the
// member.
func TestTargetsOfSnapshots(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for to, why := range map[string]string{
		filepath.Join(dir, "no", "x.db"): "no such file", filepath.Join(dir, "file"): "already exists", filepath.Join(dir, "file", "x"): "is not a directory",
	} {
		work := u.works(operator.WorkRequest{ID: "to-" + filepath.Base(to) + "-" + strings.Fields(why)[0] + strings.Fields(why)[1], Kind: operator.TakeSnapshot, To: to})
		assert.Contains(t, work.Error, why, to)
	}
	assert.Empty(t, u.look().Kept.Snapshots)
	require.ErrorContains(t, u.Do(t.Context(), operator.StartWork{Request: operator.WorkRequest{ID: "../x"}}), "is not an ID")
	require.ErrorContains(t, u.Do(t.Context(), operator.EndWork{ID: "../x"}), "is not an ID")
}

// TestTimer: a snapshot is taken by itself when one is due, and not again before the next is.
func TestTimer(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	assert.Equal(t, operator.Schedule{}, u.look().Schedule)
	s := operator.Schedule{Interval: 3600, Keep: 2}
	u.do(operator.WriteSchedule{Schedule: s}, operator.WriteSchedule{Schedule: s})
	assert.Equal(t, s, u.look().Schedule)
	// The timer asks each five minutes; this is what its service runs.
	_, err := u.supervisor.systemctl(t.Context(), "start", u.snapshotService())
	require.NoError(t, err)
	w := u.eventually("a snapshot", func(w operator.World) bool { return len(w.Kept.Snapshots) == 1 })
	assert.Equal(t, scheduled, w.Kept.Snapshots[0].Work)
	u.eventually("its end", func(w operator.World) bool { return w.Work[0].State == operator.WorkDone })
	require.NoError(t, u.Due(t.Context(), ""))
	assert.Len(t, u.look().Kept.Snapshots, 1)

	// Damage is seen, and put right by the same step.
	for _, path := range []string{u.snapshotConfig(), u.timerFile(), u.snapshotServiceFile(), u.timerWanted()} {
		for name, damage := range map[string]func(string) error{
			"removed": os.Remove,
			"garbage": func(path string) error {
				return replaced(func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) })(path)
			},
			"a fifo":      replaced(func(path string) error { return syscall.Mkfifo(path, 0o600) }),
			"a directory": replaced(func(path string) error { return os.Mkdir(path, 0o755) }),
		} {
			require.NoError(t, damage(path))
			assert.Equal(t, operator.Schedule{}, u.look().Schedule, "%s %s", path, name)
			u.do(operator.WriteSchedule{Schedule: s})
			assert.Equal(t, s, u.look().Schedule, "%s %s", path, name)
		}
	}
	off := operator.Schedule{Keep: 5}
	u.do(operator.WriteSchedule{Schedule: off}, operator.WriteSchedule{Schedule: off})
	assert.Equal(t, off, u.look().Schedule)
	for _, path := range []string{u.timerFile(), u.snapshotServiceFile(), u.timerWanted()} {
		_, err := os.Lstat(path)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	require.NoError(t, u.Due(t.Context(), ""))
	assert.Len(t, u.look().Kept.Snapshots, 1, "none by itself")

	u.do(operator.WriteSchedule{Schedule: s}, operator.Uninstall{})
	kept, err := snapshot.List(u.snapshots())
	require.NoError(t, err)
	assert.Len(t, kept, 1, "snapshots outlive the unit")
	for _, path := range []string{u.worksDir(), u.metrics(), u.timerFile(), u.snapshotServiceFile(), u.timerWanted(), u.etc()} {
		_, err := os.Lstat(path)
		require.ErrorIs(t, err, os.ErrNotExist, path)
	}
}

// TestSnapshotGivesWay: when a unit takes the turn the stream ends, which does not count as a
// failure; and no snapshot begins meanwhile.
func TestSnapshotGivesWay(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Interval: 3600, Keep: 2}})
	m, err := u.ownMember()
	require.NoError(t, err)
	defer ignoreClose(m)
	stream, streamed := u.yielding(t.Context(), m)
	defer streamed()
	later, done := u.yielding(t.Context(), m)
	done()
	u.eventually("the watch", func(w operator.World) bool { return w.Local.Ready })
	u.do(operator.TakeTurn{})
	<-stream.Done()
	require.NoError(t, later.Err(), "a stream that is over is not ended")
	_, err = u.fit(t.Context(), m)
	require.ErrorIs(t, err, errUnfit)
	require.ErrorContains(t, err, "has the turn")
	require.NoError(t, u.Due(t.Context(), ""), "it is asked again")
}

func TestSlots(t *testing.T) {
	t.Parallel()
	at := func(hours float64) time.Time {
		return time.Unix(6*3600*80000, 0).Add(time.Duration(hours * float64(time.Hour)))
	}
	for unit, begins := range map[string]float64{"etcd/0": 0, "etcd/1": 3, "etcd/2": 1.5, "etcd/3": 4.5, "a-b/4": 0.75} {
		first := slot(at(begins), 6*3600, unit)
		assert.Equal(t, first-1, slot(at(begins-0.01), 6*3600, unit), unit)
		assert.Equal(t, first, slot(at(begins+5.99), 6*3600, unit), unit)
		assert.Equal(t, first+1, slot(at(begins+6), 6*3600, unit), unit)
	}
	assert.Equal(t, int64(-1), slot(time.Unix(-1, 0), 60, "etcd/0"))
}

// TestBudgetOnASmallFileSystem fills one: a snapshot that would leave too little space is not
// taken, and the error says so.
func TestBudgetOnASmallFileSystem(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	require.NoError(t, os.MkdirAll(u.snapshots(), 0o700))
	if err := syscall.Mount("tmpfs", u.snapshots(), "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small file system needs root to be mounted: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(u.snapshots(), 0)) })
	require.NoError(t, os.WriteFile(filepath.Join(u.snapshots(), "filler"), make([]byte, 1<<20-8192), 0o600))
	work := u.works(operator.WorkRequest{ID: "full", Kind: operator.TakeSnapshot})
	assert.Equal(t, operator.WorkFailed, work.State)
	assert.Contains(t, work.Error, "no room for a snapshot")
	assert.Empty(t, u.look().Kept.Snapshots)
}

// TestSnapshotThatIsToBeRestoredStays: undoing a restore first takes another snapshot, and then
// restores the one that was kept before the restore. So that one must not be dropped for the other.
func TestSnapshotThatIsToBeRestoredStays(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Keep: 1}})
	u.works(operator.WorkRequest{ID: "a", Kind: operator.TakeSnapshot, Why: "before-restore"})
	wanted := u.look().Kept.Snapshots[0].Name
	names := func() (out []string) {
		for _, s := range u.look().Kept.Snapshots {
			out = append(out, s.Name)
		}
		return out
	}
	work := u.works(operator.WorkRequest{ID: "b", Kind: operator.TakeSnapshot, Why: "before-restore", Snapshot: wanted})
	require.Equal(t, operator.WorkDone, work.State, work.Error)
	assert.Len(t, names(), 2)
	assert.Contains(t, names(), wanted)
	work = u.works(operator.WorkRequest{ID: "c", Kind: operator.TakeSnapshot, Why: "before-restore"})
	require.Equal(t, operator.WorkDone, work.State, work.Error)
	assert.NotContains(t, names(), wanted, "nobody wants it any more")
}

// TestSnapshotThatARestoreNamesStays: neither the number of snapshots nor their size makes it go
// before its work begins.
func TestSnapshotThatARestoreNamesStays(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	names := func() (out []string) {
		for _, s := range u.look().Kept.Snapshots {
			out = append(out, s.Name)
		}
		return out
	}
	takes := func(id string) {
		work := u.works(operator.WorkRequest{ID: id, Kind: operator.TakeSnapshot})
		require.Equal(t, operator.WorkDone, work.State, work.Error)
	}
	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Keep: 3}})
	for _, id := range []string{"a", "b", "c"} {
		takes(id)
	}
	had := u.look().Kept.Snapshots
	require.Len(t, had, 3)
	wanted, next := had[0].Name, had[1].Name

	s := operator.Schedule{Keep: 2, Wanted: wanted}
	s.Space = had[0].Stored + had[1].Stored + had[2].Stored + had[2].Stored/2 // one has to go for the next
	u.do(operator.WriteSchedule{Schedule: s})
	assert.Equal(t, s, u.look().Schedule)
	require.NoError(t, u.makeRoom(t.Context(), s, had[2].Size, 0))
	assert.Contains(t, names(), wanted)
	assert.NotContains(t, names(), next, "the next one goes")

	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Keep: 1, Wanted: wanted}})
	takes("d")
	assert.Contains(t, names(), wanted)
	assert.Len(t, names(), 2)
	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Keep: 1}})
	takes("e")
	assert.NotContains(t, names(), wanted, "nobody wants it any more")
}

// TestTimerBacksOff: after a fault the timer's next question does not try again; after giving way
// it does.
func TestTimerBacksOff(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	const interval = 3600
	u.do(operator.WriteSchedule{Schedule: operator.Schedule{Interval: interval, Keep: 2}})
	require.NoError(t, directory(u.worksDir(), 0o700, u.adminOwner()))
	dir := u.work(scheduled)
	fails := func(why string) {
		require.NoError(t, longwork.Begin(dir, operator.WorkRequest{ID: scheduled, Kind: operator.TakeSnapshot}, u.now()))
		require.ErrorContains(t, longwork.Run(t.Context(), dir, map[operator.WorkKind]longwork.Do{
			operator.TakeSnapshot: func(context.Context, operator.WorkRequest, longwork.Progress) (string, error) {
				return "", errors.New(why)
			},
		}), why)
	}
	for name, tc := range map[string]struct {
		why   string
		ago   int64
		tried bool
	}{
		"a fault, just now":         {"no room", 1, false},
		"a fault, a while ago":      {"no room", interval/retries - 60, false},
		"a fault, long enough ago":  {"no room", interval / retries, true},
		"a fault in the future":     {"no room", -interval, true},
		"it gave way, just now":     {operator.EndedWork + ": a member restarts", 1, true},
		"none failed, and none has": {"", 0, true},
	} {
		require.NoError(t, longwork.Forget(dir))
		if tc.why != "" {
			fails(tc.why)
		}
		failed, _ := longwork.Look(dir)
		at := time.Unix(failed.Ended+tc.ago, 0)
		assert.Equal(t, tc.tried, u.tries(at, interval), name)
	}
	fails("no room")
	require.NoError(t, u.Due(t.Context(), ""))
	assert.Empty(t, u.look().Kept.Snapshots)
	require.NoError(t, longwork.Forget(dir))
	_, err := u.supervisor.systemctl(t.Context(), "start", u.snapshotService())
	require.NoError(t, err)
	u.eventually("a snapshot", func(w operator.World) bool { return len(w.Kept.Snapshots) == 1 })
}

// small mounts a file system of that many bytes.
func small(t *testing.T, dir string, bytes int64) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("a small file system needs root to be mounted: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
}

// TestCopiesLeaveRoom: a copy beside the data counts like the kept snapshots, because etcd ends
// when it cannot write.
func TestCopiesLeaveRoom(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	size := u.look().Members[0].DBSize
	small(t, u.snapshots(), 2<<30+size*5/2)
	work := u.works(operator.WorkRequest{ID: "beside", Kind: operator.TakeSnapshot, To: filepath.Join(u.snapshots(), "copy.db")})
	assert.Equal(t, operator.WorkFailed, work.State)
	assert.Contains(t, work.Error, "no room for a snapshot")
	work = u.works(operator.WorkRequest{ID: "elsewhere", Kind: operator.TakeSnapshot, To: filepath.Join(t.TempDir(), "copy.db")})
	assert.Equal(t, operator.WorkDone, work.State, work.Error)
}

// TestForeignFilesLeaveRoom: nothing is unpacked beside the data that would leave too little space,
// compressed or not.
func TestForeignFilesLeaveRoom(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	plain := u.saved()
	raw, err := os.ReadFile(plain)
	require.NoError(t, err)
	raw = append(raw[:len(raw)-sha256.Size], make([]byte, 32<<20)...)
	sum := sha256.Sum256(raw)
	raw = append(raw, sum[:]...)
	require.NoError(t, os.WriteFile(plain, raw, 0o600))
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(plain+".zst", z.EncodeAll(raw, nil), 0o600))
	small(t, u.worksDir(), leastFree+16<<20)
	for id, path := range map[string]string{"plain": plain, "packed": plain + ".zst"} {
		work := u.works(operator.WorkRequest{ID: id, Kind: operator.VerifySnapshot, Snapshot: path})
		assert.Equal(t, operator.WorkFailed, work.State, id)
		assert.Contains(t, work.Error, "no room for a snapshot", id)
	}
}
