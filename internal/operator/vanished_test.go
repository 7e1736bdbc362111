package operator

import (
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

func TestDesertion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		was  Desertion
		bag  OwnBag
		want Desertion
	}{
		{"", BagThere, deserted},
		{"", BagUnclear, deserted},
		{"", BagNotFound, missing},
		{deserted, BagThere, deserted},
		{deserted, BagUnclear, deserted},
		{deserted, BagNotFound, missing},
		{missing, BagThere, deserted},
		{missing, BagUnclear, missing},
		{missing, BagNotFound, vanished},
		{vanished, BagThere, deserted},
		{vanished, BagUnclear, vanished},
		{vanished, BagNotFound, vanished},
		{"nonsense", BagNotFound, missing},
	} {
		assert.Equal(t, tc.want, desertion(tc.was, tc.bag), "%s, %v", tc.was, tc.bag)
	}
}

// published is a settled model of three units, in which this one has written to proxy:1 and
// proxy:2.
func published(t *testing.T, leads bool) (Model, World) {
	t.Helper()
	m := model(3)
	m.Leader = Know(leads)
	m.Relations = consuming(m, "proxy:1", "proxy:2")
	w := world(m)
	p := Decide(lookAgain, m, w)
	require.Nil(t, p.Step)
	require.Len(t, toConsumers(p), 2)
	m.Memory = Know(after(m, p))
	return m, w
}

// hook is one hook of a unit, which remembers what it published and has the list on its disk.
func hook(t *testing.T, e Event, m *Model, w *World) Plan {
	t.Helper()
	p := Decide(e, *m, *w)
	if step, ok := p.Step.(WriteTLS); ok {
		w.TLS.Revoked = RevokedDigest(step.Revoked.Relations)
		p = Decide(e, *m, *w)
	}
	require.Nil(t, p.Step)
	m.Memory = Know(after(*m, p))
	if recordOf(p) != nil {
		*m = record(*m, *recordOf(p))
	}
	return p
}

// A relation that Juju still lists has ended if two hooks do not find our own bag in it. From the
// first of them on it is never written to.
func TestVanishedRelationIsRevoked(t *testing.T) {
	t.Parallel()
	for _, leads := range []bool{true, false} {
		m, w := published(t, leads)
		answer := func(bag OwnBag) Plan {
			m.Deserted = map[string]OwnBag{"proxy:1": bag}
			return hook(t, lookAgain, &m, &w)
		}
		for _, bag := range []OwnBag{BagThere, BagUnclear, BagUnclear, BagNotFound, BagUnclear, BagThere, BagNotFound} {
			assert.Empty(t, toConsumers(answer(bag)))
			assert.Equal(t, RevokedDigest(nil), w.TLS.Revoked, "not in two hooks")
		}
		w.Members = members(2)
		w = fenced(m, w)
		p := answer(BagNotFound)
		require.Len(t, toConsumers(p), 1, "a write would fail the hook")
		assert.Equal(t, "proxy:2", toConsumers(p)[0].Relation)
		assert.Equal(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}), w.TLS.Revoked)
		assert.Equal(t, leads, len(m.Cluster.Value.AppBag.Revoked) == 1, "the leader records it")
		m = record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}})

		w.Members = members(3)
		w = fenced(m, w)
		p = answer(BagUnclear)
		require.Len(t, toConsumers(p), 1, "nobody writes to it, whatever else is listed")
		assert.NotContains(t, m.Memory.Value.Bags, "proxy:1")

		m.Relations, m.Deserted = consuming(m, "proxy:2"), nil // the agent has restarted
		assert.Empty(t, toConsumers(hook(t, lookAgain, &m, &w)))
		assert.NotContains(t, m.Memory.Value.Deserted, "proxy:1")
		assert.Equal(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}), w.TLS.Revoked)
	}
}

