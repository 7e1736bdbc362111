package operator

import (
	"net/netip"
	"time"
)

// Reach says how far the cluster that the bags name was reached. The zero value is Unreachable,
// which permits nothing.
type Reach int

// Unreachable must never be taken for Absent.
const (
	Unreachable Reach = iota // a cluster is named, but no server answers
	Absent                   // no cluster is named, and no data is here
	NoQuorum                 // a server answers, but no linearizable read succeeds
	Healthy                  // a linearizable member list was read
)

// String names the reach.
func (r Reach) String() string {
	return [...]string{"unreachable", "absent", "no quorum", "healthy"}[r]
}

// World is the state of machine and cluster, read again before every step.
type World struct {
	Carried string // release that the charm directory carries (ReleaseName)
	// Carried if it is installed outside the charm directory, else the newest that is; "" is none.
	Installed string

	// Mute is a path of the unit whose file system does not answer; "" is none. If there is one,
	// nothing else is known.
	Mute string
	// Astray are the paths of ours that are not on the disk as the charm made them. It says nothing
	// about what files contain.
	Astray []Astray

	Machine Machine
	Service Service
	Data    Data
	TLS     TLS
	Proxy   ProxyFiles
	// Leftovers reports whether anything that this unit installed is on the machine, apart from
	// data.
	Leftovers bool

	// Paths are the settings of a server that say where its files are, "KEY=path".
	Paths []string
	// WrittenConfig is the digest of the server settings on disk; "" is none. It is Altered if the
	// settings, the service or the preset of etcdctl that goes with them are not as the charm wrote
	// them.
	WrittenConfig string
	// WrittenRelease is the release that the settings on disk are for; "" is none.
	WrittenRelease string
	// WrittenInitial is how a first start would go with the settings on disk.
	WrittenInitial Initial
	// WrittenRestart is the operation that the settings on disk name; "" is none.
	WrittenRestart string

	Reach     Reach
	ClusterID uint64 // of the cluster reached; 0 when none answered
	// As that cluster lists them: by a linearizable read if Healthy, else one member's view.
	Members []Member
	Alarms  []Alarm
	// Hashes are the voters' answers about their data, one list for each time that this pass asked
	// (AskHashes).
	Hashes [][]Hash
	Auth   bool // authentication is switched on: clients without a user are refused

	// Local is our own server's answer on its loopback address, whatever cluster it belongs to.
	Local Local

	// Upstream is what the proxy's members answer; read for role proxy only.
	Upstream []UpstreamProbe
	// Through is what an application gets at each address that the proxy was started to listen on;
	// none unless the proxy runs.
	Through []ProxyRead
	// Socket is the path of the proxy's socket.
	Socket string

	Turn Turn

	// Work is the unit's long work: what runs, and the last of each kind that ended, in the order
	// in which they began.
	Work []Work
	// Prepared is data beside our own that waits to be served; by ID.
	Prepared []Prepared
	// Log is read only if no quorum is known to answer.
	Log LogState
	// Kept is what the unit keeps beside its data.
	Kept Kept
	// Disk is the disk that the data lies on.
	Disk Disk
	// Schedule is the written schedule of snapshots; the zero value means that none is written, or
	// that it was altered.
	Schedule Schedule
	// Fence is what is written for the gate before each start.
	Fence Fence
	// Peers are the answers of the peers in the fence. They are asked only if PeersInDoubt names
	// them.
	Peers []PeerAnswer

	// Period is the running period of derived client certificates (pki.PeriodOf).
	Period int64
	// Now is the machine's clock, in Unix seconds.
	Now int64

	progress // set by Reconcile, not by the host
}

// progress is what the pass has done before this look. It is the zero value at the beginning.
type progress struct {
	Began int64     // World.Now of its first look
	Done  []Step    // that succeeded
	Tried []Attempt // that failed; Decide does not ask for them again
}

// Attempt is a step that was tried in this pass and did not succeed.
type Attempt struct {
	Step Step
	Err  error
}

// Astray is a path where something is missing, or is not as it should be.
type Astray struct {
	Path    string
	Problem string // in words: "is missing"
	Remedy  string // what an administrator is to do; "" is that Mend puts it right
	Note    bool   // the unit works without it
}

// Machine is what this machine lets the unit's service use. The zero value refuses nothing.
type Machine struct {
	LowestPort int // the service may bind this port and those above
	// Where anybody listens, our service too, on the ports that the options name.
	Listening []netip.AddrPort
	NoGroup   bool // the group that the option socket_group names does not exist
}

// ServiceKind is what the unit's one service runs.
type ServiceKind string

// The service runs a member or the proxy; "" is not installed.
const (
	NoService     ServiceKind = ""
	MemberService ServiceKind = "member"
	ProxyService  ServiceKind = "proxy"
)

