// Package osfiles saves the credentials of package etcdproxy on the machine's own
// file system:
//
//	err := upstream.SaveClientCredentialsDir(osfiles.Files{}, "/etc/ssl/etcd")
//
// The rule it keeps: whoever reads a file finds the whole old content or the whole
// new one, through a crash and a power cut too. Content goes into a temporary file
// beside the target, is synced, renamed over it, and the directory is synced.
package osfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

var _ etcdproxy.SetFiles = Files{}

// Files is the machine's file system. The zero value is ready.
type Files struct{}

// MkdirAll makes a directory and its missing parents; existing ones are left as they
// are. perm is subject to the umask.
func (Files) MkdirAll(dir string, perm fs.FileMode) error { return os.MkdirAll(dir, perm) }

// WriteFile is WriteFiles of one file.
func (f Files) WriteFile(path string, data []byte, perm fs.FileMode) error {
	return f.WriteFiles([]etcdproxy.File{{Path: path, Data: data, Perm: perm}})
}

// WriteFiles replaces all the files, each with exactly the mode asked for, whatever
// the umask and the old file's mode. All new contents are on the disk before the first
// is renamed into place: a full disk, a missing right, or a directory in a file's place
// is an error that leaves all old files and no temporary one behind. What can still
// come between two renames is a crash; writing again mends it. A file that has this
// content and mode already is not touched, and keeps its owner; one that is replaced
// belongs to the process's user, and if it was a symlink it is the link that is
// replaced.
func (Files) WriteFiles(files []etcdproxy.File) error {
	staged := make([]*renameio.PendingFile, 0, len(files))
	defer func() {
		for _, pending := range staged {
			_ = pending.Cleanup() // does nothing once the file is in its place
		}
	}()
	dirs := make(map[string]bool)
	for _, file := range files {
		same, err := unchanged(file)
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", file.Path, err)
		}
		if same {
			continue
		}
		pending, err := stage(file)
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", file.Path, err)
		}
		staged = append(staged, pending)
		dirs[filepath.Dir(file.Path)] = true
	}
	for _, pending := range staged {
		if err := pending.CloseAtomicallyReplace(); err != nil {
			return fmt.Errorf("cannot replace file: %w", err)
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("cannot sync %s: %w", dir, err)
		}
	}
	return nil
}

// stage puts the content on the disk beside its target.
func stage(file etcdproxy.File) (*renameio.PendingFile, error) {
	pending, err := renameio.NewPendingFile(
		file.Path,
		renameio.WithTempDir(filepath.Dir(file.Path)),
		renameio.WithStaticPermissions(file.Perm),
	)
	if err != nil {
		return nil, err
	}
	_, err = pending.Write(file.Data)
	if err == nil {
		err = pending.Sync() // a full disk may show only here
	}
	if err != nil {
		return nil, errors.Join(err, pending.Cleanup())
	}
	return pending, nil
}

// unchanged tells whether the file is there with this content and mode. It fails if
// something is in its place that no file can be renamed over.
func unchanged(file etcdproxy.File) (bool, error) {
	info, err := os.Lstat(file.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.IsDir():
		return false, errors.New("it is a directory")
	case !info.Mode().IsRegular() || info.Mode().Perm() != file.Perm || info.Size() != int64(len(file.Data)):
		return false, nil
	}
	content, err := os.ReadFile(file.Path)
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be read is replaced
	}
	return bytes.Equal(content, file.Data), nil
}

// syncDir makes renames in a directory outlast a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
