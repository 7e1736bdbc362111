package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/longwork"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
	"github.com/juju-charms/etcd-charm/internal/secondlife"
)

// secondLife is what making new data on this unit needs.
func (h *Host) secondLife() (secondlife.Unit, error) {
	server, err := h.serverOwner()
	if err != nil {
		return secondlife.Unit{}, err
	}
	self, err := filepath.EvalSymlinks(h.carried)
	if err != nil {
		self = h.carried
	}
	env, _ := envLines(h.memberEnv()) // without them its clients' URL is not known before it serves
	u := secondlife.Unit{
		Data: h.data(), Prepared: h.prepared(), Snapshots: h.snapshots(), Drilled: h.drilled(),
		Etcd:      filepath.Join(filepath.Dir(self), "etcd"),
		Etcdutl:   filepath.Join(filepath.Dir(self), "etcdutl"),
		ClientURL: lookup(env, "ETCD_ADVERTISE_CLIENT_URLS"), Owner: h.preparedOwner, Now: h.now,
	}
	if server.set {
		//nolint:gosec // IDs are not negative
		u.User = &syscall.Credential{Uid: uint32(server.uid), Gid: uint32(server.gid)}
	}
	return u, nil
}

// replaceable is secondLife, and an error if the data that is made could not take the place of
// ours. So this is known before anything stops.
func (h *Host) replaceable() (secondlife.Unit, error) {
	if _, err := os.Lstat(h.data()); err == nil && !sameDisk(h.data(), h.state()) {
		return secondlife.Unit{}, fmt.Errorf(
			"%s is on another disk than %s and cannot be replaced: mount a disk at %[2]s instead",
			h.data(), h.state())
	}
	return h.secondLife()
}

// prepareRestore makes new data from a snapshot, beside ours.
func (h *Host) prepareRestore(
	ctx context.Context, r operator.WorkRequest, say longwork.Progress,
) (string, error) {
	u, err := h.replaceable()
	if err != nil {
		return "", err
	}
	return u.PrepareRestore(ctx, r, secondlife.Progress(say))
}

// prepareRecover makes new data from our stopped member's data, beside it.
func (h *Host) prepareRecover(
	ctx context.Context, r operator.WorkRequest, say longwork.Progress,
) (string, error) {
	u, err := h.replaceable()
	if err != nil {
		return "", err
	}
	return u.PrepareRecover(ctx, r, secondlife.Progress(say))
}

// drill restores a snapshot beside our data, reads it back and throws it away.
func (h *Host) drill(
	ctx context.Context, r operator.WorkRequest, say longwork.Progress,
) (string, error) {
	u, err := h.secondLife()
	if err != nil {
		return "", err
	}
	return u.Drill(ctx, r, secondlife.Progress(say))
}

// preparedOwner returns the owner file of prepared data. It names this unit, as far as the data
// that it will replace does. It also names the operation that the data was prepared for, by which
// the data is recognized once it has been moved into place.
func (h *Host) preparedOwner(id string) ([]byte, error) {
	text := ownerText{Version: ownerVersion, Prepared: id}
	if owner := h.lookOwner(); owner.Unit == h.unitName {
		text.Model, text.Unit = owner.Model, owner.Unit
	}
	return json.Marshal(text)
}

// preparedFor returns the operation that our data was prepared for; "" if it was not prepared.
func (h *Host) preparedFor() string {
	data, err := regular.Read(h.ownerFile())
	if err != nil {
		return ""
	}
	var text ownerText
	if json.Unmarshal(data, &text) != nil {
		return ""
	}
	return text.Prepared
}

