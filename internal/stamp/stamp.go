// Package stamp computes the IDs with which a build of the charm is stamped: one for each role that
// a long-lived process plays.
//
// The rule it keeps: an ID is the digest of everything that decides what the process does. That is
// the sources of our own packages that are linked for the role, the modules with their versions and
// checksums, the toolchain and its target, and the service's unit file. Two builds with the same ID
// run the same process, however else the charms differ, so no process is restarted for such a
// difference.
package stamp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The package of each role's process, and what both roles share.
const (
	serverEntry = "./internal/server"
	proxyEntry  = "./internal/proxy"
	program     = "./cmd/etcd-charm"
	unitFile    = "internal/host/unit.service.tmpl"
)

// IDs are the IDs of one build, 12 hex digits each.
type IDs struct{ Server, Proxy string }

// String returns the form that goes into the build, and from there into the names of releases.
func (i IDs) String() string { return "s" + i.Server + "-p" + i.Proxy }

// Of returns the IDs of what `make charm` builds from the sources in root for an architecture, as
// Go names it. They depend neither on where root is, nor on whether it is a clone.
func Of(ctx context.Context, root, arch string) (IDs, error) {
	t := tool{root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)}
	ids, err := t.ids(ctx)
	if err != nil {
		return IDs{}, fmt.Errorf("cannot stamp: %w", err)
	}
	return ids, nil
}

// tool runs the go command in the directory of the sources.
type tool struct {
	root string
	env  []string
}

func (t tool) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = t.root, t.env
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, &said)
	}
	return out, nil
}

func (t tool) ids(ctx context.Context) (ids IDs, err error) {
	common, err := t.common(ctx)
	if err != nil {
		return IDs{}, err
	}
	for _, role := range []struct {
		entry string
		id    *string
	}{{serverEntry, &ids.Server}, {proxyEntry, &ids.Proxy}} {
		parts, err := t.linked(ctx, role.entry)
		if err != nil {
			return IDs{}, err
		}
		*role.id = digest(append(parts, common...))
	}
	return ids, nil
}

// common returns what counts for each role: the toolchain, its target, and the unit file.
func (t tool) common(ctx context.Context) ([]string, error) {
	toolchain, err := t.run(ctx, "env", "GOVERSION", "GOFIPS140")
	if err != nil {
		return nil, err
	}
	// The tool tags name experiments and the level of the architecture.
	target, err := t.run(ctx, "list", "-f",
		"{{with context}}{{.Compiler}} {{.GOOS}} {{.GOARCH}} {{.CgoEnabled}} {{.BuildTags}} {{.ToolTags}}{{end}} {{.DefaultGODEBUG}}",
		program)
	if err != nil {
		return nil, err
	}
	flags, err := t.run(ctx, "env", "GOFLAGS")
	if err != nil {
		return nil, err
	}
	unit, err := os.ReadFile(filepath.Join(t.root, unitFile))
	if err != nil {
		return nil, err
	}
	return []string{
		"toolchain " + string(toolchain),
		"target " + string(target),
		"flags " + compilers(string(flags)),
		"unit file " + string(unit),
	}, nil
}

// compilers returns the flags if some of them change what is compiled, else "". Tags count with the
// target, and the other usual flags only say where sources come from.
func compilers(flags string) string {
	for _, name := range []string{"-gcflags", "-asmflags", "-pgo", "-race", "-msan", "-asan"} {
		if strings.Contains(flags, name) {
			return strings.TrimSpace(flags)
		}
	}
	return ""
}

// linked returns what `go list` says of a package and of all that it imports, as parts of a digest.
func (t tool) linked(ctx context.Context, entry string) ([]string, error) {
	list, err := t.run(ctx, "list", "-deps",
		"-json=ImportPath,Dir,Standard,Module,GoFiles,HFiles,SFiles,SysoFiles,EmbedFiles", entry)
	if err != nil {
		return nil, err
	}
	var parts []string
	for dec := json.NewDecoder(bytes.NewReader(list)); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return parts, nil
		case err != nil:
			return nil, fmt.Errorf("cannot read what go list says of %s: %w", entry, err)
		}
		more, err := p.parts()
		if err != nil {
			return nil, err
		}
		parts = append(parts, more...)
	}
}

// listed is a package as `go list` describes it.
type listed struct {
	ImportPath, Dir string
	Standard        bool
	Module          *module

	GoFiles, HFiles, SFiles, SysoFiles, EmbedFiles []string
}

type module struct {
	Path, Version, Sum string
	Main               bool
	Replace            *module
}

// parts returns what a package adds to a digest: its module if that has a version, and otherwise
// its files. The standard library's version is the toolchain's.
func (p listed) parts() ([]string, error) {
	if p.Standard {
		return nil, nil
	}
	m := p.Module
	if m != nil && m.Replace != nil {
		m = m.Replace
	}
	if m != nil && !m.Main && m.Version != "" {
		if m.Sum == "" {
			return nil, fmt.Errorf("go.sum has no checksum of %s %s", m.Path, m.Version)
		}
		return []string{"module " + p.Module.Path + " " + m.Path + " " + m.Version + " " + m.Sum}, nil
	}
	var parts []string
	for _, name := range slices.Concat(p.GoFiles, p.HFiles, p.SFiles, p.SysoFiles, p.EmbedFiles) {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return nil, err
		}
		parts = append(parts, "file "+p.ImportPath+" "+name+" "+string(text))
	}
	return parts, nil
}

// digest returns a digest of the parts. Neither their order nor their repetition matters.
func digest(parts []string) string {
	slices.Sort(parts)
	h := sha256.New()
	for _, part := range slices.Compact(parts) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
