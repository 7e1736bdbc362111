package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
	"github.com/juju-charms/etcd-charm/internal/secondlife"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// lookKept returns what the unit keeps beside its data. space is how much of the disk the snapshots
// may take; 0 stands for a tenth of the file system.
func (h *Host) lookKept(space int64) operator.Kept {
	k := operator.Kept{Space: space}
	all, free, err := fileSystem(h.snapshots()) // an administrator may have put them on another disk
	if err != nil {
		all, free, err = fileSystem(h.state())
	}
	if err == nil {
		k.Free = free
		if k.Space == 0 {
			k.Space = all / 10
		}
	}
	metas, _ := snapshot.List(h.snapshots()) // a snapshot that cannot be read does not count as kept
	for _, m := range metas {
		k.Snapshots = append(k.Snapshots, h.keptSnapshot(m))
	}
	k.Aside, k.Drilled = h.lookAside(), h.lookDrilled()
	k.Diagnosis = h.lookDiagnosis()
	return k
}

// lookDrilled returns when the last drill succeeded, in Unix seconds; 0 means never, or not known.
func (h *Host) lookDrilled() int64 {
	var d secondlife.Drilled
	data, err := regular.Read(h.drilled())
	if err != nil || json.Unmarshal(data, &d) != nil {
		return 0
	}
	return d.At
}

func (h *Host) keptSnapshot(m snapshot.Meta) operator.Snapshot {
	cluster, _ := strconv.ParseUint(m.Cluster, 16, 64)
	s := operator.Snapshot{
		Name: m.Name, Path: m.File(h.snapshots()), Work: m.Work, Taken: m.Taken.Unix(),
		Revision: m.Revision, Keys: int64(m.Keys), Users: usersOf(m.Users),
		Size: m.Size, Stored: m.Stored, Cluster: cluster, Why: m.Why, Error: m.Error,
	}
	if s.Error == "" && !m.Good() {
		s.Error = "it was never verified"
	}
	return s
}

func usersOf(u *snapshot.Users) operator.Users {
	if u == nil {
		return operator.Users{}
	}
	return operator.Users{Known: true, Count: u.Count, Names: u.Names, Auth: u.Auth}
}

// fileSystem returns the size of the file system of a directory, and how many of its bytes are free
// for users other than root.
func fileSystem(dir string) (all, free int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, err
	}
	//nolint:gosec // no file system is that large
	return int64(fs.Blocks) * fs.Bsize, int64(fs.Bavail) * fs.Bsize, nil
}

// lookAside returns the data that was moved aside, oldest first.
func (h *Host) lookAside() []operator.AsideDir {
	var out []operator.AsideDir
	entries, _ := os.ReadDir(h.state())
	for _, e := range entries {
		dated, ok := strings.CutPrefix(e.Name(), filepath.Base(h.data())+".")
		if !ok || !e.IsDir() {
			continue
		}
		a := operator.AsideDir{Path: filepath.Join(h.state(), e.Name())}
		stamp, _, _ := strings.Cut(dated, "Z")
		at, err := time.Parse("2006-01-02T150405", stamp)
		if err != nil {
			continue // somebody else's
		}
		a.At = at.Unix()
		_ = filepath.WalkDir(a.Path, func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // it has gone, and there is no entry then
			}
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				a.Bytes += info.Size()
			}
			return nil
		})
		out = append(out, a)
	}
	slices.SortStableFunc(out, func(a, b operator.AsideDir) int {
		return int(min(max(a.At-b.At, -1), 1))
	})
	return out
}

// purge deletes what an administrator has named. It touches nothing that the unit does not keep,
// and never the newest snapshot.
func (h *Host) purge(ctx context.Context, p operator.Purge) error {
	metas, err := snapshot.List(h.snapshots())
	if err != nil {
		return err
	}
	newest, _ := snapshot.Newest(metas)
	var failed []error
	for _, m := range metas {
		if slices.Contains(p.Snapshots, m.Name) && m.Name != newest.Name {
			h.logger.InfoContext(ctx, "purging snapshot", "name", m.Name)
			failed = append(failed, snapshot.Remove(h.snapshots(), m))
		}
	}
	for _, a := range h.lookAside() {
		if slices.Contains(p.Aside, a.Path) {
			h.logger.InfoContext(ctx, "purging data that was moved aside", "path", a.Path)
			failed = append(failed, os.RemoveAll(a.Path))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("cannot purge: %w", err)
	}
	return nil
}