// lookPrepared looks at the data that waits to be served.
func (h *Host) lookPrepared() (out []operator.Prepared) {
	entries, err := os.ReadDir(h.prepared())
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), secondlife.Unmade) {
			continue
		}
		dir := filepath.Join(h.prepared(), e.Name())
		info, err := e.Info()
		if err != nil || h.ownerProblem(info) != "" {
			continue
		}
		meta, err := walIdentity(datadir.WALDir(dir))
		if err != nil {
			continue
		}
		db, err := datadir.ReadDB(datadir.DBFile(dir))
		if err != nil {
			continue // such data would not be served either
		}
		out = append(out, operator.Prepared{
			ID: e.Name(), ClusterID: meta.GetClusterID(), MemberID: meta.GetNodeID(), Revision: db.Revision,
		})
	}
	return out
}

// preparedDir returns the directory of the data that was prepared for an operation.
func (h *Host) preparedDir(id string) (string, error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("%q is not an operation", id)
	}
	return filepath.Join(h.prepared(), id), nil
}

// servePrepared moves our data to a dated name, and the prepared data into its place. That takes
// two renames. If the process dies between them there is no data, and the next try does the second
// rename.
func (h *Host) servePrepared(ctx context.Context, id string) error {
	dir, err := h.preparedDir(id)
	if err != nil {
		return fmt.Errorf("cannot serve the prepared data: %w", err)
	}
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return fmt.Errorf("cannot serve the prepared data: %w", err)
	}
	if h.preparedFor() == id {
		return nil
	}
	if state.process.alive() {
		return errors.New("cannot serve the prepared data: the service is running")
	}
	// Our data stays in place until the prepared data is known to be usable.
	if _, err := walIdentity(datadir.WALDir(dir)); err != nil {
		return fmt.Errorf("cannot serve the prepared data for %s: %w", id, err)
	}
	if err := h.putAside(ctx, "replaced by "+id); err != nil {
		return err
	}
	// A hook may have made an empty data directory.
	if err := removed(syscall.Rmdir(h.data())); err != nil {
		return fmt.Errorf("cannot serve the prepared data: %w", err)
	}
	if err := os.Rename(dir, h.data()); err != nil {
		return fmt.Errorf("cannot serve the prepared data: %w", err)
	}
	if err := syncDir(h.state()); err != nil {
		return err
	}
	return h.dropPrepared(id)
}

// dropPrepared removes the data that was prepared for an operation, and any unfinished data for it.
func (h *Host) dropPrepared(id string) error {
	dir, err := h.preparedDir(id)
	if err == nil {
		err = errors.Join(os.RemoveAll(dir), os.RemoveAll(dir+secondlife.Unmade))
	}
	if err != nil {
		return fmt.Errorf("cannot drop the prepared data: %w", err)
	}
	if err := syscall.Rmdir(h.prepared()); err != nil &&
		!errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot drop the prepared data: %w", err)
	}
	return nil
}

// lookLog reads where our log ends, once for each change of the files, because it reads the whole
// log and our database.
func (h *Host) lookLog() operator.LogState {
	key := h.logKey()
	if known, ok := h.logs[key]; ok && key != "" {
		return known
	}
	var state datadir.State
	for range 2 { // a running server may be writing
		var err error
		if state, err = datadir.Read(h.data()); err != nil {
			return operator.LogState{}
		}
		if state.Log.Damage == "" {
			break
		}
	}
	out := operator.LogState{
		Term: state.Log.Term, Index: state.Log.Index, Torn: state.Log.Damage != "",
		Learner: state.Log.Standing == datadir.Learner, Revision: state.DB.Revision,
	}
	h.logs[key] = out
	return out
}

// logKey returns a key that changes when the files do; "" if they cannot be read.
func (h *Host) logKey() string {
	segments, err := datadir.Segments(h.data())
	if err != nil {
		return ""
	}
	var key strings.Builder
	for _, path := range append(segments, datadir.DBFile(h.data())) {
		info, err := os.Lstat(path)
		if err != nil {
			return ""
		}
		fmt.Fprintln(&key, path, info.Size(), info.ModTime().UnixNano())
	}
	return key.String()
}
