// Package built finds what `make build charm` has made. The rule it keeps: a test that needs the
// packed charm runs the one that users get, and says what to do if there is none.
package built

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// root is the repository, as seen from the directory of a test's package.
var root = filepath.Join("..", "..")

// Archive returns the path of the packed charm: $CHARM, or the one of `make charm`.
func Archive(tb testing.TB) string {
	tb.Helper()
	archive := os.Getenv("CHARM")
	if archive == "" {
		archive = filepath.Join(root, "dist", "etcd_"+runtime.GOARCH+".charm")
	}
	archive, err := filepath.Abs(archive)
	if err == nil {
		_, err = os.Stat(archive)
	}
	if err != nil {
		tb.Fatalf("there is no packed charm: run `make charm` first, or set CHARM to one: %v", err)
	}
	return archive
}

// Tool returns the path of the small program for the hook tools, or "" if `make build` has not made
// it. It starts much faster than a test's own program with the race detector.
func Tool(tb testing.TB) string {
	tb.Helper()
	tool, err := filepath.Abs(filepath.Join(root, "bin", "juju-sim-tool"))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		return ""
	}
	return tool
}

// Self returns the program that a test starts as a process of its own: the test's own program, or
// the same without the race detector if `make test` has built it into $QUICK. A server needs several
// times the processor time with it.
func Self(tb testing.TB) string {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	quick := os.Getenv("QUICK")
	if quick == "" {
		return self
	}
	quick = filepath.Join(quick, filepath.Base(self))
	if _, err := os.Stat(quick); err != nil {
		tb.Fatalf("QUICK is set, but there is no such program: %v", err)
	}
	return quick
}
