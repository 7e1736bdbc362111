package operator

import (
	"testing"
	"time"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goodDisk is a disk without flaws.
func goodDisk() Disk {
	return Disk{
		FileSystem: "ext4", Free: 50 << 30, Inodes: 1 << 20, Counted: true, At: 1, Writes: 500,
		P50: time.Millisecond, P99: 3 * time.Millisecond, Max: 9 * time.Millisecond, Cache: "write back", Together: true,
	}
}

func TestFlaws(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	on := func(fs string) func(*Disk) { return func(d *Disk) { d.FileSystem = fs } }
	for name, tt := range map[string]struct {
		disk  func(*Disk)
		db    int64
		quota int64
		want  []Kind
	}{
		"a good one":                        {disk: func(*Disk) {}},
		"not known":                         {disk: func(d *Disk) { *d = Disk{} }},
		"never measured":                    {disk: func(d *Disk) { *d = Disk{FileSystem: "ext4", Free: 50 * gib} }},
		"xfs":                               {disk: on("xfs")},
		"one that nobody knows":             {disk: on("0x1234")},
		"nfs":                               {disk: on("nfs"), want: []Kind{diskRemote}},
		"cifs":                              {disk: on("cifs"), want: []Kind{diskRemote}},
		"smb2":                              {disk: on("smb2"), want: []Kind{diskRemote}},
		"ceph":                              {disk: on("ceph"), want: []Kind{diskRemote}},
		"overlay":                           {disk: on("overlay"), want: []Kind{diskLayered}},
		"fuse":                              {disk: on("fuse"), want: []Kind{diskLayered}},
		"9p":                                {disk: on("9p"), want: []Kind{diskLayered}},
		"zfs":                               {disk: on("zfs"), want: []Kind{diskCopying}},
		"btrfs":                             {disk: on("btrfs"), want: []Kind{diskCopying}},
		"memory keeps nothing, said once":   {disk: func(d *Disk) { d.FileSystem, d.P50 = "tmpfs", 200 }, want: []Kind{diskMemory}},
		"ramfs":                             {disk: on("ramfs"), want: []Kind{diskMemory}},
		"no flush":                          {disk: func(d *Disk) { d.P50 = noFlush - 1 }, want: []Kind{diskFlushless}},
		"as fast as a flush may be":         {disk: func(d *Disk) { d.P50 = noFlush }},
		"10 ms":                             {disk: func(d *Disk) { d.P99 = slowDisk }},
		"above 10 ms":                       {disk: func(d *Disk) { d.P99 = slowDisk + 1 }, want: []Kind{diskSlow}},
		"above 50 ms":                       {disk: func(d *Disk) { d.P99 = failingDisk + 1 }, want: []Kind{diskFailing}},
		"it rotates":                        {disk: func(d *Disk) { d.Rotational = true }, want: []Kind{diskRotates}},
		"no room for the quota":             {disk: func(d *Disk) { d.Free = 3*gib - 1 }, quota: 2 * gib, want: []Kind{diskRoom}},
		"room for the quota":                {disk: func(d *Disk) { d.Free = 3 * gib }, quota: 2 * gib},
		"no room for a copy":                {disk: func(d *Disk) { d.Free = 8*gib - 1 }, db: 4 * gib, quota: 5 * gib, want: []Kind{diskRoom}},
		"few inodes":                        {disk: func(d *Disk) { d.Inodes = 999 }, want: []Kind{diskInodes}},
		"inodes are not counted, as btrfs":  {disk: func(d *Disk) { d.Inodes, d.Counted = 0, false }},
		"all of it":                         {disk: func(d *Disk) { d.FileSystem, d.P99, d.Free = "zfs", time.Second, 1 }, want: []Kind{diskCopying, diskFailing, diskRoom}},
		"room though it was never measured": {disk: func(d *Disk) { d.At, d.P50, d.P99, d.Free = 0, 0, 0, 1 }, want: []Kind{diskRoom}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := goodDisk()
			tt.disk(&d)
			var got []Kind
			for _, why := range d.flaws("etcd/0", tt.db, tt.quota) {
				got = append(got, why.Kind)
				assert.Equal(t, Sound, why.Health(), "a note")
				assert.Empty(t, why.Level, "in health only")
				assert.LessOrEqual(t, len(why.String()), tableWidth-len("note     "), "it is one line of health: %s", why)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// TestDiskIsMeasuredBeforeItServes: the disk is measured once, by the hook that has installed and
// has no data yet, and never by a hook of a member that serves.
func TestDiskIsMeasuredBeforeItServes(t *testing.T) {
	t.Parallel()
	m, w := fresh(1)
	w.Disk = Disk{FileSystem: "ext4", Free: 50 << 30}
	require.Equal(t, CheckDisk{}, firstStep(m, w))
	w.Disk = goodDisk()
	require.NotEqual(t, CheckDisk{}, firstStep(m, w), "once")
	w.Disk = Disk{}
	w.Done = []Step{CheckDisk{}}
	require.NotEqual(t, CheckDisk{}, firstStep(m, w), "once a hook, though nothing of it is to be seen")

	m = model(3)
	w = world(m)
	w.Disk = Disk{}
	assert.Nil(t, firstStep(m, w), "a member that serves")
	w.Service.Running, w.Local = false, Local{}
	assert.NotEqual(t, CheckDisk{}, firstStep(m, w), "a member that should serve")

	m, w = healthyProxy(1)
	assert.NotEqual(t, CheckDisk{}, firstStep(m, w), "a proxy keeps nothing")
	m, w = fresh(2)
	w.Disk = Disk{}
	assert.NotEqual(t, CheckDisk{}, Decide(Event{Kind: hooks.Stop}, m, w).Step, "a unit that leaves")
}

// TestDiskIsRefused: a unit without data does not begin on a network file system; one that has data
// goes on.
func TestDiskIsRefused(t *testing.T) {
	t.Parallel()
	m, w := fresh(1)
	for fs, refused := range map[string]bool{"nfs": true, "ceph": true, "smb2": true, "cifs": true, "overlay": false, "tmpfs": false, "fuse": false, "9p": false, "zfs": false} {
		w.Disk = goodDisk()
		w.Disk.FileSystem = fs
		p := Decide(lookAgain, m, w)
		assert.Equal(t, refused, p.Step == nil, fs)
		if refused {
			assert.Equal(t, Blocked, p.Status.Level)
			assert.Contains(t, p.Status.Message, "data would be on "+fs+", a network file system; mount a local disk there")
			_, out, err := CheckDiskNow(nil, m, w)
			require.NoError(t, err)
			answer := out.Finish(w)
			assert.Equal(t, "unfit", answer.Values["verdict"])
			assert.Contains(t, answer.Failed, "a network file system")
		}
	}
	m = model(3)
	w = world(m)
	w.Disk = goodDisk()
	w.Disk.FileSystem = "nfs"
	p := Decide(lookAgain, m, w)
	assert.Equal(t, Active, p.Status.Level, "it serves on")
	assert.Contains(t, Examine(m, w).Table(), "note     data is on nfs, a network file system; move it to a local disk\n")
}

func TestCheckDiskNow(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	steps, out, err := CheckDiskNow(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, []Step{CheckDisk{}}, steps)
	w.Disk = goodDisk()
	answer := out.Finish(w)
	assert.Empty(t, answer.Failed)
	assert.Equal(t, "good", answer.Values["verdict"])
	assert.Equal(t, "3ms", answer.Values["p99"])
	assert.Regexp(t, `^verdict  good\n`, answer.Text)
	assert.Contains(t, answer.Text, "the member served meanwhile")
	assert.NotContains(t, answer.Text, "because")

	w.Disk.P99 = time.Second
	answer = out.Finish(w)
	assert.Equal(t, "doubtful", answer.Values["verdict"])
	assert.Regexp(t, `^verdict  doubtful\nbecause  disk too slow: a write takes 1s`, answer.Text)
	assert.Contains(t, Examine(m, w).Table(), "disk     ext4, 50 GiB free; 99 of 100 writes are synced within 1s\n")

	m, w = healthyProxy(1)
	steps, out, err = CheckDiskNow(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, steps)
	assert.Contains(t, out.Failed, "is a proxy")
}
