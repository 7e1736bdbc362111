package pack_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pack"
)

var unitHooks = []string{"install", "start", "stop", "config-changed", "upgrade-charm", "update-status", "leader-elected"}

// program returns the smallest file whose headers say that it is a static program for a machine.
func program(t *testing.T, m elf.Machine, segments ...elf.ProgType) []byte {
	t.Helper()
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(m), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: uint16(len(segments)), Shentsize: 64,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, binary.LittleEndian, h))
	for _, s := range segments {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(s)}))
	}
	return b.Bytes()
}

// source is a small charm that Pack takes.
func source(t *testing.T) pack.Source {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"metadata.yaml":   "name: small\nsummary: s\ndescription: d\n",
		"config.yaml":     "options: {}\n",
		"actions.yaml":    "health:\n  description: d\n",
		"charmcraft.yaml": "platforms: {ubuntu@24.04:arm64: , ubuntu@24.04:amd64: , ubuntu@22.04:amd64: }\n",
		"icon.svg":        "<svg/>", "LICENSE": "terms", "README.md": "# small",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(root, "hooks"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(root, "actions"), 0o755))
	for _, h := range unitHooks {
		require.NoError(t, os.Symlink("../bin/etcd-charm", filepath.Join(root, "hooks", h)))
	}
	require.NoError(t, os.Symlink("../bin/etcd-charm", filepath.Join(root, "actions", "health")))
	src := pack.Source{Root: root, Program: filepath.Join(root, "built"), Arch: "amd64", Version: "v1-test", Notices: "their terms"}
	src.Date = time.Date(2026, time.November, 27, 14, 5, 6, 0, time.UTC)
	require.NoError(t, os.WriteFile(src.Program, program(t, elf.EM_X86_64), 0o700))
	return src
}

func TestPack(t *testing.T) {
	t.Parallel()
	src := source(t)
	one, two := filepath.Join(t.TempDir(), "new", "a.charm"), filepath.Join(t.TempDir(), "b.charm")

	report, err := pack.Pack(t.Context(), src, one)
	require.NoError(t, err)
	assert.Equal(t, "small", report.Charm)
	assert.Equal(t, []string{"health"}, report.Actions)
	assert.ElementsMatch(t, unitHooks, report.Hooks)
	assert.Positive(t, report.Bytes)

	// The same source in another place, at another time, and with other modes of its plain files
	// gives the same bytes.
	again := source(t)
	require.NoError(t, os.Chmod(filepath.Join(again.Root, "icon.svg"), 0o640))
	_, err = pack.Pack(t.Context(), again, two)
	require.NoError(t, err)
	a, err := os.ReadFile(one)
	require.NoError(t, err)
	b, err := os.ReadFile(two)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(a, b), "two archives of one source differ")

	zr, err := zip.OpenReader(one)
	require.NoError(t, err)
	defer zr.Close()
	var names []string
	for _, f := range zr.File {
		names = append(names, f.Name)
		assert.Equal(t, src.Date, f.Modified, f.Name)
		if f.Name == pack.Binary {
			assert.Equal(t, os.FileMode(0o755), f.Mode())
		}
	}
	assert.Contains(t, names, "version")
	assert.Contains(t, names, "LICENSE.third-party")
	assert.NotContains(t, names, "built", "only what belongs to a charm is in it")
	assert.NotContains(t, names, "./", "the root is no member of its own")
}

// A zip has no date before 1980; day 0 of month 0 is no date at all.
func TestPackWithoutDate(t *testing.T) {
	t.Parallel()
	for name, date := range map[string]time.Time{"none": {}, "before zip": time.Unix(0, 0)} {
		src, out := source(t), filepath.Join(t.TempDir(), "a.charm")
		src.Date = date
		_, err := pack.Pack(t.Context(), src, out)
		require.NoError(t, err)
		zr, err := zip.OpenReader(out)
		require.NoError(t, err)
		defer zr.Close()
		for _, f := range zr.File {
			assert.Equal(t, "1980-01-01 00:00:00", f.Modified.Format(time.DateTime), "%s: %s", name, f.Name)
		}
	}
}

// Charmhub gives an archive to every machine whose base and architecture its manifest names.
func TestManifestNamesOneArchitecture(t *testing.T) {
	t.Parallel()
	for arch, c := range map[string]struct {
		machine elf.Machine
		bases   []string
	}{
		"amd64": {elf.EM_X86_64, []string{"ubuntu@22.04/stable on amd64", "ubuntu@24.04/stable on amd64"}},
		"arm64": {elf.EM_AARCH64, []string{"ubuntu@24.04/stable on arm64"}},
	} {
		src, out := source(t), filepath.Join(t.TempDir(), "a.charm")
		src.Arch = arch
		require.NoError(t, os.WriteFile(src.Program, program(t, c.machine), 0o700))
		_, err := pack.Pack(t.Context(), src, out)
		require.NoError(t, err)
		read, err := charm.ReadCharmArchive(out)
		require.NoError(t, err)
		var bases []string
		for _, b := range read.Manifest().Bases {
			bases = append(bases, b.String())
		}
		assert.Equal(t, c.bases, bases)
	}
}

