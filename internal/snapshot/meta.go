package snapshot

import (
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
)

const (
	stored  = ".db.zst" // the snapshot
	about   = ".json"   // what it is
	partial = ".part"   // not yet whole
)

// stamp is how a name tells the time: names sort by it.
const stamp = "20060102T150405Z"

// Meta says what a snapshot is. Sizes are in bytes.
type Meta struct {
	Name           string    `json:"name"` // without directory and suffix
	Taken          time.Time `json:"taken"`
	Cluster        string    `json:"cluster,omitempty"` // IDs in hexadecimal, as etcdctl shows them
	Member         string    `json:"member,omitempty"`
	Unit           string    `json:"unit"`
	Revision       int64     `json:"revision,omitempty"` // the highest in it
	Keys           int       `json:"keys,omitempty"`
	SHA256         string    `json:"sha256,omitempty"` // of the database, as the server sent it
	Size           int64     `json:"size,omitempty"`   // of the database
	Stored         int64     `json:"stored,omitempty"` // on disk
	StorageVersion string    `json:"storage-version,omitempty"`
	EtcdVersion    string    `json:"etcd-version,omitempty"`
	Charm          string    `json:"charm,omitempty"`
	// Error is why there is no snapshot; "" is that there is one, and that it was verified when it was taken.
	Error string `json:"error,omitempty"`
}

// Good reports whether the snapshot is there and was verified.
func (m Meta) Good() bool { return m.Error == "" && m.SHA256 != "" }

// file is where the snapshot is.
func (m Meta) file(dir string) string { return filepath.Join(dir, m.Name+stored) }

// nameAt is the name of a unit's snapshot of that time.
func nameAt(unit string, at time.Time) string {
	return strings.ReplaceAll(unit, "/", "-") + "-" + at.UTC().Format(stamp)
}

// write writes what the snapshot is.
func (m Meta) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, m.Name+about), append(text, '\n'), 0o600, renameio.WithTempDir(dir))
}

// List returns what is kept in a directory, oldest first; one that failed is listed too. A directory that is not there
// holds nothing. A file that is none of ours is left out.
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
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot list snapshots: %w", err)
		}
		m := Meta{}
		if err := json.Unmarshal(text, &m); err != nil || m.Name != name {
			continue
		}
		if info, err := os.Lstat(m.file(dir)); m.Good() && (err != nil || !info.Mode().IsRegular() || info.Size() != m.Stored) {
			m.Error = "its file is missing or of another size"
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Meta) int {
		if c := a.Taken.Compare(b.Taken); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// Remove takes a snapshot away.
func Remove(dir string, m Meta) error {
	if m.Name == "" || m.Name != filepath.Base(m.Name) {
		return fmt.Errorf("cannot remove snapshot %q: it is no name", m.Name)
	}
	for _, path := range []string{m.file(dir), filepath.Join(dir, m.Name+about)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove snapshot: %w", err)
		}
	}
	return nil
}
