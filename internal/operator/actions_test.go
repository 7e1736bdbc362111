package operator

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// declared is actions.yaml as Juju reads it.
func declared(t *testing.T) map[string]charm.ActionSpec {
	t.Helper()
	file, err := os.Open("../../actions.yaml")
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	actions, err := charm.ReadActionsYaml("etcd", file)
	require.NoError(t, err)
	return actions.ActionSpecs
}

func TestActionsAreThoseDeclared(t *testing.T) {
	t.Parallel()
	specs := declared(t)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(specs)), slices.Collect(maps.Keys(Actions)))
	m, w := healthyCluster(3)
	for name, spec := range specs {
		assert.Regexp(t, `^[A-Z][^.]+\.$`, spec.Description, "%s: juju actions prints it beside the name: one sentence", name)
		assert.LessOrEqual(t, len(spec.Description), 90, name)
		params := map[string]any{}
		for param, schema := range spec.Params["properties"].(map[string]any) {
			assert.NotEmpty(t, schema.(map[string]any)["description"], param)
			if own, is := map[string]any{"purge.confirm": false, "purge.what": "aside"}[name+"."+param]; is {
				params[param] = own
				continue
			}
			params[param] = map[string]any{
				"unit": "etcd/1", "confirm": "id-c1", "revision": 1, "keep": 1, "from": "etcd/1", "without": "etcd/2", "cancel": "restart-1a",
				"snapshot": "latest", "source": "etcd/1", "unverified": false, "dry-run": false, "before": "2026-01-31T23:59:00Z",
				"to": "/tmp/x.db", "format": "json",
			}[param]
		}
		if name == "restore" {
			params["from"] = "data-dir"
		}
		require.NoError(t, spec.ValidateParams(params), name)
		if name == "restore" { // each parameter excludes the snapshot, as TestRestoreParams shows
			delete(params, "from")
			delete(params, "before")
		}
		_, _, err := Actions[name](params, m, w)
		require.NoError(t, err, "%s takes what is declared", name)

		params["surprise"] = "x"
		require.Error(t, spec.ValidateParams(params), name)
		_, _, err = Actions[name](params, m, w)
		require.ErrorContains(t, err, `cannot use parameter "surprise"`, "%s takes no more than declared", name)

		if required, _ := spec.Params["required"].([]any); len(required) > 0 {
			require.Error(t, spec.ValidateParams(nil), name)
			_, _, err = Actions[name](nil, m, w)
			require.ErrorContains(t, err, "missing parameter", name)
		}
	}
}

