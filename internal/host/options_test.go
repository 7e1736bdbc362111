package host

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// trial is a set of options with which a real member is started, beside the fleet's short election.
type trial map[string]any

// slow reports whether a member with these options is without a leader for longer than 10 s after
// each restart.
func (o trial) slow() bool { ms, _ := o["election_timeout"].(int64); return 2*ms > 10000 }

func (o trial) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		parts = append(parts, fmt.Sprintf("%s=%v", name, o[name]))
	}
	return strings.Join(parts, " ")
}

// elsewhere are the options with which no server can be started here, and the tests that try them.
var elsewhere = map[string]string{
	"role":                   "a proxy runs no server: TestProxy",
	"auto_free_space":        "is in no setting of the server: test/living/testdata/space.txt",
	"auto_repair":            "is in no setting of the server: test/living/testdata/corrupt-healed.txt",
	"extra_sans":             "is in no setting of the server: TestLongCertificate",
	"snapshot_interval":      "is in no setting of the server: TestTimer",
	"keep_space":             "is in no setting of the server: test/system/testdata/snapshots.txt",
	"socket_group":           "is of a proxy, which runs no server: TestWriteProxy, TestGroupOfTheSocket",
	"bind_to_all_interfaces": "would take ports of the whole machine from other tests: test/e2e",
}

// numbers returns both ends of every option that takes a number. Those for which much is written
// come separately, because a database does not shrink.
func numbers(lowestPort int) (out, requests []trial) {
	for _, name := range slices.Sorted(maps.Keys(operator.Ranges)) {
		r := operator.Ranges[name]
		for _, n := range []int64{r.Low, r.High} {
			o := trial{name: n}
			switch name {
			case "heartbeat_interval":
				o["election_timeout"] = max(10*n, operator.Ranges["election_timeout"].Low)
			case "election_timeout":
				o["heartbeat_interval"] = operator.Ranges["heartbeat_interval"].Low
			case "http_port":
				o["split_http"] = true
			}
			if strings.HasSuffix(name, "port") {
				o[name] = max(n, int64(lowestPort))
			}
			if name == "max_request_bytes" {
				requests = append(requests, o)
				continue
			}
			out = append(out, o)
		}
	}
	return out, requests
}

// words returns the values of every option that takes words, and both ends of what the words may
// stand for.
func words() []trial {
	var out []trial
	for _, level := range []string{"debug", "info", "warn", "error"} {
		out = append(out, trial{"log_level": level})
	}
	for _, n := range []int64{0, operator.PeriodRange.Low, operator.PeriodRange.High} {
		out = append(out, trial{"auto_compaction_retention": time.Duration(n).String()})
	}
	out = append(out, trial{"auto_compaction_retention": strconv.FormatInt(operator.PeriodRange.High/int64(time.Hour), 10)})
	for _, n := range []int64{0, operator.RevisionRange.Low, operator.RevisionRange.High} {
		out = append(out, trial{"auto_compaction_mode": "revision", "auto_compaction_retention": strconv.FormatInt(n, 10)})
	}
	return append(out, trial{"split_http": true}, trial{"split_http": false})
}

// suites returns all cipher suites that Go knows, alone and with the one that HTTP/2 requires, as
// far as the option accepts them.
func suites(t *testing.T) []trial {
	t.Helper()
	const required = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
	var out []trial
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		for _, list := range []string{suite.Name, suite.Name + "," + required} {
			o := trial{"tls_cipher_suites": list}
			if _, problem := operator.ParseConfig(o); problem == "" {
				out = append(out, o)
			}
		}
	}
	require.GreaterOrEqual(t, len(out), 3)
	return out
}

// TestOptionsStartEtcd starts a real member, by the charm's own settings and with its own
// certificates, with every value of every option, or with both ends of its range, and expects it to
// serve. NIGHTLY=1 adds those that take longer than 10 s.
func TestOptionsStartEtcd(t *testing.T) {
	t.Parallel()
	lowest := New(Options{Root: t.TempDir(), Unit: "etcd/0"}).lookMachine(t.Context(), operator.Config{}).LowestPort
	small, large := numbers(lowest)
	groups := map[string][]trial{"numbers": small, "requests": large, "words": words(), "suites": suites(t)}

	var declared struct{ Options map[string]any }
	text, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &declared))
	for _, name := range slices.Sorted(maps.Keys(declared.Options)) {
		if why, ok := elsewhere[name]; ok {
			t.Logf("not tried here: %s: %s", name, why)
			continue
		}
		tried := slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(groups))...), func(o trial) bool { _, ok := o[name]; return ok })
		assert.True(t, tried, "no server is started with %s", name)
	}
	for name, trials := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newFleet(t).add(t)
			u.found()
			for _, o := range trials {
				if o.slow() && os.Getenv("NIGHTLY") == "" {
					t.Logf("left out, for it takes longer than 10 s; set NIGHTLY=1: %s", o)
					continue
				}
				u.try(t, o)
			}
		})
	}
}

