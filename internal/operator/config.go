package operator

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
)

// Role is what the application is: a cluster member or the consumer-side proxy.
type Role string

// The roles that the option role takes.
const (
	RoleMember Role = "member"
	RoleProxy  Role = "proxy"
)

// Config is config.yaml's options, typed. Units are in the names. The zero value is not valid: see
// ParseConfig.
type Config struct {
	Role           Role
	Port           int // client port; the local port on a proxy, 0 for none
	ManagementPort int // peer port
	MetricsPort    int // loopback

	BindToAllInterfaces bool
	ExtraSANs           []string // canonical, sorted

	HeartbeatMillis int
	ElectionMillis  int
	SnapshotCount   int

	QuotaBytes          int64
	CompactionMode      string
	CompactionRetention string // "0" is off
	MaxRequestBytes     int
	CipherSuites        []string
	LogLevel            string
	AutoFreeSpace       bool
	AutoRepair          bool
	HTTPPort            int // 0: HTTP shares the client port

	SnapshotSeconds int64 // between two snapshots; 0 is off
	SnapshotKeep    int
	// That all that is kept beside the data may take; 0 is a tenth of the file system.
	KeepBytes int64

	SocketGroup string // whose members may use a proxy's socket; "" is no socket
}

// text is all options, one on each line. It goes into digests that are kept and compared between
// units, so the lines do not depend on the names of Go fields.
func (c Config) text() []string {
	return []string{
		"role=" + string(c.Role),
		"port=" + strconv.Itoa(c.Port),
		"management_port=" + strconv.Itoa(c.ManagementPort),
		"metrics_port=" + strconv.Itoa(c.MetricsPort),
		"http_port=" + strconv.Itoa(c.HTTPPort),
		"bind_to_all_interfaces=" + strconv.FormatBool(c.BindToAllInterfaces),
		"extra_sans=" + strings.Join(c.ExtraSANs, ","),
		"heartbeat_interval=" + strconv.Itoa(c.HeartbeatMillis),
		"election_timeout=" + strconv.Itoa(c.ElectionMillis),
		"snapshot_count=" + strconv.Itoa(c.SnapshotCount),
		"quota_backend_bytes=" + strconv.FormatInt(c.QuotaBytes, 10),
		"auto_compaction_mode=" + c.CompactionMode,
		"auto_compaction_retention=" + c.CompactionRetention,
		"max_request_bytes=" + strconv.Itoa(c.MaxRequestBytes),
		"tls_cipher_suites=" + strings.Join(c.CipherSuites, ","),
		"log_level=" + c.LogLevel,
		"auto_free_space=" + strconv.FormatBool(c.AutoFreeSpace),
		"auto_repair=" + strconv.FormatBool(c.AutoRepair),
		"socket_group=" + c.SocketGroup,
		"snapshot_interval=" + strconv.FormatInt(c.SnapshotSeconds, 10),
		"snapshot_keep=" + strconv.Itoa(c.SnapshotKeep),
		"keep_space=" + strconv.FormatInt(c.KeepBytes, 10),
	}
}

// requiredSuite is the suite that HTTP/2 requires with our ECDSA certificates: etcd exits at its
// start if the list lacks it (golang.org/x/net/http2, ConfigureServer).
const requiredSuite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"

// cipherSuites are the TLS 1.2 suites that an ECDSA certificate can be served with over HTTP/2,
// which forbids CBC; those of TLS 1.3 cannot be chosen. A test compares the list with Go's.
var cipherSuites = []string{
	requiredSuite,
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}

// Range is the numbers that an option takes, both ends included.
type Range struct{ Low, High int64 }

