// Package secondlife makes new data beside a unit's own, from a snapshot or from what a stopped
// member has.
//
// The rule it keeps: our data and what is kept are only read. New data lies under a temporary name
// until it is complete, was served once where no client can reach it, and was read back; then it is
// renamed. A failure leaves nothing behind, and the error says why. A database that may be bad is
// opened only by a child process: a truncated file kills the process that maps it.
package secondlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Unit says where a unit's files are.
type Unit struct {
	Data      string // its member's data
	Prepared  string // made if it does not exist; new data lies in it under the ID of its work
	Snapshots string // that are kept
	Drilled   string // the file that says when the last drill succeeded
	Etcd      string // program
	Etcdutl   string // program
	ClientURL string // that its member advertises; "" is not known
	// Owner is the content of the file among the new data that names its unit; nil is none.
	Owner func(id string) ([]byte, error)
	User  *syscall.Credential
	Now   func() time.Time
	Free  func(dir string) (int64, error) // bytes; nil asks the file system
}

// OwnerFile is the file among the data that names its unit; etcd ignores a file of that name there.
const OwnerFile = "member/etcd-charm.json"

// Progress receives how far the work is: what is being done, and how many bytes of how many. The
// total is 0 while it is not known.
type Progress = func(what string, done, total int64)

// Unmade is the suffix of the name until the new data is complete.
const Unmade = ".new"

// making is data that is being made.
type making struct {
	Unit

	id      string
	dir     string // below Prepared; only root may write in it
	say     Progress
	noFsync bool // the data is thrown away
}

// begin makes the directory for new data. m.end deletes everything that was not renamed.
func (u Unit) begin(id string, say Progress) (making, error) {
	if id == "" || id != filepath.Base(id) ||
		strings.HasPrefix(id, ".") || strings.HasSuffix(id, Unmade) {
		return making{}, fmt.Errorf("cannot make data for %q: it is not a name", id)
	}
	if say == nil {
		say = func(string, int64, int64) {}
	}
	m := making{Unit: u, id: id, dir: filepath.Join(u.Prepared, id+Unmade), say: say}
	for _, dir := range []string{u.Prepared, m.dir} {
		if dir == m.dir {
			if err := os.RemoveAll(dir); err != nil {
				return making{}, err
			}
		}
		if err := m.directory(dir); err != nil {
			return making{}, errors.Join(err, os.RemoveAll(m.dir))
		}
	}
	return m, nil
}

// directory makes a directory of root's that the server's user may pass through.
func (m making) directory(path string) error {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	// The umask of the service leaves its user no permission.
	if err := os.Chmod(path, 0o750); err != nil {
		return err
	}
	if m.User == nil {
		return nil
	}
	return os.Chown(path, os.Geteuid(), int(m.User.Gid))
}

func (m making) end() error { return os.RemoveAll(m.dir) }

func (m making) path(name string) string { return filepath.Join(m.dir, name) }

// data is the path of the new data.
func (m making) data() string { return m.path("data") }

// made is its path once it is complete.
func (m making) made() string { return filepath.Join(m.Prepared, m.id) }

// already reports whether earlier work of that ID has made the data.
func (u Unit) already(id string) (string, bool) {
	path := filepath.Join(u.Prepared, id)
	if id == "" || id != filepath.Base(id) {
		return "", false
	}
	log, err := datadir.ReadLog(path)
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("it is prepared already, as cluster %x", log.ClusterID), true
}

// settle gives the new data to the server's user, and its final name.
func (m making) settle() error {
	if m.Owner != nil {
		if err := m.claim(); err != nil {
			return fmt.Errorf("cannot note its owner: %w", err)
		}
	}
	if err := syncTree(m.data()); err != nil {
		return err
	}
	if err := os.RemoveAll(m.made()); err != nil { // it was not complete data
		return err
	}
	if err := os.Rename(m.data(), m.made()); err != nil {
		return err
	}
	return syncDir(m.Prepared)
}

// claim writes the file that says whose the data is. The server had access to the directory, so no
// link in it is followed.
func (m making) claim() error {
	root, err := os.OpenRoot(m.data())
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	text, err := m.Owner(m.id)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(OwnerFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if m.User != nil {
		err = errors.Join(err, f.Chown(int(m.User.Uid), int(m.User.Gid)))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// give gives a directory and everything in it to the server's user.
func (m making) give(dir string) error {
	if m.User == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(m.User.Uid), int(m.User.Gid))
	})
}

// syncTree syncs the directories below dir. etcd has synced the files, but not their names.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(path)
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

const mib = 1 << 20

// logRoom is the room for a member's first log, two files of 64 MiB, and for the growth of its
// database.
const logRoom = 192 * mib

// spare is the room that stays free for the member that serves meanwhile.
const spare = 256 * mib

// room returns an error if need would not fit.
func (u Unit) room(need int64) error {
	free := u.Free
	if free == nil {
		free = freeBytes
	}
	have, err := free(u.Prepared)
	if err != nil {
		return fmt.Errorf("cannot see how much is free: %w", err)
	}
	if have < need+spare {
		return fmt.Errorf("it needs %d MiB in %s: %d are free, of which %d must stay free",
			(need+mib-1)/mib, u.Prepared, have/mib, spare/mib)
	}
	return nil
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil //nolint:gosec // no file system has so much
}

// inWords puts before an error what an operator can do about it.
func inWords(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("cannot %s: it was ended: %w", what, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("cannot %s: disk is full: %w", what, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("cannot %s: file system is read-only: %w", what, err)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// identity is that of the one member that the new data will have.
type identity struct{ name, peerURL, token string }

func identityOf(r operator.WorkRequest) (identity, error) {
	for _, p := range []struct{ name, value string }{
		{"name", r.Name}, {"peer URL", r.PeerURL}, {"token", r.Token},
	} {
		if p.value == "" {
			return identity{}, fmt.Errorf("the request has no %s", p.name)
		}
	}
	return identity{r.Name, r.PeerURL, r.Token}, nil
}
