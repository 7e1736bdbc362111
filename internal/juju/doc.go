// Package juju is the shell's Juju side. It turns a hook's environment and the answers of the hook
// tools into operator's types, and turns what operator publishes into hook tool calls.
//
// The rule it keeps: what a tool did not answer is Unknown, with the reason, and never "none". What
// is published is written last, in as few calls as possible, with no private key in any argument,
// log line or error.
package juju
