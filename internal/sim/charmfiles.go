package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/juju/charm/v12"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// upload takes a charm (a directory or a .charm archive) as a controller does: it reads the charm
// now, and does not see later changes of the original.
func (s *Sim) upload(path string) (model.Charm, string, error) {
	s.mu.Lock()
	s.charms++
	dir := filepath.Join(s.dir, "charms", fmt.Sprint(s.charms))
	s.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("cannot read charm: %w", err)
	}
	if info.IsDir() {
		err = copyTree(path, dir)
	} else {
		err = expand(path, dir)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot read charm %s: %w", path, err)
	}
	ch, err := charm.ReadCharmDir(dir)
	if err != nil {
		return nil, "", fmt.Errorf("cannot read charm %s: %w", path, err)
	}
	return ch, dir, nil
}

func expand(path, dir string) error {
	archive, err := charm.ReadCharmArchive(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return archive.ExpandTo(dir)
}

// copyTree copies files, directories and symlinks. It leaves out hidden ones, as a charm's packer
// does.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if rel != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		dest := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(dest, 0o755)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, dest)
		case info.Mode().IsRegular():
			return copyFile(path, dest, info.Mode().Perm())
		}
		return fmt.Errorf("%s is neither file, directory nor symlink", rel)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// place puts a unit's charm where its hooks run, again after each refresh, and
// returns the directory.
func (s *Sim) place(c *model.Context) (string, error) {
	agent := filepath.Join(s.Root(c.Machine()), "var/lib/juju/agents",
		"unit-"+strings.ReplaceAll(c.Unit(), "/", "-"))
	dir := filepath.Join(agent, "charm")
	source, seq := c.Source()
	s.mu.Lock()
	at := s.placed[c.Unit()]
	s.placed[c.Unit()] = seq
	s.mu.Unlock()
	if at == seq {
		return dir, nil
	}
	next := filepath.Join(agent, "charm.next")
	if err := errors.Join(os.RemoveAll(next), copyTree(source, next), os.RemoveAll(dir)); err != nil {
		return "", err
	}
	return dir, os.Rename(next, dir)
}
