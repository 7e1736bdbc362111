package operator

import "github.com/juju-charms/etcd-charm/interfaces/etcdcluster"

// WorkKind is what long work does.
type WorkKind string

// The kinds of long work.
const (
	TakeSnapshot   WorkKind = "snapshot" // take a snapshot from our member, and verify it
	VerifySnapshot WorkKind = "verify"   // read a kept snapshot again, as a restore would
	// Restore a snapshot beside our data, out of reach of clients, read it back, throw it away.
	Drill          WorkKind = "drill"
	PrepareRestore WorkKind = "restore" // make data of a snapshot, beside our own, ready to be served
	// Make data from what our stopped member has, beside it, ready to be served.
	PrepareRecover WorkKind = "recover"
	LookAgain      WorkKind = "look" // nothing: only the hook after the work matters
)

// WorkRequest says what long work is to do. It is written to a file of the unit before the work
// begins, and holds no key.
type WorkRequest struct {
	ID   string   `json:"id"` // unique on the unit; the operation's ID for its work
	Kind WorkKind `json:"kind"`
	// Snapshot is "latest", the name of a kept one, or the path of a file. PrepareRecover needs
	// none. For TakeSnapshot it is one that must not be deleted meanwhile, because it is about to
	// be restored.
	Snapshot string `json:"snapshot,omitempty"`
	// To is a path that TakeSnapshot also copies the snapshot to, as plain as etcdctl saves one; ""
	// is none.
	To string `json:"to,omitempty"`
	// Of a snapshot that is kept apart: "before-restore"; "" is one of the usual.
	Why string `json:"why,omitempty"`
	// The file may be a copied database, which has no hash.
	Unverified bool `json:"unverified,omitempty"`

	// The rest is for PrepareRestore and PrepareRecover.
	Name    string `json:"name,omitempty"`     // the member's
	PeerURL string `json:"peer-url,omitempty"` // the member's, advertised
	Token   string `json:"token,omitempty"`    // makes the new cluster's ID
	// Seen is the highest revision of the key space that any unit has seen: the prepared data
	// begins far beyond it.
	Seen int64 `json:"seen,omitempty"`
}

// WorkState is how far long work is.
type WorkState string

// Long work runs, or has ended in one of two ways.
const (
	WorkRuns   WorkState = "running"
	WorkDone   WorkState = "done"
	WorkFailed WorkState = "failed" // Work.Error says why; also if its process died silently
)

// Work is long work of this unit: a transient service of ours, which outlives the hook that began
// it.
type Work struct {
	WorkRequest

	State    WorkState
	Began    int64  // Unix seconds
	Ended    int64  // Unix seconds; 0 while it runs
	Progress string // in words: "copy: 120 of 340 MiB"; "" once it has ended
	Moved    int64  // when Progress became what it is, in Unix seconds; 0 is not known
	Error    string // why it failed, in words
	Result   string // what came of it, in words
}

// Prepared is data that was made beside our own and waits to be served.
type Prepared struct {
	ID                  string // of the operation, and of the work
	ClusterID, MemberID uint64
	Revision            int64 // at which it begins
}

// LogState is what a member's log on disk holds, read while the cluster cannot be asked. The zero
// value means that it was not read.
type LogState = etcdcluster.LogState

// Snapshot is a kept snapshot.
type Snapshot struct {
	Name     string
	Path     string // of its file
	Work     string // ID of the work that took it; "" is not known
	Taken    int64  // Unix seconds
	Revision int64
	Keys     int64
	Users    Users
	Size     int64  // bytes of the database
	Stored   int64  // bytes on disk
	Cluster  uint64 // 0 is unknown
	Why      string // why it is kept apart; "" is one of the usual ones
	Error    string // why there is none; "" is a good one
}

// Users are who may log in to a database once authentication is on in it. The zero value is not
// known.
type Users struct {
	Known bool
	Count int
	Names []string // the first of them
	Auth  bool     // whether authentication is on
}

// AsideDir is data of ours that was moved aside.
type AsideDir struct {
	Path  string
	Bytes int64
	At    int64 // Unix seconds
}

// Kept is everything that the unit keeps beside its data.
type Kept struct {
	Snapshots []Snapshot // oldest first, those that failed too
	Aside     []AsideDir // oldest first
	Space     int64      // bytes that all of it may take
	Free      int64      // bytes of the file system
	Diagnosis Archive    // the newest
	Drilled   int64      // when the last drill succeeded, in Unix seconds; 0 is never
}

// EndedWork begins the error of work that was ended on purpose, because the member was needed for
// something else. It counts as no fault.
const EndedWork = "it was ended"

// Schedule says how a unit takes snapshots by a timer, with the carried release's program, and what
// it keeps. The zero value means that no schedule is written, or one for another release.
type Schedule struct {
	Interval int64 // seconds; 0 is never
	Keep     int   // how many of the usual ones
	Space    int64 // bytes that all that is kept may take; 0 is a tenth of the file system
	// Wanted is a snapshot that stays whatever the rest says: an operation on record is about to
	// read it. "" is none.
	Wanted string `json:",omitempty"`
}

// Fence is what the gate before each start of our server knows without asking a peer.
type Fence struct {
	ClusterID, MemberID uint64   // of our data
	Replaced            []uint64 // clusters that were replaced: their data never starts
	Peers               []string // peer URLs of the other members on record, sorted
}
