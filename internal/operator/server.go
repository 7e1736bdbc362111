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

// Server is the settings of our etcd server. What Restart says needs a restart to change.
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
	Restart      string   // the operation that it restarts for, or did last

	// For the first start only; etcd ignores them once there is data.
	Initial Initial
}

// Initial is how a member with no data starts. With the zero value it does not: with no list it has nobody to ask and ends
// (etcd's bootstrap.go, GetClusterFromRemotePeers).
type Initial struct {
	New     bool   // found a cluster; else join the existing one
	Token   string // unique for each founding
	Cluster string // "name=url,…": the member list exactly as it is
}

// ConfigVar carries the digest of the settings into the server's process, so that what runs can be read from
// what runs (/proc/<pid>/environ) and no marker need be kept.
const ConfigVar = "CHARM_CONFIG"

// RestartVar carries the operation that a server was restarted for last.
const RestartVar = "CHARM_RESTART"

// Env is the settings as etcd reads them from its environment, sorted, without what counts for the first start only.
// etcd's flags go by environment because its configuration file has no key for the client revocation list (server/v3
// embed/config.go, securityConfig).
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
		// A member that restarts is down anyway, and defragments where that frees so much.
		"ETCD_BOOTSTRAP_DEFRAG_THRESHOLD_MEGABYTES=100",
		"ETCD_MAX_REQUEST_BYTES=" + strconv.Itoa(c.MaxRequestBytes),
		"ETCD_LOG_LEVEL=" + c.LogLevel,
		"ETCD_LOGGER=zap",
		// The default lets every web page read every answer, and empty means all as well. This is no page's origin: none
		// is below .invalid (RFC 6761), and browsers leave 443 out. (ETCD_HOST_WHITELIST counts for plaintext only.)
		"ETCD_CORS=https://none.invalid:443",
		// Both checks are alpha and off by default in 3.7; without the gates their flags do nothing.
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
		env = append(env, "ETCD_AUTO_COMPACTION_MODE="+c.CompactionMode, "ETCD_AUTO_COMPACTION_RETENTION="+c.CompactionRetention)
	}
	if len(c.CipherSuites) > 0 {
		env = append(env, "ETCD_CIPHER_SUITES="+strings.Join(c.CipherSuites, ","))
	}
	env = append(env, s.Paths...)
	slices.Sort(env)
	return env
}

// Digest is that of Env, of which every line counts: it differs when a restart is needed.
func (s Server) Digest() string { return digest(s.Env()...) }

// Env is the part that counts for the first start only, sorted. All of it begins with firstStart.
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

// InitialOf reads back what Env wrote, among other lines.
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

// WithoutInitial are the lines that Env did not write.
func WithoutInitial(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(line string) bool { return strings.HasPrefix(line, firstStart) })
}

// Altered is the digest of settings that the charm never wrote: somebody took lines away, changed or added some.
const Altered = "altered"

// EnvDigest is the Server.Digest or Upstream.ProcessDigest of settings that were written, in a file or in the
// environment of a process; "" is no settings. It is Altered unless the lines are those, all of them, of which
// ConfigVar is the digest, and those of one first start.
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
	if digest(kept...) != sum || server && !slices.Equal(first, InitialOf(first).Env()) || !server && first != nil {
		return Altered
	}
	return sum
}

// on is the digest of these settings with another release.
func (s Server) on(release string) string {
	s.Release = release
	return s.Digest()
}

// Generation is the digest of what all members share: the server that runs, trust, tunables, and whatever else this charm
// sets; not names and addresses. Two members that run the same generation need no restart on each other's account.
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

// digest is a short digest of the parts, each length-prefixed so that no two lists collide.
func digest(parts ...string) string {
	text := make([]byte, 0, 2048)
	for _, p := range parts {
		text = strconv.AppendInt(text, int64(len(p)), 10)
		text = append(append(text, ':'), p...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
