package operator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// Step is one change of machine or cluster, or a wait for one. Doing a step twice is harmless.
// String says it in words, without secrets.
type Step interface {
	fmt.Stringer
	step()
}

// Install copies the carried release out of the charm directory, and makes the user and the
// directories.
type Install struct{ Release string }

// Mend repairs what of ours does not lie on the disk as it should (World.Astray). It does not look
// at what files contain.
type Mend struct{ What string }

// WriteTLS writes the named certificates and lists to disk as they should be; files are swapped by
// rename.
type WriteTLS struct {
	Authority  *pki.Authority
	CommonName string
	PeerSANs   []string // sorted
	ServerSANs []string // sorted
	Trust      bool     // write the trust bundles
	Revoked    *Revoked // write the revocation lists of both ports
	Peer       bool     // issue again
	Server     bool
	Admin      bool
}

// WriteMember writes the settings and the service of a member; it starts nothing.
type WriteMember struct{ Server Server }

// RevertMember writes the settings that the running server was started with, without those of a
// first start, and its service.
type RevertMember struct{}

// SpendInitial takes the settings of a first start out of the settings on disk, and leaves the
// others as they are.
type SpendInitial struct{}

// WriteProxy writes what the proxy follows, and its service; it starts nothing.
type WriteProxy struct{ Upstream Upstream }

// Start starts the unit's service and enables it at boot; it does not wait for readiness.
type Start struct{}

// Restart ends the running process by SIGTERM and starts it again with the settings on disk.
type Restart struct{}

// Stop ends the service and disables it at boot.
type Stop struct{ Why string }

// Uninstall stops and disables the service and removes all that the unit installed: keys, settings,
// service, releases. With KeepData the data stays where it is; otherwise it is moved to a dated
// name.
type Uninstall struct{ KeepData bool }

// MoveAside moves the data directory to a dated name beside it; the service must not run.
type MoveAside struct{ Why string }

// Claim writes the file among the data that says which unit owns it.
type Claim struct{ Owner Owner }

// AddLearner asks the cluster to add our member, as a learner.
type AddLearner struct{ PeerURL string }

// Promote makes the learner a voter once it has caught up. It waits for that, up to the bound.
type Promote struct{ ID uint64 }

// RemoveMember removes a member from the cluster; it asks the other members to do so.
type RemoveMember struct {
	ID   uint64
	Name string // unit or peer URL, for the log
	Why  string
	// Unstarted removes the member only if it still has no name. Only a name shows that a unit has
	// started a member since.
	Unstarted bool
}

// UpdateMember sets a member's new peer URL in the cluster.
type UpdateMember struct {
	ID      uint64
	PeerURL string
}

// AwaitReady waits, up to the bound, until our own server answers /readyz, or /livez if Learner is
// set.
type AwaitReady struct{ Learner bool }

// AwaitPeer waits, up to the bound, until the member with that ID is ready; for ID 0, until every
// listed voter is.
type AwaitPeer struct{ ID uint64 }

// AwaitLearner waits, up to the bound, until the member with that ID is no longer a learner: it
// votes, or is gone.
type AwaitLearner struct{ ID uint64 }

// AwaitListed waits, up to the bound, until enough other voters accept connections at their listed
// URLs to be a quorum together with our member, which has that ID.
type AwaitListed struct{ ID uint64 }

// TakeTurn waits, up to the bound, for the one turn and takes it.
type TakeTurn struct{}

// ReleaseTurn gives the turn back.
type ReleaseTurn struct{}

// BreakTurn deletes a turn that its holder will never give back, if it is still the same turn.
type BreakTurn struct{ Turn Turn }

// Defrag makes a member give back to the file system what its database does not use. The member
// answers no request meanwhile.
type Defrag struct {
	ID   uint64
	Name string // unit, for the log
}

// Compact drops the history before Revision, and waits until it is gone from each member.
type Compact struct{ Revision int64 }

// Disarm disarms an alarm.
type Disarm struct{ Alarm Alarm }

// AskHashes asks all voters for a hash of their data up to a revision; World.Hashes then shows the
// hashes. Members with much data take some seconds for it.
type AskHashes struct {
	Revision int64 // 0 is each member's latest
	Time     int   // the first time or the second
}

// StartWork begins long work, unless work of that ID has begun already. It does not wait for it.
type StartWork struct{ Request WorkRequest }

// EndWork ends long work of that ID and forgets it; what it kept stays kept.
type EndWork struct{ ID, Why string }

// AwaitWork waits until long work of that ID has ended, up to the time that an action or a hook
// has. It is no error if the work still runs then.
type AwaitWork struct {
	ID   string
	Hook bool // as long as any wait of a hook
}

// WriteSchedule writes how snapshots are taken by the timer, and the timer.
type WriteSchedule struct{ Schedule Schedule }

// Purge deletes kept snapshots, by name, and directories of data that was moved aside, by path.
type Purge struct{ Snapshots, Aside []string }

// ServePrepared moves our data to a dated name, and the data that was prepared for that operation
// into its place. The service must not run. It is harmless twice: if the prepared data is in place
// already, nothing is moved.
type ServePrepared struct{ ID string }

// DropPrepared deletes what was prepared for an operation that ended before it was served.
type DropPrepared struct{ ID string }

// WriteFence writes the file that the gate reads before each start of our server.
type WriteFence struct{ Fence Fence }

