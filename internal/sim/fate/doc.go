// Package fate is what can happen to an application: units that come, go and die, machines that vanish and return,
// networks that part, hooks that are killed between any two steps, replies that are lost. It runs the real
// charm.Hook against Juju's rules and etcd's membership rules, both in memory, one yield at a time, and holds
// after every yield what must never be broken. A Sim is deterministic: the same options and ops give the same fate.
//
// What it leaves out: a member sees what its cluster has committed, or nothing; networks part both ways; bytes on a disk are
// whole or gone; what a step does to files is for other tests. A unit of role proxy is gone through by itself (proxy_test.go).
//
// The rule it keeps: nothing here knows what Decide ought to do; it knows only what must not happen, and where
// everything must end once the faults have stopped.
//
// etcd's membership rules are held against real servers (TestRealEtcd): same commands, same answers, same list. Where the
// model is simpler on purpose:
//   - All members see one list at once; a server that lags or has no quorum shows an older one.
//   - Connections are as old as the younger of the two processes, the listed URL and the last healed partition. When a
//     member's URL changes while its streams are up, etcd keeps them; here they are gone at once.
//   - What etcd refused as the entry was applied (a URL that another member has, a second learner) it carries out by half
//     when a server is started again and replays its log: the list of that server then shows the refused URL, and it
//     sends there (server.go, applyConfChange does not validate without shouldApplyV3). internal/host therefore looks at
//     the list before it asks, and such a command is never among those that both are given but as the last one.
//   - A removed member that is started again ends once any member reaches it; two removed ones that still reach each
//     other could form a quorum of their old list. The charm never starts one.
//
// Juju's rules are held against internal/sim/model (TestTwinJuju): the same acts on both, and each hook is the same, sees
// the same, ends the same and commits the same. Where this one differs on purpose:
//   - Who is elected is chance, and takes until the next tick; the leadership does not come back to a hook it was lost in.
//   - With stale bags a hook sees the application's bag as of the last hook that told of it: Juju reads it in each hook.
//     Without, it sees the others' bags as they are now: Juju keeps what a hook has read of a unit that joined.
//   - Hooks are lost, and come again, that no Juju loses or repeats (Lose, Again); goal-state fails; secrets are committed
//     before the bags, as Juju 3.6 does.
//   - A consumer has one unit, which is there before anybody hears of it and never writes.
package fate
