package model

import (
	"strings"
	"testing"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// charmOf is the fixture with some of its metadata replaced: old, new, old, new ...
func charmOf(t *testing.T, changes ...string) Charm {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		require.Contains(t, fixtureMeta, changes[i])
	}
	meta, err := charm.ReadMeta(strings.NewReader(strings.NewReplacer(changes...).Replace(fixtureMeta)))
	require.NoError(t, err)
	ch, ok := newCharm(t).(fixtureCharm)
	require.True(t, ok)
	ch.meta = meta
	return ch
}

const (
	out   = "  out: {interface: flow}\n"
	in    = "  in: {interface: flow}\n"
	store = "storage:\n  data: {type: filesystem}\n"
)

// TestRefreshThatBreaksARelation uses the words of Juju (up to 3.6 state/application.go, SetCharm
// and checkRelationsOps; 4.0 domain/application, SetApplicationCharm and precheckUpgradeRelation).
// A relation is named with its requirer first.
func TestRefreshThatBreaksARelation(t *testing.T) {
	t.Parallel()
	const upTo36, since40 = `cannot upgrade application "b" to charm "local:thing-1": `, `setting application "b" charm: `
	for name, tc := range map[string]struct {
		changes []string
		app     string
		related bool
		refusal map[string]string // by series
	}{
		"the provider's endpoint is gone": {
			[]string{"provides:\n" + out, ""},
			"b", true,
			map[string]string{
				"2.9": upTo36 + `would break relation "a:in b:out"`, "3.6": upTo36 + `would break relation "a:in b:out"`,
				"4.0": since40 + `would break relation b:out`,
			},
		},
		"the requirer's endpoint is gone": {
			[]string{"requires:\n" + in, ""},
			"a", true,
			map[string]string{
				"3.6": strings.Replace(upTo36, `"b"`, `"a"`, 1) + `would break relation "a:in b:out"`,
				"4.0": strings.Replace(since40, `"b"`, `"a"`, 1) + `would break relation a:in`,
			},
		},
		"its interface is another": {
			[]string{out, "  out: {interface: other}\n"},
			"b", true,
			map[string]string{"3.6": upTo36 + `would break relation "a:in b:out"`, "4.0": since40 + `would break relation b:out`},
		},
		"nobody uses the endpoint": {
			[]string{"provides:\n" + out, ""}, "b", false, map[string]string{"3.6": "", "4.0": ""},
		},
		"the one in use stays": {
			[]string{"requires:\n" + in, ""}, "b", true, map[string]string{"3.6": "", "4.0": ""},
		},
		"a peer relation may go": {
			[]string{"peers:\n  ring: {interface: ring}\n", ""}, "b", true, map[string]string{"3.6": "", "4.0": ""},
		},
	} {
		for series, refusal := range tc.refusal {
			t.Run(name+" "+series, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, series)
				w.deploy("a", 1)
				w.deploy("b", 1)
				if tc.related {
					// The order in which the endpoints are named does not matter.
					_, err := w.Relate("b:out", "a:in")
					require.NoError(t, err)
				}
				w.settle()
				w.forget()
				err := w.Refresh(tc.app, charmOf(t, tc.changes...), "new")
				w.settle()
				if refusal == "" {
					require.NoError(t, err)
					assert.Equal(t, []string{"upgrade-charm", "config-changed"}, w.take(tc.app+"/0"))
					return
				}
				require.EqualError(t, err, refusal)
				assert.Empty(t, w.take(""), "nothing has changed")
			})
		}
	}
}

// TestRefreshThatLosesStorage uses the words of Juju's state/application.go, checkStorageUpgrade.
func TestRefreshThatLosesStorage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ before, after, refusal string }{
		"it stays":          {store, store, ""},
		"one is added":      {"", store, ""},
		"a required one":    {store, "", `required storage "data" removed`},
		"an optional one":   {store + "  spare: {type: block, multiple: {range: 0-2}}\n", store, ""},
		"its type":          {store, strings.Replace(store, "filesystem", "block", 1), `existing storage "data" type changed from "filesystem" to "block"`},
		"its place":         {store, strings.Replace(store, "filesystem", "filesystem, location: /srv", 1), `existing storage "data" location changed from "" to "/srv"`},
		"it becomes shared": {store, strings.Replace(store, "filesystem", "filesystem, shared: true", 1), `existing storage "data" shared changed from false to true`},
		"it becomes read-only": {
			store, strings.Replace(store, "filesystem", "filesystem, read-only: true", 1), `existing storage "data" read-only changed from false to true`,
		},
		"fewer of it": {
			strings.Replace(store, "filesystem", "filesystem, multiple: {range: 1-3}", 1),
			strings.Replace(store, "filesystem", "filesystem, multiple: {range: 1-2}", 1),
			`existing storage "data" range contracted: max decreased from 3 to 2`,
		},
		"no longer any number of it": {
			strings.Replace(store, "filesystem", "filesystem, multiple: {range: 1+}", 1),
			strings.Replace(store, "filesystem", "filesystem, multiple: {range: 1-2}", 1),
			`existing storage "data" range contracted: max decreased from <unbounded> to 2`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "3.6")
			require.NoError(t, w.Deploy("thing", charmOf(t, in, in+tc.before), "old", nil))
			err := w.Refresh("thing", charmOf(t, in, in+tc.after), "new")
			if tc.refusal == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, `cannot upgrade application "thing" to charm "local:thing-1": `+tc.refusal)
		})
	}
}

