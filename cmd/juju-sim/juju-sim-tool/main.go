// Command juju-sim-tool is the program behind the hook tools of juju-sim, kept
// small so that a call costs what one of Juju's own does. Beside juju-sim it is
// used by itself; without it juju-sim does the work.
package main

import "github.com/juju-charms/etcd-charm/internal/sim/hooktool"

func main() { hooktool.Main() }
