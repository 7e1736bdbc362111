package juju

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

var active = operator.Status{Level: operator.Active, Message: "1/1 voters"}

func flushed(t *testing.T, f *fakeJuju, m operator.Model, p operator.Plan) error {
	t.Helper()
	f.calls = nil
	err := Flush(t.Context(), f, m, p, newAuthority)
	for _, c := range f.calls {
		for _, arg := range c.args {
			assert.NotContains(t, arg, "PRIVATE KEY", "%s shows a key to everybody", c.tool)
		}
	}
	if len(f.calls) > 0 && err == nil {
		assert.Equal(t, "status-set", f.calls[len(f.calls)-1].tool, "the status is set last")
	}
	return err
}

func TestFlushNothing(t *testing.T) {
	t.Parallel()
	f := healthy(3)
	m := observe(t, f)
	plan := operator.Plan{Status: active, Memory: &m.Memory.Value}
	require.NoError(t, flushed(t, f, m, plan))
	assert.Equal(t, map[string]int{"status-set": 1}, f.count())
	assert.Equal(t, "active: 1/1 voters", f.status)

	require.NoError(t, flushed(t, f, m, operator.Plan{}))
	assert.Empty(t, f.calls)
}

func TestFlushAuthority(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string]bool{"secret": true, "bag": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.secrets = map[string]secret{}
			with := func(e *Env) { e.Secrets = secrets }
			m := observe(t, f, with)
			require.Equal(t, operator.Know[*pki.Authority](nil), m.Authority)
			var files []string
			f.onRun = func(tool string, args []string) {
				if tool == "secret-add" {
					files = keyFiles(t, args)
				}
			}
			require.NoError(t, flushed(t, f, m, operator.Plan{NewAuthority: true, Status: active}))
			for _, path := range files {
				assert.NoFileExists(t, path, "keys do not stay on disk")
			}
			if secrets {
				assert.Len(t, files, 6)
				assert.Equal(t, secret{authorityLabel, authority().Encode()}, f.secrets["new"])
				assert.Empty(t, f.app.Keys())
			} else {
				assert.Empty(t, f.secrets)
				assert.Equal(t, authority().Encode()["peer-ca-key"], f.app["authority.peer-ca-key"])
			}
			again := observe(t, f, with)
			require.True(t, again.Authority.OK, again.Authority.Why)
			assert.Equal(t, authority().Encode(), again.Authority.Value.Encode())
		})
	}
}

// keyFiles returns the contents of the files of a secret-add, which only we can read.
func keyFiles(t *testing.T, args []string) []string {
	t.Helper()
	var files []string
	for _, arg := range args {
		if _, path, ok := strings.Cut(arg, "#file="); ok {
			files = append(files, path)
			info, err := os.Stat(path)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			assert.Zero(t, info.Sys().(*syscall.Stat_t).Nlink, "it has no name: a charm that dies now leaves nothing")
		}
	}
	return files
}

func TestFlushBags(t *testing.T) {
	t.Parallel()
	f := healthy(1000)
	m := observe(t, f)
	record := m.Cluster.Value.AppBag
	record.Revoked = []operator.Ended{{RelationID: "proxy:3", Generation: 1, Period: 228}}
	unitBag := operator.UnitBag{PeerURL: "https://10.0.0.7:2380", MemberID: 0xab}
	f.written["proxy:7"] = databag.Bag{"key": "old", "other": "another's"}
	memory := m.Memory.Value
	memory.Bags = maps.Clone(memory.Bags)
	memory.Bags["cluster:0"], memory.Bags["proxy:7"], memory.Ports = "1E2345", "d2", ""
	delete(memory.Bags, "proxy:9")
	plan := operator.Plan{Version: "3.7.3", Status: active, Memory: &memory, Bags: []operator.BagWrite{
		{Relation: "cluster:0", App: true, Owns: etcdcluster.AppKeys(), Bag: etcdcluster.EncodeApp(record)},
		{Relation: "cluster:0", Owns: etcdcluster.UnitKeys(), Bag: etcdcluster.EncodeUnit(unitBag)},
		{Relation: "proxy:7", Owns: []string{"key", "cert"}, Bag: databag.Bag{"cert": "c", "not-owned": "x"}},
	}}
	require.NoError(t, flushed(t, f, m, plan))
	want := map[string]int{"application-version-set": 1, "relation-set": 3, "state-set": 1, "state-delete": 1, "status-set": 1}
	assert.Equal(t, want, f.count())
	assert.Equal(t, etcdcluster.EncodeUnit(unitBag), f.peers["etcd/0"], "keys that are empty now are gone")
	assert.Equal(t, databag.Bag{"cert": "c", "other": "another's"}, f.written["proxy:7"], "only its own keys")
	again := observe(t, f)
	assert.Equal(t, record, again.Cluster.Value.AppBag)
	assert.Equal(t, operator.Know(memory), again.Memory)
}

