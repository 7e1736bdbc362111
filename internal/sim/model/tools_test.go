package model

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "3.6")
	w.deploy("thing", 1)
	w.settle()
	for _, tc := range []struct {
		name  string
		line  string
		stdin string
		code  int
		out   string
		err   string
	}{
		{name: "config smart", line: "config-get", out: "count: 3\nname: nobody\n"},
		{name: "config json", line: "config-get --format json", out: `{"count":3,"name":"nobody"}` + "\n"},
		{name: "config key", line: "config-get count", out: "3\n"},
		{name: "config key without value", line: "config-get flag --format json", out: "null\n"},
		{name: "unset prints nothing", line: "config-get flag"},
		{name: "unknown format", line: "config-get --format xml", code: 2, err: "unknown format"},
		{name: "unknown flag", line: "is-leader --maybe", code: 2, err: "ERROR "},
		{name: "bool smart", line: "is-leader", out: "True\n"},
		{name: "bool json", line: "is-leader --format=json", out: "true\n"},
		{name: "unit-get", line: "unit-get private-address", out: "10.0.0.10\n"},
		{name: "network-get", line: "network-get ring --bind-address", out: "10.0.0.10\n"},
		{
			name: "network-get json", line: "network-get ring --format json",
			out: `{"bind-addresses":[{"addresses":[{"cidr":"10.0.0.10/32","hostname":"","value":"10.0.0.10"}],` +
				`"interface-name":"lo","mac-address":""}],"egress-subnets":["10.0.0.10/32"],"ingress-addresses":["10.0.0.10"]}` + "\n",
		},
		{
			name: "network-get yaml keeps the names of old", line: "network-get ring --format yaml",
			out: "bind-addresses:\n    - addresses:\n        - address: 10.0.0.10\n          cidr: 10.0.0.10/32\n          hostname: \"\"\n" +
				"          value: 10.0.0.10\n      interface-name: lo\n      interfacename: lo\n      mac-address: \"\"\n      macaddress: \"\"\n" +
				"egress-subnets:\n    - 10.0.0.10/32\ningress-addresses:\n    - 10.0.0.10\n",
		},
		{name: "network-get of nothing", line: "network-get nothing", code: 1, err: `no network config found for binding "nothing"`},
		{name: "status of the four", line: "status-set error x", code: 2, err: "invalid status"},
		{name: "message with a dash needs --", line: "status-set active -dash", code: 2, err: "ERROR"},
		{name: "message after --", line: "status-set active -- -dash"},
		{name: "status-get", line: "status-get", out: "active\n"},
		{name: "log without message", line: "juju-log", code: 2, err: "no message"},
		{name: "log with a dash", line: "juju-log -l WARNING -- -dash"},
		{name: "relation-set without relation", line: "relation-set a=b", code: 2, err: "no relation id specified"},
		{name: "relation-set unknown relation", line: "relation-set -r ring:9 a=b", code: 2, err: "relation not found"},
		{name: "relation-set twice", line: "relation-set -r ring:0 a=b a=c", code: 2, err: `key "a" specified more than once`},
		{name: "relation-set no pair", line: "relation-set -r ring:0 a", code: 2, err: `expected "key=value"`},
		{name: "relation-set stdin", line: "relation-set -r ring:0 --file - more=1", stdin: "text: |\n  a\n  b\nnum: 5\nmore: 0\n"},
		{name: "relation-get of it", line: "relation-get -r ring:0 --format json text thing/0", out: `"a\nb\n"` + "\n"},
		{name: "arguments win", line: "relation-get -r ring:0 more thing/0", out: "1\n"},
		{name: "stdin is no map", line: "relation-set -r ring:0 --file -", stdin: "- a\n", code: 1, err: "cannot parse settings"},
		{name: "stdin is deep", line: "relation-set -r ring:0 --file -", stdin: "a: {b: c}\n", code: 1, err: "not a scalar"},
		{name: "relation-get needs a unit", line: "relation-get -r ring:0 a", code: 2, err: "no unit id specified"},
		{name: "relation-get of an application needs --app", line: "relation-get -r ring:0 a thing", code: 2, err: `expected unit name, got application name "thing"`},
		{name: "relation-get missing key json", line: "relation-get -r ring:0 --format=json nothing thing/0", out: "null\n"},
		{name: "state", line: "state-set a=b c=d"},
		{name: "state-get", line: "state-get", out: "a: b\nc: d\n"},
		{name: "state strict", line: "state-get --strict zzz", code: 1, err: `"zzz" not found`},
		{name: "state-get of no key", line: "state-get --format json zzz", out: `""` + "\n"},
		{name: "state-delete of nothing", line: "state-delete"},
		{name: "goal-state takes nothing", line: "goal-state more", code: 2, err: "unrecognized args"},
		{name: "egress is a list", line: "network-get ring --egress-subnets --format json", out: `["10.0.0.10/32"]` + "\n"},
		{name: "secret's text", line: "secret-add value#base64=*", code: 1, err: "base64"},
		{name: "secret's id", line: "secret-get zzz", code: 2, err: `secret URI "zzz" not valid`},
		{name: "state-delete", line: "state-delete c"},
		{name: "state-get again", line: "state-get --format json", out: `{"a":"b"}` + "\n"},
		{name: "ports", line: "open-port 2379-2380/tcp"},
		{name: "icmp", line: "open-port icmp"},
		{name: "opened", line: "opened-ports --format json", out: `["2379-2380/tcp","icmp"]` + "\n"},
		{name: "opened takes nothing", line: "opened-ports 80", code: 2, err: "unrecognized args"},
		{name: "bad port", line: "open-port 99999", code: 2, err: "invalid port range"},
		{name: "no port", line: "open-port http", code: 2, err: "expected <port>"},
		{name: "leader-set", line: "leader-set a=b"},
		{name: "leader-get", line: "leader-get a", out: "b\n"},
		{name: "no action", line: "action-get", code: 1, err: "not running an action"},
		{name: "model", line: "relation-model-get -r ring:0", out: "uuid: " + w.UUID() + "\n"},
		{name: "trims", line: "state-set", code: 0},
	} {
		w.inHook("thing/0", func(h *hookRun) {
			words := strings.Fields(tc.line)
			rep, err := h.Call(Request{Tool: words[0], Args: words[1:], Stdin: []byte(tc.stdin), StdinSet: true})
			require.NoError(t, err, tc.name)
			assert.Equal(t, tc.code, rep.Code, tc.name+": "+string(rep.Stderr))
			assert.Equal(t, tc.out, string(rep.Stdout), tc.name)
			if tc.err == "" {
				assert.Empty(t, string(rep.Stderr), tc.name)
			} else {
				assert.Contains(t, string(rep.Stderr), tc.err, tc.name)
				assert.True(t, strings.HasPrefix(string(rep.Stderr), "ERROR "), tc.name)
			}
		})
	}
	log := w.Log("thing/0")
	assert.Contains(t, log[len(log)-1].String(), "WARNING unit.thing/0.juju-log -dash")
}

