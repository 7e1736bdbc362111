package secondlife

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	etcdversion "go.etcd.io/etcd/api/v3/version"
	"golang.org/x/mod/semver"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// source is a file from which data is made.
type source struct {
	words  string // which file it is
	path   string
	size   int64 // bytes of the database
	packed bool  // by zstd
	hashed bool
	sum    string // as recorded when it was taken; "" is none
}

// find finds the file that a request names, and looks at it.
func (u Unit) find(ctx context.Context, r operator.WorkRequest) (source, error) {
	s := source{words: r.Snapshot, path: r.Snapshot, hashed: true}
	if !filepath.IsAbs(r.Snapshot) {
		m, err := u.kept(r)
		if err != nil {
			return source{}, err
		}
		s = source{words: m.Name, path: m.File(u.Snapshots), size: m.Size, hashed: true, sum: m.SHA256}
	}
	s.packed = snapshot.Packed(s.path)
	if s.size != 0 {
		// A kept snapshot was checked when it was taken, and is checked again when it is unpacked.
		return s, nil
	}
	size, err := snapshot.Look(ctx, s.path)
	switch {
	case errors.Is(err, snapshot.ErrUnhashed) && r.Unverified:
		s.hashed = false
	case errors.Is(err, snapshot.ErrUnhashed):
		return source{}, fmt.Errorf("%s: %w: only unverified=true restores it", s.words, err)
	case err != nil:
		return source{}, fmt.Errorf("%s: %w", s.words, err)
	}
	s.size = size
	return s, nil
}

// kept is the kept snapshot that a request names.
func (u Unit) kept(r operator.WorkRequest) (snapshot.Meta, error) {
	all, err := snapshot.List(u.Snapshots)
	if err != nil {
		return snapshot.Meta{}, err
	}
	var newest snapshot.Meta
	for _, m := range all { // the oldest first
		switch latest := r.Snapshot == "latest"; {
		case latest && m.Good():
			newest = m
		case !latest && m.Name == r.Snapshot:
			if !m.Good() {
				return snapshot.Meta{}, fmt.Errorf("snapshot %s cannot be used: %s", m.Name, m.Error)
			}
			return m, nil
		}
	}
	switch {
	case newest.Good():
		return newest, nil
	case r.Snapshot != "latest":
		return snapshot.Meta{}, fmt.Errorf("no snapshot %q is kept here, and it is not a path",
			r.Snapshot)
	}
	return snapshot.Meta{}, errors.New("no good snapshot is kept here")
}

// tooNew refuses a database of a newer minor version than this etcd, which would not understand all
// of it.
func tooNew(db datadir.DB) error {
	have, ours := semver.MajorMinor("v"+db.Version), semver.MajorMinor("v"+etcdversion.Version)
	if semver.IsValid(have) && semver.Compare(have, ours) > 0 {
		return fmt.Errorf(
			"it is of etcd %s, but this charm has %s: restore it with a charm that has that etcd",
			have[1:], ours[1:],
		)
	}
	return nil
}
