package operator

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		raw     map[string]any
		problem string
	}{
		{"defaults", nil, ""},
		{"numbers as JSON has them", map[string]any{"port": float64(4001)}, ""},
		{"port out of range", map[string]any{"port": float64(70000)}, "option port: 70000 is not between 1 and 65535"},
		{"port zero", map[string]any{"port": 0}, "option port: a member needs one; a proxy with a socket does not (role=proxy)"},
		{"port zero of a proxy", map[string]any{"port": float64(0), "role": "proxy"}, "option port: 0 leaves the proxy only its socket: set socket_group too"},
		{"port zero of a proxy with a socket", map[string]any{"port": float64(0), "role": "proxy", "socket_group": "etcd-users"}, ""},
		{"port below zero", map[string]any{"port": -1}, "option port: -1 is not between 1 and 65535"},
		{"another port zero", map[string]any{"metrics_port": 0}, "option metrics_port: 0 is not between 1 and 65535"},
		{"a socket beside the port", map[string]any{"role": "proxy", "socket_group": "www-data"}, ""},
		{"a socket of a member", map[string]any{"socket_group": "www-data"}, "option socket_group: only a proxy has a socket (role=proxy)"},
		{"a group that is none", map[string]any{"role": "proxy", "socket_group": "a b"}, `option socket_group: no group is called "a b"`},
		{"a group by number", map[string]any{"role": "proxy", "socket_group": "1000"}, `option socket_group: no group is called "1000"`},
		{"a group that is an option", map[string]any{"role": "proxy", "socket_group": "-x"}, `option socket_group: no group is called "-x"`},
		{"a group that no machine can have", map[string]any{"role": "proxy", "socket_group": strings.Repeat("g", 33)}, "no group is called "},
		{"port is no number", map[string]any{"port": "2379"}, "option port: must be a whole number"},
		{"port is no whole number", map[string]any{"port": 2379.5}, "option port: 2379.5 is not a whole number"},
		{"unknown role", map[string]any{"role": "leader"}, `option role: "leader" is not one of member, proxy`},
		{"two ports alike", map[string]any{"management_port": 2379}, "option management_port: 2379 is already used by option port"},
		{"metrics port alike", map[string]any{"metrics_port": 2380}, "option metrics_port: 2380 is already used by option management_port"},
		{"HTTP port alike counts only when split", map[string]any{"http_port": 2379}, ""},
		{"HTTP port alike", map[string]any{"http_port": 2379, "split_http": true}, "option http_port: 2379 is already used by option port"},
		{"election too short", map[string]any{"heartbeat_interval": 500}, "option election_timeout: 1000 ms is below ten times heartbeat_interval (500 ms)"},
		{"both together", map[string]any{"heartbeat_interval": 500, "election_timeout": 5000}, ""},
		{"cipher", map[string]any{"tls_cipher_suites": "TLS_RSA_WITH_RC4_128_SHA"}, "option tls_cipher_suites:"},
		{"cipher without HTTP/2's", map[string]any{"tls_cipher_suites": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}, "option tls_cipher_suites: HTTP/2 needs TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
		{"cipher with HTTP/2's", map[string]any{"tls_cipher_suites": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}, ""},
		{"cipher that HTTP/2 forbids", map[string]any{"tls_cipher_suites": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}, "option tls_cipher_suites:"},
		{"retention that is no time at all", map[string]any{"auto_compaction_retention": "5ns"}, `option auto_compaction_retention: "5ns" is neither 0 nor 1m0s to 8760h0m0s`},
		{"retention of less than nothing", map[string]any{"auto_compaction_retention": "-8h"}, `option auto_compaction_retention: "-8h" is neither 0`},
		{"retention of too many hours", map[string]any{"auto_compaction_retention": "8761"}, `option auto_compaction_retention: "8761" is neither 0`},
		{"retention beyond a duration", map[string]any{"auto_compaction_retention": "9999999"}, `option auto_compaction_retention: "9999999" is neither`},
		{"retention beyond a number", map[string]any{"auto_compaction_retention": "99999999999999999999"}, `option auto_compaction_retention:`},
		{"retention of more than all revisions", map[string]any{"auto_compaction_mode": "revision", "auto_compaction_retention": "9223372036854775807"}, "option auto_compaction_retention: 9223372036854775807 is neither 0 nor 100 to 1000000000"},
		{"retention of fewer than no revisions", map[string]any{"auto_compaction_mode": "revision", "auto_compaction_retention": "-1"}, "option auto_compaction_retention: -1 is neither 0"},
		{"no retention of revisions", map[string]any{"auto_compaction_mode": "revision", "auto_compaction_retention": "0"}, ""},
		{"election that outlasts a hook", map[string]any{"heartbeat_interval": 1000, "election_timeout": 50000}, "option election_timeout: 50000 is not between 100 and 10000"},
		{"more names than a certificate takes", map[string]any{"extra_sans": names(101)}, "option extra_sans: 101 names are given, at most 100 are allowed"},
		{"as many names as a certificate takes", map[string]any{"extra_sans": names(100)}, ""},
		{"retention of revisions", map[string]any{"auto_compaction_mode": "revision", "auto_compaction_retention": "8h"}, "option auto_compaction_retention:"},
		{"retention in words", map[string]any{"auto_compaction_retention": "soon"}, `option auto_compaction_retention: "soon" is neither`},
		{"SAN that is a mistyped address", map[string]any{"extra_sans": "10.0.0.256"}, `option extra_sans: "10.0.0.256" is neither`},
		{"snapshots off", map[string]any{"snapshot_interval": "0"}, ""},
		{"snapshots each second", map[string]any{"snapshot_interval": "1s"}, `option snapshot_interval: "1s" is neither 0 nor 1m to 720h`},
		{"snapshots of the past", map[string]any{"snapshot_interval": "-6h"}, `option snapshot_interval: "-6h" is neither`},
		{"snapshots each year", map[string]any{"snapshot_interval": "8760h"}, `option snapshot_interval: "8760h" is neither`},
		{"snapshots in words", map[string]any{"snapshot_interval": "daily"}, `option snapshot_interval: "daily" is not a duration such as 6h`},
		{"snapshots without a time", map[string]any{"snapshot_interval": ""}, `option snapshot_interval: "" is not a duration such as 6h`},
		{"no snapshot kept", map[string]any{"snapshot_keep": 0}, "option snapshot_keep: 0 is not between 1 and 1000"},
		{"space", map[string]any{"keep_space": "20GiB"}, ""},
		{"space in words", map[string]any{"keep_space": "lots"}, `option keep_space: "lots" is not a size such as 20GiB`},
		{"space of a tenth", map[string]any{"keep_space": "10%"}, `option keep_space: "10%" is not a size such as 20GiB`},
		{"less space than anything takes", map[string]any{"keep_space": "1M"}, `option keep_space: "1M" is not between 64MiB and 100TiB`},
		{"less than no space", map[string]any{"keep_space": "-1G"}, `option keep_space: "-1G" is not a size`},
		{"space beyond a number", map[string]any{"keep_space": "9999999999999T"}, "is not between 64MiB and 100TiB"},
		{"SAN", map[string]any{"extra_sans": "a b%c"}, `option extra_sans: "b%c" is neither`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, problem := ParseConfig(test.raw)
			if test.problem == "" {
				assert.Empty(t, problem)
				return
			}
			assert.Contains(t, problem, test.problem)
			// Suites and numbers of 19 digits may be too long for the line; health shows them
			// whole.
			if !strings.Contains(problem, "tls_cipher_suites") && !regexp.MustCompile(`\d{19}`).MatchString(problem) {
				assert.LessOrEqual(t, len(problem), lineWidth, "a status line has it whole")
			}
		})
	}
	c, problem := ParseConfig(map[string]any{"extra_sans": "Etcd.Example, FD00::1 10.0.0.1", "split_http": true})
	require.Empty(t, problem)
	assert.Equal(t, []string{"10.0.0.1", "etcd.example", "fd00::1"}, c.ExtraSANs)
	assert.Equal(t, 2382, c.HTTPPort)
	assert.Equal(t, "8h0m0s", c.CompactionRetention)

	for text, bytes := range map[string]int64{"": 0, "64MiB": 64 << 20, "67108864": 64 << 20, "20G": 20 << 30, "100TiB": 100 << 40} {
		c, problem := ParseConfig(map[string]any{"keep_space": text, "snapshot_interval": "90m"})
		require.Empty(t, problem)
		assert.Equal(t, bytes, c.KeepBytes, text)
		assert.Equal(t, int64(5400), c.SnapshotSeconds)
	}

	// One setting in two spellings is one setting: it restarts no member.
	for _, same := range []map[string]any{
		{"auto_compaction_retention": "8"}, {"auto_compaction_retention": "480m"},
	} {
		other, problem := ParseConfig(same)
		require.Empty(t, problem)
		assert.Equal(t, "8h0m0s", other.CompactionRetention)
	}
	c, problem = ParseConfig(map[string]any{"tls_cipher_suites": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"})
	require.Empty(t, problem)
	assert.Equal(t, []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}, c.CipherSuites)
}

