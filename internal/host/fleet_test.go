package host

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
	"github.com/juju-charms/etcd-charm/internal/sim/pid1"
	"github.com/juju-charms/etcd-charm/test/built"
	"github.com/juju-charms/etcd-charm/test/path"
)

// lastAddress gives each unit of each test its own loopback address; the process number keeps two
// test binaries apart.
var lastAddress atomic.Int32

func freshAddress() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 20+pid%200, pid/200%250, lastAddress.Add(1))
}

// fleet is the units of one application on this machine, with what Juju would know of them.
type fleet struct {
	authority *pki.Authority
	record    operator.AppBag
	units     []*unit
	config    operator.Config
}

// Supervised gives a host's machine a stand-in for systemd, which ends with the test. Its services
// have the variables of a web proxy in their environment.
func Supervised(tb testing.TB, h *Host) *pid1.Manager {
	tb.Helper()
	machine := pid1.New(h.root, "HTTPS_PROXY=http://127.0.0.1:1")
	require.NoError(tb, machine.Prepare())
	tb.Cleanup(machine.Halt)
	h.supervisor.run = machine.Run
	return machine
}

type unit struct {
	*Host
	machine *pid1.Manager
	t       testing.TB
	fleet   *fleet
	ip      string
	word    operator.UnitBag
	way     string // where others reach its clients' port, host:port; "" is at its address
}

// far puts a slow path between u's client port and all others.
func (u *unit) far(p path.Path) {
	u.t.Helper()
	l, err := p.To(fmt.Sprintf("%s:%d", u.ip, u.fleet.config.Port))
	require.NoError(u.t, err)
	u.t.Cleanup(func() { l.Close() })
	u.way = l.Addr().String()
}

// clientURL returns the URL at which others reach u's client port.
func (u *unit) clientURL() string {
	if u.way != "" {
		return "https://" + u.way
	}
	return u.url(u.fleet.config.Port)
}

func newFleet(tb testing.TB) *fleet {
	tb.Helper()
	config, problem := operator.ParseConfig(map[string]any{
		"heartbeat_interval": 50, "election_timeout": 500, "log_level": "info",
	})
	require.Empty(tb, problem)
	authority, err := New(Options{Unit: "etcd/0"}).NewAuthority("etcd")
	require.NoError(tb, err)
	return &fleet{authority: authority, config: config}
}

// add makes a unit; its service ends with the test.
func (f *fleet) add(tb testing.TB) *unit {
	tb.Helper()
	u := &unit{t: tb, fleet: f, ip: freshAddress()}
	u.Host = New(Options{Root: tb.TempDir(), Unit: fmt.Sprintf("etcd/%d", len(f.units)), Binary: built.Self(tb)})
	u.machine = Supervised(tb, u.Host)
	f.units = append(f.units, u)
	tb.Cleanup(func() {
		if err := u.Do(context.WithoutCancel(tb.Context()), operator.Stop{Why: "test ends"}); err != nil {
			tb.Errorf("cannot stop %s: %v", u.unitName, err)
		}
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", u.unitName, u.journal())
		}
	})
	return u
}

// journal returns what u's service has printed, and systemd's lines about it.
func (u *unit) journal() string {
	text, _ := os.ReadFile(u.machine.Journal(u.serviceName())) // it may never have run
	return string(text)
}

func (u *unit) model() operator.Model {
	m := operator.Model{
		UUID: "5f9d2c3e-0000-4000-8000-000000000000", Unit: u.unitName, App: "etcd", Config: u.fleet.config,
		Authority: operator.Know(u.fleet.authority),
		Cluster: operator.Know(operator.Cluster{
			RelationID: "cluster:1", AppBag: u.fleet.record, UnitBags: map[string]operator.UnitBag{},
		}),
		Units: operator.Know(map[string]operator.Life{}),
	}
	for _, other := range u.fleet.units {
		m.Units.Value[other.unitName] = operator.Alive
		if other != u {
			m.Cluster.Value.UnitBags[other.unitName] = other.word
		}
	}
	return m
}

func (u *unit) look() operator.World {
	u.t.Helper()
	w, err := u.Observe(u.t.Context(), u.model())
	require.NoError(u.t, err)
	return w
}

// do does steps as a pass does, with a look before each.
func (u *unit) do(steps ...operator.Step) {
	u.t.Helper()
	for _, s := range steps {
		u.look()
		require.NoError(u.t, u.Do(u.t.Context(), s), "%s: %s", u.unitName, s)
	}
}

