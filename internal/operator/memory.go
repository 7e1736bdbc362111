package operator

import "maps"

// Memory is what a unit remembers from hook to hook. Juju commits it together with the writes that
// it is about, and it outlives the disk. With the zero value nothing is remembered: everything is
// published again.
type Memory struct {
	// Bags is the digest of what this unit wrote last into its own bag of a relation, by relation
	// ID. It is goneDigest if the relation is gone and its end is not on record yet.
	Bags map[string]string
	// Deserted are the consumer relations whose last unit has departed, as this unit has seen, by
	// relation ID. An entry is kept until the relation has units again or is no longer listed.
	Deserted map[string]Desertion
	// Secrets is the digest of what this unit wrote last into a secret, by "relation ID/label".
	Secrets map[string]string
	// Ports are the open ports, as portsText has them.
	Ports string
	// Learner is the peer URL of our learner that has not started. If its machine comes back with
	// an empty disk and another address, nothing else says that the learner is ours.
	Learner string
	// Unrecorded is the cluster of our data while the application had none on record; 0 is none. If
	// that data is lost, only this keeps the unit from founding another cluster, which would pass
	// for the same one because it would have the same ID.
	Unrecorded uint64
	// Foreign is the digest of the settings that our process was started with although it runs with
	// others.
	Foreign string
	// AbandonedTurn is the digest of a turn that was seen to be held by a unit that will never give
	// it back.
	AbandonedTurn string
	// Seen is how far our member's data had come.
	Seen Seen
	// Healed is when this unit last gave up unfit data and joined again, in Unix seconds; 0 is
	// never, or longer ago than it matters.
	Healed int64
	// Cleared is when this unit last cleared an alarm CORRUPT that named no member, in Unix seconds;
	// 0 is never.
	Cleared int64
	// Learning is how far our learner had come; zero while our member is none.
	Learning Learning
	// Revisions are samples of the key space's revision, the oldest first, in the cluster Sampled.
	Revisions []Sample
	Sampled   uint64
	// Freed is when this unit last freed space in the databases, in Unix seconds; 0 is never.
	Freed int64
}

// memory is what the plan makes the unit remember, for a handler to change. Until it is called the
// memory does not change. A memory that could not be read is not overwritten.
func (p *Plan) memory(v view) *Memory {
	if p.Memory != nil {
		return p.Memory
	}
	m := v.m.Memory.Value
	m.Bags, m.Secrets, m.Deserted = clone(m.Bags), clone(m.Secrets), clone(m.Deserted)
	if v.m.Memory.OK {
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
