package operator

import (
	"errors"
	"slices"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Settings on disk that the charm did not write are written again from what runs, with no restart
// and no turn.
func TestSpoiltSettingsAreWrittenAgain(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	w.WrittenConfig = Altered
	assert.Equal(t, RevertMember{}, firstStep(m, w))
	w.Reach, w.Members = NoQuorum, nil
	assert.Equal(t, RevertMember{}, firstStep(m, w), "nobody need be asked")
	w.Service.Config = Altered
	assert.NotEqual(t, RevertMember{}, firstStep(m, w), "what runs is no better")
	w.Service.Running, w.Service.Config, w.Local = false, "", Local{}
	assert.IsType(t, WriteMember{}, firstStep(m, w), "before it is started")
}

// A server that was started with settings that the charm did not write restarts once, in its turn.
// What somebody else adds to its environment is there again afterwards.
func TestAServerWithForeignSettingsRestartsOnce(t *testing.T) {
	t.Parallel()
	m := model(3)
	w := world(m)
	sum := w.WrittenConfig
	w.Service.Config = Altered
	require.Equal(t, TakeTurn{}, firstStep(m, w))
	held := down(w, 1)
	assert.Nil(t, firstStep(m, held), "there is nothing to go back to")
	assert.Equal(t, Waiting, Decide(lookAgain, m, held).Status.Level)

	w.Turn.Holder, w.Done = m.Unit, []Step{TakeTurn{}}
	require.Equal(t, Restart{}, firstStep(m, w))
	mended := w
	mended.Done, mended.Service.Config = append(mended.Done, Restart{}), sum
	assert.Equal(t, ReleaseTurn{}, firstStep(m, mended))

	w.Done = append(w.Done, Restart{})
	require.Equal(t, ReleaseTurn{}, firstStep(m, w), "not again")
	raced := w
	raced.Done = append(slices.Clone(w.Done), WriteMember{})
	require.Equal(t, Restart{}, firstStep(m, raced), "it was spoilt again just before the restart, and is written since")
	w.Turn.Holder = ""
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, sum, after(m, p).Foreign)
	assert.Equal(t, Blocked, p.Status.Level)
	assert.Contains(t, p.Status.Message, "the service has settings that are not the charm's; see health")
	assert.NotEmpty(t, wordOf(p).Running, "the raft leader does not wait for it")

	// The next hook remembers it, until there is another reason to restart, or it is gone.
	m.Memory.Value.Foreign, w.Done = sum, nil
	p = Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, Blocked, p.Status.Level)
	newer := m
	newer.Config.SnapshotCount++
	assert.Equal(t, TakeTurn{}, firstStep(newer, w))
	w.Service.Config = sum
	p = Decide(lookAgain, m, w)
	assert.Empty(t, after(m, p).Foreign)
	assert.Equal(t, Active, p.Status.Level)

	failing := world(m)
	failing.Service.Config, failing.Service.Failing, failing.Local, failing.Done = Altered, true, Local{}, []Step{Restart{}}
	assert.Nil(t, firstStep(m, failing), "one restart in a hook")
}

func TestAProxyWithForeignSettingsRestartsOnce(t *testing.T) {
	t.Parallel()
	m := model(1)
	m.Config.Role = RoleProxy
	m.Relations = related(m, upstreamEndpoint, databag.Relation{
		ID: "upstream:1", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{"etcd/0": {"cluster": "etcd0=http://10.0.0.1:2380"}},
	})
	w := World{Carried: release, Installed: release, Service: Service{Kind: ProxyService, Enabled: true, Running: true, Config: Altered}}
	w.Tried = []Attempt{{WriteProxy{}, errors.New("to learn what is wanted")}}
	require.Nil(t, firstStep(m, w))
	w.Tried = nil
	step, ok := firstStep(m, w).(WriteProxy)
	require.True(t, ok)
	w.Proxy.Written = step.Upstream.Digest()
	require.Equal(t, Restart{}, firstStep(m, w))
	w.Done = []Step{Restart{}}
	p := Decide(Event{Kind: hooks.UpdateStatus}, m, w)
	require.Nil(t, p.Step)
	assert.Equal(t, step.Upstream.ProcessDigest(), after(m, p).Foreign)
	assert.Equal(t, Blocked, p.Status.Level)
	m.Memory = Know(Memory{Foreign: after(m, p).Foreign})
	w.Done = nil
	assert.Nil(t, firstStep(m, w))
}
