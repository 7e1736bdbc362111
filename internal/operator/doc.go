// Package operator decides. It is pure: it reads no clock, no file, no network. No hook has an edit
// of its own; each only means "look again". Decide takes the event, what Juju says (Model) and what
// machine and cluster say (World). It answers with at most one step, and with what to publish when
// no step is left (Plan).
package operator