// Ranges are the options that take a number. A test starts etcd at both ends of each.
//
// The upper ends of heartbeat_interval and election_timeout follow from the wait in a hook, which
// is 30 s: when etcd stops, it drains open watches for 5 s and two election timeouts, and a member
// that starts has a leader after up to two. Below the lower ends a slow write to disk costs the
// leader its leadership. Each member reads all entries since its last snapshot into memory when it
// starts; 100000 was etcd's own default up to 3.5. Requests above 10 MiB block the heartbeats while
// the leader writes them to disk, and etcd advises against them.
var Ranges = map[string]Range{
	"port":                {1, 65535},
	"management_port":     {1, 65535},
	"metrics_port":        {1, 65535},
	"http_port":           {1, 65535},
	"heartbeat_interval":  {10, 1000},
	"election_timeout":    {100, 10000},
	"snapshot_count":      {100, 100000},
	"quota_backend_bytes": {16 << 20, 100 << 30},
	"max_request_bytes":   {1024, 10 << 20},
	"snapshot_keep":       {1, 1000},
}

// The ends of auto_compaction_retention when it is not off. etcd divides the period into ten, at
// most six minutes each, and keeps a revision for each. It panics if such a part is no time at all,
// and it compacts without a pause if the hours exceed what a duration can hold.
var (
	// PeriodRange is for mode periodic, in nanoseconds: a minute to a year.
	PeriodRange = Range{int64(time.Minute), int64(365 * 24 * time.Hour)}
	// RevisionRange is for mode revision.
	RevisionRange = Range{100, 1000000000}
)

// The ends of options that are given as text.
var (
	// SnapshotRange is for snapshot_interval when it is not off, in nanoseconds: a minute to 30
	// days.
	SnapshotRange = Range{int64(time.Minute), int64(30 * 24 * time.Hour)}
	// KeepRange is for keep_space when it is given, in bytes.
	KeepRange = Range{64 << 20, 100 << 40}
)

// maxGroup is the longest name of a group on Linux.
const maxGroup = 32

// maxNames bounds extra_sans: TLS libraries refuse certificates of 100 kB.
const maxNames = 100

// options reads typed options one after another and keeps the first problem.
type options struct {
	raw     map[string]any
	problem string
}

// fail keeps the first problem, in words that name the option.
func (o *options) fail(name, format string, args ...any) {
	if o.problem == "" {
		o.problem = "option " + name + ": " + fmt.Sprintf(format, args...)
	}
}

// number is an option of Ranges.
func (o *options) number(name string, fallback int64) int64 {
	return o.integer(name, fallback, Ranges[name].Low, Ranges[name].High)
}

// port is a number of Ranges, or 0 for none.
func (o *options) port(name string, fallback int64) int64 {
	if raw := o.raw[name]; raw == 0 || raw == int64(0) || raw == float64(0) {
		return 0
	}
	return o.number(name, fallback)
}

// group is the name of a group of the machine (groupadd(8)); "" is none.
func (o *options) group(name string) string {
	v := o.text(name, "")
	fits := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("_-.", r)
	}
	if v != "" && (len(v) > maxGroup ||
		strings.ContainsFunc(v, func(r rune) bool { return !fits(r) }) ||
		strings.Trim(v, "0123456789") == "" || v[0] == '-' || v[0] == '.') {
		o.fail(name, "no group is called %.32q", v)
	}
	return v
}

func (o *options) integer(name string, fallback, low, high int64) int64 {
	n := fallback
	switch v := o.raw[name].(type) {
	case nil:
	case int:
		n = int64(v)
	case int64:
		n = v
	case float64: // JSON has no other number
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			o.fail(name, "%v is not a whole number", v)
			return fallback
		}
		n = int64(v)
	default:
		o.fail(name, "must be a whole number")
		return fallback
	}
	if n < low || n > high {
		o.fail(name, "%d is not between %d and %d", n, low, high)
		return fallback
	}
	return n
}

func (o *options) text(name, fallback string) string {
	switch v := o.raw[name].(type) {
	case nil:
		return fallback
	case string:
		return strings.TrimSpace(v)
	default:
		o.fail(name, "must be a string")
		return fallback
	}
}

