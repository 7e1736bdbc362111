package operator

import "maps"

// Memory is what a unit remembers from hook to hook. Juju commits it together with the writes it speaks of, and it
// outlives the disk. The zero value remembers nothing: everything is published again.
type Memory struct {
	// Bags is the digest of what this unit wrote last into its own bag of a relation, by relation ID; goneSum where the
	// relation is gone and its end is not on record yet.
	Bags map[string]string
	// Deserted are the consumer relations whose last unit this unit has heard depart, by relation ID. An entry is kept
	// until the relation has units again, or is not listed any more.
	Deserted map[string]Desertion
	// Secrets is the digest of what this unit wrote last into a secret, by "relation ID/label".
	Secrets map[string]string
	// Ports are the open ports, as portsText has them.
	Ports string
	// Learner is the peer URL of our learner that has not started: if its machine comes back with an empty disk and
	// another address, nothing else says whose it is.
	Learner string
	// Unrecorded is the cluster that our data was of while the application had none on record; 0 is none. If that data is
	// lost, nothing else keeps this unit from founding another, which would pass for the same: its ID would be the same.
	Unrecorded uint64
	// Foreign is the digest of the settings with which our process was started, and with which it does not run.
	Foreign string
	// Squat is the digest of the turn that was seen to be squatted.
	Squat string
	// Seen is how far our member's data had come.
	Seen Seen
	// Healed is when this unit last gave up data that was unfit and joined again, in Unix seconds; 0 is not lately.
	Healed int64
	// Learning is how far our learner had come; zero while our member is none.
	Learning Learning
	// Revisions are what the revision of the key space was, the oldest first, in the cluster Sampled.
	Revisions []Sample
	Sampled   uint64
	// Freed is when this unit last freed space in the databases, in Unix seconds; 0 is never.
	Freed int64
}

// memory is what the plan has the unit remember, to be changed. Until it is asked for nothing changes; what is not known is
// not written over.
func (p *Plan) memory(l look) *Memory {
	if p.Memory != nil {
		return p.Memory
	}
	m := l.m.Memory.Value
	m.Bags, m.Secrets, m.Deserted = clone(m.Bags), clone(m.Secrets), clone(m.Deserted)
	if l.m.Memory.OK {
		p.Memory = &m
	}
	return &m
}

// clone is a copy that can be written to.
func clone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}
