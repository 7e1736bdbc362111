package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// item is a directory or a file of ours as it should lie on the disk. What a file should say, and
// whether it should exist, depends on the arguments of the step that writes it: see World.
type item struct {
	path  string
	mode  fs.FileMode // type and permissions
	owner owner
}

// manifest returns every directory and file that the charm makes, parents before what they hold. It
// is the only place that states their modes and owners. It leaves out links and the copies of
// releases: see tools.go and release.go.
func (h *Host) manifest() ([]item, error) {
	server, err := h.serverOwner()
	if err != nil {
		return nil, err
	}
	admin := h.adminOwner()
	const dir = fs.ModeDir
	preset := secret // it names the admin credentials, and is for root's etcdctl
	var learned []item
	if _, err := os.Lstat(h.proxyConfig()); err == nil {
		preset = public // any user of the proxy may know where it is
		learned = []item{{h.learnedDir(), dir | 0o700, server}}
	}
	var prepared []item
	if _, err := os.Lstat(h.prepared()); err == nil {
		prepared = []item{{h.prepared(), dir | 0o750, sharedOwner(server)}}
	}
	if _, err := os.Lstat(h.drilled()); err == nil {
		prepared = append(prepared, item{h.drilled(), secret, admin})
	}
	items := []item{
		{filepath.Dir(h.opt()), dir | 0o755, admin},
		{h.opt(), dir | 0o755, admin},
		{filepath.Dir(h.etc()), dir | 0o755, admin},
		{h.etc(), dir | 0o755, admin},
		{filepath.Clean(h.tls("")), dir | 0o750, sharedOwner(server)},
		{filepath.Dir(h.state()), dir | 0o755, admin},
		{h.state(), dir | 0o750, sharedOwner(server)},
		{h.data(), dir | 0o700, server},

		// systemd reads these, as root.
		{h.unitFile(), public, admin},
		{h.memberEnv(), secret, admin},
		{h.proxyEnv(), secret, admin},
		{h.etcdctlEnv(), preset, admin},
		{h.proxyConfig(), secret, server},
		{h.snapshotConfig(), secret, admin},
		{h.disk(), secret, admin},
		{h.hookLog(), secret, admin},
		{h.snapshotServiceFile(), public, admin},
		{h.timerFile(), public, admin},
		// These hold nothing secret, and the server, or its gate, reads them.
		{h.fence(), public, admin},
		{h.tls(peerTrustFile), public, admin},
		{h.tls(clientTrustFile), public, admin},
		{h.tls(revokedFile), public, admin},
		{h.tls(peerRevokedFile), public, admin},
		{h.tls(issuedFile), secret, admin},
		{h.tls(upstreamTrustFile), secret, server},
		{h.tls(certFile(upstreamName)), secret, server},
		{h.tls(keyFile(upstreamName)), secret, server},
	}
	for name, whose := range map[string]owner{peerName: server, serverName: server, adminName: admin} {
		items = append(items,
			item{h.tls(certFile(name)), public, whose}, item{h.tls(keyFile(name)), secret, whose})
	}
	return slices.Concat(items, learned, prepared), nil
}

// write writes files of the manifest, with the modes and owners that the manifest states.
func (h *Host) write(files ...file) error {
	items, err := h.manifest()
	if err != nil {
		return fmt.Errorf("cannot write files: %w", err)
	}
	for i, f := range files {
		at := slices.IndexFunc(items, func(it item) bool { return it.path == f.path })
		if at < 0 {
			return fmt.Errorf("cannot write %s: it is not in the manifest", f.path)
		}
		files[i].mode, files[i].owner = items[at].mode, items[at].owner
	}
	return writeFiles(files...)
}

// missing is the problem of a directory that is not there.
const missing = "is missing"

// problem returns what is wrong with the type, mode or owner of what lies at the item's path; "" if
// nothing is.
func (it item) problem() string {
	look := os.Lstat
	if it.mode.IsDir() {
		look = os.Stat // an administrator may have moved a directory to another disk
	}
	info, err := look(it.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !it.mode.IsDir():
		return "" // the step that writes it knows whether it should be there
	case errors.Is(err, fs.ErrNotExist):
		return missing
	case err != nil:
		return "cannot be checked: " + reasonOf(err)
	case it.mode.IsDir() && !info.IsDir():
		return "is not a directory"
	case !it.mode.IsDir() && !info.Mode().IsRegular():
		return "is not a file"
	case !it.owner.owns(info):
		return "belongs to another user"
	case info.Mode().Perm() != it.mode.Perm():
		return fmt.Sprintf("has mode %04o, not %04o", info.Mode().Perm(), it.mode.Perm())
	}
	return ""
}

// reasonOf returns an error's text without the path, because the path is named beside it.
func reasonOf(err error) string {
	var of *fs.PathError
	if errors.As(err, &of) {
		err = of.Err
	}
	return err.Error()
}

