// Package juju is the shell's Juju side: it turns a hook's environment and the answers of the hook tools into the
// operator's types, and what the operator wants published into hook tool calls.
//
// The rule it keeps: what a tool did not answer is Unknown, with the reason, and never "none"; and what is written is
// written last, in as few calls as possible, with no private key in any argument, log line or error.
package juju
