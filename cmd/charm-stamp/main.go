// Command charm-stamp prints what a build of the charm is stamped with, for the linker:
//
//	go build -ldflags "-X main.stamp=$(go run ./cmd/charm-stamp -arch arm64)" ./cmd/etcd-charm
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/stamp"
)

func main() {
	root := flag.String("root", ".", "repository")
	arch := flag.String("arch", runtime.GOARCH, "architecture, amd64 or arm64")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ids, err := stamp.Of(ctx, *root, *arch)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "charm-stamp:", err)
		os.Exit(1)
	}
	fmt.Println(ids)
}
