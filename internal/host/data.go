package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// lookData returns what is in the data directory. It only reads, takes no lock, and works while the
// server runs.
func (h *Host) lookData() operator.Data {
	alien := func(format string, args ...any) operator.Data {
		return operator.Data{State: operator.AlienData, Problem: fmt.Sprintf(format, args...)}
	}
	info, err := os.Stat(h.data())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := dangling(h.data()); err != nil {
			return alien("%v", err)
		}
		return operator.Data{}
	case err != nil:
		return alien("cannot read data directory: %v", err)
	case !info.IsDir():
		return alien("%s is not a directory", h.data())
	}
	entries, err := os.ReadDir(h.data())
	if err != nil {
		return alien("cannot read data directory: %v", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" })
	if problem := h.ownerProblem(info); problem != "" {
		return alien("%s", problem)
	}
	if len(entries) == 0 {
		return operator.Data{}
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "member" }) {
		return alien("%s holds %q and no etcd data", h.data(), entries[0].Name())
	}
	meta, err := walIdentity(filepath.Join(h.data(), "member", "wal"))
	if errors.Is(err, errNoWAL) {
		return h.lookUnborn()
	}
	if err != nil {
		return alien("%v", err)
	}
	return operator.Data{
		State: operator.OurData, ClusterID: meta.GetClusterID(), MemberID: meta.GetNodeID(),
		Owner: h.lookOwner(),
	}
}

// dangling returns an error if a path is missing because a link on the way to it leads nowhere. An
// administrator may have moved the path to a disk that is not mounted yet.
func dangling(path string) error {
	for ; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
			continue
		}
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return nil //nolint:nilerr // other faults show when the path is opened
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the link %s leads nowhere: is its disk mounted?", path)
		}
		return nil
	}
}

// ownerProblem returns in words why the server could not use the directory.
func (h *Host) ownerProblem(info fs.FileInfo) string {
	server, err := h.serverOwner()
	if err != nil {
		return "" // no user yet: nothing is installed, so nothing could have been started
	}
	if !server.set {
		server = owner{set: true, uid: os.Geteuid(), gid: os.Getegid()}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == server.uid {
		return ""
	}
	return fmt.Sprintf("%s belongs to user %d, not to the server's user %d",
		h.data(), stat.Uid, server.uid)
}

// lookUnborn judges etcd data without a write-ahead log. etcd makes the database before the log
// (etcdserver, bootstrap), so a first start that was cut off leaves an empty database: no vote was
// cast, and nothing is lost. A database that has content but no log is not ours to judge as empty.
func (h *Host) lookUnborn() operator.Data {
	alien := operator.Data{
		State:   operator.AlienData,
		Problem: h.data() + " holds an etcd database without its write-ahead log",
	}
	snapshots, err := filepath.Glob(filepath.Join(h.data(), "member", "snap", "*.snap"))
	if err != nil || len(snapshots) > 0 {
		return alien
	}
	db := filepath.Join(h.data(), "member", "snap", "db")
	info, err := os.Lstat(db)
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return operator.Data{}
	case err != nil:
		alien.Problem += ": " + reasonOf(err)
		return alien
	case info.Size() == 0:
		return operator.Data{}
	}
	b, err := bolt.Open(db, secret, &bolt.Options{
		ReadOnly: true, Timeout: 50 * time.Millisecond, OpenFile: regular.OpenFile,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return operator.Data{} // a server holds the database: it is making its first start right now
	}
	if err != nil {
		alien.Problem += ": " + err.Error()
		return alien
	}
	defer ignoreClose(b)
	empty := true
	err = b.View(func(tx *bolt.Tx) error {
		for _, name := range []string{"key", "members"} {
			if bucket := tx.Bucket([]byte(name)); bucket != nil {
				if key, _ := bucket.Cursor().First(); key != nil {
					empty = false
				}
			}
		}
		return nil
	})
	if err != nil || !empty {
		return alien
	}
	return operator.Data{}
}

var (
	errNoWAL     = errors.New("no write-ahead log")
	errIrregular = errors.New("it is not a regular file")
)

// walIdentity reads the cluster ID and the member ID from the write-ahead log. Every segment begins
// with them (server/v3 storage/wal, cut), so the first records of one segment suffice.
func walIdentity(dir string) (*etcdserverpb.Metadata, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read write-ahead log: %w", err)
	}
	problem := errNoWAL
	for _, e := range slices.Backward(entries) {
		if !strings.HasSuffix(e.Name(), ".wal") {
			continue
		}
		// Root reads here what the server's user wrote, and that user may link to a file that never
		// ends. etcd makes no links.
		err := errIrregular
		if e.Type().IsRegular() {
			var meta *etcdserverpb.Metadata
			if meta, err = segmentIdentity(filepath.Join(dir, e.Name())); err == nil {
				return meta, nil
			}
		}
		if errors.Is(problem, errNoWAL) {
			problem = fmt.Errorf("cannot read write-ahead log %s: %w", e.Name(), err)
		}
	}
	return nil, problem
}