// here does steps that concern only u's own machine, and asks no member.
func (u *unit) here(steps ...operator.Step) {
	u.t.Helper()
	for _, s := range steps {
		require.NoError(u.t, u.Do(u.t.Context(), s), "%s: %s", u.unitName, s)
	}
}

// carries returns the name of the release that u carries.
func (u *unit) carries() string {
	u.t.Helper()
	name, err := carriedRelease(u.carried, u.stamp)
	require.NoError(u.t, err)
	return name
}

// eventually looks until the world is as wanted.
func (u *unit) eventually(what string, wanted func(operator.World) bool) operator.World {
	u.t.Helper()
	var w operator.World
	ctx, cancel := context.WithTimeout(u.t.Context(), 30*time.Second)
	defer cancel()
	err := poll(ctx, 20*time.Millisecond, func(context.Context) (bool, error) {
		w = u.look()
		return wanted(w), nil
	})
	require.NoError(u.t, err, "%s: %s never came; the last look: %+v", u.unitName, what, w)
	return w
}

func (u *unit) url(port int) string { return fmt.Sprintf("https://%s:%d", u.ip, port) }

func (u *unit) server(initial operator.Initial) operator.Server {
	c := u.fleet.config
	var http []string
	if c.HTTPPort != 0 {
		http = []string{u.url(c.HTTPPort)}
	}
	return operator.Server{
		Name: strings.ReplaceAll(u.unitName, "/", ""), Release: u.carries(),
		ListenPeer: []string{u.url(c.ManagementPort)}, ListenClient: []string{u.url(c.Port)}, ListenHTTP: http,
		ListenMetric: fmt.Sprintf("http://%s:%d", u.ip, c.MetricsPort),
		PeerURL:      u.url(c.ManagementPort), ClientURL: u.clientURL(),
		Trust: u.fleet.authority.Trust(), Config: c, Paths: u.memberPaths(), Initial: initial,
	}
}

func (u *unit) writeAll() operator.WriteTLS {
	return operator.WriteTLS{
		Authority: u.fleet.authority, CommonName: u.unitName,
		PeerSANs: []string{u.ip, "127.0.0.1"}, ServerSANs: []string{u.ip, "127.0.0.1", "localhost"}, // loopback calls from 127.0.0.1
		Trust: true, Revoked: &operator.Revoked{ModelUUID: u.model().UUID}, Peer: true, Server: true, Admin: true,
	}
}

func (u *unit) prepare() {
	u.t.Helper()
	u.here(operator.Install{Release: u.carries()}, u.writeAll())
}

func (u *unit) tell(w operator.World) {
	u.word = operator.UnitBag{
		PeerURL: u.url(u.fleet.config.ManagementPort), ClientURL: u.clientURL(),
		ClusterID: w.Data.ClusterID, MemberID: w.Data.MemberID,
	}
}

// found makes u the first member.
func (u *unit) found() operator.World {
	u.t.Helper()
	u.prepare()
	peerURL := u.url(u.fleet.config.ManagementPort)
	s := u.server(operator.Initial{New: true, Token: u.ip, Cluster: strings.ReplaceAll(u.unitName, "/", "") + "=" + peerURL})
	u.here(operator.WriteMember{Server: s}, operator.Start{})
	u.do(operator.AwaitReady{})
	w := u.eventually("a founded cluster", func(w operator.World) bool { return w.Reach == operator.Healthy })
	u.fleet.record.ClusterID = w.ClusterID
	u.tell(w)
	return w
}

// learn makes u join as a learner that serves.
func (u *unit) learn() operator.World {
	u.t.Helper()
	u.prepare()
	peerURL := u.url(u.fleet.config.ManagementPort)
	u.do(operator.AddLearner{PeerURL: peerURL})
	name := strings.ReplaceAll(u.unitName, "/", "")
	var cluster []string
	for _, m := range u.look().Members {
		if m.PeerURLs[0] == peerURL {
			m.Name = name
		}
		cluster = append(cluster, m.Name+"="+m.PeerURLs[0])
	}
	s := u.server(operator.Initial{Cluster: strings.Join(cluster, ",")})
	u.here(operator.WriteMember{Server: s}, operator.Start{})
	u.do(operator.AwaitReady{Learner: true})
	return u.eventually("own data", func(w operator.World) bool { return w.Data.State == operator.OurData })
}

// join makes u a voter.
func (u *unit) join() operator.World {
	u.t.Helper()
	w := u.learn()
	u.do(operator.Promote{ID: w.Data.MemberID}, operator.AwaitReady{})
	u.tell(w)
	return u.look()
}

func voters(w operator.World) int {
	n := 0
	for _, m := range w.Members {
		if !m.Learner {
			n++
		}
	}
	return n
}
