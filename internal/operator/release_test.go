package operator

import (
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Two servers and two proxies in four builds; release is that of a charm that had no IDs.
const (
	buildA      = "3.7.3-saaaaaaaaaaaa-paaaaaaaaaaaa-000000000001"
	againA      = "3.7.3-saaaaaaaaaaaa-paaaaaaaaaaaa-000000000002"
	otherServer = "3.7.3-sbbbbbbbbbbbb-paaaaaaaaaaaa-000000000003"
	otherProxy  = "3.7.3-saaaaaaaaaaaa-pbbbbbbbbbbbb-000000000004"
)

func TestReleaseNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, buildA, ReleaseName("3.7.3", "saaaaaaaaaaaa-paaaaaaaaaaaa", "000000000001"))
	assert.Equal(t, release, ReleaseName("3.7.3", "", "0123456789ab"))
	for name, want := range map[string][2]string{
		otherServer: {"bbbbbbbbbbbb", "aaaaaaaaaaaa"},
		otherProxy:  {"aaaaaaaaaaaa", "bbbbbbbbbbbb"},
		"3.8.0-rc.1-saaaaaaaaaaaa-pbbbbbbbbbbbb-000000000001": {"aaaaaaaaaaaa", "bbbbbbbbbbbb"},

		"": {}, release: {}, "nightly": {}, "3.7.3-s-p-0": {}, "3.7.3-x-y-0": {}, "3.7.3-saaaaaaaaaaaa-000000000001": {},
	} {
		assert.Equal(t, want, [2]string{ServerID(name), ProxyID(name)}, name)
	}
}

// refreshed is a world in which the carried release is installed, and the one before it runs.
func refreshed(from, to string) (Model, World) {
	m := model(3)
	w := world(m)
	w.Carried, w.Installed, w.Service.Release = from, from, from
	w.Service.Config = newView(lookAgain, m, w).desiredDigest
	w.WrittenConfig, w.WrittenRelease = w.Service.Config, from
	w.Carried, w.Installed = to, to
	w.Kept.Snapshots = []Snapshot{{Work: upgradeID(to), Why: beforeUpgrade}} // see TestASnapshotBeforeAnUpgrade
	return m, w
}

// TestARefreshRestartsForAnotherServer: a member goes on with the copy that it runs from as long as
// that has the same server as the carried one. Any restart for another reason takes up the carried
// copy.
func TestARefreshRestartsForAnotherServer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from, to string
		restarts bool
	}{
		"the same build":         {buildA, buildA, false},
		"the same server":        {buildA, againA, false},
		"the same server, back":  {againA, buildA, false},
		"another proxy":          {buildA, otherProxy, false},
		"another server":         {buildA, otherServer, true},
		"another server, back":   {otherServer, buildA, true},
		"of a charm without IDs": {release, buildA, true},
		"to a charm without IDs": {buildA, release, true},
		"two without IDs":        {release, "3.7.3-ba9876543210", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := refreshed(tt.from, tt.to)
			w.Installed = tt.from
			if tt.from != tt.to {
				assert.Equal(t, Install{tt.to}, firstStep(m, w))
			}
			w.Installed = tt.to
			p := Decide(Event{Kind: hooks.UpgradeCharm}, m, w)
			if tt.restarts {
				assert.Equal(t, TakeTurn{}, p.Step)
				assert.Equal(t, tt.to, newView(lookAgain, m, w).desired.Release)
				return
			}
			require.Nil(t, p.Step)
			assert.Equal(t, Active, p.Status.Level, p.Status.Message)

			other := m
			other.Config.SnapshotCount++
			require.Equal(t, TakeTurn{}, firstStep(other, w))
			w.Turn.Holder, w.Done = m.Unit, []Step{TakeTurn{}}
			step, writes := firstStep(other, w).(WriteMember)
			require.True(t, writes)
			assert.Equal(t, tt.to, step.Server.Release, "the carried copy is taken up")
		})
	}
}

// A server that is started, not restarted, takes up the carried copy as well.
func TestAStartTakesUpTheCarriedCopy(t *testing.T) {
	t.Parallel()
	m, w := refreshed(buildA, againA)
	w = down(w, 0)
	w.Service.Running, w.Service.Config, w.Service.Release, w.Local = false, "", "", Local{}
	step, writes := firstStep(m, w).(WriteMember)
	require.True(t, writes)
	assert.Equal(t, againA, step.Server.Release)
}

