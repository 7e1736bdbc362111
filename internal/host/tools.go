package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// link is what lies at the path under which an administrator calls a tool.
type link int

const (
	linkRight   link = iota // into a copy of this unit's, or of another unit on this machine
	linkAstray              // nothing, or a link that no longer leads into a copy
	linkForeign             // not the charm's
)

// toolLink returns what lies at a tool's place.
func (h *Host) toolLink(tool string) link {
	current, err := os.Readlink(h.tool(tool))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return linkAstray
	case err != nil, !strings.HasPrefix(current, h.join("opt/etcd-charm")+"/"):
		return linkForeign
	}
	if info, err := os.Stat(h.tool(tool)); err != nil || !info.Mode().IsRegular() ||
		filepath.Base(current) != tool {
		return linkAstray
	}
	return linkRight
}

// linkTools lets the machine's administrator call etcdctl and etcdutl. It leaves alone what is not
// ours, and links that belong to another unit on this machine.
func (h *Host) linkTools(release string) error {
	for _, tool := range tools {
		path, target := h.tool(tool), filepath.Join(h.release(release), tool)
		current, _ := os.Readlink(path) // toolLink judges what is not a link
		is := h.toolLink(tool)
		if is == linkForeign || current == target ||
			is == linkRight && !strings.HasPrefix(current, h.opt()+"/") {
			continue
		}
		if err := linkTool(target, path); err != nil {
			return err
		}
	}
	return nil
}

func linkTool(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot link %s: %w", path, err)
	}
	if err := renameio.Symlink(target, path); err != nil {
		return fmt.Errorf("cannot link %s: %w", path, err)
	}
	return nil
}

// unlinkTools passes our links on to another unit that is set up on this machine; without one it
// removes them.
func (h *Host) unlinkTools() error {
	other := h.otherRelease()
	for _, tool := range tools {
		path := h.tool(tool)
		current, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(current, h.opt()+"/") {
			continue // it is not ours
		}
		target := filepath.Join(other, tool)
		// an older charm's copy may lack the tool
		if _, missing := os.Stat(target); other == "" || missing != nil {
			err = removed(os.Remove(path))
		} else {
			err = linkTool(target, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// otherRelease returns the copy that another unit on this machine uses; "" if there is none.
func (h *Host) otherRelease() string {
	units, _ := os.ReadDir(filepath.Dir(h.opt()))
	for _, unit := range units {
		other := newPaths(h.root, unit.Name())
		for _, file := range []string{other.memberEnv(), other.proxyEnv()} {
			env, err := envLines(file)
			copied := other.release(lookup(env, "CHARM_RELEASE"))
			if _, missing := os.Stat(filepath.Join(copied, binaryName)); err == nil && env != nil &&
				missing == nil && other.unit != h.unit {
				return copied
			}
		}
	}
	return ""
}

// EtcdctlEnv returns the environment ("KEY=value") with which etcdctl works without flags on a
// unit. executable is the unit's installed copy, links resolved. EtcdctlEnv returns nil if it is
// not an installed copy, or if nothing is set up.
func EtcdctlEnv(executable string) ([]string, error) {
	dir := filepath.Dir(filepath.Dir(executable)) // …/opt/etcd-charm/U
	root, ok := strings.CutSuffix(filepath.Dir(dir), "/opt/etcd-charm")
	if !ok {
		return nil, nil
	}
	return envLines(newPaths(root, filepath.Base(dir)).etcdctlEnv())
}
