package host

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"
)

// TestMain lets the test binary be what the charm's binary is: hosts install copies of it, which are then called
// under the names that cmd/etcd-charm knows.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case filepath.Base(os.Args[0]) == "etcd":
		stop()
		etcdmain.Main(os.Args)
	case filepath.Base(os.Args[0]) == "etcdutl":
		root := &cobra.Command{Use: "etcdutl"}
		root.PersistentFlags().StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple", "")
		root.AddCommand(etcdutl.NewSnapshotCommand())
		if root.Execute() != nil {
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
