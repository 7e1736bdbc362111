// Command juju-sim-tool is the program behind the hook tools of juju-sim. It is small, so that a
// call costs about as much as a call of Juju's own tools. juju-sim uses it if it lies beside it,
// and otherwise does the work itself.
package main

import "github.com/juju-charms/etcd-charm/internal/sim/hooktool"

func main() { hooktool.Main() }
