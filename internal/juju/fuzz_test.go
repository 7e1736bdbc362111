package juju

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/semver"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// FuzzObserveProxy: whatever a tool prints to a proxy, what the proxy follows is complete or not
// known, and no reason quotes the output.
func FuzzObserveProxy(f *testing.F) {
	for _, tool := range []string{"goal-state", "relation-ids", "relation-list", "relation-get", "network-get", "state-get"} {
		for _, answer := range []string{
			"", "null", "{}", "[]", `["etcd/0", "etcd/0", ""]`, `{"cluster": "etcd0=https://10.0.0.5:2380", "client_key": "` + "-----BEGIN PRIVATE KEY-----" + `"}`,
			`{"client_key": -----BEGIN PRIVATE KEY-----}`, `{"relations": {"upstream": {"etcd/0": {"status": "dying"}}}}`, `{"cluster": 1E400}`,
		} {
			f.Add(tool, []byte(answer))
		}
	}
	f.Fuzz(func(t *testing.T, tool string, answer []byte) {
		juju := newFake()
		juju.config = map[string]any{"role": "proxy", "port": 2379}
		juju.ids = map[string][]string{"cluster": {"cluster:0"}, "upstream": {"upstream:1"}}
		juju.remote = map[string]map[string]databag.Bag{"upstream:1": {"etcd/0": {"cluster": "x"}}}
		if tool != "config-get" {
			juju.says[tool] = string(answer)
		}
		m := observe(t, juju)
		upstream := m.Relations["upstream"]
		if !upstream.OK {
			assert.NotEmpty(t, upstream.Why)
			assert.Empty(t, upstream.Value)
		}
		for _, why := range []string{upstream.Why, m.Leader.Why, m.PeerAddress.Why, m.ClientAddress.Why} {
			assert.NotContains(t, why, "-----BEGIN")
		}
		for _, relation := range upstream.Value {
			assert.NotNil(t, relation.Units)
			assert.Equal(t, "upstream", relation.Endpoint)
		}
	})
}

// FuzzParams: whatever action-get prints, there are parameters or an error, and the error quotes
// nothing.
func FuzzParams(f *testing.F) {
	for _, answer := range []string{`{"revision": 1e400}`, "null", "[]", `{"a": {"b": [1, null]}}`, "", `{"a": hush}`} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		juju := newFake()
		juju.says["action-get"] = answer
		params, err := Params(t.Context(), juju)
		assert.Equal(t, err == nil, params != nil)
		if err != nil {
			assert.NotContains(t, err.Error(), "hush")
			return
		}
		again, err := json.Marshal(params)
		require.NoError(t, err)
		juju.says["action-get"] = string(again)
		back, err := Params(t.Context(), juju)
		require.NoError(t, err)
		assert.Equal(t, params, back)
	})
}

// FuzzAuthorityBag: authorities come back from the bag as they went in, and nothing else in the bag
// is taken for one.
func FuzzAuthorityBag(f *testing.F) {
	f.Add("peer-ca-key", "x", "authority", "f00")
	f.Add("", "", "authority.", "y")
	f.Fuzz(func(t *testing.T, key, value, alien, other string) {
		content := map[string]string{key: value}
		if value == "" {
			content = nil
		}
		bag := etcdcluster.EncodeAuthority(map[string]string{key: value})
		if !strings.HasPrefix(alien, "authority.") {
			bag[alien] = other
		}
		assert.Equal(t, content, etcdcluster.DecodeAuthority(bag))
	})
}

// FuzzMinor: for any text as Juju's version there is one minor version or none.
func FuzzMinor(f *testing.F) {
	for _, version := range []string{"2.9.49", "2.9-beta1.2", "4.0", "4", "-1.2", "3.+1", "3.99999999999999999999"} {
		f.Add(version)
	}
	f.Fuzz(func(t *testing.T, version string) {
		if found := minor(version); found != "" {
			assert.True(t, semver.IsValid(found), found)
			assert.Contains(t, version, ".")
		}
	})
}

// FuzzUsable: a name of ours has one spelling, and contains nothing that a certificate or a setting
// could not hold.
func FuzzUsable(f *testing.F) {
	for _, name := range []string{"10.0.0.5", "::ffff:10.0.0.5", "fe80::1%eth0", "Host.Example.", "a,b", "a\nb", "0.0.0.0", "-a", "xn--é", "0_"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, found := range usable(name) {
			assert.Equal(t, []string{found}, usable(found))
			assert.Empty(t, strings.Trim(found, "abcdefghijklmnopqrstuvwxyz0123456789-_.:"))
			assert.LessOrEqual(t, len(found), 253)
		}
	})
}

// FuzzToolComplaint: what is kept of a tool's complaint is short, is text, and holds no key.
func FuzzToolComplaint(f *testing.F) {
	f.Add("ERROR permission denied\n")
	f.Add(strings.Repeat("é", 3000))
	f.Add("yaml: line 1: `" + privateKey + "`")
	f.Add("x509: valid for \x1b[2Jgood, \u009b31m, \x7f")
	f.Fuzz(func(t *testing.T, stderr string) {
		said := complaint(stderr)
		assert.LessOrEqual(t, len(said), maxStderr+len("…"))
		assert.True(t, utf8.ValidString(said))
		assert.NotContains(t, said, "PRIVATE KEY")
		assert.NotContains(t, oneLine(stderr), "\n")
		assert.LessOrEqual(t, len(oneLine(stderr)), maxStderr+len("…"))
		assertShown(t, oneLine(stderr))
		for _, arg := range flatten(nil, "key", stderr) {
			assertShown(t, arg)
		}
	})
}

// FuzzLogLine: no logged text makes a second line, or ends the program.
func FuzzLogLine(f *testing.F) {
	f.Add("key", "value\nERROR forged")
	f.Add("", "\x00\xff")
	f.Add("key", "\x7f\u009b31m")
	f.Add("g.a", strings.Repeat("x", 1<<17))
	f.Fuzz(func(t *testing.T, key, value string) {
		key = strings.Map(func(r rune) rune { // keys are our own constants
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, key)
		juju := newFake()
		juju.says["juju-log"] = ""
		slog.New(NewLogHandler(juju, t.Output())).WithGroup("g").With("before", value).Info("message", key, value, slog.Group("in", "list", []string{value}))
		require.Len(t, juju.calls, 1)
		line := juju.calls[0].args[len(juju.calls[0].args)-1]
		assert.NotContains(t, line, "\n")
		assertShown(t, line)
		assert.NotContains(t, line, "\x00")
		assert.True(t, utf8.ValidString(line))
		assert.LessOrEqual(t, len(line), maxMessage+len("…"))
		assert.True(t, strings.HasPrefix(line, "message "))
	})
}

// assertShown asserts that the text contains nothing that a terminal obeys.
func assertShown(t *testing.T, text string) {
	t.Helper()
	assert.False(t, strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	}), "%q", text)
}

// FuzzState: whatever the state says of consumers, what is read is stored again unchanged.
func FuzzState(f *testing.F) {
	f.Add("")
	f.Add("d1 proxy:1 db:2 proxy:3\nd2 proxy:9")
	f.Add("\n \nd1\nd2  7 7\u0085x\r\n")
	f.Fuzz(func(t *testing.T, lines string) {
		memory := decodeState(map[string]any{stateSchema: "2", stateBags: lines, stateDeserted: lines, "ports": "2379", "n": 1})
		assert.Equal(t, "2379", memory.Ports)
		again := map[string]any{}
		for key, value := range encodeState(memory) {
			again[key] = value
		}
		assert.Equal(t, memory, decodeState(again))
	})
}
