package operator

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// configured is m with other options.
func configured(t *testing.T, m Model, raw map[string]any) Model {
	t.Helper()
	var problem string
	m.Config, problem = ParseConfig(raw)
	require.Empty(t, problem)
	return m
}

// TestRule12OptionsMeetTheWorld: options that are valid in themselves, but that the machine or the
// data would refuse, block the unit before anything is changed. Without the obstacle they are
// applied.
func TestRule12OptionsMeetTheWorld(t *testing.T) {
	t.Parallel()
	listening := func(at ...string) func(*World) {
		return func(w *World) {
			for _, text := range at {
				w.Machine.Listening = append(w.Machine.Listening, netip.MustParseAddrPort(text))
			}
		}
	}
	low := func(w *World) { w.Machine.LowestPort = 1024 }
	full := func(w *World) { w.Members[1].DBSize = 20 << 20 }
	split := map[string]any{"split_http": true}
	tests := []struct {
		name    string
		raw     map[string]any
		meets   func(*World)
		refusal string
	}{
		{"a port that only root may bind", map[string]any{"port": 443}, low, "option port: 443 may not be bound here; set 1024 or above"},
		{"the lowest port that anybody may bind", map[string]any{"port": 1024}, low, ""},
		{"a low port on a machine that allows it", map[string]any{"port": 443}, func(w *World) { w.Machine.LowestPort = 80 }, ""},
		{"each port counts", map[string]any{"split_http": true, "http_port": 80}, low, "option http_port: 80 may"},
		{"a port that is taken", map[string]any{"port": 3379}, listening("0.0.0.0:3379"), "option port: 0.0.0.0:3379 is taken; juju config etcd port=…"},
		{"taken for peers", map[string]any{"management_port": 3380}, listening("127.0.0.1:3380"), "option management_port: 127.0.0.1:3380 is taken"},
		{"taken for metrics", map[string]any{"metrics_port": 3381}, listening("[::]:3381"), "option metrics_port: [::]:3381 is taken"},
		{"metrics elsewhere", map[string]any{"metrics_port": 3381}, listening("10.0.0.10:3381", "[::1]:3381"), ""},
		{"taken for HTTP", split, listening("[::]:2382"), "option http_port: [::]:2382 is taken"},
		{"IPv6 beside the wildcard of IPv4", map[string]any{"port": 3379}, listening("[::1]:3379"), ""},
		{"our own sockets", split, listening("0.0.0.0:2379", "0.0.0.0:2380", "127.0.0.1:2381"), ""},
		{"our ports change places", map[string]any{"port": 2380, "management_port": 2379}, listening("0.0.0.0:2379", "0.0.0.0:2380"), ""},
		{"another beside ours, where all interfaces are wanted", split, listening("0.0.0.0:2379", "127.0.0.7:2379"), "option port: 127.0.0.7:2379 is taken"},
		{"a quota that the data exceeds", map[string]any{"quota_backend_bytes": 16 << 20}, full, "quota_backend_bytes 16777216 is too low: etcd/0 has 25165824"},
		{"a quota that the data fits", map[string]any{"quota_backend_bytes": 32 << 20}, full, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := model(3)
			w := world(m)
			w.Service.Listens = []string{"https://0.0.0.0:2379", "https://0.0.0.0:2380", "http://127.0.0.1:2381"}
			m = configured(t, m, test.raw)
			test.meets(&w)
			e := Event{Kind: hooks.ConfigChanged}
			p := Decide(e, m, w)
			if test.refusal == "" {
				assert.Equal(t, TakeTurn{}, p.Step, "%s", p.Status.Message)
				return
			}
			assert.Nil(t, p.Step, "what runs goes on")
			assert.Equal(t, Blocked, p.Status.Level)
			assert.Contains(t, p.Status.Message, test.refusal)
			var said bool
			for _, reason := range Examine(m, w).Reasons {
				said = said || strings.Contains(reason.String(), test.refusal)
			}
			assert.True(t, said, "health says it too")

			// On a unit with nothing on its disk, nothing is founded.
			fm, fw := fresh(1)
			fm.Config, fw.Machine = m.Config, w.Machine
			if fw.Machine.LowestPort != 0 || len(fw.Machine.Listening) != 0 {
				p = Decide(e, fm, fw)
				assert.Nil(t, p.Step)
				assert.Contains(t, p.Status.Message, "option ")
			}

			// What runs with it has shown that it works, and an alarm speaks for itself.
			w.Service.Config = newView(Event{}, m, w).desiredDigest
			w.WrittenConfig = w.Service.Config
			for i := range w.Members {
				w.Members[i].Quota = m.Config.QuotaBytes
			}
			assert.Empty(t, newView(e, m, w).refusal.String())
		})
	}
}

