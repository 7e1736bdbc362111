package snapshot

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

const (
	stored  = ".db.zst" // the snapshot
	about   = ".json"   // what it is
	partial = ".part"   // not yet whole
)

// stamp is how a name shows the time, so that names sort by it.
const stamp = "20060102T150405Z"

// Meta says what a snapshot is. Sizes are in bytes.
type Meta struct {
	Name string `json:"name"` // without directory and suffix
	// Number is higher than that of each snapshot that was kept when this one was taken, because a
	// clock may go back.
	Number   int       `json:"number,omitempty"`
	Taken    time.Time `json:"taken"`             // by the machine's clock
	Cluster  string    `json:"cluster,omitempty"` // IDs in hexadecimal, as etcdctl shows them
	Member   string    `json:"member,omitempty"`
	Unit     string    `json:"unit"`
	Revision int64     `json:"revision,omitempty"` // the highest in it
	Keys     int       `json:"keys,omitempty"`
	// nil is not known, as in one that an earlier charm took
	Users          *Users `json:"users,omitempty"`
	SHA256         string `json:"sha256,omitempty"` // of the database, as the server sent it
	Size           int64  `json:"size,omitempty"`   // of the database
	Stored         int64  `json:"stored,omitempty"` // on disk
	StorageVersion string `json:"storage-version,omitempty"`
	EtcdVersion    string `json:"etcd-version,omitempty"`
	Charm          string `json:"charm,omitempty"`
	Work           string `json:"work,omitempty"` // the ID of the work that took it
	// Why says why it is kept apart: "before-restore", "before-upgrade"; "" is one of the usual
	// ones.
	Why string `json:"why,omitempty"`
	// Error says why there is no snapshot; "" means that there is one, and that it was verified
	// when it was taken.
	Error string `json:"error,omitempty"`
}

// Good reports whether the snapshot is there and was verified.
func (m Meta) Good() bool { return m.Error == "" && m.SHA256 != "" }

// file is where the snapshot is.
func (m Meta) file(dir string) string { return filepath.Join(dir, m.Name+stored) }

// File is the path of a snapshot in a directory.
func (m Meta) File(dir string) string { return m.file(dir) }

// next names and numbers a snapshot of that time, so that it comes after those that are kept. A
// second one in the same second, or after a clock went back, gets a name of its own.
func (m *Meta) next(dir string, at time.Time) error {
	have, err := List(dir)
	if err != nil {
		return err
	}
	for _, h := range have {
		m.Number = max(m.Number, h.Number)
	}
	m.Number++
	name := strings.ReplaceAll(m.Unit, "/", "-") + "-" + at.UTC().Format(stamp)
	for i := 2; ; i++ {
		if m.Name == "" {
			m.Name = name
		}
		_, stored := os.Lstat(m.file(dir))
		_, told := os.Lstat(filepath.Join(dir, m.Name+about))
		if errors.Is(stored, fs.ErrNotExist) && errors.Is(told, fs.ErrNotExist) {
			return nil
		}
		if i > 1000 {
			return fmt.Errorf("cannot name a snapshot: %s is taken", name)
		}
		m.Name = fmt.Sprintf("%s-%d", name, i)
	}
}

// write writes the snapshot's Meta.
func (m Meta) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, m.Name+about), append(text, '\n'), 0o600,
		renameio.WithTempDir(dir))
}

// List returns what is kept in a directory, oldest first, with those that failed. A directory that
// does not exist holds nothing. Files that are not ours are left out.
func List(dir string) ([]Meta, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list snapshots: %w", err)
	}
	var all []Meta
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), about)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		text, err := regular.Read(filepath.Join(dir, e.Name()))
		m := Meta{}
		if err != nil || json.Unmarshal(text, &m) != nil || m.Name != name {
			continue
		}
		if info, err := os.Lstat(m.file(dir)); m.Good() &&
			(err != nil || !info.Mode().IsRegular() || info.Size() != m.Stored) {
			m.Error = "its file is missing or has another size"
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Meta) int {
		if c := cmp.Or(cmp.Compare(a.Number, b.Number), a.Taken.Compare(b.Taken)); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// keptFailures is how many failed ones are listed.
const keptFailures = 3

// Surplus are those to delete once a new one is good, oldest first: of the regular ones all but the
// last keep, of those kept apart all but the last for each reason, and of those that failed and
// hold no data all but the last few. The newest good one is never among them.
func Surplus(have []Meta, keep int) []Meta {
	var drop []Meta
	usual, failed, apart := 0, 0, map[string]int{}
	for i, m := range slices.Backward(have) {
		switch {
		case !m.Good():
			if failed++; failed > keptFailures && m.Stored == 0 {
				drop = append(drop, have[i])
			}
		case m.Why != "":
			if apart[m.Why]++; apart[m.Why] > 1 {
				drop = append(drop, have[i])
			}
		default:
			if usual++; usual > max(keep, 1) {
				drop = append(drop, have[i])
			}
		}
	}
	slices.Reverse(drop)
	return drop
}

// Newest is the newest good one, and whether there is any.
func Newest(have []Meta) (Meta, bool) {
	for _, m := range slices.Backward(have) {
		if m.Good() {
			return m, true
		}
	}
	return Meta{}, false
}

// Remove takes a snapshot away.
func Remove(dir string, m Meta) error {
	if m.Name == "" || m.Name != filepath.Base(m.Name) {
		return fmt.Errorf("cannot remove snapshot %q: it is not a name", m.Name)
	}
	for _, path := range []string{m.file(dir), filepath.Join(dir, m.Name+about)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove snapshot: %w", err)
		}
	}
	return nil
}

// ErrUnknown means that no such snapshot is kept.
var ErrUnknown = errors.New("no such snapshot is kept")

// Latest stands for the newest good one.
const Latest = "latest"

// Pick finds a good snapshot by its name, or with Latest the newest good one.
func Pick(have []Meta, which string) (Meta, error) {
	for _, m := range slices.Backward(have) {
		switch {
		case (which == Latest || which == m.Name) && m.Good():
			return m, nil
		case which == m.Name:
			return Meta{}, fmt.Errorf("snapshot %s is not good: %s", m.Name, m.Error)
		}
	}
	return Meta{}, fmt.Errorf("%w: %s", ErrUnknown, which)
}
