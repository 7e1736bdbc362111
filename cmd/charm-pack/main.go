// Command charm-pack packs the charm archive from the repository and a built binary, and proves the
// result.
//
//	charm-pack -program bin/etcd-charm -arch amd64 -version v1.2.3 -out dist/etcd_amd64.charm
//
// With -expand it lays a packed archive out in a directory, for charmcraft to zip.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/licence"
	"github.com/juju-charms/etcd-charm/internal/pack"
)

func main() {
	// An interrupted run leaves no half-written archive behind.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "charm-pack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var src pack.Source
	flag.StringVar(&src.Root, "root", ".", "repository with metadata.yaml, hooks/ and the rest")
	flag.StringVar(&src.Program, "program", pack.Binary, "built binary")
	flag.StringVar(&src.Arch, "arch", runtime.GOARCH, "architecture, amd64 or arm64")
	flag.StringVar(&src.Version, "version", "", "version of the charm")
	flag.Func(
		"date",
		"date of the archive's entries, in seconds since 1970 (SOURCE_DATE_EPOCH); none is 1980",
		func(s string) error {
			if s == "" {
				return nil
			}
			at, err := strconv.ParseInt(s, 10, 64)
			src.Date = time.Unix(at, 0)
			return err
		},
	)
	out := flag.String("out", "", "archive to write; with -expand, the directory")
	expand := flag.String("expand", "",
		"archive to lay out as charmcraft zips it: scripts in place of links")
	flag.Parse()
	if *expand != "" {
		if *out == "" {
			return errors.New("missing -out")
		}
		return pack.Expand(*expand, *out)
	}
	if *out == "" {
		*out = "dist/etcd_" + src.Arch + ".charm"
	}

	where, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("cannot find module cache: %w", err)
	}
	goroot, cache, _ := strings.Cut(strings.TrimSpace(string(where)), "\n")
	mods, err := licence.Linked(src.Program, goroot, cache)
	if err != nil {
		return err
	}
	src.Notices = licence.Notices(mods)

	r, err := pack.Pack(ctx, src, *out)
	if err != nil {
		return fmt.Errorf("cannot pack %s: %w", *out, err)
	}
	fmt.Printf("%s: %s for %s, %.1f MB (binary %.1f MB), %d hooks, %d actions, %d modules' terms\n",
		*out, r.Charm, src.Arch, float64(r.Bytes)/1e6, float64(r.Program)/1e6,
		len(r.Hooks), len(r.Actions), len(mods))
	return nil
}