// The first hook that does not find it tells a change to the other relations only: the hook must
// not fail, or there would never be a second one.
func TestMissingRelationIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	m, w := published(t, true)
	w.Members = members(2)
	w = fenced(m, w)
	m.Deserted = map[string]OwnBag{"proxy:1": BagNotFound}
	p := hook(t, lookAgain, &m, &w)
	require.Len(t, toConsumers(p), 1)
	assert.Equal(t, "proxy:2", toConsumers(p)[0].Relation)
	m.Deserted = nil
	p = hook(t, Event{Kind: hooks.RelationJoined, Endpoint: "proxy", RelationID: "proxy:1", RemoteUnit: "a/1"}, &m, &w)
	require.Len(t, toConsumers(p), 1, "it has units again")
	assert.Equal(t, "proxy:1", toConsumers(p)[0].Relation)
	assert.NotContains(t, m.Memory.Value.Deserted, "proxy:1")
}

// A relation that is not found when its bag is written is looked for in the next hook, whatever was
// remembered of it.
func TestRelationNotFoundAsItIsWritten(t *testing.T) {
	t.Parallel()
	m, w := published(t, true)
	was := m.Memory.Value.Bags["proxy:1"]
	w.Members = members(2)
	w = fenced(m, w)
	m.Memory.Value.Deserted["proxy:1"] = deserted
	p := Decide(Event{Kind: hooks.RelationJoined, Endpoint: "proxy", RelationID: "proxy:1", RemoteUnit: "a/1"}, m, w)
	require.NotEqual(t, was, p.Memory.Bags["proxy:1"])
	require.NotContains(t, p.Memory.Deserted, "proxy:1")
	p.NotFound(m, "proxy:1")
	m.Memory = Know(*p.Memory)
	assert.Equal(t, was, m.Memory.Value.Bags["proxy:1"], "it was not written")
	assert.Equal(t, missing, m.Memory.Value.Deserted["proxy:1"])
	m.Deserted = map[string]OwnBag{"proxy:1": BagNotFound}
	hook(t, lookAgain, &m, &w)
	assert.Equal(t, []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}, m.Cluster.Value.AppBag.Revoked)
}

var (
	broken  = Event{Kind: hooks.RelationBroken, Endpoint: "proxy", RelationID: "proxy:1"}
	created = Event{Kind: hooks.RelationCreated, Endpoint: "proxy", RelationID: "proxy:1"}
)

// The leader that ran a hook without the relation has put it on the list. When the relation comes
// back under its ID it gets credentials of the next generation, and so on.
func TestResumedRelationOfTheLeader(t *testing.T) {
	t.Parallel()
	m, w := published(t, true)
	m.Relations = consuming(m, "proxy:2")
	hook(t, broken, &m, &w)
	require.Equal(t, []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}, m.Cluster.Value.AppBag.Revoked)
	assert.NotContains(t, m.Memory.Value.Bags, "proxy:1", "what is remembered of a write is forgotten in the hook of its end")

	m.Relations = consuming(m, "proxy:1", "proxy:2")
	p := hook(t, created, &m, &w)
	require.Len(t, toConsumers(p), 1)
	assert.Equal(t, certificate(t, 2), toConsumers(p)[0].Bag["client_cert"])
	assert.Equal(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}), w.TLS.Revoked)
	assert.Empty(t, toConsumers(hook(t, lookAgain, &m, &w)), "once")

	m.Relations = consuming(m, "proxy:2")
	hook(t, broken, &m, &w)
	assert.Equal(t, []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}, {RelationID: "proxy:1", Generation: 2, Period: 230}}, m.Cluster.Value.AppBag.Revoked)
	assert.NotContains(t, m.Memory.Value.Bags, "proxy:1")
}

