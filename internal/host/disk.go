package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// How the disk is measured. This is etcd's own recipe for fio: each write has the size of a log
// entry and is synced before the next; the file's space is allocated beforehand, as a log file's
// is.
const (
	diskWrite  = 2300
	diskFile   = 22 << 20
	diskWrites = 500
	diskTime   = 2 * time.Second
)

// measured is what the disk's file holds; times are in nanoseconds. Fields are only ever added.
type measured struct {
	At         int64  `json:"at"` // Unix seconds
	Writes     int    `json:"writes"`
	P50        int64  `json:"p50"`
	P99        int64  `json:"p99"`
	Max        int64  `json:"max"`
	Rotational bool   `json:"rotational"`
	Cache      string `json:"write-cache,omitempty"`
	Together   bool   `json:"snapshots-beside"`
}

// checkDisk measures the disk that the data lies on, and writes the result to a file.
func (h *Host) checkDisk(ctx context.Context) error {
	f, err := h.nameless()
	if err != nil {
		return fmt.Errorf("cannot measure the disk: %w", err)
	}
	defer ignoreClose(f)
	took, err := measure(ctx, f)
	if err != nil {
		return fmt.Errorf("cannot measure the disk: %w", err)
	}
	m := measured{At: h.now().Unix(), Writes: len(took)}
	slices.Sort(took)
	m.P50, m.P99, m.Max =
		int64(took[len(took)/2]), int64(took[(len(took)*99)/100]), int64(took[len(took)-1])
	var info unix.Stat_t
	if unix.Fstat(int(f.Fd()), &info) == nil {
		m.Rotational, m.Cache = h.blockDevice(info.Dev)
		m.Together = sameDevice(info.Dev, h.snapshots(), h.state())
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return h.write(file{path: h.disk(), data: append(text, '\n')})
}

// nameless opens a file on the data's file system that disappears with the process, however the
// process ends. A leftover file in the data directory would be taken for somebody else's. Where the
// file system has no such files (O_TMPFILE), it makes one beside the data and unlinks it, if that
// directory is on the same file system.
func (h *Host) nameless() (*os.File, error) {
	dir := h.dataPlace()
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil //nolint:gosec // no negative number
	}
	var here unix.Stat_t
	if unix.Stat(dir, &here) != nil || !sameDevice(here.Dev, h.state()) {
		return nil, err
	}
	f, err := os.CreateTemp(h.state(), ".measure-")
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

// dataPlace returns the data directory, or its nearest parent that exists.
func (h *Host) dataPlace() string {
	for dir := h.data(); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// measure writes as etcd's log does, and returns how long each write took; at least one.
func measure(ctx context.Context, f *os.File) ([]time.Duration, error) {
	fd := int(f.Fd())
	if err := unix.Fallocate(fd, 0, 0, diskFile); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, err
	}
	var took []time.Duration
	buf := make([]byte, diskWrite)
	for end := time.Now().Add(diskTime); len(took) < diskWrites && (len(took) == 0 || time.Now().Before(end)); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := f.Write(buf); err != nil {
			return nil, err
		}
		before := time.Now()
		if err := unix.Fdatasync(fd); err != nil {
			return nil, err
		}
		took = append(took, time.Since(before))
	}
	return took, nil
}

// blockDevice returns what the kernel says of the disk below a file system; false and "" where
// there is none, or several.
func (h *Host) blockDevice(dev uint64) (rotates bool, cache string) {
	at, err := filepath.EvalSymlinks(
		fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev)))
	if err != nil {
		return false, ""
	}
	if _, err := os.Lstat(filepath.Join(at, "partition")); err == nil {
		at = filepath.Dir(at) // the queue belongs to the whole disk
	}
	word := func(name string) string {
		text, _ := regular.Read(filepath.Join(at, "queue", name))
		return strings.TrimSpace(string(text))
	}
	return word("rotational") == "1", word("write_cache")
}

// sameDevice reports whether the first of the directories that exists lies on that device.
func sameDevice(dev uint64, dirs ...string) bool {
	var info unix.Stat_t
	for _, dir := range dirs {
		if unix.Stat(dir, &info) == nil {
			return info.Dev == dev
		}
	}
	return false
}

// lookDisk returns what the data lies on now, and the result of the last measurement.
func (h *Host) lookDisk() operator.Disk {
	var d operator.Disk
	var fs unix.Statfs_t
	if unix.Statfs(h.dataPlace(), &fs) == nil {
		d.FileSystem = fileSystemName(int64(fs.Type)) //nolint:unconvert // narrower elsewhere
		//nolint:gosec // no file system is that large
		d.Free, d.Inodes, d.Counted = int64(fs.Bavail)*fs.Bsize, int64(fs.Ffree), fs.Files > 0
	}
	var m measured
	text, err := regular.Read(h.disk())
	if err != nil || json.Unmarshal(text, &m) != nil || m.At <= 0 {
		return d
	}
	d.At, d.Writes, d.P50, d.P99, d.Max =
		m.At, m.Writes, time.Duration(m.P50), time.Duration(m.P99), time.Duration(m.Max)
	d.Rotational, d.Cache, d.Together = m.Rotational, m.Cache, m.Together
	return d
}

// fileSystemName returns the name of a file system by the kernel's magic number; for an unknown
// one, the number.
func fileSystemName(magic int64) string {
	return cmp.Or(map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
		unix.BTRFS_SUPER_MAGIC: "btrfs", 0x2fc12fc1: "zfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
		unix.NFS_SUPER_MAGIC: "nfs", unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb2",
		unix.CEPH_SUPER_MAGIC: "ceph", unix.FUSE_SUPER_MAGIC: "fuse", unix.V9FS_MAGIC: "9p",
	}[magic&0xffffffff], fmt.Sprintf("%#x", magic&0xffffffff))
}
