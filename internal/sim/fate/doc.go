// Package fate simulates what can happen to an application: units come, go and die, machines vanish
// and return, networks are partitioned, hooks are killed between any two steps, and replies are
// lost. It runs the real charm.Hook against Juju's rules and etcd's membership rules, both in
// memory, one yield at a time. After every yield it checks the rules that must never be broken. A
// Sim is deterministic: the same options and ops give the same course.
//
// What it leaves out: a member sees all that its cluster has committed, or nothing; partitions cut
// both directions; files on a disk are whole or gone; what a step does to files is left to other
// tests. A unit of role proxy has a test of its own (proxy_test.go).
//
// The rule it keeps: nothing here knows what Decide ought to do. The package knows only what must
// not happen, and what must be true once the faults have stopped.
//
// etcd's membership rules are compared with real servers (TestRealEtcd): the same commands, answers
// and list. Where the model is simpler on purpose:
//   - All members see the same list at the same time; a real server that lags or has no quorum
//     shows an older one.
//   - A connection is as old as the youngest of the two processes, the listed URL and the last
//     healed partition. When a member's URL changes while its streams are up, etcd keeps them; here
//     they are gone at once.
//   - etcd refuses some changes only when it applies the entry (a URL that another member has, a
//     second learner). When a server is started again and replays its log, it applies half of such
//     a change: its list then shows the refused URL, and it sends there (server.go, applyConfChange
//     does not validate without shouldApplyV3). internal/host therefore looks at the list before it
//     asks. In the comparison such a command comes only as the last one.
//   - A removed member that is started again ends as soon as it reaches any member; two removed
//     members that still reach each other could form a quorum of their old list. The charm never
//     starts one.
//
// Juju's rules are compared with internal/sim/model (TestTwinJuju): after the same acts on both,
// each hook is the same, sees the same, ends the same and commits the same. Where this package
// differs on purpose:
//   - The elected unit is random, and the election takes until the next tick. The leadership does
//     not come back to a unit during the hook in which it lost it.
//   - With stale bags a hook sees the application's bag as of the last hook about it; Juju
//     reads it in each hook. With fresh bags a hook sees the others' bags as they are now; Juju
//     keeps what a hook has read of a unit that joined.
//   - Hooks are lost or repeated that no Juju loses or repeats (Lose, Again); goal-state fails;
//     secrets are committed before the bags, as in Juju 3.6.
//   - A consumer has one unit, which exists before the units hear of it and never writes.
package fate