// Wherever a run is interrupted it leaves nothing: not at its path, not beside it, and not in the
// staging directory.
func TestPackInterrupted(t *testing.T) {
	src := source(t)
	noise := make([]byte, 1<<16) // incompressible, so that it is written in many pieces
	_, err := rand.Read(noise)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(src.Program, append(program(t, elf.EM_X86_64), noise...), 0o700))
	stages := t.TempDir()
	t.Setenv("TMPDIR", stages)
	for at := 0; ; at++ {
		dir := t.TempDir()
		_, err := pack.Pack(&interrupted{Context: t.Context(), left: at}, src, filepath.Join(dir, "out.charm"))
		left, readErr := os.ReadDir(stages)
		require.NoError(t, readErr)
		assert.Empty(t, left, "interrupted at look %d", at)
		if err == nil {
			assert.Greater(t, at, 10, "it hardly ever looks whether it is interrupted")
			return
		}
		require.ErrorIs(t, err, context.Canceled)
		left, readErr = os.ReadDir(dir)
		require.NoError(t, readErr)
		assert.Empty(t, left, "interrupted at look %d", at)
	}
}

// interrupted is a context that is cancelled after it has been checked a given number of times.
type interrupted struct {
	context.Context
	left int
}

func (c *interrupted) Err() error {
	if c.left == 0 {
		return context.Canceled
	}
	c.left--
	return nil
}

func TestPackRefuses(t *testing.T) {
	t.Parallel()
	link := func(target string, path ...string) func(*testing.T, *pack.Source) {
		return func(t *testing.T, s *pack.Source) {
			t.Helper()
			at := filepath.Join(append([]string{s.Root}, path...)...)
			_ = os.Remove(at)
			require.NoError(t, os.Symlink(target, at))
		}
	}
	write := func(name, text string) func(*testing.T, *pack.Source) {
		return func(t *testing.T, s *pack.Source) {
			t.Helper()
			_ = os.Remove(filepath.Join(s.Root, name))
			require.NoError(t, os.WriteFile(filepath.Join(s.Root, name), []byte(text), 0o755))
		}
	}
	remove := func(name string) func(*testing.T, *pack.Source) {
		return func(t *testing.T, s *pack.Source) {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(s.Root, name)))
		}
	}
	cases := map[string]struct {
		spoil func(*testing.T, *pack.Source)
		want  error
		text  string
	}{
		"no binary":            {remove("built"), os.ErrNotExist, "bin/etcd-charm"},
		"no plain file":        {remove("LICENSE"), os.ErrNotExist, "LICENSE"},
		"no platforms":         {remove("charmcraft.yaml"), os.ErrNotExist, "charmcraft.yaml"},
		"platforms unreadable": {write("charmcraft.yaml", "platforms: [\n"), nil, "cannot read charmcraft.yaml"},
		"former bases":         {write("charmcraft.yaml", "bases: [{name: ubuntu, channel: \"24.04\"}]\n"), pack.ErrBase, "amd64"},
		"platform with a value": {
			write("charmcraft.yaml", "platforms: {ubuntu@24.04:amd64: {build-on: [arm64]}}\n"), pack.ErrPlatform,
			"ubuntu@24.04:amd64",
		},
		"platform without base": {write("charmcraft.yaml", "platforms: {amd64: }\n"), pack.ErrPlatform, `"amd64"`},
		"platform of no architecture": {
			write("charmcraft.yaml", "platforms: {ubuntu@24.04:vax: }\n"), pack.ErrPlatform, "vax",
		},
		"architecture without a platform": {func(t *testing.T, s *pack.Source) {
			t.Helper()
			s.Arch = "arm64"
			require.NoError(t, os.WriteFile(s.Program, program(t, elf.EM_AARCH64), 0o755))
			write("charmcraft.yaml", "platforms: {ubuntu@24.04:amd64: }\n")(t, s)
		}, pack.ErrBase, "arm64"},
		"script, not a binary": {write("built", "#!/bin/sh\nexit 0\n"), pack.ErrNotELF, ""},
		"wrong architecture":   {func(_ *testing.T, s *pack.Source) { s.Arch = "arm64" }, pack.ErrArch, "EM_X86_64, not EM_AARCH64"},
		"base not named":       {func(_ *testing.T, s *pack.Source) { s.Arch = "s390x" }, pack.ErrBase, "s390x"},
		"not executable": {func(t *testing.T, s *pack.Source) {
			t.Helper()
			require.NoError(t, os.Chmod(s.Program, 0o644))
		}, pack.ErrNotExecutable, ""},
		"needs a loader": {func(t *testing.T, s *pack.Source) {
			t.Helper()
			require.NoError(t, os.WriteFile(s.Program, program(t, elf.EM_X86_64, elf.PT_LOAD, elf.PT_INTERP), 0o755))
		}, pack.ErrDynamic, ""},
		"too large": {func(t *testing.T, s *pack.Source) {
			t.Helper()
			noise := make([]byte, pack.MaxBytes)
			_, err := rand.Read(noise)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(s.Program, append(program(t, elf.EM_X86_64), noise...), 0o755))
		}, pack.ErrSize, ""},
		"dangling hook":        {link("../bin/other", "hooks", "install"), pack.ErrLink, "hooks/install → ../bin/other"},
		"hook leads outside":   {link("../../etcd-charm", "hooks", "install"), nil, "links out of charm"},
		"dangling action":      {link("etcd-charm", "actions", "health"), pack.ErrLink, "actions/health"},
		"hook is a file":       {write("hooks/install", "#!/bin/sh\n"), nil, "install is not a link"},
		"hook Juju never runs": {link("../bin/etcd-charm", "hooks", "db-relation-joined"), pack.ErrHook, "db-relation-joined"},
		"hook missing":         {remove("hooks/config-changed"), pack.ErrHook, "config-changed is missing"},
		"action missing":       {remove("actions/health"), pack.ErrAction, "health is missing"},
		"action undeclared":    {link("../bin/etcd-charm", "actions", "other"), pack.ErrAction, "other is not declared"},
		"metadata unreadable":  {write("metadata.yaml", "name: [\n"), nil, "metadata.yaml"},
		"metadata refused by Juju": {
			write("metadata.yaml", "name: small\nsummary: s\ndescription: d\nmin-juju-version: 2.9.0\n"), nil,
			"min-juju-version",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := source(t)
			c.spoil(t, &src)
			dir := t.TempDir()
			_, err := pack.Pack(t.Context(), src, filepath.Join(dir, "out.charm"))
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			assert.ErrorContains(t, err, c.text)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left, "a refused archive was left behind")
		})
	}
}

