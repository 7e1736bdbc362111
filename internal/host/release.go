package host

import (
	"bytes"
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
	"syscall"

	"github.com/google/renameio/v2"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// keptReleases is how many installed releases stay beside the running one: the newest, and the one
// to go back to.
const keptReleases = 2

// partial is the suffix of a copy that earlier releases of the charm did not finish.
const partial = ".tmp"

// carriedRelease names a binary: etcd's version, the stamp, and 12 hex digits that differ between
// builds. The digits come from the linker's build ID where there is one: hashing 27 MB in every
// hook costs more than everything else that a hook does.
func carriedRelease(binary, stamp string) (string, error) {
	f, err := regular.Open(binary)
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

// buildID returns the GNU or else the Go build ID note of an ELF file; nil if it has neither. The
// Go tool's ID alone would not do: it is empty under -buildid=.
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

// tools are the names, apart from its own, by which people call an installed copy.
var tools = []string{"etcdctl", "etcdutl"}

// names are the links beside an installed copy.
var names = append([]string{"etcd"}, tools...)

// installedReleases returns the complete copies, newest first.
func (h *Host) installedReleases(carried string) []string {
	var found []string
	for _, name := range h.copies() {
		if h.whole(name, carried) {
			found = append(found, name)
		}
	}
	return found
}

// copies returns the copies that exist, complete or not, newest first.
func (h *Host) copies() []string {
	entries, _ := os.ReadDir(h.opt()) // a copy that cannot be listed is made again
	type copied struct {
		name string
		at   int64
	}
	var found []copied
	for _, e := range entries {
		if dir, err := e.Info(); err == nil {
			found = append(found, copied{e.Name(), dir.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(found, func(a, b copied) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.name, a.name))
	})
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.name
	}
	return names
}

// whole reports whether a copy is as it was installed: directory, binary and links, with their
// modes and owners. The content is checked only for the carried release, because no other is known.
func (h *Host) whole(release, carried string) bool {
	info, err := os.Lstat(h.binary(release))
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 ||
		strings.HasSuffix(release, partial) {
		return false
	}
	for _, it := range h.releaseItems(release) {
		if it.problem() != "" {
			return false
		}
	}
	for _, name := range names {
		if !h.linked(release, name) {
			return false
		}
	}
	return release != carried || h.linked(release, GateName) && h.sameAsCarried(h.binary(release))
}

// linked reports whether a copy has a link of that name to its binary.
func (h *Host) linked(release, name string) bool {
	target, err := os.Readlink(filepath.Join(h.release(release), name))
	return err == nil && target == binaryName
}

// releaseItems returns a copy's directory and binary.
func (h *Host) releaseItems(release string) []item {
	return []item{
		{h.release(release), fs.ModeDir | 0o755, h.adminOwner()},
		{h.binary(release), 0o755, h.adminOwner()},
	}
}

// sameAsCarried reports whether a copy has the same content as the carried binary. Comparing 28 MB
// in every hook would cost more than everything else that a hook does. So a match is remembered
// until the machine boots, under a key that changes when either file is written.
func (h *Host) sameAsCarried(path string) bool {
	key := stampOf(h.carried) + " " + stampOf(path)
	if known, err := regular.Read(h.compared()); err == nil && string(known) == key {
		return true
	}
	if same, err := sameContent(h.carried, path); err != nil || !same {
		return false
	}
	// if this fails, the next hook compares again
	_ = writeFiles(file{path: h.compared(), data: []byte(key), mode: public})
	return true
}

// stampOf returns a text that changes whenever a file is written or replaced.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d:%d:%d:%d",
		stat.Dev, stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano())
}