func (o *options) choice(name, fallback string, allowed ...string) string {
	v := o.text(name, fallback)
	if !slices.Contains(allowed, v) {
		o.fail(name, "%q is not one of %s", v, strings.Join(allowed, ", "))
		return fallback
	}
	return v
}

func (o *options) boolean(name string, fallback bool) bool {
	switch v := o.raw[name].(type) {
	case nil:
		return fallback
	case bool:
		return v
	default:
		o.fail(name, "must be true or false")
		return fallback
	}
}

// list splits at commas and white space.
func (o *options) list(name string) []string {
	return strings.FieldsFunc(o.text(name, ""), func(r rune) bool {
		return r == ',' || r == ' ' || r == '\n' || r == '\t'
	})
}

// ParseConfig reads the options as config-get answers them. A missing option has config.yaml's
// default. The second result names the first option that cannot be used, and why. If it is empty,
// the Config is complete.
func ParseConfig(raw map[string]any) (Config, string) {
	o := &options{raw: raw}
	c := Config{
		Role: Role(o.choice("role",
			string(RoleMember), string(RoleMember), string(RoleProxy))),
		Port:                int(o.port("port", 2379)),
		ManagementPort:      int(o.number("management_port", 2380)),
		MetricsPort:         int(o.number("metrics_port", 2381)),
		BindToAllInterfaces: o.boolean("bind_to_all_interfaces", true),
		ExtraSANs:           o.sans("extra_sans"),
		HeartbeatMillis:     int(o.number("heartbeat_interval", 100)),
		ElectionMillis:      int(o.number("election_timeout", 1000)),
		SnapshotCount:       int(o.number("snapshot_count", 10000)),
		QuotaBytes:          o.number("quota_backend_bytes", 2<<30),
		CompactionMode:      o.choice("auto_compaction_mode", "periodic", "periodic", "revision"),
		MaxRequestBytes:     int(o.number("max_request_bytes", 1572864)),
		CipherSuites:        o.ciphers("tls_cipher_suites"),
		LogLevel:            o.choice("log_level", "info", "debug", "info", "warn", "error"),
		AutoFreeSpace:       o.boolean("auto_free_space", true),
		AutoRepair:          o.boolean("auto_repair", true),
	}
	c.SnapshotSeconds = o.interval("snapshot_interval", "6h")
	c.SnapshotKeep = int(o.number("snapshot_keep", 2))
	c.KeepBytes = o.bytes("keep_space")
	c.SocketGroup = o.group("socket_group")
	c.CompactionRetention = o.retention("auto_compaction_retention", c.CompactionMode)
	httpPort := int(o.number("http_port", 2382))
	if o.boolean("split_http", false) {
		c.HTTPPort = httpPort
	}
	o.together(c)
	return c, o.problem
}

// together checks options that depend on each other.
func (o *options) together(c Config) {
	ports := []struct {
		name string
		port int
	}{
		{"port", c.Port},
		{"management_port", c.ManagementPort},
		{"metrics_port", c.MetricsPort},
		{"http_port", c.HTTPPort},
	}
	for i, a := range ports {
		for _, b := range ports[:i] {
			if a.port == b.port && a.port != 0 {
				o.fail(a.name, "%d is already used by option %s", a.port, b.name)
			}
		}
	}
	switch {
	case c.Role == RoleMember && c.SocketGroup != "":
		o.fail("socket_group", "only a proxy has a socket (role=proxy)")
	case c.Role == RoleMember && c.Port == 0:
		o.fail("port", "a member needs one; a proxy with a socket does not (role=proxy)")
	case c.Port == 0 && c.SocketGroup == "":
		o.fail("port", "0 leaves the proxy only its socket: set socket_group too")
	}
	// etcd refuses less than five; ten is what its tuning guide asks for.
	if c.ElectionMillis < 10*c.HeartbeatMillis {
		o.fail("election_timeout", "%d ms is below ten times heartbeat_interval (%d ms)",
			c.ElectionMillis, c.HeartbeatMillis)
	}
}