// Archives that Pack never makes, but that Verify may be given.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "good.charm")
	_, err := pack.Pack(t.Context(), source(t), good)
	require.NoError(t, err)

	rewrite := func(t *testing.T, change func(*zip.Writer, *zip.File) bool) string {
		t.Helper()
		zr, err := zip.OpenReader(good)
		require.NoError(t, err)
		defer zr.Close()
		out := filepath.Join(t.TempDir(), "bad.charm")
		f, err := os.Create(out)
		require.NoError(t, err)
		defer f.Close()
		zw := zip.NewWriter(f)
		for _, m := range zr.File {
			if !change(zw, m) {
				require.NoError(t, zw.Copy(m))
			}
		}
		require.NoError(t, zw.Close())
		return out
	}
	t.Run("no binary", func(t *testing.T) {
		t.Parallel()
		bad := rewrite(t, func(_ *zip.Writer, m *zip.File) bool { return m.Name == pack.Binary })
		_, err := pack.Verify(bad, "amd64")
		assert.ErrorIs(t, err, pack.ErrNoBinary)
	})
	for name, text := range map[string]string{
		"both architectures": "bases: [{name: ubuntu, channel: '24.04', architectures: [amd64, arm64]}]",
		"one base of another": "bases: [{name: ubuntu, channel: '24.04', architectures: [amd64]}, " +
			"{name: ubuntu, channel: '22.04', architectures: [arm64]}]",
		"any architecture": "bases: [{name: ubuntu, channel: '24.04'}]",
		"no base":          "bases: []",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := rewrite(t, func(zw *zip.Writer, m *zip.File) bool {
				if m.Name != "manifest.yaml" {
					return false
				}
				w, err := zw.Create(m.Name)
				require.NoError(t, err)
				_, err = w.Write([]byte(text))
				require.NoError(t, err)
				return true
			})
			_, err := pack.Verify(bad, "amd64")
			assert.ErrorIs(t, err, pack.ErrBase)
		})
	}
	t.Run("dispatch", func(t *testing.T) {
		t.Parallel()
		bad := rewrite(t, func(zw *zip.Writer, m *zip.File) bool {
			if m.Name == "metadata.yaml" {
				_, err := zw.Create("dispatch")
				require.NoError(t, err)
			}
			return false
		})
		_, err := pack.Verify(bad, "amd64")
		assert.ErrorIs(t, err, pack.ErrDispatch)
	})
	t.Run("not an archive", func(t *testing.T) {
		t.Parallel()
		_, err := pack.Verify("pack_test.go", "amd64")
		assert.ErrorContains(t, err, "cannot read archive back")
	})
}