// A relation that Juju deleted before the unit heard of its end keeps no other consumer from
// hearing a change: the next hook looks for it. Any other failure fails the hook.
func TestFlushToRelationNotFound(t *testing.T) {
	t.Parallel()
	for answer, ends := range map[string]bool{"ERROR relation not found": true, "ERROR permission denied": false} {
		f := healthy(2)
		m := observe(t, f)
		memory := operator.Memory{Bags: maps.Clone(m.Memory.Value.Bags)}
		plan := operator.Plan{Memory: &memory, Status: active}
		for _, id := range []string{"proxy:1", "proxy:2"} {
			plan.Bags = append(plan.Bags, operator.BagWrite{Relation: id, Owns: []string{"x"}, Bag: databag.Bag{"x": "y"}})
			memory.Bags[id] = "d2"
		}
		f.fail["relation-set -r proxy:1 --file -"] = refusal("relation-set", "ERROR cannot read relation settings: relation not found")
		f.fail["relation-get --format json -r proxy:1 ingress-address etcd/0"] = refusal("relation-get", answer)
		err := flushed(t, f, m, plan)
		if !ends {
			require.ErrorContains(t, err, "cannot write relation proxy:1")
			continue
		}
		require.NoError(t, err)
		assert.Contains(t, f.written, "proxy:2")
		after := observe(t, f)
		assert.Equal(t, "d2", after.Memory.Value.Bags["proxy:2"])
		assert.Equal(t, m.Memory.Value.Bags["proxy:1"], after.Memory.Value.Bags["proxy:1"])
		assert.Equal(t, map[string]operator.OwnBag{"proxy:1": operator.BagNotFound}, after.Deserted)
	}
}

// A secret is made once, under its label; then its content is set. The bag that names it is written after it.
func TestFlushSecrets(t *testing.T) {
	t.Parallel()
	f := healthy(1)
	f.secrets = map[string]secret{}
	m := observe(t, f)
	for _, content := range []string{privateKey, "another"} {
		plan := operator.Plan{
			Status:  active,
			Secrets: []operator.SecretWrite{{Label: "toy.1", App: true, Content: map[string]string{"password": content}, Relation: "proxy:1"}},
			Bags:    []operator.BagWrite{{Relation: "proxy:1", Secrets: map[string]string{"secret": "toy.1"}}},
		}
		require.NoError(t, flushed(t, f, m, plan))
		assert.Equal(t, map[string]secret{"new": {"toy.1", map[string]string{"password": content}}}, f.secrets)
		assert.Equal(t, "secret:new", f.written["proxy:1"]["secret"])
		assert.Equal(t, 1, f.count()["secret-grant"])
	}
	m.Leader.Value = false
	err := flushed(t, f, m, operator.Plan{Secrets: []operator.SecretWrite{{Label: "toy.1", App: true}}})
	require.ErrorContains(t, err, "only the known leader")
	err = flushed(t, f, m, operator.Plan{Bags: []operator.BagWrite{{Relation: "proxy:1", Secrets: map[string]string{"secret": "toy.2"}}}})
	require.ErrorContains(t, err, "there is no secret toy.2")
}

func TestFlushRefuses(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]operator.Plan{
		"record":      {Bags: []operator.BagWrite{{Relation: "cluster:0", App: true}}, Status: active},
		"authorities": {NewAuthority: true, Status: active},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(1)
			m := observe(t, f)
			m.Leader.Value = false
			require.ErrorContains(t, flushed(t, f, m, plan), "only the known leader")
			assert.Empty(t, f.calls, "nothing is written")
		})
	}
}

func TestFlushFail(t *testing.T) {
	t.Parallel()
	f := healthy(1)
	m := observe(t, f)
	stay := errors.New("leaving now would cost the quorum")
	plan := operator.Plan{
		Fail: stay, Bags: []operator.BagWrite{{Relation: "proxy:1", Owns: []string{"x"}}}, Version: "3.7.3", Ports: []int{1}, Memory: &operator.Memory{Ports: "y"},
		Status: operator.Status{Level: operator.Blocked, Message: "stays"},
	}
	require.ErrorIs(t, flushed(t, f, m, plan), stay)
	assert.Equal(t, map[string]int{"status-set": 1}, f.count())
	assert.Equal(t, "blocked: stays", f.status)
}