// ciphers returns the suites sorted: their order means nothing, because Go uses its own.
func (o *options) ciphers(name string) []string {
	names := o.list(name)
	for _, n := range names {
		if !slices.Contains(cipherSuites, n) {
			o.fail(name, "%q is not one of %s", n, strings.Join(cipherSuites, ", "))
		}
	}
	if len(names) > 0 && !slices.Contains(names, requiredSuite) {
		o.fail(name, "HTTP/2 needs %s", requiredSuite)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (o *options) sans(name string) []string {
	var out []string
	for _, s := range o.list(name) {
		if ip, err := netip.ParseAddr(s); err == nil {
			out = append(out, ip.String())
			continue
		}
		if !hostname.ValidPattern(s) {
			o.fail(name, "%q is neither an IP address nor a host name", s)
			continue
		}
		out = append(out, strings.ToLower(s))
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxNames {
		o.fail(name, "%d names are given, at most %d are allowed", len(out), maxNames)
	}
	return out
}

// retention is a duration or a number of hours for mode periodic, a number of revisions for mode
// revision; "0" is off.
func (o *options) retention(name, mode string) string {
	v := o.text(name, "8h")
	if mode == "revision" {
		return o.revisions(name, v)
	}
	hours := v
	if strings.Trim(v, "0123456789") == "" {
		hours += "h"
	}
	shortest, longest := time.Duration(PeriodRange.Low), time.Duration(PeriodRange.High)
	switch d, err := time.ParseDuration(hours); {
	case err != nil:
		o.fail(name, "%q is neither a duration (8h) nor hours", v)
	case d != 0 && (d < shortest || d > longest):
		o.fail(name, "%q is neither 0 nor %s to %s", v, shortest, longest)
	case d != 0:
		return d.String()
	}
	return "0"
}

func (o *options) revisions(name, v string) string {
	n, err := strconv.ParseInt(v, 10, 64)
	switch r := RevisionRange; {
	case err != nil:
		o.fail(name, "%q is not a number of revisions", v)
	case n != 0 && (n < r.Low || n > r.High):
		o.fail(name, "%d is neither 0 nor %d to %d", n, r.Low, r.High)
	default:
		return strconv.FormatInt(n, 10)
	}
	return "0"
}

// interval is a duration of SnapshotRange, in seconds; 0 is off.
func (o *options) interval(name, fallback string) int64 {
	v := o.text(name, fallback)
	d, err := time.ParseDuration(v)
	shortest, longest := time.Duration(SnapshotRange.Low), time.Duration(SnapshotRange.High)
	switch {
	case err != nil:
		o.fail(name, "%q is not a duration such as 6h", v)
	case d != 0 && (d < shortest || d > longest):
		o.fail(name, "%q is neither 0 nor 1m to 720h", v)
	default:
		return int64(d / time.Second)
	}
	return 0
}

// bytes is a size of KeepRange, such as 20GiB or 20G, in bytes; "" is 0.
func (o *options) bytes(name string) int64 {
	v := o.text(name, "")
	if v == "" {
		return 0
	}
	number, unit := v, ""
	if at := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' }); at >= 0 {
		number, unit = v[:at], v[at:]
	}
	shift, known := map[string]int{
		"": 0, "M": 20, "MiB": 20, "G": 30, "GiB": 30, "T": 40, "TiB": 40,
	}[unit]
	n, err := strconv.ParseInt(number, 10, 64)
	switch r := KeepRange; {
	case err != nil || !known:
		o.fail(name, "%.32q is not a size such as 20GiB", v)
	case n > r.High>>shift || n<<shift < r.Low:
		o.fail(name, "%.32q is not between 64MiB and 100TiB", v)
	default:
		return n << shift
	}
	return 0
}