// TestOutgrownQuota: data that has outgrown the quota of all members holds up no other change.
func TestOutgrownQuota(t *testing.T) {
	t.Parallel()
	m := model(3)
	m = configured(t, m, map[string]any{"quota_backend_bytes": 16 << 20})
	w := world(m)
	for i := range w.Members {
		w.Members[i].Quota = 16 << 20
	}
	m = configured(t, m, map[string]any{"quota_backend_bytes": 16 << 20, "log_level": "warn"})
	assert.Empty(t, newView(Event{}, m, w).refusal.String())
	m = configured(t, m, map[string]any{"quota_backend_bytes": 32 << 20})
	assert.Empty(t, newView(Event{}, m, w).refusal.String(), "more is the way out")
}

// TestTakenPortOfAMember: a member that keeps failing says which process has its port. One that may
// be the listener itself is not reported.
func TestTakenPortOfAMember(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.Machine.Listening = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:2380")}
	w.Local = Local{}
	w.Service.Failing, w.Service.Running, w.Service.Log = true, false, "bind: address already in use"
	w.Done = []Step{Start{}}
	p := Decide(Event{Kind: hooks.UpdateStatus}, m, down(w, 0))
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "option management_port: 0.0.0.0:2380 is taken")

	w.Service.Running, w.Service.Listens = true, nil
	assert.Empty(t, newView(Event{}, m, w).refusal.String(), "nobody knows what the live process listens on")
}

// TestOwnWildcardIsNotTaken: a member that listens on all addresses, as most do, may take up other options.
func TestOwnWildcardIsNotTaken(t *testing.T) {
	t.Parallel()
	m := configured(t, model(3), map[string]any{"snapshot_count": 1000})
	w := world(m)
	w.Service.Config = "of before"
	w.Service.Listens = []string{"https://0.0.0.0:2379", "https://0.0.0.0:2380", "http://127.0.0.1:2381"}
	for _, port := range []string{"[::]:2379", "[::]:2380", "127.0.0.1:2381"} { // as Go listens where it is told 0.0.0.0
		w.Machine.Listening = append(w.Machine.Listening, netip.MustParseAddrPort(port))
	}
	assert.Empty(t, newView(lookAgain, m, w).refusal.String())
	w.Service.Listens = w.Service.Listens[1:]
	assert.Contains(t, newView(lookAgain, m, w).refusal.String(), "option port: [::]:2379 is taken")
}