func TestFlushPorts(t *testing.T) {
	t.Parallel()
	f := healthy(0)
	f.open = []string{"2379/tcp", "53/udp"}
	m := observe(t, f)
	plan := operator.Plan{Ports: []int{2379, 2382}, Memory: &operator.Memory{Bags: m.Memory.Value.Bags, Ports: "2379,2382"}, Status: active}
	require.NoError(t, flushed(t, f, m, plan))
	assert.Equal(t, []string{"2379/tcp", "2382/tcp"}, f.open)
	assert.Equal(t, map[string]int{"opened-ports": 1, "open-port": 1, "close-port": 1, "state-set": 1, "status-set": 1}, f.count())

	require.NoError(t, flushed(t, f, m, operator.Plan{Ports: []int{}, Status: active}))
	assert.Empty(t, f.open)
}

// If any tool that Flush uses fails, the hook fails, so that Juju drops everything.
func TestFlushFailsWithItsTools(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{
		"application-version-set", "secret-add", "relation-set", "state-set", "state-delete", "opened-ports", "open-port", "close-port", "status-set",
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			f := healthy(1)
			f.open = []string{"9/tcp"}
			m := observe(t, f)
			f.fail[tool] = refusal(tool, "ERROR gone")
			plan := operator.Plan{
				Version: "3.7.3", NewAuthority: true, Ports: []int{2379}, Memory: &operator.Memory{Learner: "b"},
				Bags: []operator.BagWrite{{Relation: "proxy:1", Owns: []string{"x"}}}, Status: active,
			}
			require.ErrorContains(t, flushed(t, f, m, plan), "gone")
			assert.Equal(t, 1, f.count()[tool])
		})
	}
}

func TestStatusIsOneShortLine(t *testing.T) {
	t.Parallel()
	f := newFake()
	require.NoError(t, SetStatus(t.Context(), f, operator.Status{Level: operator.Waiting, Message: "-a\n b\x00" + strings.Repeat("x", 10<<20)}))
	args := f.calls[0].args
	assert.Equal(t, "--", args[0])
	assert.True(t, strings.HasPrefix(args[2], "-a b"), "%.20q", args[2])
	assert.Less(t, len(args[2]), 2000)
}

func TestSetResults(t *testing.T) {
	t.Parallel()
	f := newFake()
	require.NoError(t, SetResults(t.Context(), f, map[string]any{
		"health": "healthy", "Quorum Margin": 1, "stdout": "x", "content-encoding": "gzip", "none": nil,
		"members": map[string]any{"etcd/0": map[string]any{"db_size": int64(5), "urls": []string{"a", "b"}, "leader": true}},
		"list":    []any{map[string]any{"name": "n"}, 2}, "labels": map[string]string{"ä": "-v"}, "rows": []map[string]any{{"a": 1.5}},
	}))
	assert.Equal(t, map[string]string{
		"health": "healthy", "quorum-margin": "1", "result-stdout": "x", "content-encoding-name": "gzip",
		"members.etcd-0.db-size": "5", "members.etcd-0.urls": "a, b", "members.etcd-0.leader": "true",
		"list.0.name": "n", "list.1": "2", "labels.x": "-v", "rows.0.a": "1.5",
	}, f.results)
	assert.Len(t, f.calls, 1)
}

func TestLongResults(t *testing.T) {
	t.Parallel()
	f := newFake()
	values := map[string]any{"huge": strings.Repeat("é", 5<<20)}
	for i := range 20 {
		values[fmt.Sprintf("long%d", i)] = strings.Repeat("x", 100<<10)
	}
	require.NoError(t, SetResults(t.Context(), f, values))
	assert.Len(t, f.results, 21)
	assert.Contains(t, f.results["huge"], "… (cut: 10485760 bytes in all)")
	for _, c := range f.calls {
		total := 0
		for _, arg := range c.args {
			assert.Less(t, len(arg), 128<<10)
			total += len(arg)
		}
		assert.Less(t, total, 1<<20)
	}
	f.fail["action-set"] = errors.New("gone")
	require.Error(t, SetResults(t.Context(), f, values))
}

func TestFailAction(t *testing.T) {
	t.Parallel()
	f := newFake()
	require.NoError(t, FailAction(t.Context(), f, "--no\nquorum"))
	assert.Equal(t, []string{"--", "--no quorum"}, f.calls[0].args)
	f.fail["action-fail"] = errors.New("gone")
	require.Error(t, FailAction(t.Context(), f, "x"))
}

func FuzzResultKeys(f *testing.F) {
	f.Add("etcd/0")
	f.Add("--")
	f.Add("a.b")
	f.Add("-encoding")
	f.Fuzz(func(t *testing.T, name string) {
		for _, arg := range flatten(nil, "", map[string]any{name: map[string]any{name: "v"}}) {
			key, _, _ := strings.Cut(arg, "=")
			parts := strings.Split(key, ".")
			assert.Len(t, parts, 2)
			for _, part := range parts {
				assert.Regexp(t, `^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`, part)
			}
			assert.False(t, slices.Contains([]string{"stdout", "stderr", "return-code"}, parts[0]))
		}
	})
}
