package operator

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		{"port zero", map[string]any{"port": 0}, "option port: 0 is not between 1 and 65535"},
		{"port is no number", map[string]any{"port": "2379"}, "option port: wants a whole number"},
		{"port is no whole number", map[string]any{"port": 2379.5}, "option port: 2379.5 is not a whole number"},
		{"unknown role", map[string]any{"role": "leader"}, `option role: "leader" is none of member, proxy`},
		{"two ports alike", map[string]any{"management_port": 2379}, "option management_port: 2379 is taken by option port"},
		{"metrics port alike", map[string]any{"metrics_port": 2380}, "option metrics_port: 2380 is taken by option management_port"},
		{"HTTP port alike counts only when split", map[string]any{"http_port": 2379}, ""},
		{"HTTP port alike", map[string]any{"http_port": 2379, "split_http": true}, "option http_port: 2379 is taken by option port"},
		{"election too short", map[string]any{"heartbeat_interval": 500}, "option election_timeout: 1000 ms is less than ten times heartbeat_interval (500 ms)"},
		{"both together", map[string]any{"heartbeat_interval": 500, "election_timeout": 5000}, ""},
		{"cipher", map[string]any{"tls_cipher_suites": "TLS_RSA_WITH_RC4_128_SHA"}, "option tls_cipher_suites:"},
		{"retention of revisions", map[string]any{"auto_compaction_mode": "revision", "auto_compaction_retention": "8h"}, "option auto_compaction_retention:"},
		{"retention in words", map[string]any{"auto_compaction_retention": "soon"}, `option auto_compaction_retention: "soon" is neither`},
		{"SAN that is a mistyped address", map[string]any{"extra_sans": "10.0.0.256"}, `option extra_sans: "10.0.0.256" is neither`},
		{"SAN", map[string]any{"extra_sans": "a b_c"}, `option extra_sans: "b_c" is neither`},
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
		})
	}
	c, problem := ParseConfig(map[string]any{"extra_sans": "Etcd.Example, FD00::1 10.0.0.1", "split_http": true})
	require.Empty(t, problem)
	assert.Equal(t, []string{"10.0.0.1", "etcd.example", "fd00::1"}, c.ExtraSANs)
	assert.Equal(t, 2382, c.HTTPPort)
	assert.Equal(t, "8h0m0s", c.CompactionRetention)
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