// names are n different host names.
func names(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("n%d.example", i))
	}
	return strings.Join(out, ",")
}

// TestCipherSuites compares the list with Go's: the suites that our ECDSA certificates can be
// served with, and that HTTP/2 allows.
func TestCipherSuites(t *testing.T) {
	t.Parallel()
	var want []string
	for _, suite := range tls.CipherSuites() {
		// HTTP/2 forbids every suite of TLS 1.2 that is no AEAD or has no forward secrecy (RFC
		// 9113, appendix A).
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) && strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") &&
			!strings.Contains(suite.Name, "_CBC_") {
			want = append(want, suite.Name)
		}
	}
	assert.ElementsMatch(t, want, cipherSuites)
}

// TestRangesAreTold compares the text of config.yaml with the ranges.
func TestRangesAreTold(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	var declared struct {
		Options map[string]struct{ Type, Description string }
	}
	require.NoError(t, yaml.Unmarshal(text, &declared))
	for name, r := range Ranges {
		option := declared.Options[name]
		assert.Equal(t, "int", option.Type, name)
		words := strings.Join(strings.Fields(option.Description), " ")
		assert.Regexp(t, fmt.Sprintf(`\b%d (\(\d+ [MG]iB\) )?to %d\b`, r.Low, r.High), words, name)
		delete(declared.Options, name)
	}
	for name, option := range declared.Options {
		assert.NotEqual(t, "int", option.Type, "%s has no range", name)
	}
	retention := strings.Join(strings.Fields(declared.Options["auto_compaction_retention"].Description), " ")
	assert.Contains(t, retention, "`1m` to `8760h`")
	assert.Contains(t, retention, fmt.Sprintf("%d to %d", RevisionRange.Low, RevisionRange.High))
	assert.Equal(t, [2]int64{int64(time.Minute), int64(8760 * time.Hour)}, [2]int64{PeriodRange.Low, PeriodRange.High})
	assert.Contains(t, declared.Options["snapshot_interval"].Description, "`1m` to `720h`")
	assert.Equal(t, [2]int64{int64(time.Minute), int64(720 * time.Hour)}, [2]int64{SnapshotRange.Low, SnapshotRange.High})
	assert.Contains(t, strings.Join(strings.Fields(declared.Options["keep_space"].Description), " "), "`64MiB` to `100TiB`")
	assert.Equal(t, [2]int64{64 << 20, 100 << 40}, [2]int64{KeepRange.Low, KeepRange.High})
	for _, suite := range cipherSuites {
		assert.Contains(t, declared.Options["tls_cipher_suites"].Description, suite)
	}
}

