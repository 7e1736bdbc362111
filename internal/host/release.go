package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// keptReleases is how many installed releases stay beside the running one: the newest, and the one to go back to.
const keptReleases = 2

// partial marks a release that is being copied.
const partial = ".tmp"

// carriedRelease names a binary: etcd's version, the stamp, and 12 hex digits that differ between builds. The linker's build
// ID serves where there is one, since hashing 27 MB in every hook costs more than all else that a hook does.
func carriedRelease(binary, stamp string) (string, error) {
	f, err := os.Open(binary)
	if err != nil {
		return "", fmt.Errorf("cannot name release: %w", err)
	}
	defer ignoreClose(f)
	h := sha256.New()
	if id := buildID(f); len(id) > 0 {
		h.Write(id)
	} else if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("cannot name release: %w", err)
	}
	return operator.ReleaseName(version.Version, stamp, hex.EncodeToString(h.Sum(nil))[:12]), nil
}

// buildID is the GNU or else the Go build ID note of an ELF file; nil if it has neither. An ID of the Go tool alone
// would be empty under -buildid=.
func buildID(r io.ReaderAt) []byte {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil
	}
	for _, name := range []string{".note.gnu.build-id", ".note.go.buildid"} {
		section := f.Section(name)
		if section == nil || section.Size > 4096 {
			continue
		}
		// A note is three words (sizes and type), the owner's name of 4 bytes, then the ID.
		const header = 16
		if data, err := section.Data(); err == nil && len(data) > header+8 {
			return data[header:]
		}
	}
	return nil
}

// installedReleases are the complete copies, newest first. A release directory appears by rename only when whole.
func (h *Host) installedReleases() ([]string, error) {
	entries, err := os.ReadDir(h.opt())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list installed releases: %w", err)
	}
	type copied struct {
		name string
		at   int64
	}
	var found []copied
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), partial) {
			continue
		}
		if info, err := os.Stat(h.binary(e.Name())); err == nil && info.Mode().IsRegular() {
			if dir, err := e.Info(); err == nil {
				found = append(found, copied{e.Name(), dir.ModTime().UnixNano()})
			}
		}
	}
	slices.SortFunc(found, func(a, b copied) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.name, a.name))
	})
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.name
	}
	return names, nil
}

func (h *Host) install(ctx context.Context, s operator.Install) error {
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return err
	}
	if s.Release != carried {
		return fmt.Errorf("cannot install release %s: the charm carries %s", s.Release, carried)
	}
	if err := h.makeUser(ctx); err != nil {
		return err
	}
	if err := h.makeDirectories(); err != nil {
		return err
	}
	if err := h.copyRelease(carried); err != nil {
		return fmt.Errorf("cannot install release %s: %w", carried, err)
	}
	return errors.Join(h.linkEtcdctl(carried), h.pruneReleases(ctx, carried))
}

func (h *Host) makeDirectories() error {
	server, err := h.serverOwner()
	if err != nil {
		return err
	}
	for _, d := range []struct {
		path  string
		mode  fs.FileMode
		owner owner
	}{
		{h.opt(), 0o755, h.adminOwner()},
		{h.etc(), 0o755, h.adminOwner()},
		{filepath.Dir(h.tls("")), 0o755, h.adminOwner()},
		{filepath.Clean(h.tls("")), 0o750, sharedOwner(server)},
		{h.state(), 0o750, sharedOwner(server)},
	} {
		if err := directory(d.path, d.mode, d.owner); err != nil {
			return err
		}
	}
	return h.makeData()
}

// makeData makes the empty data directory that the service may write to.
func (h *Host) makeData() error {
	if _, err := os.Lstat(h.data()); err == nil {
		return nil // mode and owner of what is there are data's to show, not ours to bend
	}
	server, err := h.serverOwner()
	if err != nil {
		return err
	}
	return directory(h.data(), 0o700, server)
}