func segmentIdentity(path string) (*etcdserverpb.Metadata, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer ignoreClose(f)
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	// A segment begins with a checksum, then the metadata. Reading a few records more does no harm.
	for range 8 {
		var record walpb.Record
		if err := decoder.Decode(&record); err != nil {
			return nil, err
		}
		switch record.GetType() {
		case wal.CrcType:
			decoder.UpdateCRC(record.GetCrc())
		case wal.MetadataType:
			meta := new(etcdserverpb.Metadata)
			if err := proto.Unmarshal(record.Data, meta); err != nil {
				return nil, err
			}
			if meta.GetClusterID() == 0 || meta.GetNodeID() == 0 {
				return nil, errors.New("it names no cluster")
			}
			return meta, nil
		}
	}
	return nil, errors.New("it does not begin with an identity")
}

// snapBytes returns the size of our member's snapshot directory: the database and, from its first
// byte, a snapshot that the leader is sending (server/v3 etcdserver/api/snap, SaveDBFrom).
func (h *Host) snapBytes() int64 {
	entries, err := os.ReadDir(filepath.Join(h.data(), "member", "snap"))
	if err != nil {
		return 0
	}
	var sum int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
	}
	return sum
}

// moveAside moves the data directory to a dated name beside it and makes an empty one.
func (h *Host) moveAside(ctx context.Context, why string) error {
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return fmt.Errorf("cannot move data aside: %w", err)
	}
	if state.process.alive() {
		return errors.New("cannot move data aside: the service is running")
	}
	if err := h.putAside(ctx, why); err != nil {
		return err
	}
	return h.makeData()
}

// putAside moves the data directory to a dated name beside it, unless it is empty.
func (h *Host) putAside(ctx context.Context, why string) error {
	entries, err := os.ReadDir(h.data())
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	aside, err := h.beside(h.data(), why)
	if err != nil {
		return fmt.Errorf("cannot move data aside: %w", err)
	}
	h.logger.InfoContext(ctx, "moving data aside", "to", aside)
	if err := os.Rename(h.data(), aside); err != nil {
		return fmt.Errorf("cannot move data aside: %w", err)
	}
	return syncDir(h.state())
}

// beside returns a dated name beside a path, at which nothing lies.
func (h *Host) beside(path, why string) (string, error) {
	name := path + "." + h.now().UTC().Format("2006-01-02T150405Z") + "-" + slug(why)
	for i, free := 2, name; ; i++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
		free = fmt.Sprintf("%s-%d", name, i)
	}
}

// slug turns words into part of a file name.
func slug(words string) string {
	const most = 40
	fields := strings.FieldsFunc(strings.ToLower(words), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	out := strings.Join(fields, "-")
	if len(out) > most {
		out = strings.TrimRight(out[:most], "-")
	}
	if out == "" {
		out = "moved"
	}
	return out
}