// Settings of somebody else in the process are no reason to restart for a new copy either.
func TestASameServerWithForeignSettings(t *testing.T) {
	t.Parallel()
	m, w := refreshed(buildA, againA)
	m.Memory = Know(Memory{Foreign: w.Service.Config})
	w.Service.Config = Altered
	assert.Nil(t, firstStep(m, w))
	m, w = refreshed(buildA, otherServer)
	m.Memory = Know(Memory{Foreign: w.Service.Config})
	w.Service.Config = Altered
	assert.Equal(t, TakeTurn{}, firstStep(m, w))
}

// Members of builds with the same server have the same generation, so no raft leader waits for a
// unit that needs no restart.
func TestGenerationsOfBuilds(t *testing.T) {
	t.Parallel()
	of := func(build string, paths ...string) string { return Server{Release: build, Paths: paths}.Generation() }
	assert.Equal(t, of(buildA), of(againA))
	assert.Equal(t, of(buildA), of(otherProxy))
	assert.NotEqual(t, of(buildA), of(otherServer))
	assert.NotEqual(t, of(buildA), of(release))
	assert.NotEqual(t, of(release), of("3.7.3-ba9876543210"))
	assert.Equal(t, of(buildA, "ETCD_DATA_DIR=/etcd-0"), of(buildA, "ETCD_DATA_DIR=/etcd-1"))
	assert.NotEqual(t, of(buildA, "ETCD_DATA_DIR=/etcd-0"), of(buildA, "ETCD_DATA_DIR=/etcd-0", "ETCD_WAL_DIR=/etcd-0"), "a line more")

	m, w := refreshed(buildA, againA)
	before := newView(lookAgain, m, w).word()
	assert.NotEmpty(t, before.Running)
	w.Service.Release, w.Service.Config = againA, newView(lookAgain, m, w).desired.on(againA)
	assert.Equal(t, before, newView(lookAgain, m, w).word(), "a unit that has taken up the copy says nothing new")
}

// TestAProxyRestartsForAnotherProxy is the same for the proxy.
func TestAProxyRestartsForAnotherProxy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		to       string
		port     int
		restarts bool
	}{
		"the same build":            {to: buildA},
		"the same proxy":            {to: againA},
		"another server":            {to: otherServer},
		"another proxy":             {to: otherProxy, restarts: true},
		"to a charm without IDs":    {to: release, restarts: true},
		"the same, on another port": {to: againA, port: 4001, restarts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyProxy(1)
			m.Units, m.Leader = Know(map[string]Life{m.Unit: Alive}), Know(true)
			provider := databag.Relation{
				ID: "upstream:4", Endpoint: "upstream", App: "etcd", Units: map[string]databag.Bag{"etcd/0": {"cluster": "etcd0=http://10.0.0.10:2380"}},
			}
			m.Relations = related(m, upstreamEndpoint, provider)
			w.Carried, w.Installed, w.Service.Release = buildA, buildA, buildA
			first, writes := firstStep(m, w).(WriteProxy)
			require.True(t, writes)
			w.Proxy.Written, w.Service.Config = first.Upstream.Digest(), first.Upstream.ProcessDigest()
			require.Nil(t, firstStep(m, w))

			w.Carried, w.Installed = tt.to, tt.to
			if tt.port != 0 {
				m.Config.Port = tt.port
			}
			step := firstStep(m, w)
			if !tt.restarts {
				assert.Nil(t, step)
				provider.Units["etcd/0"]["cluster"] = "etcd1=http://10.0.0.11:2380"
				step, writes := firstStep(m, w).(WriteProxy)
				require.True(t, writes)
				assert.Equal(t, buildA, step.Upstream.Release, "other members are no reason to restart")
				return
			}
			now, writes := step.(WriteProxy)
			require.True(t, writes)
			assert.Equal(t, tt.to, now.Upstream.Release)
			w.Proxy.Written = now.Upstream.Digest()
			assert.Equal(t, Restart{}, firstStep(m, w))
		})
	}
}
