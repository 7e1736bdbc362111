// Command juju-sim is a Juju model on one machine, with the charm's real hooks.
package main

import (
	"os"

	"github.com/juju-charms/etcd-charm/internal/sim"
)

func main() {
	sim.ToolMain()
	os.Exit(sim.Program(sim.Options{Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}}, os.Args[1:]))
}