func sameContent(one, other string) (bool, error) {
	a, err := regular.Open(one)
	if err != nil {
		return false, err
	}
	defer ignoreClose(a)
	b, err := regular.Open(other)
	if err != nil {
		return false, err
	}
	defer ignoreClose(b)
	const chunk = 256 << 10
	for bufA, bufB := make([]byte, chunk), make([]byte, chunk); ; {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		switch {
		case !bytes.Equal(bufA[:n], bufB[:m]):
			return false, nil
		case errA == nil && errB == nil:
			continue
		case atEnd(errA) && atEnd(errB):
			return true, nil
		}
		return false, errors.Join(errA, errB)
	}
}

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// install makes everything on the machine that the charm makes there, and adds the carried release
// beside the running one.
func (h *Host) install(ctx context.Context, s operator.Install) error {
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return err
	}
	if s.Release != carried {
		return fmt.Errorf("cannot install release %s: the charm carries %s", s.Release, carried)
	}
	if err := h.mendItems(ctx); err != nil {
		return err
	}
	if err := h.makeData(); err != nil {
		return err
	}
	if err := h.copyRelease(carried); err != nil {
		return fmt.Errorf("cannot install release %s: %w", carried, err)
	}
	return errors.Join(h.linkTools(carried), h.pruneReleases(ctx, carried))
}

// makeData makes the empty data directory that the service may write to.
func (h *Host) makeData() error {
	if _, err := os.Lstat(h.data()); err == nil {
		return nil // the manifest judges what exists
	}
	server, err := h.serverOwner()
	if err != nil {
		return err
	}
	return directory(h.data(), 0o700, server)
}

// copyRelease completes a copy of the carried binary, beside the running one. A running process
// keeps the file from which it was started, even when another file takes the name. The links come
// last, so a copy that was cut off does not count as complete.
func (h *Host) copyRelease(release string) error {
	if err := h.mendRelease(release); err != nil {
		return err
	}
	if !h.sameAsCarried(h.binary(release)) {
		if err := h.copyBinary(h.binary(release)); err != nil {
			return err
		}
	}
	// Copies of other releases may have no gate. Only this link says that a copy has one.
	if err := errors.Join(h.linkName(release, GateName), h.linkRelease(release)); err != nil {
		return err
	}
	return syncDir(h.opt())
}

// newest returns the carried release once it is installed, and until then the given one, which
// runs.
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

// mendRelease puts right the modes and owners of a copy.
func (h *Host) mendRelease(release string) error {
	for _, it := range h.releaseItems(release) {
		if it.problem() != "" {
			if err := h.mendItem(it); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkRelease makes the links beside a copy.
func (h *Host) linkRelease(release string) error {
	for _, name := range names {
		if err := h.linkName(release, name); err != nil {
			return err
		}
	}
	return syncDir(h.release(release))
}

func (h *Host) linkName(release, name string) error {
	if h.linked(release, name) {
		return nil
	}
	link := filepath.Join(h.release(release), name)
	if _, err := os.Readlink(link); err != nil {
		if err := h.clear(link); err != nil {
			return err
		}
	}
	return renameio.Symlink(binaryName, link)
}

// copyBinary writes the carried binary beside its place and renames it.
func (h *Host) copyBinary(to string) error {
	src, err := regular.Open(h.carried)
	if err != nil {
		return err
	}
	defer ignoreClose(src)
	dst, err := renameio.NewPendingFile(to,
		renameio.WithTempDir(filepath.Dir(to)), renameio.WithStaticPermissions(0o755))
	if err != nil {
		return err
	}
	defer func() { _ = dst.Cleanup() }() // does nothing once the file has its name
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return dst.CloseAtomicallyReplace()
}

// pruneReleases removes installed copies to which nobody can want to go back.
func (h *Host) pruneReleases(ctx context.Context, current string) error {
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return err
	}
	keep := map[string]bool{current: true, state.release(): true, state.process.release(): true}
	newest := 0
	for _, name := range h.copies() {
		if h.whole(name, current) {
			newest++
			if newest <= keptReleases {
				continue
			}
		}
		_, err := os.Lstat(h.binary(name))
		if copied := err == nil || strings.HasSuffix(name, partial); !copied || keep[name] {
			continue
		}
		if err := os.RemoveAll(h.release(name)); err != nil {
			return fmt.Errorf("cannot remove old release: %w", err)
		}
	}
	return nil
}
