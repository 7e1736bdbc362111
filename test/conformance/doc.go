// Package conformance compares the simulator's hook tools with Juju's own. The charm's real hooks
// run in juju-sim. Each hook tool that they call goes to a relay, which asks the simulator and,
// with the same arguments and input, the command of the same name in Juju's
// worker/uniter/runner/jujuc. Parsing, checks, defaults and output are then Juju's. What the
// command reads is what the simulator knows, and what it writes must be what the simulator wrote.
// Exit code and output must be the same.
//
// The rule it keeps: this is a module of its own, only for tests, because it imports
// github.com/juju/juju, which is under the AGPL. Nothing of it is in the charm's go.mod, its
// archive or its default build; `make conformance` runs it.
package conformance