func TestKeyValuesAreTrimmed(t *testing.T) {
	t.Parallel()
	got, err := keyValues([]string{" a = b c ", "d==", "e="})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "b c", "d": "=", "e": ""}, got)
}

func TestStdinIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.inHook("thing/0", func(h *hookRun) {
		_, err := h.Call(Request{Tool: "relation-set", Args: []string{"-r", "ring:0", "--file", "-"}})
		require.ErrorIs(t, err, ErrNoStdin)
	})
	rs := w.Records("thing/0")
	assert.Zero(t, rs[len(rs)-1].Calls, "asking for stdin is no call")
}

func TestStateLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.inHook("thing/0", func(h *hookRun) {
		assert.Contains(t, h.fails("state-set", strings.Repeat("k", 257)+"=v"), "key length")
		assert.Contains(t, h.fails("state-set", "k="+strings.Repeat("v", 65537)), "value length")
	})
	failed := false
	w.on["update-status"] = func(h *hookRun) error {
		if !failed {
			failed = true
			for i := range 33 {
				h.tool("state-set", strings.Repeat("k", i+1)+"="+strings.Repeat("v", 65536))
			}
		}
		return nil
	}
	require.NoError(t, w.UpdateStatus("thing/0"))
	w.settle()
	assert.Len(t, w.take("thing/0"), 8, "the commit of too much state fails the hook")
}

func TestActionSetKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 1)
	w.settle()
	w.on["greet"] = func(h *hookRun) error {
		for _, bad := range []string{"Upper=1", "under_score=1", "-a=1", "a-=1", "a..b=1", "stdout=1", "stderr-encoding=1", "=1", "nothing"} {
			h.fails("action-set", bad)
		}
		h.tool("action-set", "a-1.b=1", "a-1.c=2")
		h.tool("action-log", "working", "on it")
		assert.Contains(t, h.fails("juju-reboot"), "not supported")
		return nil
	}
	res, _, err := w.RunAction(t.Context(), "thing/0", "greet", nil, w)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"a-1": map[string]any{"b": "1", "c": "2"}, "return-code": 0}, res.Results)
	assert.Equal(t, []string{"working on it"}, res.Log)
}

func TestToolsPerVersion(t *testing.T) {
	t.Parallel()
	for series, want := range map[string]map[string]bool{
		"2.9": {"leader-get": true, "secret-get": false, "state-get": true},
		"3.6": {"leader-get": true, "secret-get": true, "state-get": true},
		"4.0": {"leader-get": false, "secret-get": true, "state-get": true},
	} {
		w := newWorld(t, series)
		w.deploy("thing", 1)
		w.settle()
		w.inHook("thing/0", func(h *hookRun) {
			for tool, there := range want {
				_, err := h.Run(h.ctx, nil, tool, "--help")
				assert.NotEqual(t, there, errors.Is(err, exec.ErrNotFound), "%s on %s", tool, series)
			}
		})
	}
	_, err := New(Options{Series: "1.25"})
	require.ErrorContains(t, err, "unknown Juju series")
	for _, name := range AllTools() {
		assert.Contains(t, tools, name)
	}
	assert.Len(t, tools, len(AllTools()))
}
