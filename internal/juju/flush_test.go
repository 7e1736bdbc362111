package juju

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
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
	record := m.Cluster.Value.Record
	plan := operator.Plan{Status: active, Record: &record, Published: map[string]string{"ports": "2379", "bag.proxy:1": "d1"}}
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
			require.NoError(t, flushed(t, f, m, operator.Plan{Authority: true, Status: active}))
			assert.Equal(t, authority().Fingerprint(), f.app["authority"])
			for _, path := range files {
				assert.NoFileExists(t, path, "keys do not stay on disk")
			}
			if secrets {
				assert.Len(t, files, 6)
				assert.Equal(t, secret{authorityLabel, authority().Encode()}, f.secrets["new"])
				assert.Equal(t, []string{"authority", "schema"}, f.app.Keys())
			} else {
				assert.Empty(t, f.secrets)
				assert.Equal(t, authority().Encode()["peer-ca-key"], f.app["authority.peer-ca-key"])
			}
			again := observe(t, f, with)
			require.True(t, again.Authority.OK, again.Authority.Why)
			assert.Equal(t, authority().Encode(), again.Authority.Value.Encode())
			assert.Equal(t, again.Cluster.Value.Record.Authority, again.Authority.Value.Fingerprint())
		})
	}
}

// keyFiles returns the files of a secret-add, which only we can read.
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

func TestFlushRecordAndWord(t *testing.T) {
	t.Parallel()
	f := healthy(0)
	m := observe(t, f)
	record := m.Cluster.Value.Record
	record.Revoked = []operator.Ended{{RelationID: "proxy:3", Generation: 1, Period: 228}}
	word := operator.Word{PeerURL: "https://10.0.0.7:2380", MemberID: 0xab}
	plan := operator.Plan{Record: &record, Word: &word, Published: map[string]string{"bag.cluster:0": "1E2345"}, Version: "3.7.3", Status: active}
	require.NoError(t, flushed(t, f, m, plan))
	assert.Equal(t, "\"revoked\": \"proxy:3.1@228\"\n", f.calls[1].stdin, "only what differs")
	assert.Equal(t, etcdcluster.EncodeUnit(word), f.peers["etcd/0"], "keys that are empty now are gone")
	assert.Equal(t, "1E2345", f.state["bag.cluster:0"])
	assert.Equal(t, map[string]int{"application-version-set": 1, "relation-set": 2, "state-set": 1, "status-set": 1}, f.count())
	again := observe(t, f)
	assert.Equal(t, record, again.Cluster.Value.Record)
}

func TestFlushConsumers(t *testing.T) {
	t.Parallel()
	f := healthy(1000)
	m := observe(t, f)
	pub := operator.Publication{
		Cluster: "etcd0=https://10.0.0.5:2380,etcd1=https://10.0.0.6:2380", Version: "3.7.3",
		ClientURLs: []string{"https://10.0.0.5:2379", "https://10.0.0.6:2379"}, Generation: 1, Period: 228,
	}
	plan := operator.Plan{Published: map[string]string{}, Forget: []string{"bag.proxy:9"}, Status: active}
	for _, id := range []string{"proxy:7", "proxy:8"} {
		pub.RelationID = id
		plan.Consumers = append(plan.Consumers, pub)
		plan.Published[BagKey(id)] = "d2"
	}
	require.NoError(t, flushed(t, f, m, plan))
	assert.Equal(t, map[string]int{"relation-set": 2, "state-set": 1, "state-delete": 1, "status-set": 1}, f.count())
	data := f.written["proxy:7"]
	assert.Equal(t, pub.Cluster, data[etcdproxy.KeyCluster])
	assert.Equal(t, "https://10.0.0.5:2379,https://10.0.0.6:2379", data[etcdproxy.KeyClientURLs])
	for _, id := range []string{"proxy:7", "proxy:8"} {
		want, err := authority().Credentials("uuid", id, 1, 228)
		require.NoError(t, err)
		assert.Equal(t, want.Key, f.written[id][etcdproxy.KeyClientKey])
		assert.Equal(t, want.Cert, f.written[id][etcdproxy.KeyClientCert])
		assert.Equal(t, string(authority().TrustClient), f.written[id][etcdproxy.KeyClientCA])
	}
	assert.NotEqual(t, f.written["proxy:8"][etcdproxy.KeyClientKey], data[etcdproxy.KeyClientKey])
	after := observe(t, f).Published
	assert.Equal(t, "d1", after["bag.proxy:6"])
	assert.Equal(t, "d2", after["bag.proxy:8"])
	assert.NotContains(t, after, "bag.proxy:9")
	assert.Len(t, after, len(m.Published)-1)
}

