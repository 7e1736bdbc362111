package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

// Log is where a write-ahead log ends.
type Log struct {
	ClusterID, MemberID uint64
	Term, Index         uint64 // of the last entry, or of the snapshot that replaced it
	Commit              uint64 // as far as the member knew; more may have been committed
	Standing            Standing
	// Damage says why the log does not end where it was written to; "" is none. A last record that
	// was cut off while it was written does not count: no client had an answer for it, and etcd
	// repairs it.
	Damage string

	segment string // in which the last good record is
	offset  int64  // after it
	agreed  uint64 // index of the entry or snapshot that Standing follows from
}

// Standing is what a member is, according to its own log.
type Standing int

// The zero value means that the log does not say.
const (
	Unsaid Standing = iota
	Voter
	Learner
	Removed
)

// WALDir is the directory of the log in a data directory.
func WALDir(data string) string { return filepath.Join(data, "member", "wal") }

// ReadLog reads a log to its end. It takes no lock, and can read beside a running server. Records
// before a damaged one count, later ones do not.
func ReadLog(data string) (Log, error) {
	segments, err := Segments(data)
	if err != nil {
		return Log{}, err
	}
	var l Log
	crc := uint32(0)
	for i, path := range segments {
		crc, err = l.read(path, crc)
		if errors.Is(err, io.ErrUnexpectedEOF) && i == len(segments)-1 {
			break
		}
		if err != nil {
			l.Damage = fmt.Sprintf("%s: %v", filepath.Base(path), err)
			break
		}
	}
	if l.ClusterID == 0 || l.MemberID == 0 {
		return Log{}, errors.New("it names no cluster")
	}
	if l.Damage == "" && l.Commit > l.Index {
		l.Damage = fmt.Sprintf("entry %d is committed, but %d is the last", l.Commit, l.Index)
	}
	return l, nil
}

// Segments are the files of a data directory's log, in order.
func Segments(data string) ([]string, error) {
	entries, err := os.ReadDir(WALDir(data))
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return !strings.HasSuffix(e.Name(), ".wal")
	})
	if len(entries) == 0 {
		return nil, errors.New("there is no log")
	}
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		paths = append(paths, filepath.Join(WALDir(data), e.Name()))
	}
	return paths, nil
}

// read reads one segment, which begins with the checksum of all before it, and returns the checksum
// at its end. One decoder for all segments would skip to the next one where a length is zero.
func (l *Log) read(path string, before uint32) (uint32, error) {
	f, err := regular.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	d := wal.NewDecoder(fileutil.NewFileReader(f))
	for {
		var record walpb.Record
		switch err := d.Decode(&record); {
		case errors.Is(err, io.EOF):
			return d.LastCRC(), nil
		case err != nil:
			return 0, err
		}
		if record.GetType() == wal.CrcType {
			if d.LastCRC() == 0 && before != 0 && record.GetCrc() != before {
				return 0, errors.New("it does not follow the one before")
			}
			d.UpdateCRC(record.GetCrc())
		} else if err := l.take(&record); err != nil {
			return 0, err
		}
		l.segment, l.offset = path, d.LastOffset()
	}
}

// take takes one record into account. The entry that was written last counts: a new leader may
// overwrite entries that were not committed.
func (l *Log) take(record *walpb.Record) error {
	switch record.GetType() {
	case wal.MetadataType:
		var meta etcdserverpb.Metadata
		if err := proto.Unmarshal(record.Data, &meta); err != nil {
			return err
		}
		l.ClusterID, l.MemberID = meta.GetClusterID(), meta.GetNodeID()
	case wal.StateType:
		var state raftpb.HardState
		if err := proto.Unmarshal(record.Data, &state); err != nil {
			return err
		}
		l.Commit = state.GetCommit()
	case wal.EntryType:
		var entry raftpb.Entry
		if err := proto.Unmarshal(record.Data, &entry); err != nil {
			return err
		}
		// The first file that is kept begins in the middle of the log.
		if l.Index != 0 && entry.GetIndex() > l.Index+1 {
			return fmt.Errorf("entry %d follows entry %d", entry.GetIndex(), l.Index)
		}
		l.Term, l.Index = entry.GetTerm(), entry.GetIndex()
		if entry.GetType() == raftpb.EntryConfChange {
			return l.change(&entry)
		}
	case wal.SnapshotType:
		var snapshot walpb.Snapshot
		if err := proto.Unmarshal(record.Data, &snapshot); err != nil {
			return err
		}
		if snapshot.GetIndex() > l.Index {
			l.Term, l.Index = snapshot.GetTerm(), snapshot.GetIndex()
		}
		if of := snapshot.GetConfState(); of != nil && snapshot.GetIndex() >= l.agreed {
			l.agreed = snapshot.GetIndex()
			l.Standing = standingIn(of, l.MemberID)
		}
	}
	return nil
}

func standingIn(of *raftpb.ConfState, id uint64) Standing {
	switch {
	case slices.Contains(of.GetVoters(), id):
		return Voter
	case slices.Contains(of.GetLearners(), id), slices.Contains(of.GetLearnersNext(), id):
		return Learner
	}
	return Removed
}

// change takes a change of the membership into account, if it is the member's own.
func (l *Log) change(entry *raftpb.Entry) error {
	var change raftpb.ConfChange
	if err := proto.Unmarshal(entry.Data, &change); err != nil {
		return err
	}
	if change.GetNodeId() != l.MemberID {
		return nil
	}
	switch change.GetType() {
	case raftpb.ConfChangeAddNode:
		l.Standing = Voter
	case raftpb.ConfChangeAddLearnerNode:
		l.Standing = Learner
	case raftpb.ConfChangeRemoveNode:
		l.Standing = Removed
	case raftpb.ConfChangeUpdateNode:
		return nil
	}
	l.agreed = entry.GetIndex()
	return nil
}