// lookAstray compares what lies on the disk with the manifest.
func (h *Host) lookAstray(state serviceState, carried string) (out []operator.Astray) {
	items, err := h.manifest()
	if err != nil {
		return []operator.Astray{{Path: "user " + h.user, Problem: "is missing"}}
	}
	for _, it := range items {
		if problem := it.problem(); problem != "" && !h.dataSays(it) {
			out = append(out, operator.Astray{Path: it.path, Problem: problem})
		}
	}
	for _, release := range inUse(state, carried) {
		if h.whole(release, carried) {
			continue
		}
		a := operator.Astray{Path: h.release(release), Problem: "is incomplete"}
		if info, err := os.Stat(h.binary(release)); err != nil ||
			!info.Mode().IsRegular() || info.Size() == 0 {
			a = operator.Astray{
				Path: h.binary(release), Problem: "is not what was installed",
				Remedy: "the service no longer uses it once it restarts with the charm's own release",
			}
		}
		out = append(out, a)
	}
	for _, tool := range tools {
		switch h.toolLink(tool) {
		case linkAstray:
			out = append(out, operator.Astray{
				Path: h.tool(tool), Problem: "is not the link to this unit's copy",
			})
		case linkForeign:
			out = append(out, operator.Astray{
				Path: h.tool(tool), Problem: "is not the charm's", Note: true,
				Remedy: "remove it, and the next hook makes the link",
			})
		}
	}
	if problem := h.wantedProblem(); problem != "" {
		out = append(out, operator.Astray{Path: h.wanted(), Problem: problem})
	}
	if !h.issuedNoted() {
		out = append(out, operator.Astray{
			Path: h.tls(issuedFile), Problem: "does not name this unit's certificates",
		})
	}
	return append(out, h.shut()...)
}

// dataSays reports whether the item is the data directory and lookData reports its problem. The
// charm does not mend data that is gone or that belongs to another user.
func (h *Host) dataSays(it item) bool {
	if it.path != h.data() {
		return false
	}
	info, err := os.Stat(it.path)
	return err != nil || !info.IsDir() || h.ownerProblem(info) != ""
}

// inUse returns the releases, other than the carried one, that the service is written to run or
// runs.
func inUse(state serviceState, carried string) (out []string) {
	for _, release := range []string{state.release(), state.process.release()} {
		if release != "" && release != carried && !slices.Contains(out, release) {
			out = append(out, release)
		}
	}
	return out
}

// mend puts right what lookAstray found, as far as it can. Files that are then missing are written
// by the steps that know their content.
func (h *Host) mend(ctx context.Context) error {
	if err := h.mendItems(ctx); err != nil {
		return err
	}
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return err
	}
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return err
	}
	for _, release := range inUse(state, carried) {
		if _, err := os.Stat(h.binary(release)); err != nil || h.whole(release, carried) {
			continue
		}
		if err := errors.Join(h.mendRelease(release), h.linkRelease(release)); err != nil {
			return fmt.Errorf("cannot repair release %s: %w", release, err)
		}
	}
	return h.linkTools(h.newest(cmp.Or(state.release(), carried)))
}

// mendItems puts right everything but the copies of releases and the links to them.
func (h *Host) mendItems(ctx context.Context) error {
	if err := h.makeUser(ctx); err != nil {
		return err
	}
	items, err := h.manifest()
	if err != nil {
		return err
	}
	_, err = os.Lstat(h.opt())
	first := errors.Is(err, fs.ErrNotExist) // making what never existed is not mending
	var failed []error
	for _, it := range items {
		problem := it.problem()
		if problem == "" || h.dataSays(it) {
			continue
		}
		if !first || problem != missing {
			h.logger.WarnContext(ctx, "repairing", "path", it.path, "problem", problem)
		}
		failed = append(failed, h.mendItem(it))
	}
	if h.wantedProblem() != "" {
		failed = append(failed, h.clear(h.wanted()))
	}
	if !h.issuedNoted() {
		failed = append(failed, h.noteIssued())
	}
	return errors.Join(failed...)
}

// mendItem gives what lies at the item's path its type, mode and owner.
func (h *Host) mendItem(it item) error {
	if it.mode.IsDir() {
		if info, err := os.Stat(it.path); err != nil || !info.IsDir() {
			if err := dangling(it.path); err != nil {
				return err
			}
			if err := h.clear(it.path); err != nil {
				return err
			}
		}
		return directory(it.path, it.mode.Perm(), it.owner)
	}
	if info, err := os.Lstat(it.path); err != nil || !info.Mode().IsRegular() {
		return h.clear(it.path)
	}
	if it.owner.set {
		if err := os.Lchown(it.path, it.owner.uid, it.owner.gid); err != nil {
			return fmt.Errorf("cannot set owner: %w", err)
		}
	}
	if err := os.Chmod(it.path, it.mode.Perm()); err != nil {
		return fmt.Errorf("cannot set mode: %w", err)
	}
	return nil
}

// clear takes away what lies where something of ours belongs. It removes what holds nothing: an
// empty directory, a link, a socket, a FIFO. A regular file, and a directory that holds something,
// is moved to a dated name beside it.
func (h *Host) clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot move it out of the way: %w", err)
	case info.Mode()&fs.ModeNamedPipe != 0:
		releaseReaders(path)
	}
	if !info.Mode().IsRegular() {
		if err := os.Remove(path); err == nil {
			return nil
		}
	}
	aside, err := h.beside(path, "astray")
	if err == nil {
		err = os.Rename(path, aside)
	}
	if err != nil {
		return fmt.Errorf("cannot move it out of the way: %w", err)
	}
	return nil
}

// releaseReaders lets readers go on that wait at a FIFO for a writer. etcd opens its key for each
// handshake, and could not end while such a reader waits.
func releaseReaders(fifo string) {
	if fd, err := syscall.Open(fifo, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err == nil {
		_ = syscall.Close(fd) // nothing was written
	}
}

// wantedProblem returns what is wrong with the link that starts the service at boot. It returns ""
// if nothing is, and if there is no link: only the steps that start and stop the service know
// whether there should be one.
func (h *Host) wantedProblem() string {
	switch target, err := os.Readlink(h.wanted()); {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return "is not a link"
	case filepath.Base(target) != h.serviceName():
		return "points elsewhere"
	}
	return ""
}
