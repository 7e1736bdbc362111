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

// leftovers reports whether anything is left that the unit installed. uninstall removes the
// releases last.
func (h *Host) leftovers() bool {
	for _, path := range []string{h.etc(), h.unitFile(), h.timerFile(), h.opt()} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// uninstall removes what the unit installed. Data and snapshots stay, and so does the system user,
// which owns the data. The keys are removed first, whatever else fails.
func (h *Host) uninstall(ctx context.Context, keepData bool) error {
	stopped := h.stop(ctx)
	keys := os.RemoveAll(filepath.Clean(h.tls("")))
	if err := errors.Join(stopped, keys); err != nil {
		return err
	}
	// The proxy's learned members and the fence are neither data nor secret: a failure to remove
	// them stops nothing.
	_ = os.RemoveAll(h.learnedDir())
	_ = os.RemoveAll(h.fence())
	timer := h.removeTimer(ctx)
	h.endAllWork(ctx)
	_, _ = os.RemoveAll(h.worksDir()), os.Remove(h.metrics())
	// Prepared data was made from our data or from a snapshot, and both stay.
	_, _ = os.RemoveAll(h.prepared()), os.Remove(h.drilled())
	_, _, _ = os.RemoveAll(h.disk()), os.RemoveAll(h.hookLog()), os.RemoveAll(h.diagnoses())
	if !keepData {
		h.leaveData(ctx)
	}
	err := errors.Join(
		timer,
		h.supervisor.write(ctx, service{Kind: operator.NoService}),
		os.RemoveAll(h.etc()),
		os.RemoveAll(filepath.Dir(h.socket())), // RuntimeDirectoryPreserve=restart can leave it behind
		h.unlinkTools(),
		removed(os.Remove(h.compared())),
	)
	if err == nil {
		err = os.RemoveAll(h.opt())
	}
	if err != nil {
		return fmt.Errorf("cannot remove what was installed: %w", err)
	}
	// The directories that units on this machine share go with the last unit.
	for _, path := range []string{h.etc(), h.opt(), h.compared()} {
		_ = syscall.Rmdir(filepath.Dir(path))
	}
	return nil
}

// leaveData moves the data to a dated name, because another unit may later have our name. Data that
// cannot be moved, such as a mount point, stays where it is.
func (h *Host) leaveData(ctx context.Context) {
	if err := h.putAside(ctx, "the unit was removed"); err != nil {
		h.logger.WarnContext(ctx, "data stays where it is", "why", err)
	}
	for _, path := range []string{
		h.data(), h.snapshots(), h.state(), h.metricsDir(), filepath.Dir(h.state()),
	} {
		_ = syscall.Rmdir(path) // only if it is empty
	}
}

// removed returns the error of a removal; it is nil if there was nothing to remove.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
