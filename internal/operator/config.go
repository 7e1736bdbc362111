package operator

// Role is what the application is: a cluster member or the consumer-side proxy.
type Role string

// The roles that the option role takes.
const (
	RoleMember Role = "member"
	RoleProxy  Role = "proxy"
)

// Config is config.yaml's options, typed. Units are in the names; the zero value is not valid: see ParseConfig.
type Config struct {
	Role           Role
	Port           int // client port; the local port on a proxy
	ManagementPort int // peer port
	MetricsPort    int // loopback

	BindToAllInterfaces bool
	ExtraSANs           []string

	HeartbeatMillis int
	ElectionMillis  int
	SnapshotCount   int

	QuotaBytes          int64
	CompactionMode      string
	CompactionRetention string
	MaxRequestBytes     int
	CipherSuites        []string
	LogLevel            string
	SplitHTTPPort       int // 0 is off
}

// Server is the settings of our etcd server. What Restart says needs a restart to change.
type Server struct {
	Name         string
	Release      string
	ListenPeer   []string // URLs
	ListenClient []string // URLs; gRPC, and HTTP unless ListenHTTP is set
	ListenHTTP   []string
	ListenMetric string
	PeerURL      string // advertised
	ClientURL    string // advertised
	Trust        string // digest of the trust bundles: etcd loads them once
	Config       Config // the tunables

	// For the first start only; etcd ignores them once there is data.
	Initial Initial
}

// Initial is how a member with no data starts.
type Initial struct {
	New     bool   // found a cluster; else join the existing one
	Token   string // unique for each founding
	Cluster string // "name=url,…": the member list exactly as it is
}

// Upstream is what the proxy needs to reach the cluster.
type Upstream struct {
	Release   string
	Listen    []string // host:port
	Members   []UpstreamMember
	Cert, Key string // PEM; "" when the provider speaks http
	CA        string
}

// UpstreamMember is one member that the provider told of.
type UpstreamMember struct{ Name, PeerURL, ClientURL string }

// String redacts.
func (Upstream) String() string { return "[redacted]" }

// GoString redacts.
func (Upstream) GoString() string { return "[redacted]" }
