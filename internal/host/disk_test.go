package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestCheckDisk: every look sees the measurement, and no file of it stays in the data directory.
func TestCheckDisk(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.do(operator.Install{Release: u.look().Carried})
	require.Zero(t, u.look().Disk.At)
	u.do(operator.CheckDisk{})
	d := u.look().Disk
	assert.NotEmpty(t, d.FileSystem)
	assert.Positive(t, d.Free)
	assert.Equal(t, u.now().Unix(), d.At)
	assert.Positive(t, d.Writes)
	assert.LessOrEqual(t, d.Writes, diskWrites)
	assert.Positive(t, d.P50)
	assert.LessOrEqual(t, d.P50, d.P99)
	assert.LessOrEqual(t, d.P99, d.Max)
	assert.True(t, d.Together, "one file system")
	assert.Equal(t, operator.NoData, u.look().Data.State, "an empty directory, as before")
	entries, err := filepath.Glob(filepath.Join(u.state(), ".measure*"))
	require.NoError(t, err)
	assert.Empty(t, entries)
	info, err := os.Stat(u.disk())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())

	u.do(operator.CheckDisk{}) // a second time
	assert.Positive(t, u.look().Disk.Writes)
	require.NoError(t, os.WriteFile(u.disk(), []byte("{"), 0o600))
	assert.Zero(t, u.look().Disk.At, "what cannot be read was not measured")
	u.do(operator.Uninstall{})
	_, err = os.Lstat(u.disk())
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestMeasureEnds: even on a slow disk one write at least is measured, and a hook whose time is
// over waits no longer.
func TestMeasureEnds(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer ignoreClose(f)
	took, err := measure(t.Context(), f)
	require.NoError(t, err)
	assert.NotEmpty(t, took)
	info, err := f.Stat()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, info.Size(), int64(len(took)*diskWrite))
	var sum time.Duration
	for _, one := range took {
		sum += one
	}
	assert.Positive(t, sum)

	readOnly, err := os.Open(f.Name())
	require.NoError(t, err)
	defer ignoreClose(readOnly)
	_, err = measure(t.Context(), readOnly)
	assert.Error(t, err)
}

func TestFileSystemNames(t *testing.T) {
	t.Parallel()
	for magic, want := range map[int64]string{
		0xef53: "ext4", 0x58465342: "xfs", 0x01021994: "tmpfs", 0x858458f6: "ramfs", 0x794c7630: "overlay", 0x6969: "nfs", 0xff534d42: "cifs",
		0xfe534d42: "smb2", 0x00c36400: "ceph", 0x65735546: "fuse", 0x01021997: "9p", 0x2fc12fc1: "zfs", 0x9123683e: "btrfs", 0x1234: "0x1234",
	} {
		assert.Equal(t, want, fileSystemName(magic))
	}
	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs("/proc", &fs))
	assert.Equal(t, "0x9fa0", fileSystemName(fs.Type))
}
