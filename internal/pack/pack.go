// Package pack makes the charm archive and checks it. Its rule: no archive leaves it unchecked.
// Juju's own library packs it, Juju's own reader reads it back, and this package checks what Juju
// does not notice: a dangling hook counts as a quiet success, and a binary of another architecture
// fails only on the machine.
package pack

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/juju/charm/v12"
)

// Binary is the path of the charm's program in the archive; every hook and action is a link to it.
const Binary = "bin/etcd-charm"

// MaxBytes is the largest permitted size of an archive.
const MaxBytes = 15_000_000

// files are the plain files of a charm, and links its directories of links. All of them must exist.
// manifest.yaml is generated.
var (
	files = []string{
		"metadata.yaml", "config.yaml", "actions.yaml", "icon.svg", "LICENSE", "README.md",
	}
	links = []string{"hooks", "actions"}
)

// Source is the input from which a charm is made.
type Source struct {
	Root    string // the repository: metadata.yaml, charmcraft.yaml, hooks/ and so on
	Program string // the built binary
	Arch    string // Juju's name of the architecture it must be built for: amd64 or arm64
	Version string // shown by `juju status` as the charm's version; "" for none
	Notices string // terms of the modules in the binary; "" leaves the file out

	// Date is the date of every entry. The zero value, and any date before 1980, becomes the first
	// day of 1980, the earliest date that a zip can hold.
	Date time.Time
}

// Pack writes the charm archive to path, through a staging directory, and returns what it found in
// it. The same source gives the same bytes. Pack refuses a source that would make a broken charm.
// If Pack refuses or is interrupted, it leaves nothing new at path or beside it.
func Pack(ctx context.Context, src Source, path string) (Report, error) {
	stage, err := os.MkdirTemp("", "charm-stage-")
	if err != nil {
		return Report{}, fmt.Errorf("cannot make staging directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(stage) }()
	if err := fill(stage, src); err != nil {
		return Report{}, err
	}
	tmp, err := archive(ctx, stage, path, src.Date)
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = os.Remove(tmp) }()
	report, err := Verify(tmp, src.Arch)
	if err != nil {
		return Report{}, err
	}
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return Report{}, fmt.Errorf("cannot hand over archive: %w", err)
	}
	return report, nil
}

// archive packs the staging directory into a temporary file beside path, and returns the file's
// name.
func archive(ctx context.Context, stage, path string, date time.Time) (string, error) {
	dir, err := charm.ReadCharmDir(stage)
	if err != nil {
		return "", fmt.Errorf("cannot read staged charm: %w", err)
	}
	var packed bytes.Buffer
	// The library drops the error of its last write.
	if err := errors.Join(dir.ArchiveTo(until{ctx.Err, &packed}), ctx.Err()); err != nil {
		return "", fmt.Errorf("cannot pack archive: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("cannot make directory of archive: %w", err)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".charm-*")
	if err != nil {
		return "", fmt.Errorf("cannot create archive: %w", err)
	}
	err = errors.Join(tidy(until{ctx.Err, out}, packed.Bytes(), date),
		out.Chmod(0o644), out.Sync(), out.Close())
	if err != nil {
		_ = os.Remove(out.Name())
		return "", fmt.Errorf("cannot write archive: %w", err)
	}
	return out.Name(), nil
}

// until is a writer that stops accepting data once its error function returns an error.
type until struct {
	stop func() error
	io.Writer
}

func (w until) Write(p []byte) (int, error) {
	if err := w.stop(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// zipTime returns a time as a zip stores it: two bit fields, here in UTC, with a resolution of two
// seconds.
func zipTime(at time.Time) (date, clock uint16) {
	first := time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)
	if at = at.UTC(); at.Before(first) {
		at = first
	}
	date = uint16(at.Year()-first.Year())<<9 | uint16(at.Month())<<5 | uint16(at.Day())
	return date, uint16(at.Hour())<<11 | uint16(at.Minute())<<5 | uint16(at.Second()/2)
}

// tidy copies an archive of Juju's library without its flaws: the library leaves the date out,
// which reads as day 0 of month 0, and adds an entry for the root.
func tidy(w io.Writer, packed []byte, at time.Time) error {
	in, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return err
	}
	date, clock := zipTime(at)
	out := zip.NewWriter(w)
	for _, f := range in.File {
		if f.Name == "./" {
			continue
		}
		f.ModifiedDate, f.ModifiedTime = date, clock // Copy writes these two fields, and ignores Modified
		if err := out.Copy(f); err != nil {
			return err
		}
	}
	return out.Close()
}

// fill copies into stage the files that belong in the charm, and no others.
func fill(stage string, src Source) error {
	for _, name := range files {
		if err := copyFile(filepath.Join(src.Root, name), filepath.Join(stage, name), 0o644); err != nil {
			return fmt.Errorf("cannot stage %s: %w", name, err)
		}
	}
	from, to := filepath.Join(src.Root, "charmcraft.yaml"), filepath.Join(stage, "manifest.yaml")
	if err := writeManifest(to, from, src.Arch); err != nil {
		return fmt.Errorf("cannot make manifest.yaml: %w", err)
	}
	for _, dir := range links {
		if err := copyLinks(filepath.Join(src.Root, dir), filepath.Join(stage, dir)); err != nil {
			return fmt.Errorf("cannot stage %s: %w", dir, err)
		}
	}
	info, err := os.Stat(src.Program)
	if err != nil {
		return fmt.Errorf("cannot stage %s: %w", Binary, err)
	}
	if err := os.Mkdir(filepath.Join(stage, "bin"), 0o755); err != nil {
		return fmt.Errorf("cannot stage %s: %w", Binary, err)
	}
	if err := copyFile(src.Program, filepath.Join(stage, Binary), info.Mode().Perm()); err != nil {
		return fmt.Errorf("cannot stage %s: %w", Binary, err)
	}
	for name, text := range map[string]string{
		"version":             src.Version,
		"LICENSE.third-party": src.Notices,
	} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(stage, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("cannot stage %s: %w", name, err)
		}
	}
	return nil
}

func copyFile(from, to string, perm fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	// Chmod, because the umask must not decide the modes in the archive.
	return errors.Join(err, out.Chmod(perm), out.Close())
}

// copyLinks copies a directory that holds only links.
func copyLinks(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type() != fs.ModeSymlink {
			return fmt.Errorf("%s is not a link", e.Name())
		}
		target, err := os.Readlink(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := os.Symlink(target, filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