// TestEveryOption compares config.yaml with what is read: the defaults are the same, and each
// option changes the settings of our server, except the names in certificates, which need no
// restart.
func TestEveryOption(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	var declared struct {
		Options map[string]struct {
			Type    string
			Default any
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &declared))
	defaults := map[string]any{}
	for name, option := range declared.Options {
		defaults[name] = option.Default
	}
	want, problem := ParseConfig(nil)
	require.Empty(t, problem)
	c, problem := ParseConfig(defaults)
	require.Empty(t, problem)
	assert.Equal(t, want, c, "the defaults")

	for name, other := range map[string]struct {
		value any
		env   string
	}{
		"role":                      {"proxy", ""},
		"extra_sans":                {"etcd.example", ""},
		"port":                      {3379, "ETCD_LISTEN_CLIENT_URLS=https://0.0.0.0:3379"},
		"management_port":           {3380, "ETCD_LISTEN_PEER_URLS=https://0.0.0.0:3380"},
		"metrics_port":              {3381, "ETCD_LISTEN_METRICS_URLS=http://127.0.0.1:3381"},
		"bind_to_all_interfaces":    {false, "ETCD_LISTEN_CLIENT_URLS=https://10.0.0.10:2379,https://127.0.0.1:2379"},
		"heartbeat_interval":        {50, "ETCD_HEARTBEAT_INTERVAL=50"},
		"election_timeout":          {2000, "ETCD_ELECTION_TIMEOUT=2000"},
		"snapshot_count":            {20000, "ETCD_SNAPSHOT_COUNT=20000"},
		"quota_backend_bytes":       {8 << 30, "ETCD_QUOTA_BACKEND_BYTES=8589934592"},
		"auto_compaction_mode":      {"revision", "ETCD_AUTO_COMPACTION_MODE=revision"},
		"auto_compaction_retention": {"30m", "ETCD_AUTO_COMPACTION_RETENTION=30m0s"},
		"max_request_bytes":         {4096, "ETCD_MAX_REQUEST_BYTES=4096"},
		"tls_cipher_suites":         {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ETCD_CIPHER_SUITES=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
		"socket_group":              {"etcd-users", ""},
		"snapshot_interval":         {"1h", ""},
		"snapshot_keep":             {5, ""},
		"keep_space":                {"20GiB", ""},
		"log_level":                 {"warn", "ETCD_LOG_LEVEL=warn"},
		"auto_free_space":           {false, ""},
		"auto_repair":               {false, ""},
		"split_http":                {true, "ETCD_LISTEN_CLIENT_HTTP_URLS=https://0.0.0.0:2382"},
		"http_port":                 {3382, "ETCD_LISTEN_CLIENT_HTTP_URLS=https://0.0.0.0:3382"},
	} {
		if assert.Contains(t, declared.Options, name) {
			delete(declared.Options, name)
		}
		raw := map[string]any{name: other.value}
		switch name {
		case "http_port":
			raw["split_http"] = true
		case "socket_group":
			raw["role"] = "proxy"
		case "auto_compaction_mode":
			raw["auto_compaction_retention"] = "1000"
		}
		m := model(3)
		before := newView(Event{}, m, world(m)).settings()
		m.Config, problem = ParseConfig(raw)
		require.Empty(t, problem, name)
		after := newView(Event{}, m, world(m)).settings()
		if other.env == "" {
			assert.Equal(t, before.Digest(), after.Digest(), "%s restarts nothing", name)
			continue
		}
		assert.NotEqual(t, before.Digest(), after.Digest(), name)
		assert.Contains(t, after.Env(), other.env, name)
	}
	assert.Empty(t, declared.Options, "options that this test knows nothing of")
}

func FuzzParseConfig(f *testing.F) {
	f.Add(`{"port": 2379, "role": "member"}`)
	f.Add(`{"port": 1e300, "extra_sans": "*.a", "auto_compaction_retention": "-1s"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var raw map[string]any
		if json.Unmarshal([]byte(text), &raw) != nil {
			return
		}
		c, problem := ParseConfig(raw)
		if problem != "" {
			return
		}
		assert.NotEqual(t, c.Port, c.ManagementPort)
		assert.GreaterOrEqual(t, c.ElectionMillis, 10*c.HeartbeatMillis)
		for _, line := range (Server{Config: c}).Env() {
			assert.NotContains(t, line, "\n")
		}
	})
}
