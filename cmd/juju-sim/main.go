// Command juju-sim is a Juju model on one machine, with the charm's real hooks.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/juju-charms/etcd-charm/internal/sim"
)

func main() {
	sim.ToolMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the program as if nothing caught it.
	context.AfterFunc(ctx, stop)
	opts := sim.Options{Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}}
	err := sim.Command(opts, os.Stdin, os.Stdout, os.Stderr, os.Args[1:]).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR", err)
		os.Exit(1)
	}
}
