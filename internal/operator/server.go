package operator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Server is the settings of our etcd server. A change of anything but Initial needs a restart.
type Server struct {
	Name         string
	Release      string
	ListenPeer   []string // URLs
	ListenClient []string // URLs; gRPC, and HTTP unless ListenHTTP is set
	ListenHTTP   []string
	ListenMetric string
	PeerURL      string   // advertised
	ClientURL    string   // advertised
	Trust        string   // digest of the trust bundles: etcd loads them once
	Config       Config   // the tunables
	Paths        []string // World.Paths
	Restart      string   // the operation that it restarts for, or last restarted for

	// For the first start only; etcd ignores them once there is data.
	Initial Initial
}

// Initial is how a member without data starts. With the zero value it does not start: it has no
// list of members to ask, and exits (etcd's bootstrap.go, GetClusterFromRemotePeers).
type Initial struct {
	New     bool   // found a cluster; else join the existing one
	Token   string // unique for each founding
	Cluster string // "name=url,…": the member list exactly as it is
}

// ConfigVar carries the digest of the settings into the server's process. So what a process runs
// with is read from the process itself (/proc/<pid>/environ), and no marker file is needed.
const ConfigVar = "CHARM_CONFIG"

// RestartVar carries the ID of the operation for which a server last restarted.
const RestartVar = "CHARM_RESTART"

// Env is the settings as etcd reads them from its environment, sorted, without those of a first
// start. They go by environment because etcd's configuration file has no key for the client
// revocation list (server/v3 embed/config.go, securityConfig).
func (s Server) Env() []string {
	c := s.Config
	env := []string{
		"ETCD_NAME=" + s.Name,
		"ETCD_LISTEN_PEER_URLS=" + strings.Join(s.ListenPeer, ","),
		"ETCD_LISTEN_CLIENT_URLS=" + strings.Join(s.ListenClient, ","),
		"ETCD_LISTEN_METRICS_URLS=" + s.ListenMetric,
		"ETCD_ADVERTISE_CLIENT_URLS=" + s.ClientURL,
		"ETCD_INITIAL_ADVERTISE_PEER_URLS=" + s.PeerURL, // checked at each start
		"ETCD_CLIENT_CERT_AUTH=true",
		"ETCD_PEER_CLIENT_CERT_AUTH=true",
		"ETCD_HEARTBEAT_INTERVAL=" + strconv.Itoa(c.HeartbeatMillis),
		"ETCD_ELECTION_TIMEOUT=" + strconv.Itoa(c.ElectionMillis),
		"ETCD_SNAPSHOT_COUNT=" + strconv.Itoa(c.SnapshotCount),
		"ETCD_QUOTA_BACKEND_BYTES=" + strconv.FormatInt(c.QuotaBytes, 10),
		// A member that restarts is down anyway: it defragments if that frees so much.
		"ETCD_BOOTSTRAP_DEFRAG_THRESHOLD_MEGABYTES=100",
		"ETCD_MAX_REQUEST_BYTES=" + strconv.Itoa(c.MaxRequestBytes),
		"ETCD_LOG_LEVEL=" + c.LogLevel,
		"ETCD_LOGGER=zap",
		// By default every web page may read every answer, and an empty value means the same. No
		// page has this origin: no name exists below .invalid (RFC 6761), and browsers leave out
		// port 443. (ETCD_HOST_WHITELIST counts for plaintext only.)
		"ETCD_CORS=https://none.invalid:443",
		// Both checks are alpha and off by default in 3.7; without the gates their flags do
		// nothing.
		"ETCD_FEATURE_GATES=CompactHashCheck=true,InitialCorruptCheck=true",
		"ETCD_COMPACT_HASH_CHECK_TIME=1m0s",
		"CHARM_RELEASE=" + s.Release,
		"CHARM_TRUST=" + s.Trust,
	}
	if s.Restart != "" {
		env = append(env, RestartVar+"="+s.Restart)
	}
	if len(s.ListenHTTP) > 0 {
		env = append(env, "ETCD_LISTEN_CLIENT_HTTP_URLS="+strings.Join(s.ListenHTTP, ","))
	}
	if c.CompactionMode != "" && c.CompactionRetention != "0" {
		env = append(env,
			"ETCD_AUTO_COMPACTION_MODE="+c.CompactionMode,
			"ETCD_AUTO_COMPACTION_RETENTION="+c.CompactionRetention)
	}
	if len(c.CipherSuites) > 0 {
		env = append(env, "ETCD_CIPHER_SUITES="+strings.Join(c.CipherSuites, ","))
	}
	env = append(env, s.Paths...)
	slices.Sort(env)
	return env
}

