package operator

// Schema is the version of what this charm writes into the peer bags; a later charm reads what this one wrote.
const Schema = 1

// Record is the peer application bag: what the application as a whole knows. Written by the leader.
type Record struct {
	Schema    int
	ClusterID uint64 // the cluster founded; 0 is none yet
	Ended     uint64 // the cluster whose last member stopped in order; 0 is none
	Authority string // fingerprint and secret revision, so that peers hear of a change
	Revoked   []Ended
}

// Word is a unit's own peer bag.
type Word struct {
	Schema    int
	PeerURL   string
	ClientURL string
	ClusterID uint64 // the cluster our data belongs to; 0 is none
	MemberID  uint64
	Running   string // digest of the cluster-wide settings and release that our server runs with
	Leaving   bool
	Stopped   bool  // our server has stopped for good
}