func TestActionParamsThatAreNoText(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	for _, bad := range []any{12.0, true, nil, []any{"etcd/1"}, ""} {
		_, _, err := CheckRemoval(map[string]any{"unit": bad}, m, w)
		require.ErrorContains(t, err, `cannot use parameter "unit"`)
		_, _, err = FoundCluster(map[string]any{"confirm": bad}, m, w)
		require.ErrorContains(t, err, `cannot use parameter "confirm"`)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	steps, result, err := Health(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, steps)
	assert.Empty(t, result.Failed)
	assert.Equal(t, "healthy", result.Values["health"])
	assert.True(t, strings.HasPrefix(result.Text, "health   healthy\n"))

	_, result, err = Health(nil, m, down(w, 1))
	require.NoError(t, err)
	assert.Empty(t, result.Failed, "degraded is no failure")
	assert.Equal(t, "degraded", result.Values["health"])

	_, result, err = Health(nil, m, withoutQuorum(w))
	require.NoError(t, err)
	assert.Equal(t, "unhealthy: no quorum: 0 of 3 voters ready, 2 needed; bring them back; if gone: run recover; no member knows a leader", result.Failed)
	assert.Equal(t, "unhealthy", result.Values["health"], "the report comes all the same")
	assert.Contains(t, result.Text, "etcd/0")
}

func TestListMembers(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	_, result, err := ListMembers(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.ElementsMatch(t, []string{"members", "cluster-id"}, slices.Sorted(maps.Keys(result.Values)))
	assert.Len(t, result.Values["members"], 3)
	assert.True(t, strings.HasPrefix(result.Text, "UNIT"))

	_, result, err = ListMembers(nil, m, withoutQuorum(w))
	require.NoError(t, err)
	assert.Contains(t, result.Text, "one member's view")

	w.Reach, w.Members = Unreachable, nil
	_, result, err = ListMembers(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, "no member is known: no member of cluster c1 answers here; bring the machines back", result.Failed)

	m, w = healthyProxy(2)
	_, result, err = ListMembers(nil, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Text, "https://10.0.0.11:2379")
}

func TestAlarmList(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	_, result, err := AlarmList(nil, m, w)
	require.NoError(t, err)
	assert.Equal(t, Result{Text: "no alarm\n", Values: map[string]any{"count": "0"}}, result)

	w.Alarms = []Alarm{{1, "NOSPACE"}, {1, "CORRUPT"}, {3, "NOSPACE"}}
	_, result, err = AlarmList(nil, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.Equal(t, map[string]any{"etcd0": "NOSPACE,CORRUPT", "etcd2": "NOSPACE"}, result.Values["alarms"])
	assert.Equal(t, "3", result.Values["count"])
	assert.Contains(t, result.Text, "no writes")

	_, result, err = AlarmList(nil, m, withoutQuorum(w))
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "the alarms are not known: no quorum")
	assert.Empty(t, result.Values)

	m, w = healthyProxy(1)
	_, result, err = AlarmList(nil, m, w)
	require.NoError(t, err)
	assert.Contains(t, result.Failed, "etcd-proxy/0 is a proxy")
}

func TestCheckRemoval(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		units  int
		unit   string
		change func(*Model, *World)
		failed string
		text   string
	}{
		{"of three", 3, "etcd/2", nil, "", "without etcd/2: 2 of 2 voters ready, quorum 2: survives no failure\n"},
		{"of four", 4, "etcd/2", nil, "", "without etcd/2: 3 of 3 voters ready, quorum 2: survives 1 failure\n"},
		{"of two", 2, "etcd/0", nil, "", "without etcd/0: 1 of 1 voters ready, quorum 1: survives no failure\n"},
		{"the last", 1, "etcd/0", nil, "etcd/0 is the last voter: its removal ends the cluster", ""},
		{
			"the dead one", 3, "etcd/1", func(_ *Model, w *World) { *w = down(*w, 1) }, "",
			"without etcd/1: 2 of 2 voters ready, quorum 2: survives no failure\n",
		},
		{
			"a live one beside a dead one", 3, "etcd/2", func(_ *Model, w *World) { *w = down(*w, 1) },
			"without etcd/2 there is no quorum: 1 of 2 voters would be ready, 2 are needed", "",
		},
		{
			"a learner", 3, "etcd/1", func(_ *Model, w *World) { w.Members[1].Learner = true }, "",
			"without etcd/1: 2 of 2 voters ready, quorum 2: survives no failure\n",
		},
		{
			"a unit without a member", 3, "etcd/3", func(m *Model, _ *World) { m.Units.Value["etcd/3"] = Alive }, "",
			"without etcd/3: 3 of 3 voters ready, quorum 2: survives 1 failure\n",
		},
		{
			"a member whose unit is gone", 4, "etcd/3", func(m *Model, _ *World) { *m = gone(*m, 3) }, "",
			"without etcd/3: 3 of 3 voters ready, quorum 2: survives 1 failure\n",
		},
		{"a stranger", 3, "etcd/9", nil, `etcd/9 is not a unit of etcd, which has etcd/0, etcd/1, etcd/2`, ""},
		{
			"a stranger, perhaps", 3, "etcd/9", func(m *Model, _ *World) { m.Units = Unknown[map[string]Life]("no answer") },
			"units unknown: no answer", "",
		},
		{"no quorum", 3, "etcd/2", func(_ *Model, w *World) { *w = withoutQuorum(*w) }, "a removal needs a quorum: no quorum", ""},
		{"a proxy", 3, "etcd/2", func(m *Model, w *World) { *m, *w = healthyProxy(1) }, "etcd-proxy/0 is a proxy", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := healthyCluster(tc.units)
			if tc.change != nil {
				tc.change(&m, &w)
			}
			steps, result, err := CheckRemoval(map[string]any{"unit": tc.unit}, m, w)
			require.NoError(t, err)
			assert.Empty(t, steps, "it only thinks")
			checkValues(t, result.Values)
			if tc.failed != "" {
				assert.Contains(t, result.Failed, tc.failed)
				return
			}
			assert.Empty(t, result.Failed)
			assert.Equal(t, tc.text, result.Text)
			assert.Equal(t, "yes", result.Values["safe"])
		})
	}
}

