package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// leftovers reports whether anything that the unit installed is there. uninstall takes the releases away last.
func (h *Host) leftovers() bool {
	for _, path := range []string{h.etc(), h.unitFile(), h.timerFile(), h.opt()} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// uninstall takes away what the unit installed; snapshots stay, as data does. The keys go whatever else cannot be done. The log stays, and so does the
// system user, to whom the data belongs.
func (h *Host) uninstall(ctx context.Context, keepData bool) error {
	stopped := h.stop(ctx)
	keys := os.RemoveAll(filepath.Clean(h.tls("")))
	if err := errors.Join(stopped, keys); err != nil {
		return err
	}
	// What the proxy kept, and the gate goes by, is neither data nor secret: a failure to remove it stops nothing.
	_ = os.RemoveAll(h.learnedDir())
	_ = os.RemoveAll(h.fence())
	timer := h.removeTimer(ctx)
	h.endAllWork(ctx)
	_, _ = os.RemoveAll(h.worksDir()), os.Remove(h.metrics())
	// What waits to be served was made of data or a snapshot, which stays.
	_, _ = os.RemoveAll(h.prepared()), os.Remove(h.drilled())
	_, _, _ = os.RemoveAll(h.disk()), os.RemoveAll(h.hookLog()), os.RemoveAll(h.diagnoses())
	if !keepData {
		h.leaveData(ctx)
	}
	err := errors.Join(
		timer,
		h.supervisor.write(ctx, service{Kind: operator.NoService}),
		os.RemoveAll(h.etc()),
		os.RemoveAll(filepath.Dir(h.socket())), // systemd leaves what is kept for another start
		h.unlinkTools(),
		removed(os.Remove(h.compared())),
	)
	if err == nil {
		err = os.RemoveAll(h.opt())
	}
	if err != nil {
		return fmt.Errorf("cannot remove what was installed: %w", err)
	}
	// What units of this machine share goes with the last of them.
	for _, path := range []string{h.etc(), h.opt(), h.compared()} {
		_ = syscall.Rmdir(filepath.Dir(path))
	}
	return nil
}

// leaveData moves the data to a dated name: another unit may come to have our name. What cannot be moved, such as a mount
// point, is left where it is.
func (h *Host) leaveData(ctx context.Context) {
	if err := h.putAside(ctx, "the unit was removed"); err != nil {
		h.logger.WarnContext(ctx, "data stays where it is", "why", err)
	}
	for _, path := range []string{h.data(), h.snapshots(), h.state(), h.metricsDir(), filepath.Dir(h.state())} {
		_ = syscall.Rmdir(path) // only if it is empty
	}
}

// removed is an error of a removal; that there was nothing to remove is none.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