func (h *Host) copyRelease(release string) error {
	if _, err := os.Stat(h.binary(release)); err == nil {
		return nil
	}
	tmp := h.release(release + partial)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := directory(tmp, 0o755, h.adminOwner()); err != nil {
		return err
	}
	if err := copyFile(h.carried, filepath.Join(tmp, binaryName), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"etcd", "etcdctl", "etcdutl"} {
		if err := os.Symlink(binaryName, filepath.Join(tmp, name)); err != nil {
			return err
		}
	}
	if err := syncDir(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, h.release(release)); err != nil {
		return err
	}
	return syncDir(h.opt())
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer ignoreClose(src)
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer ignoreClose(dst)
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if err := dst.Chmod(mode); err != nil {
		return err
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	return dst.Close()
}

// newest is the carried release once it is installed, else the given one, which runs.
func (h *Host) newest(runs string) string {
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return runs
	}
	if _, err := os.Stat(h.binary(carried)); err != nil {
		return runs
	}
	return carried
}

// linkEtcdctl lets the machine's administrator type etcdctl. A file that is not ours, or that belongs to another
// unit that lives here, stays.
func (h *Host) linkEtcdctl(release string) error {
	link := h.etcdctlLink()
	target := filepath.Join(h.release(release), "etcdctl")
	switch current, err := os.Readlink(link); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return fmt.Errorf("cannot link etcdctl: %w", err)
		}
	case err != nil:
		return nil //nolint:nilerr // it is no link, so it is not ours
	case current == target:
		return nil
	case !strings.HasPrefix(current, h.join("opt/etcd-charm")+"/"):
		return nil
	case !strings.HasPrefix(current, h.opt()+"/"):
		if _, err := os.Stat(link); err == nil {
			return nil
		}
	}
	if err := renameio.Symlink(target, link); err != nil {
		return fmt.Errorf("cannot link etcdctl: %w", err)
	}
	return nil
}

// unlinkEtcdctl gives our link to another unit that has etcdctl set up on this machine; without one it goes.
func (h *Host) unlinkEtcdctl() error {
	link := h.etcdctlLink()
	current, err := os.Readlink(link)
	if err != nil || !strings.HasPrefix(current, h.opt()+"/") {
		return nil //nolint:nilerr // it is no link, so it is not ours
	}
	units, err := os.ReadDir(filepath.Dir(h.opt()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot look for other units: %w", err)
	}
	for _, unit := range units {
		other := newPaths(h.root, unit.Name())
		for _, file := range []string{other.memberEnv(), other.proxyEnv()} {
			env, err := envLines(file)
			target := filepath.Join(other.release(lookup(env, "CHARM_RELEASE")), "etcdctl")
			if _, missing := os.Stat(target); err != nil || env == nil || missing != nil || other.unit == h.unit {
				continue
			}
			if err := renameio.Symlink(target, link); err != nil {
				return fmt.Errorf("cannot link etcdctl: %w", err)
			}
			return nil
		}
	}
	return removed(os.Remove(link))
}

// pruneReleases removes installed copies that nothing can want back.
func (h *Host) pruneReleases(ctx context.Context, current string) error {
	names, err := h.installedReleases()
	if err != nil {
		return err
	}
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return err
	}
	keep := map[string]bool{current: true, state.release(): true, state.process.release(): true}
	for i, name := range names {
		if i < keptReleases || keep[name] {
			continue
		}
		if err := os.RemoveAll(h.release(name)); err != nil {
			return fmt.Errorf("cannot remove old release: %w", err)
		}
	}
	return nil
}

// EtcdctlEnv returns the environment ("KEY=value") that etcdctl needs on a unit whose installed copy is executable
// (links resolved), so that it works with no flags; nil if executable is no installed copy or nothing is set up.
func EtcdctlEnv(executable string) ([]string, error) {
	dir := filepath.Dir(filepath.Dir(executable)) // …/opt/etcd-charm/U
	root, ok := strings.CutSuffix(filepath.Dir(dir), "/opt/etcd-charm")
	if !ok {
		return nil, nil
	}
	return envLines(newPaths(root, filepath.Base(dir)).etcdctlEnv())
}
