// Package operator decides. It is pure: it reads no clock, no file, no network. A hook never means "do this
// edit now" but "look again": Decide takes the event, what Juju says (Model) and what machine and cluster say
// (World), and answers with at most one step and with what to publish when no step is left (Plan).
package operator