// A unit that saw the relation gone and back before the leader did writes the whole bag again,
// because Juju has emptied it. Only the record says whether the relation ended: until the leader
// has put that there, it goes on.
func TestResumedRelationOfAnotherUnit(t *testing.T) {
	t.Parallel()
	m, w := published(t, false)
	m.Relations = consuming(m, "proxy:2")
	hook(t, broken, &m, &w)
	assert.Equal(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}), w.TLS.Revoked, "here it is refused at once")

	m.Relations = consuming(m, "proxy:1", "proxy:2")
	p := hook(t, lookAgain, &m, &w) // the unit did not run relation-created
	require.Len(t, toConsumers(p), 1)
	assert.Equal(t, certificate(t, 1), toConsumers(p)[0].Bag["client_cert"])
	assert.Equal(t, RevokedDigest(nil), w.TLS.Revoked)

	m = record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}})
	p = hook(t, lookAgain, &m, &w)
	require.Len(t, toConsumers(p), 1, "the leader did see it gone")
	assert.Equal(t, certificate(t, 2), toConsumers(p)[0].Bag["client_cert"])
	assert.Equal(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}), w.TLS.Revoked)
}

// A unit that has not put an end on record remembers its generation, whatever the record says
// meanwhile: the end of a second generation is not taken for that of the first.
func TestEndOfTheSecondGenerationIsKept(t *testing.T) {
	t.Parallel()
	m, w := published(t, false)
	m = record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}}})
	hook(t, lookAgain, &m, &w)
	m.Relations = consuming(m, "proxy:2")
	hook(t, broken, &m, &w)
	assert.Equal(t, "gone.2", m.Memory.Value.Bags["proxy:1"])
	assert.Equal(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}, {RelationID: "proxy:1", Generation: 2, Period: 230}}), w.TLS.Revoked, "here it is refused at once")

	m.Leader = Know(true) // the leader died before the end was on record
	hook(t, lookAgain, &m, &w)
	assert.Equal(t, []Ended{{RelationID: "proxy:1", Generation: 1, Period: 230}, {RelationID: "proxy:1", Generation: 2, Period: 230}}, m.Cluster.Value.AppBag.Revoked)
	assert.NotContains(t, m.Memory.Value.Bags, "proxy:1")
}

// An expired entry is dropped from the list, unless its relation lives: its generation has to be
// counted on.
func TestGenerationsOutlastTheirCertificates(t *testing.T) {
	t.Parallel()
	m, w := published(t, true)
	old := []Ended{{RelationID: "proxy:1", Generation: 1, Period: 200}, {RelationID: "proxy:9", Generation: 1, Period: 200}, {RelationID: "proxy:8", Generation: 1, Period: 230}}
	m = record(m, AppBag{Schema: etcdcluster.Schema, ClusterID: clusterID, Authority: ca1().Fingerprint(), Revoked: old})
	hook(t, lookAgain, &m, &w)
	assert.Equal(t, []Ended{{RelationID: "proxy:1", Generation: 1, Period: 200}, {RelationID: "proxy:8", Generation: 1, Period: 230}}, m.Cluster.Value.AppBag.Revoked)
	m.Relations = noConsumers("relation-ids failed")
	assert.Equal(t, old, newView(lookAgain, record(m, AppBag{Revoked: old}), w).revoked(), "nobody knows whether it lives")
}

// certificate is that of proxy:1 of a generation.
func certificate(t *testing.T, generation int) string {
	t.Helper()
	c, err := ca1().Credentials("model-uuid", "proxy:1", generation, 230)
	require.NoError(t, err)
	return c.Cert
}

// A relation that is suspended and resumed before a hook ran without it is still the same relation.
func TestRelationResumedUnseenGoesOn(t *testing.T) {
	t.Parallel()
	m, w := published(t, true)
	assert.Empty(t, toConsumers(hook(t, lookAgain, &m, &w)))
	p := hook(t, created, &m, &w)
	require.Len(t, toConsumers(p), 1, "its bag is empty, though this unit remembers it full")
	assert.Equal(t, certificate(t, 1), toConsumers(p)[0].Bag["client_cert"])
	assert.Empty(t, m.Cluster.Value.AppBag.Revoked)

	w.Reach = Unreachable
	assert.Empty(t, toConsumers(hook(t, created, &m, &w)))
	w.Reach = Healthy
	require.Len(t, toConsumers(hook(t, lookAgain, &m, &w)), 1, "it is as empty in a later hook")
}
