package operator

import "context"

// Plan is what Decide wants: at most one step, and what to publish once no step is left.
type Plan struct {
	Step Step

	Record    *Record           // the peer application bag as it should be; nil leaves it (leader only)
	Word      *Word             // our own peer bag as it should be; nil leaves it
	Authority bool              // make the certificate authorities: they are known to be missing (leader only)
	Consumers []Publication     // consumer relations to write anew
	Forget    []string          // keys of Published that speak of nothing any more
	Ports     []int             // TCP ports to have open; nil leaves them
	Published map[string]string // what to remember: see Model
	Version   string            // application version to show; "" leaves it
	Status    Status
	States    []string // computed relation states, for the debug log and the health report
	// Reasons are why something is not as it should be or is not done, in the order in which they are shown. Status
	// is a rendering of them.
	Reasons []Reason
	// Fail makes the hook fail after its status is set and before anything is published, so that Juju holds
	// the unit and calls the hook again: only for a leave that would cost the quorum. Its text is that of Reasons.
	Fail error

	held bool // the hook is to fail
}

// Publication is one consumer relation's bag to write. The shell derives the relation's certificate.
type Publication struct {
	RelationID string
	Cluster    string // etcd-proxy cluster string
	ClientURLs []string
	Version    string
	Period     int64
	// Withheld leaves the credentials out, and takes those away that stand in the bag: they are revoked.
	Withheld bool
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

// Host looks at machine and cluster and does steps. Observe looks only at what can be reached within its bounds
// and never fails for a cluster that does not answer: that is Reach. Do waits at most 30 s in a step and is harmless twice.
type Host interface {
	Observe(context.Context, Model) (World, error)
	Do(context.Context, Step) error
}