// try restarts the member with the options, and reads and writes through it.
func (u *unit) try(t *testing.T, o trial) {
	t.Helper()
	raw := map[string]any{"heartbeat_interval": 50, "election_timeout": 500}
	maps.Copy(raw, o)
	var problem string
	u.fleet.config, problem = operator.ParseConfig(raw)
	require.Empty(t, problem, "%s", o)
	s := u.server(operator.Initial{})
	u.do(operator.WriteMember{Server: s}, operator.Restart{})
	u.awaitReady(t, o)
	w := u.eventually("a member that serves with "+o.String(), func(w operator.World) bool {
		return w.Local.Ready && w.Reach == operator.Healthy && w.Service.Config == s.Digest()
	})
	require.Len(t, w.Members, 1)
	assert.Equal(t, u.fleet.config.QuotaBytes, w.Members[0].Quota, "%s", o)

	// A client with only one suite is served with it, over HTTP/2.
	var only []uint16
	version := uint16(tls.VersionTLS13)
	for _, suite := range tls.CipherSuites() {
		if list := u.fleet.config.CipherSuites; len(list) > 0 && suite.Name == firstOf(o["tls_cipher_suites"]) {
			only, version = []uint16{suite.ID}, tls.VersionTLS12
		}
	}
	value := strings.Repeat("v", cmp.Or(largest(o), 8))
	u.client(t, version, only, func(ctx context.Context, c *clientv3.Client) {
		_, err := c.Put(ctx, "fruit", value)
		require.NoError(t, err, "%s", o)
	})
	if largest(o) > 0 { // the accepted value must be readable from the log again
		u.do(operator.Restart{})
		u.awaitReady(t, o)
	}
	u.client(t, version, only, func(ctx context.Context, c *clientv3.Client) {
		got, err := c.Get(ctx, "fruit")
		require.NoError(t, err, "%s", o)
		require.Len(t, got.Kvs, 1)
		if string(got.Kvs[0].Value) != value { // not assert.Equal, which would print ten megabytes
			t.Errorf("%s: what is read is not what was written", o)
		}
		_, err = c.Delete(ctx, "fruit")
		require.NoError(t, err, "%s", o)
	})
}

func firstOf(list any) string {
	text, _ := list.(string)
	first, _, _ := strings.Cut(text, ",")
	return first
}

// largest returns the length of the largest value that the options allow, less the overhead of a
// request; 0 if they do not say.
func largest(o trial) int {
	n, _ := o["max_request_bytes"].(int64)
	return max(int(n)-512, 0)
}

// awaitReady waits as often as a hook would, however busy the machine is.
func (u *unit) awaitReady(t *testing.T, o trial) {
	t.Helper()
	var err error
	for range 6 {
		if err = u.Do(t.Context(), operator.AwaitReady{}); err == nil || u.look().Service.Failing {
			break
		}
	}
	require.NoError(t, err, "etcd with %s: %s", o, u.look().Service.Log)
}

// client calls the member as a client with one TLS version, and with the given suites if any.
func (u *unit) client(t *testing.T, version uint16, only []uint16, call func(context.Context, *clientv3.Client)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	config := u.access(nil).config(func(*x509.Certificate) {})
	config.MinVersion, config.MaxVersion, config.CipherSuites = tls.VersionTLS12, version, only
	url, err := url.Parse(u.url(u.fleet.config.Port))
	require.NoError(t, err)
	if only != nil {
		offer := config.Clone()
		offer.NextProtos = []string{"h2"}
		conn, err := (&tls.Dialer{Config: offer}).DialContext(ctx, "tcp", url.Host)
		require.NoError(t, err)
		state := conn.(*tls.Conn).ConnectionState()
		ignoreClose(conn)
		assert.Equal(t, only[0], state.CipherSuite)
		assert.Equal(t, "h2", state.NegotiatedProtocol)
	}
	const most = 64 << 20
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{url.String()}, TLS: config, MaxCallSendMsgSize: most,
		DialOptions: []grpc.DialOption{grpc.WithNoProxy()},
	})
	require.NoError(t, err)
	defer ignoreClose(c)
	call(ctx, c)
}

// TestOptionsThatKillEtcd shows why the bounds exist: etcd ends with values beyond them, which
// ParseConfig refuses. If etcd now accepts such a value, its bound is no longer needed.
func TestOptionsThatKillEtcd(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	for _, test := range []struct {
		raw  trial
		kill func(*operator.Config)
		last string
	}{
		{
			trial{"tls_cipher_suites": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
			func(c *operator.Config) { c.CipherSuites = []string{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"} },
			"HTTP/2-required",
		},
		{
			trial{"auto_compaction_retention": "5ns"},
			func(c *operator.Config) { c.CompactionRetention = "5ns" },
			"integer divide by zero",
		},
	} {
		_, problem := operator.ParseConfig(test.raw)
		assert.NotEmpty(t, problem, "%s", test.raw)
		s := u.server(operator.Initial{})
		test.kill(&s.Config)
		u.do(operator.WriteMember{Server: s}, operator.Restart{})
		u.eventually("a server that ends with "+test.raw.String(), func(w operator.World) bool { return w.Service.Failing })
		assert.Contains(t, u.journal(), test.last, "%s", test.raw)
		u.try(t, trial{}) // it can be mended
	}
}

// TestLongCertificate: a server certificate with as many of the longest names as extra_sans allows
// is served and accepted.
func TestLongCertificate(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	label := strings.Repeat("a", 62)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("%s.%s.%s.n%03d.%s", label, label, label, i, label[:58]))
	}
	c, problem := operator.ParseConfig(map[string]any{"extra_sans": strings.Join(names, ",")})
	require.Empty(t, problem)
	step := u.writeAll()
	step.ServerSANs = append(step.ServerSANs, c.ExtraSANs...)
	slices.Sort(step.ServerSANs)
	step.Trust, step.Revoked, step.Peer, step.Admin = false, nil, false, false
	u.do(step)
	assert.Equal(t, step.ServerSANs, u.look().TLS.Server.SANs)
	u.try(t, trial{})
}
