// Package e2e runs the packed charm on machines with systemd: real users, file modes, addresses,
// reboots. The rule it keeps: everything on a machine is put there by the charm's own hooks, run as
// Juju runs them, and the assertions ask the machine. Build tag e2e; needs root and the script that
// raises machines; see `make e2e`.
package e2e