func (StartWork) step()     {}
func (EndWork) step()       {}
func (AwaitWork) step()     {}
func (WriteSchedule) step() {}
func (Purge) step()         {}
func (ServePrepared) step() {}
func (DropPrepared) step()  {}
func (WriteFence) step()    {}
func (Install) step()       {}
func (Mend) step()          {}
func (WriteTLS) step()      {}
func (WriteMember) step()   {}
func (RevertMember) step()  {}
func (SpendInitial) step()  {}
func (WriteProxy) step()    {}
func (Start) step()         {}
func (Restart) step()       {}
func (Stop) step()          {}
func (Uninstall) step()     {}
func (MoveAside) step()     {}
func (Claim) step()         {}
func (AddLearner) step()    {}
func (Promote) step()       {}
func (RemoveMember) step()  {}
func (UpdateMember) step()  {}
func (AwaitReady) step()    {}
func (AwaitPeer) step()     {}
func (AwaitLearner) step()  {}
func (AwaitListed) step()   {}
func (TakeTurn) step()      {}
func (ReleaseTurn) step()   {}
func (BreakTurn) step()     {}
func (Defrag) step()        {}
func (Compact) step()       {}
func (Disarm) step()        {}
func (AskHashes) step()     {}

func (s Install) String() string { return "install release " + s.Release }

func (s Mend) String() string { return "repair " + s.What }

func (s WriteTLS) String() string {
	revocations := ""
	if r := s.Revoked; r != nil { // with its size, since it may change more than once in a pass
		revocations = fmt.Sprintf("revocations (%d, and %d of units)",
			len(r.Relations), len(r.Client)+len(r.Peer))
	}
	var parts []string
	for _, p := range []struct {
		on   bool
		name string
	}{
		{s.Trust, "trust"},
		{s.Revoked != nil, revocations},
		{s.Peer, "peer"},
		{s.Server, "server"},
		{s.Admin, "admin"},
	} {
		if p.on {
			parts = append(parts, p.name)
		}
	}
	return "write certificates: " + strings.Join(parts, ", ")
}

func (s WriteMember) String() string { return "write settings of member " + s.Server.Name }
func (RevertMember) String() string  { return "write the settings that etcd runs with" }
func (SpendInitial) String() string  { return "remove the first start's settings" }
func (s WriteProxy) String() string  { return "write upstream of the proxy" }
func (Start) String() string         { return "start service" }
func (Restart) String() string       { return "restart service" }
func (s Stop) String() string        { return "stop service: " + s.Why }
func (Uninstall) String() string     { return "uninstall the unit" }
func (s MoveAside) String() string   { return "move data aside: " + s.Why }
func (s Claim) String() string       { return "note the owner of the data: " + s.Owner.Unit }
func (s AddLearner) String() string  { return "add ourselves as learner at " + s.PeerURL }
func (s Promote) String() string     { return fmt.Sprintf("promote learner %x", s.ID) }
func (s RemoveMember) String() string {
	return fmt.Sprintf("remove member %x (%s): %s", s.ID, s.Name, s.Why)
}

func (s UpdateMember) String() string {
	return fmt.Sprintf("update member %x to %s", s.ID, s.PeerURL)
}

func (s AwaitReady) String() string {
	if s.Learner {
		return "wait for our server to answer"
	}
	return "wait for our server to be ready"
}

func (s AwaitPeer) String() string {
	if s.ID == 0 {
		return "wait for all voters to be ready"
	}
	return fmt.Sprintf("wait for member %x to be ready", s.ID)
}
func (s AwaitLearner) String() string { return fmt.Sprintf("wait for learner %x to vote", s.ID) }
func (AwaitListed) String() string    { return "wait until voters listen as listed" }
func (TakeTurn) String() string       { return "take the turn" }
func (ReleaseTurn) String() string    { return "give the turn back" }
func (s BreakTurn) String() string {
	return "break the turn of " + clip(singleLine(s.Turn.Holder), 60)
}

func (s Defrag) String() string    { return fmt.Sprintf("defragment member %x (%s)", s.ID, s.Name) }
func (s Compact) String() string   { return fmt.Sprintf("compact to revision %d", s.Revision) }
func (s StartWork) String() string { return "begin " + string(s.Request.Kind) + " " + s.Request.ID }
func (s EndWork) String() string   { return "end work " + s.ID + ": " + s.Why }
func (s AwaitWork) String() string { return "wait for " + s.ID }
func (s WriteSchedule) String() string {
	if s.Schedule.Wanted != "" {
		return "keep snapshot " + s.Schedule.Wanted + ": it is to be restored"
	}
	if s.Schedule.Interval == 0 {
		return "take no snapshots by timer"
	}
	return "take snapshots by timer every " + seconds(s.Schedule.Interval)
}

func (s Purge) String() string {
	return "purge " + strings.Join(slices.Concat(s.Snapshots, s.Aside), ", ")
}
func (s ServePrepared) String() string { return "put the prepared data of " + s.ID + " in place" }
func (s DropPrepared) String() string  { return "drop the prepared data of " + s.ID }
func (s WriteFence) String() string {
	return fmt.Sprintf("note replaced clusters (%d) and peers (%d)",
		len(s.Fence.Replaced), len(s.Fence.Peers))
}

func (s AskHashes) String() string {
	return fmt.Sprintf("ask voters for the hash of revision %d, time %d", s.Revision, s.Time)
}

func (s Disarm) String() string {
	return fmt.Sprintf("disarm alarm %s of member %x", s.Alarm.Kind, s.Alarm.MemberID)
}

// Revoked is what the two ports refuse: the client certificates of relations, and units'
// certificates.
type Revoked struct {
	ModelUUID string
	Relations []Ended // sorted by relation
	Refused
}
