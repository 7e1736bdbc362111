// Package field makes packed charms of commits in this clone's history.
//
// The rule it keeps: a commit's charm is made of the commit's own sources and Makefile, or an error
// is returned.
package field

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Charm returns the packed charm of a commit, named by its full hash. It is made once and then kept
// in the user's cache.
func Charm(ctx context.Context, commit string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no place to keep the charm of %s in: %w", commit, err)
	}
	kept := filepath.Join(cache, "etcd-charm", commit)
	archive := filepath.Join(kept, "etcd_"+runtime.GOARCH+".charm")
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	if err := os.MkdirAll(kept, 0o755); err != nil {
		return "", err
	}
	tree, err := os.MkdirTemp(kept, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	if err := checkOut(ctx, commit, tree); err != nil {
		return "", err
	}
	// The tree is not a clone, so it cannot know its version by itself.
	build := exec.CommandContext(ctx, "make", "charm", "ARCH="+runtime.GOARCH, "VERSION="+commit[:7])
	build.Dir, build.Env = tree, outside(os.Environ())
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot make the charm of %s: %w\n%s", commit, err, out)
	}
	// Another process that made it at the same time made the same.
	return archive, os.Rename(filepath.Join(tree, "dist", filepath.Base(archive)), archive)
}

// checkOut puts the files of a commit into a directory, and leaves no trace of it in the clone.
func checkOut(ctx context.Context, commit, dir string) error {
	if out, err := exec.CommandContext(ctx,
		"git", "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		return fmt.Errorf("this clone lacks commit %s, of which a charm is to be made; "+
			"run `git fetch --unshallow`, or `git fetch origin %s`: %w\n%s", commit, commit, err, out)
	}
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("cannot find the top of the clone: %w", err)
	}
	pack := exec.CommandContext(ctx, "git", "archive", "--format", "tar", commit)
	pack.Dir = strings.TrimSpace(string(root)) // elsewhere git would pack its current directory
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
	var said, unpackSaid strings.Builder
	pack.Stderr, unpack.Stderr = &said, &unpackSaid
	if unpack.Stdin, err = pack.StdoutPipe(); err != nil {
		return err
	}
	if err := errors.Join(pack.Start(), unpack.Run(), pack.Wait()); err != nil {
		return fmt.Errorf("cannot unpack commit %s: %w\n%s%s", commit, err, &said, &unpackSaid)
	}
	return nil
}

// outside is an environment without what an outer make passes to inner ones: the variables of its
// command line, which would count there too.
func outside(env []string) []string {
	return slices.DeleteFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{
			"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "GNUMAKEFLAGS", "GOWORK",
		}, name)
	})
}
