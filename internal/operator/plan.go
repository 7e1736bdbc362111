package operator

import "context"

// Plan is what Decide wants: at most one step, and what to publish once no step is left.
type Plan struct {
	Step Step

	Bags    []BagWrite    // bags to write
	Secrets []SecretWrite // secrets to write, before the bags that name them
	// NewAuthority has the certificate authorities made: they are known to be missing (leader only).
	NewAuthority bool
	// Claims says that Bags puts a cluster or its end on record, or that the authorities are made.
	// That may be done only while it is certain that this unit leads.
	Claims  bool
	Ports   []int    // TCP ports to have open; nil leaves them
	Memory  *Memory  // what to remember; nil leaves it
	Version string   // application version to show; "" leaves it
	States  []string // computed relation states, for the debug log and the health report
	Status  Status
	// Reasons say why something is not as it should be, or is not done, in the order in which they
	// are shown. Status renders them.
	Reasons []Reason
	// Fail makes the hook fail after its status is set and before anything is published, so that
	// Juju keeps the unit and calls the hook again. It is set only for a leave that must wait. Its
	// text is that of Reasons.
	Fail error

	record *AppBag // the peer application bag as it should be; nil leaves it (leader only)
	held   bool    // the hook is to fail
}

// Level is a workload status that Juju knows.
type Level string

// Worst first.
const (
	Blocked     Level = "blocked"
	Waiting     Level = "waiting"
	Maintenance Level = "maintenance"
	Active      Level = "active"
)

// Status is the unit's status line.
type Status struct {
	Level   Level
	Message string
}

// Host looks at machine and cluster, and does steps. Observe takes only as long as its bounds
// allow. It never fails because a cluster does not answer: Reach says that. Do waits at most 30 s
// in a step, and doing a step twice is harmless.
type Host interface {
	Observe(context.Context, Model) (World, error)
	Do(context.Context, Step) error
}