// TestRefreshThatLeavesAUnitBehind refreshes the others, and rolls them back, while one unit keeps
// its charm.
func TestRefreshThatLeavesAUnitBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	sources := map[string]string{}
	note := func(h *hookRun) error {
		source, _ := h.Source()
		sources[h.Unit()] = source
		return nil
	}
	for _, hook := range []string{"install", "upgrade-charm", "config-changed", "update-status"} {
		w.on[hook] = note
	}
	require.NoError(t, w.Deploy("thing", newCharm(t), "old", nil))
	for range 3 {
		_, err := w.AddUnit("thing", NewMachine)
		require.NoError(t, err)
	}
	w.settle()
	w.forget()
	behind := func() string { return w.Status().Applications["thing"].Units["thing/1"].UpgradingFrom }

	require.ErrorContains(t, w.Refresh("thing", newCharm(t), "new", "thing/7"), `unit "thing/7" not found`)
	w.deploy("other", 1)
	require.ErrorContains(t, w.Refresh("thing", newCharm(t), "new", "other/0"), `unit "other/0" is not of application "thing"`)
	require.ErrorContains(t, w.Follow("thing/1"), "is not left behind")
	w.settle()
	assert.Empty(t, w.take("thing/0"), "nothing has changed")
	delete(sources, "other/0")

	require.NoError(t, w.Refresh("thing", newCharm(t), "new", "thing/1"))
	w.settle()
	assert.Empty(t, w.take("thing/1"))
	assert.Equal(t, []string{"upgrade-charm", "config-changed"}, w.take("thing/0"))
	assert.Equal(t, "local:thing-0", behind())
	// The unit runs hooks as before. A restart of its agent changes nothing, and a new unit has the
	// new charm.
	require.NoError(t, w.Configure("thing", map[string]string{"name": "x"}, nil, 1))
	require.NoError(t, w.Boot(1))
	_, err := w.AddUnit("thing", NewMachine)
	require.NoError(t, err)
	w.settle()
	assert.Equal(t, []string{"config-changed", "start", "ring-relation-joined thing/3", "ring-relation-changed thing/3"}, w.take("thing/1"))
	assert.Equal(t, map[string]string{"thing/0": "new", "thing/1": "old", "thing/2": "new", "thing/3": "new"}, sources)

	// The others roll back. That charm counts as another upload, even if its files are the same.
	w.forget()
	require.NoError(t, w.Refresh("thing", newCharm(t), "back"))
	w.settle()
	assert.Equal(t, []string{"upgrade-charm", "config-changed"}, w.take("thing/0"))
	assert.Empty(t, w.take("thing/1"))

	require.NoError(t, w.Follow("thing/1"))
	w.settle()
	assert.Equal(t, []string{"upgrade-charm", "config-changed"}, w.take("thing/1"))
	assert.Equal(t, map[string]string{"thing/0": "back", "thing/1": "back", "thing/2": "back", "thing/3": "back"}, sources)
	assert.Empty(t, behind())
	require.ErrorContains(t, w.Follow("thing/1"), "is not left behind")
}

// TestActionsOfAUnitLeftBehind: a unit that was left behind has the actions of its own charm.
func TestActionsOfAUnitLeftBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4.0")
	w.deploy("thing", 2)
	w.settle()
	without, ok := newCharm(t).(fixtureCharm)
	require.True(t, ok)
	without.actions = charm.NewActions()
	require.NoError(t, w.Refresh("thing", without, "new", "thing/1"))
	w.settle()
	_, _, err := w.RunAction(t.Context(), "thing/1", "greet", nil, w)
	require.NoError(t, err)
	_, _, err = w.RunAction(t.Context(), "thing/0", "greet", nil, w)
	require.ErrorContains(t, err, "action not defined")
}
