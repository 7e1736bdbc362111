package secondlife

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// PrepareRecover makes data from everything that our stopped member has on disk, ready to be
// served. It works on a copy, and says in words what it recovered.
func (u Unit) PrepareRecover(
	ctx context.Context, r operator.WorkRequest, say Progress,
) (string, error) {
	if words, ok := u.already(r.ID); ok {
		return words, nil
	}
	as, err := identityOf(r)
	if err != nil {
		return "", inWords("recover", err)
	}
	m, err := u.begin(r.ID, say)
	if err != nil {
		return "", inWords("recover", err)
	}
	words, err := func() (string, error) {
		s, how, err := m.salvage(ctx)
		if err != nil {
			return "", err
		}
		made, err := m.restored(ctx, s, as, r.Seen, nil)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("recovered %s: %s", how, made), m.settle()
	}()
	return words, inWords("recover", errors.Join(err, m.end()))
}

// salvage makes one database from everything that the member has, and says in words from what.
func (m making) salvage(ctx context.Context) (source, string, error) {
	unlock, err := lock(datadir.DBFile(m.Data))
	if err != nil {
		return source{}, "", err
	}
	defer unlock()
	state, err := datadir.Read(m.Data)
	if err != nil {
		return source{}, "", err
	}
	files, size, err := list(m.Data)
	if err != nil {
		return source{}, "", err
	}
	if err := m.room(2*size + logRoom); err != nil {
		return source{}, "", err
	}
	if !state.ByLog() {
		return m.database(ctx, state)
	}
	if err := m.copyAll(ctx, files, size); err != nil {
		return source{}, "", fmt.Errorf("its data cannot be copied: %w", err)
	}
	unlock()
	if err := raise(m.path("copy"), state.Log); err != nil {
		return source{}, "", fmt.Errorf("its log cannot be completed: %w", err)
	}
	s, err := m.replayed(ctx, state, size)
	return s, fmt.Sprintf("its log to the end, term %d, entry %d",
		state.Log.Term, state.Log.Index), err
}

// database is a copy of the member's database without its log.
func (m making) database(ctx context.Context, state datadir.State) (source, string, error) {
	to := m.path("copy.db")
	if err := copyFile(ctx, datadir.DBFile(m.Data), to, func(int64) {}); err != nil {
		return source{}, "", fmt.Errorf("its database cannot be copied: %w", err)
	}
	size, err := snapshot.Look(ctx, to)
	if errors.Is(err, snapshot.ErrUnhashed) {
		err = nil
	}
	how := fmt.Sprintf("its database alone, entry %d", state.DB.Index)
	if state.Log.Damage != "" {
		how += ", since its log is damaged (" + state.Log.Damage + ")"
	}
	return source{words: how, path: to, size: size}, how, err
}

// replayed starts an etcd of one member that applies to the copied database what is only in the
// log, and takes a snapshot of it.
func (m making) replayed(ctx context.Context, state datadir.State, size int64) (source, error) {
	m.say("replay", 0, size)
	// The copy is thrown away.
	s, err := m.serve(ctx, m.path("copy"), "recovered", size,
		"--force-new-cluster", "--unsafe-no-fsync")
	if err != nil {
		return source{}, err
	}
	to := m.path("snapshot.db")
	err = func() error {
		status, err := s.Status(ctx, s.Endpoints()[0])
		if err != nil {
			return err
		}
		if status.RaftAppliedIndex < state.Log.Index {
			return fmt.Errorf("etcd replayed its log up to entry %d, not to %d",
				status.RaftAppliedIndex, state.Log.Index)
		}
		return snapshot.Save(ctx, s.Client, to, func(done int64) { m.say("copy", done, size) })
	}()
	if err := errors.Join(err, s.kill()); err != nil {
		return source{}, err
	}
	if err := os.RemoveAll(m.path("copy")); err != nil {
		return source{}, err
	}
	length, err := snapshot.Look(ctx, to)
	return source{words: "its log", path: to, size: length, hashed: true}, err
}

// lock keeps servers from opening a database, and fails if a server has it open.
func lock(path string) (func(), error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		_ = f.Close() // it was only read
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("a server has the database open")
		}
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// list lists the regular files of a member, and their size together.
func list(data string) (files []string, size int64, err error) {
	err = filepath.WalkDir(filepath.Join(data, "member"),
		func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name, err := filepath.Rel(data, path)
			if err != nil {
				return err
			}
			files, size = append(files, name), size+info.Size()
			return nil
		})
	return files, size, err
}

func (m making) copyAll(ctx context.Context, files []string, size int64) error {
	done := int64(0)
	for _, name := range files {
		to := filepath.Join(m.path("copy"), name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		err := copyFile(ctx, filepath.Join(m.Data, name), to, func(n int64) {
			done += n
			m.say("copy", done, size)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a regular file, in pieces that the kernel copies by itself if it can.
func copyFile(ctx context.Context, from, to string, say func(n int64)) (err error) {
	src, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it was only read
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	const piece = 16 * mib
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(dst, src, piece)
		say(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// raise marks the whole log of a stopped member as committed. etcd, started with
// --force-new-cluster, throws away entries that it does not know to be committed. But clients may
// have had an answer for them, because HardState's commit is written late and the database lags. An
// entry that was not committed is a write that no client had an answer for, and that may or may not
// have happened. A damaged end of the log is cut off.
func raise(data string, log datadir.Log) error {
	if err := log.Cut(data); err != nil {
		return err
	}
	dir := datadir.WALDir(data)
	snaps, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return err
	}
	if len(snaps) == 0 {
		return errors.New("it does not say where it begins")
	}
	w, err := wal.Open(zap.NewNop(), dir, snaps[len(snaps)-1])
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // it was synced
	_, state, entries, err := w.ReadAll()
	if err != nil {
		return err
	}
	term, index := snaps[len(snaps)-1].GetTerm(), snaps[len(snaps)-1].GetIndex()
	if n := len(entries); n > 0 {
		term, index = entries[n-1].GetTerm(), entries[n-1].GetIndex()
	}
	if index != log.Index || term != log.Term {
		return fmt.Errorf("it ends with entry %d of term %d, not %d of term %d",
			index, term, log.Index, log.Term)
	}
	var more []*raftpb.Entry
	if log.Standing == datadir.Learner {
		entry, err := promotion(log)
		if err != nil {
			return err
		}
		more, index = append(more, entry), index+1
	}
	state.Commit = proto.Uint64(index)
	state.Term = proto.Uint64(max(state.GetTerm(), term))
	if err := w.Save(state, more); err != nil {
		return err
	}
	return w.Sync()
}

// promotion is the entry that makes a learner a voter: one voter must be left when all others are
// removed.
func promotion(log datadir.Log) (*raftpb.Entry, error) {
	text, err := json.Marshal(membership.ConfigChangeContext{
		Member: membership.Member{ID: types.ID(log.MemberID)}, IsPromote: true,
	})
	if err != nil {
		return nil, err
	}
	change, err := proto.Marshal(&raftpb.ConfChange{
		Type: raftpb.ConfChangeAddNode.Enum(), NodeId: proto.Uint64(log.MemberID), Context: text,
	})
	return &raftpb.Entry{
		Type: raftpb.EntryConfChange.Enum(), Term: proto.Uint64(log.Term),
		Index: proto.Uint64(log.Index + 1), Data: change,
	}, err
}
