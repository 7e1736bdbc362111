package host

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// shut returns the directories above ours that the charm does not make, and that by their modes and
// owners keep the service's user out. It checks all the way up to the root.
func (h *Host) shut() (out []operator.Astray) {
	server, err := h.serverOwner()
	if err != nil || !server.set {
		return nil
	}
	top := h.join()
	// the directories above a root prefix are not this machine's
	seen := map[string]bool{filepath.Dir(top): top != "/"}
	for _, ours := range []string{h.opt(), h.etc(), h.state()} {
		starts := []string{filepath.Dir(ours)}
		if there, err := filepath.EvalSymlinks(ours); err == nil {
			starts = append(starts, there)
		}
		for _, start := range starts {
			for dir := filepath.Dir(start); !seen[dir]; dir = filepath.Dir(dir) {
				seen[dir] = true
				info, err := os.Stat(dir)
				if err != nil || server.mayEnter(info) {
					continue
				}
				out = append(out, operator.Astray{
					Path: dir, Problem: "does not let user " + h.user + " in", Remedy: "chmod o+x " + dir,
				})
			}
		}
	}
	slices.SortFunc(out, func(a, b operator.Astray) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// mayEnter reports whether the owner, a user with no further groups, may pass through a directory.
func (o owner) mayEnter(dir fs.FileInfo) bool {
	stat, ok := dir.Sys().(*syscall.Stat_t)
	switch perm := dir.Mode().Perm(); {
	case !ok, o.uid == 0:
		return true
	case int(stat.Uid) == o.uid:
		return perm&0o100 != 0
	case int(stat.Gid) == o.gid:
		return perm&0o010 != 0
	default:
		return perm&0o001 != 0
	}
}
