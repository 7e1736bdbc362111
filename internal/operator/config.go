package operator

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sort"
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

// Config is config.yaml's options, typed. Units are in the names. The zero value is not valid: see ParseConfig.
type Config struct {
	Role           Role
	Port           int // client port; the local port on a proxy
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
	HTTPPort            int // 0: HTTP shares the client port
}

// cipherSuites are the TLS 1.2 suites that Go's crypto/tls offers without an insecure flag; TLS 1.3's are not a choice.
var cipherSuites = []string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}

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
		o.fail(name, "wants a whole number")
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
		o.fail(name, "wants a text")
		return fallback
	}
}

func (o *options) choice(name, fallback string, allowed ...string) string {
	v := o.text(name, fallback)
	if !slices.Contains(allowed, v) {
		o.fail(name, "%q is none of %s", v, strings.Join(allowed, ", "))
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
		o.fail(name, "wants true or false")
		return fallback
	}
}

// list splits at commas and white space.
func (o *options) list(name string) []string {
	return strings.FieldsFunc(o.text(name, ""), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// ParseConfig reads the options as config-get answers them. A missing option has config.yaml's default. The second
// result names the first option that cannot be used and why, and is empty when all can; the Config is then whole.
func ParseConfig(raw map[string]any) (Config, string) {
	o := &options{raw: raw}
	c := Config{
		Role:                Role(o.choice("role", string(RoleMember), string(RoleMember), string(RoleProxy))),
		Port:                int(o.integer("port", 2379, 1, 65535)),
		ManagementPort:      int(o.integer("management_port", 2380, 1, 65535)),
		MetricsPort:         int(o.integer("metrics_port", 2381, 1, 65535)),
		BindToAllInterfaces: o.boolean("bind_to_all_interfaces", true),
		ExtraSANs:           o.sans("extra_sans"),
		HeartbeatMillis:     int(o.integer("heartbeat_interval", 100, 1, 5000)),
		ElectionMillis:      int(o.integer("election_timeout", 1000, 10, 50000)),
		SnapshotCount:       int(o.integer("snapshot_count", 10000, 1, 10000000)),
		QuotaBytes:          o.integer("quota_backend_bytes", 2<<30, 16<<20, 100<<30),
		CompactionMode:      o.choice("auto_compaction_mode", "periodic", "periodic", "revision"),
		MaxRequestBytes:     int(o.integer("max_request_bytes", 1572864, 1024, 100<<20)),
		CipherSuites:        o.ciphers("tls_cipher_suites"),
		LogLevel:            o.choice("log_level", "info", "debug", "info", "warn", "error"),
	}
	c.CompactionRetention = o.retention("auto_compaction_retention", c.CompactionMode)
	httpPort := int(o.integer("http_port", 2382, 1, 65535))
	if o.boolean("split_http", false) {
		c.HTTPPort = httpPort
	}
	o.together(c)
	return c, o.problem
}

// together checks what options mean beside each other.
func (o *options) together(c Config) {
	ports := []struct {
		name string
		port int
	}{{"port", c.Port}, {"management_port", c.ManagementPort}, {"metrics_port", c.MetricsPort}, {"http_port", c.HTTPPort}}
	for i, a := range ports {
		for _, b := range ports[:i] {
			if a.port == b.port && a.port != 0 {
				o.fail(a.name, "%d is taken by option %s", a.port, b.name)
			}
		}
	}
	// etcd refuses less than five; ten is what its tuning guide asks for.
	if c.ElectionMillis < 10*c.HeartbeatMillis {
		o.fail("election_timeout", "%d ms is less than ten times heartbeat_interval (%d ms)", c.ElectionMillis, c.HeartbeatMillis)
	}
}

func (o *options) ciphers(name string) []string {
	names := o.list(name)
	for _, n := range names {
		if !slices.Contains(cipherSuites, n) {
			o.fail(name, "%q is none of %s", n, strings.Join(cipherSuites, ", "))
		}
	}
	return names
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
	sort.Strings(out)
	return slices.Compact(out)
}

// retention is a duration or a number of hours for mode periodic, a number of revisions for mode revision; "0" is off.
func (o *options) retention(name, mode string) string {
	v := o.text(name, "8h")
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
		return strconv.FormatInt(n, 10)
	}
	if mode == "revision" {
		o.fail(name, "%q is not a number of revisions", v)
		return "0"
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		o.fail(name, "%q is neither a duration such as 8h nor a number of hours", v)
		return "0"
	}
	if d == 0 {
		return "0"
	}
	return d.String()
}