// TestTakenPortOfAProxy: the same for the one port of a proxy.
func TestTakenPortOfAProxy(t *testing.T) {
	t.Parallel()
	m := Model{Unit: "px/0", App: "px", PeerAddress: Know(Address{Ingress: "10.0.0.9"}), ClientAddress: Know(Address{Ingress: "10.0.0.9"})}
	m = configured(t, m, map[string]any{"role": "proxy"})
	w := World{Machine: Machine{Listening: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:2379"), netip.MustParseAddrPort("0.0.0.0:2380")}}}
	assert.Equal(t, "option port: 0.0.0.0:2379 is taken; juju config px port=…",
		newView(Event{}, m, w).refusal.String())
	w.Service = Service{Kind: ProxyService, Enabled: true, Running: true, Listens: []string{"http://127.0.0.1:2379"}}
	w.Machine.Listening[0] = netip.MustParseAddrPort("127.0.0.1:2379")
	assert.Empty(t, newView(Event{}, m, w).refusal.String(), "that is the proxy itself")
	w.Service, w.Machine.Listening = Service{}, []netip.AddrPort{netip.MustParseAddrPort("[::1]:2379")}
	assert.Empty(t, newView(Event{}, m, w).refusal.String(), "it can do without that one")
}

// TestPortInUse: if a service keeps failing because of a port, the status names the option of that
// port, whichever it is. A socket may be bound without listening, and is then in no list.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	inUse := func(at string) string { return "listen tcp " + at + ": bind: address already in use" }
	for _, test := range []struct{ name, log, want string }{
		{"clients", inUse("0.0.0.0:2379"), "option port: 0.0.0.0:2379 is taken; juju config etcd port="},
		{"clients, by IPv6", inUse("[::]:2379"), "option port: [::]:2379 is taken"},
		{"peers", inUse("10.0.0.10:2380"), "option management_port: 10.0.0.10:2380 is taken; juju config etcd management_port="},
		{"metrics", "creating metrics listener failed: " + inUse("127.0.0.1:2381"), "option metrics_port: 127.0.0.1:2381 is taken"},
		{"HTTP", inUse("0.0.0.0:2382"), "option http_port: 0.0.0.0:2382 is taken"},
		{"a port of no option", inUse("0.0.0.0:9999"), "etcd keeps failing: listen tcp 0.0.0.0:9999"},
		{"another trouble with it", "listen tcp 0.0.0.0:2379: bind: cannot assign requested address", "etcd keeps failing: listen tcp"},
		{"no address", inUse("nowhere"), "etcd keeps failing: listen tcp nowhere"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := configured(t, model(3), map[string]any{"split_http": true})
			w := down(world(m), 0)
			w.Local = Local{}
			w.Service.Failing, w.Service.Running, w.Service.Log = true, false, test.log
			w.Done = []Step{Start{}}
			assert.Contains(t, texts(Examine(m, w).Reasons), test.want)
			if strings.HasPrefix(test.want, "option") {
				assert.NotContains(t, texts(Examine(m, w).Reasons), "keeps failing")
			}
		})
	}
}

// TestTakenPortOfAProxyThatFails: it is started once in a hook, and told whose port it is.
func TestTakenPortOfAProxyThatFails(t *testing.T) {
	t.Parallel()
	m, w := healthyProxy(1)
	w.Carried, w.Installed, w.Service.Enabled = release, release, true
	w.Service.Failing, w.Service.Running = true, false
	w.Service.Log = "cannot listen for clients: listen tcp 127.0.0.1:2379: bind: address already in use"
	written := Decide(lookAgain, m, w).Step.(WriteProxy).Upstream
	w.Proxy.Written = written.Digest()
	assert.Equal(t, Start{}, Decide(lookAgain, m, w).Step)
	w.Done = []Step{Start{}}
	for _, listening := range []string{"127.0.0.1:2379", "0.0.0.0:2379", "[::]:2379", ""} {
		w.Machine.Listening = nil
		if listening != "" {
			w.Machine.Listening = []netip.AddrPort{netip.MustParseAddrPort(listening)}
		}
		p := Decide(lookAgain, m, w)
		assert.Nil(t, p.Step, "the service manager tries again by itself")
		assert.Equal(t, Blocked, p.Status.Level)
		assert.Regexp(t, `^option port: .*:2379 is taken; juju config etcd-proxy port=…`, p.Status.Message)
		assert.NotContains(t, p.Status.Message, "keeps failing")
		assert.Equal(t, Unhealthy, Examine(m, w).Health, "an application behind it can do nothing")
	}
}