// Service is the unit's one long-lived process under systemd.
type Service struct {
	Kind    ServiceKind   // what is installed to run
	Enabled bool          // starts at boot
	Running bool          // has a live main process
	Failing bool          // is being restarted again and again
	Crashes int           // how often it ended by itself since it was started by the charm or at boot
	Starved bool          // at least once the kernel ended it because memory ran out
	Memory  int64         // bytes that it takes; 0 is unknown
	Age     time.Duration // since its main process was started
	// Digest of what the live process was started with; "" is unknown, Altered is others than the
	// charm wrote.
	Config  string
	Release string // release that the live process runs
	Restart string // the operation that it was restarted for last; "" is none
	// When Failing: the last line that says why; or what a server waits for that does not serve
	// yet.
	Log  string
	Held Hold // when not Running: why its gate did not let it start

	PeerURL, ClientURL string   // what the live process was started to advertise; "" is unknown
	Listens            []string // URLs that the live process was started to listen on
	// Lines of settings that the live process was started with, for the log; none is unknown.
	Settings []string
}

// DataState says what is in the data directory.
type DataState int

// The zero value is NoData: nothing there, or an empty directory.
const (
	NoData DataState = iota
	OurData
	AlienData   // something is there that is not our etcd data, or cannot be read
	ForeignData // it is another unit's; only Decide finds that
)

// Data is the member's data directory.
type Data struct {
	State     DataState
	Problem   string // when AlienData: why, in words; when ForeignData: whose it is
	ClusterID uint64
	MemberID  uint64
	Owner     Owner // what the file among the data says
	// Of its database and the rest of its snapshot directory; read if ProgressInDoubt.
	Bytes int64
	// Term and Index are those of the last entry of its log. They are read if AgeInDoubt; 0 means
	// not read, or not known.
	Term, Index uint64
}

// TLS is the unit's certificates as they lie on disk.
type TLS struct {
	Trust    string  // digest of the trust bundles on disk
	Revoked  string  // digest of the ended relations on the client port's list on disk; "" is no list
	PeerList bool    // the peer port's revocation list is there and can be read
	Refused  Refused // the units' certificates on both revocation lists
	Peer     Leaf
	Server   Leaf
	Admin    Leaf
	// By this unit, as far as its disk knows: those three, and what they replaced; sorted.
	Issued []Issued
}

// Leaf is one certificate on disk. The zero value is none.
type Leaf struct {
	Present bool
	// Why it cannot be used: expired, key does not match, signed by another authority …
	Problem   string
	Due       bool // less than a third of its life is left, or the clock has not reached it
	SANs      []string
	Serial    string
	Signer    string        // Authority fingerprint it was issued under
	Remaining time.Duration // until it expires
}

// ProxyFiles is what the proxy follows on disk.
type ProxyFiles struct {
	Written       string        // Upstream.Digest of what is on disk; "" is none
	CertRemaining time.Duration // until the client certificate expires; 0 is none or unknown
	CertLife      time.Duration // from its beginning to its end
}

// Local is our own server asked on loopback.
type Local struct {
	Live      bool // answers at all
	Ready     bool // /readyz
	ClusterID uint64
	MemberID  uint64
	Voters    int // voters in its own view

	// Of the last entry that it knows to be committed; 0 is unknown, as before it serves clients.
	Term, Index uint64
	Applied     uint64 // index of the last entry that it has applied; 0 is unknown
	Revision    int64
	Twin        bool // another server says that it is the same member
}

// Member is one line of the member list and, where it answered, what it says of itself.
type Member struct {
	ID         uint64
	Name       string // empty until it started for the first time
	PeerURLs   []string
	ClientURLs []string
	Learner    bool

	Answers        bool // the rest is valid
	Ready          bool // answered a linearizable read of its own
	Version        string
	StorageVersion string
	Leader         uint64 // which it believes to lead; 0 is none
	DBSize         int64  // bytes
	DBInUse        int64  // bytes
	Quota          int64  // bytes
	Term           uint64
	Index          uint64
	Applied        uint64
	Revision       int64 // of the key space, as far as the member has applied it
	Errors         []string
	RTT            time.Duration
	CertRemaining  time.Duration // of the server certificate it showed; 0 is unknown
}

// Started reports whether the member has ever run: until then etcd knows no name of it.
func (m Member) Started() bool { return m.Name != "" }

// Alarm is an alarm that a member raised.
type Alarm struct {
	MemberID uint64
	Kind     string // NOSPACE, CORRUPT
}

// Turn is the one key in etcd that says which unit may have its member down on purpose.
type Turn struct {
	Known  bool
	Holder string // unit; "" is nobody
	// It has no lease, unlike any turn that a unit takes, so it does not end by itself.
	Unleased bool
}

// UpstreamProbe is one member that the proxy may use, and how it answered.
type UpstreamProbe struct {
	Name          string
	PeerURL       string
	ClientURL     string
	Answers       bool          // RTT, Version and CertRemaining are valid
	RTT           time.Duration // of one request
	Version       string        // of etcd
	CertRemaining time.Duration // of the server certificate it showed; 0 is unknown
	Reads         bool          // it answers a linearizable read: it has a quorum
	Alarms        []string      // NOSPACE, CORRUPT: with either of them writes are refused
	Error         string        // in words: why it does not answer, or does not read
}

// ProxyRead is a linearizable read through one address of the proxy.
type ProxyRead struct {
	At    string // as Service.Listens has it
	Error string // why it is not answered; "" is that it is
}
