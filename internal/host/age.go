package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// ownerFile records which unit the data belongs to. It lies in member/, where etcd ignores it: etcd
// complains at each start of a file beside member/.
func (p paths) ownerFile() string { return filepath.Join(p.data(), "member", "etcd-charm.json") }

// ownerText is what the file holds. Fields are only ever added.
type ownerText struct {
	Version int    `json:"version"`
	Model   string `json:"model"`
	Unit    string `json:"unit"`
	// Prepared is the operation that the data was prepared for; "" is none.
	Prepared string `json:"prepared,omitempty"`
}

const ownerVersion = 1

// lookOwner reads which unit the data belongs to. It returns the zero Owner if no file says so.
// Nothing depends on the file alone, because anybody who can write to the directory can also remove
// it.
func (h *Host) lookOwner() operator.Owner {
	info, err := os.Lstat(h.ownerFile())
	if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<16 {
		return operator.Owner{}
	}
	data, err := regular.Read(h.ownerFile())
	if err != nil {
		return operator.Owner{}
	}
	var text ownerText
	if json.Unmarshal(data, &text) != nil || text.Version < ownerVersion ||
		text.Model == "" || text.Unit == "" {
		return operator.Owner{}
	}
	return operator.Owner{Model: text.Model, Unit: text.Unit}
}

// claim records which unit the data belongs to. The server's user may put links into the data
// directory, so claim follows no link that leads out of it.
func (h *Host) claim(owner operator.Owner) error {
	data, err := json.Marshal(ownerText{ownerVersion, owner.Model, owner.Unit, h.preparedFor()})
	if err != nil {
		return err
	}
	server, err := h.serverOwner()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(h.data())
	if err == nil {
		defer ignoreClose(root)
		err = writeIn(root, file{
			filepath.Join("member", filepath.Base(h.ownerFile())), append(data, '\n'), secret, server,
		})
	}
	if err != nil {
		return fmt.Errorf("cannot note the owner of the data: %w", err)
	}
	return nil
}

// writeIn writes a whole file below root, by rename, into a directory that exists.
func writeIn(root *os.Root, f file) error {
	temp := f.path + ".new"
	if err := removed(root.Remove(temp)); err != nil {
		return err
	}
	p, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	_, err = p.Write(f.data)
	if f.owner.set {
		err = errors.Join(err, p.Chown(f.owner.uid, f.owner.gid))
	}
	if err := errors.Join(err, p.Sync(), p.Close()); err != nil {
		return err
	}
	if err := root.Rename(temp, f.path); err != nil {
		return err
	}
	dir, err := root.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer ignoreClose(dir)
	return dir.Sync()
}

// logEnd is the last entry of a write-ahead log. The zero value means that there is no log, or that
// it cannot be read.
type logEnd struct{ term, index uint64 }

// lookLogEnd reads where our write-ahead log ends. It reads the whole newest segment, up to 64 MB,
// so it is called only when nothing else answers the question, and a log that has not changed is
// read once. It takes no lock, and works while the server runs.
func (h *Host) lookLogEnd() logEnd {
	dir := filepath.Join(h.data(), "member", "wal")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return logEnd{}
	}
	for _, e := range slices.Backward(entries) {
		if !strings.HasSuffix(e.Name(), ".wal") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			return logEnd{}
		}
		key := fmt.Sprint(path, info.ModTime().UnixNano(), info.Size())
		end, known := h.ends[key]
		if !known {
			end = segmentEnd(path)
			h.ends[key] = end
		}
		if end != (logEnd{}) {
			return end
		}
		// A segment that has only just been begun may have no entry yet.
	}
	return logEnd{}
}

// segmentEnd returns the last entry of a segment, or the entry up to which a snapshot replaces the
// log. The entry that was written last counts, even where an earlier one has a higher index: a new
// leader may overwrite entries that were never committed. Whatever follows a record that cannot be
// read was never synced, or is lost; etcd stops reading there too.
func segmentEnd(path string) logEnd {
	f, err := regular.Open(path)
	if err != nil {
		return logEnd{}
	}
	defer ignoreClose(f)
	var end logEnd
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	for {
		var record walpb.Record
		if err := decoder.Decode(&record); err != nil {
			return end
		}
		switch record.GetType() {
		case wal.CrcType:
			decoder.UpdateCRC(record.GetCrc())
		case wal.EntryType:
			var entry raftpb.Entry
			if err := proto.Unmarshal(record.Data, &entry); err != nil {
				return end
			}
			end = logEnd{entry.GetTerm(), entry.GetIndex()}
		case wal.SnapshotType:
			var snapshot walpb.Snapshot
			if err := proto.Unmarshal(record.Data, &snapshot); err != nil {
				return end
			}
			if snapshot.GetIndex() > end.index {
				end = logEnd{snapshot.GetTerm(), snapshot.GetIndex()}
			}
		}
	}
}