// Digest is the digest of all lines of Env. It differs when a restart is needed.
func (s Server) Digest() string { return digest(s.Env()...) }

// Env is the settings of a first start only, sorted. Each line begins with firstStart.
func (i Initial) Env() []string {
	state := "existing"
	if i.New {
		state = "new"
	}
	env := []string{
		"ETCD_INITIAL_CLUSTER=" + i.Cluster,
		"ETCD_INITIAL_CLUSTER_STATE=" + state,
	}
	if i.Token != "" {
		env = append(env, "ETCD_INITIAL_CLUSTER_TOKEN="+i.Token)
	}
	return env
}

const firstStart = "ETCD_INITIAL_CLUSTER"

// InitialOf reads back what Env wrote, from among other lines.
func InitialOf(env []string) Initial {
	var i Initial
	for _, line := range env {
		switch key, value, _ := strings.Cut(line, "="); key {
		case "ETCD_INITIAL_CLUSTER":
			i.Cluster = value
		case "ETCD_INITIAL_CLUSTER_STATE":
			i.New = value == "new"
		case "ETCD_INITIAL_CLUSTER_TOKEN":
			i.Token = value
		}
	}
	return i
}

// WithoutInitial are the lines without those of a first start.
func WithoutInitial(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(line string) bool {
		return strings.HasPrefix(line, firstStart)
	})
}

// Altered stands for settings that the charm never wrote: lines were removed, changed or added.
const Altered = "altered"

// EnvDigest is the Server.Digest or Upstream.ProcessDigest of settings in a file or in a process's
// environment; "" means no settings. It is Altered unless the lines are exactly those whose digest
// is in ConfigVar, with or without those of one first start.
func EnvDigest(env []string) string {
	var kept, first []string
	sum, server := "", false
	for _, line := range env {
		key, value, _ := strings.Cut(line, "=")
		switch {
		case key == ConfigVar && sum == "":
			sum = value
		case strings.HasPrefix(key, firstStart):
			first = append(first, line)
		default:
			kept = append(kept, line)
			server = server || strings.HasPrefix(key, "ETCD_")
		}
	}
	if len(env) == 0 {
		return ""
	}
	slices.Sort(kept)
	slices.Sort(first)
	if digest(kept...) != sum ||
		server && !slices.Equal(first, InitialOf(first).Env()) ||
		!server && first != nil {
		return Altered
	}
	return sum
}

// on is the digest of these settings with another release.
func (s Server) on(release string) string {
	s.Release = release
	return s.Digest()
}

// Generation is the digest of what all members share: the server that runs, trust, tunables, and
// whatever else the charm sets, but not names and addresses. If two members run the same
// generation, neither restarts because of the other.
func (s Server) Generation() string {
	shared := Server{Release: cmp.Or(ServerID(s.Release), s.Release), Trust: s.Trust, Config: s.Config}
	for _, path := range s.Paths {
		key, _, _ := strings.Cut(path, "=")
		shared.Paths = append(shared.Paths, key)
	}
	return digest(append(shared.Env(), s.Config.text()...)...)
}

// RevokedDigest is the digest of a list of ended relations; never empty.
func RevokedDigest(ended []Ended) string {
	parts := make([]string, 0, len(ended))
	for _, e := range ended {
		parts = append(parts, e.String())
	}
	return digest(parts...)
}

// bagDigest is the digest of what goes into a bag.
func bagDigest(bag databag.Bag) string {
	parts := make([]string, 0, 2*len(bag))
	for _, key := range bag.Keys() {
		parts = append(parts, key, bag[key])
	}
	return digest(parts...)
}

// digest is a short digest of the parts. Each is length-prefixed, so that two different lists have
// different texts.
func digest(parts ...string) string {
	text := make([]byte, 0, 2048)
	for _, p := range parts {
		text = strconv.AppendInt(text, int64(len(p)), 10)
		text = append(append(text, ':'), p...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
