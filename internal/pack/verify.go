package pack

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/juju/charm/v12"
)

// The reasons for which Verify refuses an archive.
var (
	ErrNoBinary      = errors.New("no binary at " + Binary)
	ErrNotExecutable = errors.New(Binary + " is not executable")
	ErrNotELF        = errors.New(Binary + " is not an ELF program")
	ErrArch          = errors.New(Binary + " is built for another architecture")
	ErrDynamic       = errors.New(Binary + " needs a dynamic loader")
	ErrLink          = errors.New("link does not lead to " + Binary)
	ErrHook          = errors.New("hooks do not match metadata.yaml")
	ErrAction        = errors.New("actions do not match actions.yaml")
	ErrDispatch      = errors.New("a file named dispatch would win over every hook and action")
	ErrBase          = errors.New("bases do not match the architecture")
	ErrPlatform      = errors.New("platform in charmcraft.yaml is not BASE@VERSION:ARCHITECTURE alone")
	ErrSize          = errors.New("archive is too large")
)

// Report is what a verified archive holds.
type Report struct {
	Charm   string   // the charm's name
	Bytes   int64    // size of the archive
	Program uint64   // size of the binary in it
	Hooks   []string // sorted
	Actions []string // sorted
}

// machines maps Juju's names of architectures to the ELF machine of their programs.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// needed are the hooks of a unit's life without which the charm could not work. config-changed is
// among them for Juju's sake too: without that hook a unit's network information goes stale.
var needed = []string{
	"install", "start", "stop", "config-changed", "upgrade-charm", "update-status", "leader-elected",
}

// Verify reads the archive back. It returns what is in it, or the first of the errors above that
// makes it a bad charm for that architecture.
func Verify(file, arch string) (Report, error) {
	read, err := charm.ReadCharmArchive(file)
	if err != nil {
		return Report{}, fmt.Errorf("cannot read archive back: %w", err)
	}
	// The reader does not apply the rules by which a controller refuses an upload.
	if err := charm.CheckMeta(read); err != nil {
		return Report{}, fmt.Errorf("cannot accept metadata.yaml: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return Report{}, fmt.Errorf("cannot measure archive: %w", err)
	}
	if info.Size() > MaxBytes {
		return Report{}, fmt.Errorf("%w: %d bytes of %d", ErrSize, info.Size(), MaxBytes)
	}
	zr, err := zip.OpenReader(file)
	if err != nil {
		return Report{}, fmt.Errorf("cannot open archive: %w", err)
	}
	defer func() { _ = zr.Close() }()
	members := map[string]*zip.File{}
	for _, f := range zr.File {
		members[f.Name] = f
	}

	r := Report{Charm: read.Meta().Name, Bytes: info.Size()}
	if err := checkBases(read.Manifest(), arch); err != nil {
		return Report{}, err
	}
	if r.Program, err = checkBinary(members[Binary], arch); err != nil {
		return Report{}, err
	}
	if members["dispatch"] != nil {
		return Report{}, ErrDispatch
	}
	if r.Hooks, err = checkLinks(members, "hooks"); err != nil {
		return Report{}, err
	}
	if r.Actions, err = checkLinks(members, "actions"); err != nil {
		return Report{}, err
	}
	if err := checkHooks(r.Hooks, read.Meta()); err != nil {
		return Report{}, err
	}
	return r, checkActions(r.Actions, read.Actions())
}

// checkBases requires that each base names exactly the one architecture. Charmhub gives an archive
// to every machine that one of its bases fits, and a base without an architecture fits all.
func checkBases(m *charm.Manifest, arch string) error {
	if m == nil || len(m.Bases) == 0 {
		return fmt.Errorf("%w: manifest.yaml names no base", ErrBase)
	}
	for _, b := range m.Bases {
		if !slices.Equal(b.Architectures, []string{arch}) {
			return fmt.Errorf("%w: manifest.yaml names %s, the binary is for %s", ErrBase, b, arch)
		}
	}
	return nil
}

func checkBinary(f *zip.File, arch string) (uint64, error) {
	if f == nil || f.Mode().IsDir() {
		return 0, ErrNoBinary
	}
	if f.Mode()&0o111 == 0 || !f.Mode().IsRegular() {
		return 0, ErrNotExecutable
	}
	want, ok := machines[arch]
	if !ok {
		return 0, fmt.Errorf("cannot check binary for %q: no such architecture", arch)
	}
	data, err := content(f)
	if err != nil {
		return 0, err
	}
	prog, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotELF, err)
	}
	if prog.Machine != want || prog.Class != elf.ELFCLASS64 {
		return 0, fmt.Errorf("%w: %s, not %s", ErrArch, prog.Machine, want)
	}
	for _, p := range prog.Progs {
		if p.Type == elf.PT_INTERP {
			return 0, ErrDynamic
		}
	}
	return f.UncompressedSize64, nil
}

// checkLinks returns the names in a directory of links, sorted. It checks that each link leads to
// the binary.
func checkLinks(members map[string]*zip.File, dir string) ([]string, error) {
	var names []string
	for name, f := range members {
		base, ok := strings.CutPrefix(name, dir+"/")
		if !ok || base == "" {
			continue
		}
		if f.Mode().Type() != fs.ModeSymlink {
			return nil, fmt.Errorf("%w: %s is no link", ErrLink, name)
		}
		target, err := content(f)
		if err != nil {
			return nil, err
		}
		if path.Join(dir, string(target)) != Binary {
			return nil, fmt.Errorf("%w: %s → %s", ErrLink, name, target)
		}
		names = append(names, base)
	}
	slices.Sort(names)
	return names, nil
}

func checkHooks(names []string, meta *charm.Meta) error {
	known := meta.Hooks()
	for _, n := range names {
		if !known[n] {
			return fmt.Errorf("%w: Juju runs no hook %s", ErrHook, n)
		}
	}
	for _, n := range needed {
		if !slices.Contains(names, n) {
			return fmt.Errorf("%w: %s is missing", ErrHook, n)
		}
	}
	return nil
}

func checkActions(names []string, declared *charm.Actions) error {
	for _, n := range names {
		if _, ok := declared.ActionSpecs[n]; !ok {
			return fmt.Errorf("%w: %s is not declared", ErrAction, n)
		}
	}
	for n := range declared.ActionSpecs {
		if !slices.Contains(names, n) {
			return fmt.Errorf("%w: %s is missing", ErrAction, n)
		}
	}
	return nil
}

func content(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot open %s in archive: %w", f.Name, err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s in archive: %w", f.Name, err)
	}
	return data, nil
}
