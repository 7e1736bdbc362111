package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/juju-charms/etcd-charm/internal/longwork"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestMain lets the test binary act as the charm's binary: hosts install copies of it, which are
// then called by the names that cmd/etcd-charm knows.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case filepath.Base(os.Args[0]) == "etcd":
		stop()
		etcdmain.Main(os.Args)
	case filepath.Base(os.Args[0]) == GateName:
		os.Exit(Gate(ctx, os.Args[2], os.Getenv, os.Stderr))
	case filepath.Base(os.Args[0]) == "etcdutl":
		root := &cobra.Command{Use: "etcdutl"}
		root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "")
		root.AddCommand(etcdutl.NewSnapshotCommand())
		if root.Execute() != nil {
			os.Exit(1)
		}
	case len(os.Args) > 3 && os.Args[1] == "work":
		h, err := ForWork(os.Args[3], Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Binary: "/proc/self/exe"})
		if err == nil && os.Args[2] == "--due" {
			err = h.Due(ctx, "")
		} else if err == nil {
			kinds := h.Kinds()
			kinds["hang"] = func(_ context.Context, _ operator.WorkRequest, p longwork.Progress) (string, error) {
				p("copy", 1<<20, 9<<20)
				select {}
			}
			err = h.Work(ctx, os.Args[3], "", kinds)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) > 2 && os.Args[1] == "write-durably":
		if err := writeDurably(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) > 1 && os.Args[1] == "look":
		lookElsewhere(ctx, os.Args[2])
	case len(os.Args) > 1 && os.Args[1] == "proxy":
		<-ctx.Done()
	default:
		stop()
		os.Exit(m.Run())
	}
}