func TestFoundCluster(t *testing.T) {
	t.Parallel()
	m, w := lostCluster()
	steps, result, err := FoundCluster(map[string]any{"confirm": "c1"}, m, w)
	require.NoError(t, err)
	assert.Empty(t, result.Failed)
	assert.Empty(t, steps)
	require.NotNil(t, recordOf(Plan{Bags: result.Bags}))
	assert.Equal(t, AppBag{Schema: etcdcluster.Schema, Ended: clusterID, Authority: ca1().Fingerprint()}, *recordOf(Plan{Bags: result.Bags}), "all else is kept")
	checkValues(t, result.Values)
	assert.EqualValues(t, clusterID, m.Cluster.Value.AppBag.ClusterID, "the model is left alone")
}

// TestFoundClusterRefuses has a row for each thing that might be left of the old cluster.
func TestFoundClusterRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		confirm string
		change  func(*Model, *World)
		want    string
	}{
		{"wrong ID", "c2", nil, "confirm is not the ID of the cluster to give up; confirm=id-c1 founds"},
		{"no ID", "yes", nil, "confirm is not the ID"},
		{"follower", "c1", func(m *Model, _ *World) { m.Leader = Know(false) }, "only the leader founds"},
		{"leadership unknown", "c1", func(m *Model, _ *World) { m.Leader = Unknown[bool]("no answer") }, "only the leader founds"},
		{"other unit", "c1", func(m *Model, _ *World) { m.Units.Value["etcd/1"] = Alive }, "there are other units, which may hold the data: etcd/0, etcd/1"},
		{"dying unit", "c1", func(m *Model, _ *World) { m.Units.Value["etcd/1"] = Dying }, "there are other units"},
		{"goal-state without us", "c1", func(m *Model, _ *World) { m.Units = Know(map[string]Life{"etcd/1": Alive}) }, "there are other units"},
		{"units unknown", "c1", func(m *Model, _ *World) { m.Units = Unknown[map[string]Life]("no answer") }, "units unknown: no answer"},
		{"peer relation unseen", "c1", func(m *Model, _ *World) { m.Cluster.OK = false }, "peers unknown"},
		{"nothing recorded", "0", func(m *Model, _ *World) { *m = record(*m, AppBag{}) }, "no cluster is recorded"},
		{"ended properly", "c1", func(m *Model, _ *World) { *m = record(*m, AppBag{ClusterID: clusterID, Ended: clusterID}) }, "cluster c1 ended properly"},
		{"our data", "c1", func(_ *Model, w *World) { w.Data.State = OurData }, "there is data on this unit"},
		{"alien data", "c1", func(_ *Model, w *World) { w.Data.State = AlienData }, "there is data on this unit"},
		{"healthy", "c1", func(_ *Model, w *World) { w.Reach = Healthy }, "a member of a cluster answers"},
		{"no quorum", "c1", func(_ *Model, w *World) { w.Reach = NoQuorum }, "a member of a cluster answers"},
		{"our server answers", "c1", func(_ *Model, w *World) { w.Local.Live = true }, "a member of a cluster answers"},
		{"proxy", "c1", func(m *Model, _ *World) { m.Config.Role = RoleProxy }, "this unit is no member"},
		{"broken option", "c1", func(m *Model, _ *World) { m.ConfigProblem = "option port: no" }, "its options cannot be used"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, w := lostCluster()
			if tc.change != nil {
				tc.change(&m, &w)
			}
			steps, result, err := FoundCluster(map[string]any{"confirm": tc.confirm}, m, w)
			require.NoError(t, err)
			assert.Contains(t, result.Failed, "nothing is founded: ")
			assert.Contains(t, result.Failed, tc.want)
			assert.Nil(t, recordOf(Plan{Bags: result.Bags}))
			assert.Empty(t, steps)
		})
	}
}