// TestSocketOfAProxy: besides the port or instead of it, for a group that exists.
func TestSocketOfAProxy(t *testing.T) {
	t.Parallel()
	const path = "/run/etcd-charm/px-0/etcd.sock"
	m := Model{Unit: "px/0", App: "px", PeerAddress: Know(Address{Ingress: "10.0.0.9"}), ClientAddress: Know(Address{Ingress: "10.0.0.9"})}
	m = configured(t, m, map[string]any{"role": "proxy", "socket_group": "users"})
	m.Relations = related(m, upstreamEndpoint, upstreamRelation("etcd0=http://10.0.0.10:2380"))
	w := World{Carried: release, Installed: release, Socket: path}
	both, ok := Decide(lookAgain, m, w).Step.(WriteProxy)
	require.True(t, ok)
	assert.Equal(t, []string{"127.0.0.1:2379"}, both.Upstream.Listen)
	assert.Equal(t, []string{"[::1]:2379"}, both.Upstream.Also())
	assert.Equal(t, Socket{path, "users"}, both.Upstream.Socket)
	assert.Equal(t, "CHARM_LISTEN=http://127.0.0.1:2379,unix://"+path+"?group=users", both.Upstream.Env()[0])

	m.Config.Port = 0
	alone, ok := Decide(lookAgain, m, w).Step.(WriteProxy)
	require.True(t, ok)
	assert.Empty(t, alone.Upstream.Listen)
	assert.Empty(t, alone.Upstream.Also())
	assert.NotEqual(t, both.Upstream.ProcessDigest(), alone.Upstream.ProcessDigest())
	w.Machine.LowestPort = 1024
	assert.True(t, newView(lookAgain, m, w).usable(), "no port is none below another")

	// With options that are refused it keeps the socket that it has.
	w.Service = Service{Kind: ProxyService, Running: true, Enabled: true, Listens: both.Upstream.URLs()}
	w.Machine.NoGroup = true
	m.Config.SocketGroup = "nobodys"
	kept, ok := Decide(lookAgain, m, w).Step.(WriteProxy)
	require.True(t, ok)
	assert.Equal(t, both.Upstream.ProcessDigest(), kept.Upstream.ProcessDigest())
	w.Proxy.Written, w.Service.Config = kept.Upstream.Digest(), kept.Upstream.ProcessDigest()
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "option socket_group: no group nobodys here; groupadd --system nobodys")

	// A new unit is not started.
	w.Service, w.Proxy = Service{}, ProxyFiles{}
	assert.Nil(t, Decide(lookAgain, m, w).Step)
	w.Machine.NoGroup = false
	assert.IsType(t, WriteProxy{}, Decide(lookAgain, m, w).Step)
}

// TestListensText: where a proxy listens is told as it is.
func TestListensText(t *testing.T) {
	t.Parallel()
	m, w := healthyProxy(1)
	w.Socket = "/run/etcd-charm/px-0/etcd.sock"
	assert.Contains(t, Examine(m, w).Table(), "listens  127.0.0.1:2379\n")
	m.Config.SocketGroup = "users"
	r := Examine(m, w)
	assert.Contains(t, r.Table(), "listens  127.0.0.1:2379, /run/etcd-charm/px-0/etcd.sock (group users)\n")
	assert.Equal(t, []any{"127.0.0.1:2379", w.Socket, "users"}, []any{r.Values()["listen"], r.Values()["socket"], r.Values()["socket-group"]})
	m.ClientAddress = Know(Address{Ingress: "127.0.7.1"}) // as where many units share a machine
	assert.Contains(t, Examine(m, w).Table(), "listens  127.0.7.1:2379,")
}

// TestRefusedProxyFollows: an option that is refused holds up no change of members or credentials;
// the proxy stays where it listens.
func TestRefusedProxyFollows(t *testing.T) {
	t.Parallel()
	m := model(1)
	m = configured(t, m, map[string]any{"role": "proxy", "port": 3379})
	m.Relations = related(m, upstreamEndpoint, upstreamRelation("etcd0=http://10.0.0.10:2380"))
	w := World{
		Carried: release, Installed: release,
		Service: Service{Kind: ProxyService, Enabled: true, Running: true, Listens: []string{"http://127.0.0.1:2379"}},
		Machine: Machine{Listening: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:3379")}},
	}
	write, ok := Decide(lookAgain, m, w).Step.(WriteProxy)
	require.True(t, ok)
	assert.Equal(t, []string{"127.0.0.1:2379"}, write.Upstream.Listen)

	m.ConfigProblem, m.Config = "option port: 0 is not between 1 and 65535", Config{}
	write, ok = Decide(lookAgain, m, w).Step.(WriteProxy)
	require.True(t, ok)
	assert.Equal(t, []string{"127.0.0.1:2379"}, write.Upstream.Listen)

	// If that is written and runs, nothing more is done, and the status says what is refused.
	w.Proxy.Written, w.Service.Config = write.Upstream.Digest(), write.Upstream.ProcessDigest()
	p := Decide(lookAgain, m, w)
	assert.Nil(t, p.Step)
	assert.Equal(t, Status{Blocked, m.ConfigProblem + "; no member of upstream is known yet"}, p.Status)

	w.Service = Service{}
	p = Decide(lookAgain, m, w)
	assert.Nil(t, p.Step, "a new one has nowhere to listen")
}
