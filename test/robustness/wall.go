package main

import (
	"context"
	_ "embed" // of testdata/wall.go
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/internal/pack"
)

// The charm is built such that its programs ask a file of their machine how far the clock is off.
// Nothing of the product is changed: the compiler's overlay replaces the standard library's
// time.Now.

// machinesDir is the directory above those of the machines, and clockFile the file of each:
// testdata/wall.go knows both.
const machinesDir, clockFile = "machines", "clock"

// nowBegins is the beginning of time.Now, and nowAsks is inserted after it.
const (
	nowBegins = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	nowAsks   = "\tsec, nsec = offWall(sec, nsec, mono)\n"
)

//go:embed testdata/wall.go
var wall []byte

// patch makes the source of time.Now ask the file.
func patch(source, version string) (string, error) {
	if n := strings.Count(source, nowBegins); n != 1 {
		return "", fmt.Errorf(
			"cannot set the clock of what %s builds: time.Now is not the one that is known: %q is there %d times, not once",
			version, nowBegins, n)
	}
	return strings.Replace(source, nowBegins, nowBegins+nowAsks, 1), nil
}

// goTool is the go command in the module's directory root.
func goTool(ctx context.Context, root, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

// build builds a program whose clock can be set, to out, with the settings of `make charm`; dir is
// a scratch directory.
//
// Go's overlay replaces no file in the module cache, and a toolchain that Go fetched lies there. So
// Go's own directory is reached through a link.
func build(ctx context.Context, root, dir, ldflags, program, out string) error {
	text, err := goTool(ctx, root, "go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("cannot find Go: %w", err)
	}
	goroot, version, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	link := filepath.Join(dir, "go")
	if err := os.Symlink(goroot, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot link to Go: %w", err)
	}
	file, err := overlay(link, version, dir)
	if err != nil {
		return err
	}
	cmd := goTool(ctx, root, filepath.Join(goroot, "bin", "go"), "build",
		"-trimpath", "-buildvcs=false", "-overlay", file,
		"-ldflags", ldflags, "-o", out, program)
	cmd.Env = append(cmd.Env, "GOROOT="+link, "GOTOOLCHAIN=local")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", program, err, text)
	}
	return nil
}

// overlay writes the replacement for the standard library in goroot into dir, and returns the
// overlay file for the compiler.
func overlay(goroot, version, dir string) (string, error) {
	library := filepath.Join(goroot, "src", "time")
	source, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		return "", fmt.Errorf("cannot read the standard library: %w", err)
	}
	patched, err := patch(string(source), version)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range map[string][]byte{"time.go": []byte(patched), "wall.go": wall} {
		replace[filepath.Join(library, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", fmt.Errorf("cannot write overlay: %w", err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("cannot write overlay: %w", err)
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, text, 0o600)
}

// buildCharm packs a charm whose clock can be set, and returns its path.
func buildCharm(ctx context.Context, dir, ldflags string) (string, error) {
	fmt.Println("building the charm with clocks that can be set: the first time Go compiles all of it, a minute or more")
	began := time.Now()
	program, archive := filepath.Join(dir, "etcd-charm"), filepath.Join(dir, "etcd.charm")
	if err := build(ctx, ".", dir, ldflags, "./cmd/etcd-charm", program); err != nil {
		return "", err
	}
	src := pack.Source{Root: ".", Program: program, Arch: runtime.GOARCH}
	if _, err := pack.Pack(ctx, src, archive); err != nil {
		return "", fmt.Errorf("cannot pack the charm: %w", err)
	}
	fmt.Printf("built in %v\n", time.Since(began).Round(time.Second))
	return archive, nil
}