// A consumer whose certificate is revoked keeps nothing of it, and is told of the members all the same.
func TestFlushWithholdsCredentials(t *testing.T) {
	t.Parallel()
	f := healthy(2)
	m := observe(t, f)
	pub := operator.Publication{
		RelationID: "proxy:1", Cluster: "etcd0=https://10.0.0.5:2380", ClientURLs: []string{"https://10.0.0.5:2379"}, Version: "3.7.3", Generation: 1, Period: 228,
	}
	require.NoError(t, flushed(t, f, m, operator.Plan{Consumers: []operator.Publication{pub}, Status: active}))
	require.Contains(t, f.written["proxy:1"], etcdproxy.KeyClientKey)
	pub.Withheld = true
	require.NoError(t, flushed(t, f, m, operator.Plan{Consumers: []operator.Publication{pub}, Status: active}))
	assert.Equal(t, []string{"client_urls", "cluster", "schema", "version"}, f.written["proxy:1"].Keys())
	data, problem := etcdproxy.Decode(databag.Relation{ID: "etcd:1", Units: map[string]databag.Bag{"etcd/0": f.written["proxy:1"]}}, 0)
	assert.True(t, problem.IsZero(), "%s", problem)
	assert.True(t, data.Credentials.IsZero())
}

// What older charms kept of each consumer under a key of its own stays right beside what is kept of all.
func TestStateOfOlderCharm(t *testing.T) {
	t.Parallel()
	f := healthy(0)
	f.state = map[string]string{"bag.proxy:1": "d1", "bag.proxy:2": "d1", "bag.proxy:3": "d1", "ports": "2379"}
	steps := []struct {
		plan operator.Plan
		want map[string]string
	}{
		{operator.Plan{}, map[string]string{"bag.proxy:1": "d1", "bag.proxy:2": "d1", "bag.proxy:3": "d1"}},
		{operator.Plan{Published: map[string]string{"bag.proxy:2": "d2"}}, map[string]string{"bag.proxy:1": "d1", "bag.proxy:2": "d2", "bag.proxy:3": "d1"}},
		{operator.Plan{Forget: []string{"bag.proxy:1", "bag.proxy:2"}}, map[string]string{"bag.proxy:3": "d1"}},
		{operator.Plan{Forget: []string{"bag.proxy:3"}}, map[string]string{}},
		{operator.Plan{Published: map[string]string{"bag.proxy:4": "d3"}}, map[string]string{"bag.proxy:4": "d3"}},
	}
	for i, step := range steps {
		step.plan.Status = active
		require.NoError(t, flushed(t, f, observe(t, f), step.plan))
		step.want["ports"] = "2379"
		assert.Equal(t, step.want, observe(t, f).Published, "after step %d", i)
	}
}

func TestFlushRefuses(t *testing.T) {
	t.Parallel()
	consumer := func(cluster string) operator.Plan {
		return operator.Plan{Consumers: []operator.Publication{{RelationID: "proxy:1", Generation: 1, Cluster: cluster}}, Status: active}
	}
	for name, test := range map[string]struct {
		plan  operator.Plan
		model func(*operator.Model)
		why   string
	}{
		"an empty cluster":   {plan: consumer(""), why: "proxy:1"},
		"a broken cluster":   {plan: consumer("etcd0"), why: "proxy:1"},
		"a broken model":     {plan: consumer("a=https://10.0.0.5:2380"), model: func(m *operator.Model) { m.UUID = "" }, why: "proxy:1: cannot derive"},
		"no authority":       {plan: consumer("a=https://10.0.0.5:2380"), model: func(m *operator.Model) { m.Authority.Value = nil }, why: "no certificate authority"},
		"record, not leader": {plan: operator.Plan{Record: &operator.Record{}, Status: active}, model: func(m *operator.Model) { m.Leader.Value = false }, why: "leader"},
		"word, no relation":  {plan: operator.Plan{Word: &operator.Word{}, Status: active}, model: func(m *operator.Model) { m.Cluster.OK = false }, why: "not visible"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(1)
			m := observe(t, f)
			if test.model != nil {
				test.model(&m)
			}
			err := flushed(t, f, m, test.plan)
			require.ErrorContains(t, err, test.why)
			assert.NotContains(t, err.Error(), "PRIVATE")
			assert.Empty(t, f.calls, "nothing is written")
		})
	}
}

func TestFlushFail(t *testing.T) {
	t.Parallel()
	f := healthy(1)
	m := observe(t, f)
	stay := errors.New("leaving now would cost the quorum")
	record := operator.Record{ClusterID: 1}
	plan := operator.Plan{
		Fail: stay, Record: &record, Word: &operator.Word{}, Version: "3.7.3", Ports: []int{1}, Published: map[string]string{"x": "y"},
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
	plan := operator.Plan{Ports: []int{2379, 2382}, Published: map[string]string{"ports": "2379,2382"}, Status: active}
	require.NoError(t, flushed(t, f, m, plan))
	assert.Equal(t, []string{"2379/tcp", "2382/tcp"}, f.open)
	assert.Equal(t, map[string]int{"opened-ports": 1, "open-port": 1, "close-port": 1, "state-set": 1, "status-set": 1}, f.count())

	require.NoError(t, flushed(t, f, m, operator.Plan{Ports: []int{}, Status: active}))
	assert.Empty(t, f.open)
}

// Every tool that Flush uses makes the hook fail when it fails, so that Juju takes everything back.
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
				Version: "3.7.3", Authority: true, Word: &operator.Word{}, Ports: []int{2379}, Published: map[string]string{"a": "b"}, Forget: []string{"c"},
				Consumers: []operator.Publication{{RelationID: "proxy:1", Generation: 1, Cluster: "a=https://10.0.0.5:2380"}}, Status: active,
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
