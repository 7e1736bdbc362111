// Package fate is what can happen to an application: units that come, go and die, machines that vanish and return,
// networks that part, hooks that are killed between any two steps, replies that are lost. It runs the real
// operator.Reconcile against Juju's rules and etcd's membership rules, both in memory, one yield at a time, and holds
// after every yield what must never be broken. A Sim is deterministic: the same options and ops give the same fate.
//
// The rule it keeps: nothing here knows what Decide ought to do; it knows only what must not happen, and where
// everything must end once the faults have stopped.
package fate
