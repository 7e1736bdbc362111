package juju

import (
	"encoding/json"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func environ(values map[string]string) func(string) string {
	return func(key string) string { return values[key] }
}

func TestParseEvent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env   map[string]string
		argv0 string
		want  operator.Event
	}{
		"dispatch path first": {
			map[string]string{"JUJU_DISPATCH_PATH": "hooks/install", "JUJU_HOOK_NAME": "start"},
			"/charm/hooks/stop",
			operator.Event{Kind: hooks.Install},
		},
		"hook name next": {map[string]string{"JUJU_HOOK_NAME": "start"}, "/charm/hooks/stop", operator.Event{Kind: hooks.Start}},
		"path last":      {nil, "/var/lib/juju/agents/unit-etcd-0/charm/hooks/update-status", operator.Event{Kind: hooks.UpdateStatus}},
		"secret-changed": {nil, "hooks/secret-changed", operator.Event{Kind: hooks.SecretChanged}},
		"storage":        {nil, "hooks/data-storage-attached", operator.Event{Kind: hooks.StorageAttached}},
		"action": {
			map[string]string{"JUJU_DISPATCH_PATH": "actions/health", "JUJU_HOOK_NAME": ""},
			"x",
			operator.Event{Kind: hooks.Action, Action: "health"},
		},
		"action by name":     {map[string]string{"JUJU_ACTION_NAME": "health"}, "x", operator.Event{Kind: hooks.Action, Action: "health"}},
		"action by path":     {nil, "/charm/actions/list-members", operator.Event{Kind: hooks.Action, Action: "list-members"}},
		"action like a hook": {nil, "/charm/actions/install", operator.Event{Kind: hooks.Action, Action: "install"}},
		"relation": {
			map[string]string{"JUJU_RELATION_ID": "cluster:0", "JUJU_REMOTE_UNIT": "etcd/1", "JUJU_REMOTE_APP": "etcd", "JUJU_DEPARTING_UNIT": "etcd/9"},
			"hooks/cluster-relation-changed",
			operator.Event{Kind: hooks.RelationChanged, Endpoint: "cluster", RelationID: "cluster:0", RemoteApp: "etcd", RemoteUnit: "etcd/1"},
		},
		"departed": {
			map[string]string{"JUJU_RELATION_ID": "cluster:0", "JUJU_REMOTE_UNIT": "etcd/1", "JUJU_DEPARTING_UNIT": "etcd/0"},
			"hooks/cluster-relation-departed",
			operator.Event{Kind: hooks.RelationDeparted, Endpoint: "cluster", RelationID: "cluster:0", RemoteApp: "etcd", RemoteUnit: "etcd/1", Departing: "etcd/0"},
		},
		"broken, of an endpoint with a dash": {
			map[string]string{"JUJU_RELATION_ID": "my-proxy:3"},
			"hooks/my-proxy-relation-broken",
			operator.Event{Kind: hooks.RelationBroken, Endpoint: "my-proxy", RelationID: "my-proxy:3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseEvent(environ(test.env), test.argv0)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	for _, argv0 := range []string{"hooks/etcd-pebble-ready", "hooks/newfangled", "hooks/-relation-joined", "hooks/action"} {
		_, err := ParseEvent(environ(nil), argv0)
		require.ErrorIs(t, err, ErrUnknownHook, argv0)
	}
	for _, argv0 := range []string{"", "install", "/usr/bin/etcd-charm", "hooks/proxy-relation-joined"} {
		_, err := ParseEvent(environ(nil), argv0)
		require.Error(t, err, argv0)
		require.NotErrorIs(t, err, ErrUnknownHook, argv0)
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.params = `{"unit": "etcd/2", "force": true, "n": 3}`
	params, err := Params(t.Context(), f)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"unit": "etcd/2", "force": true, "n": 3.0}, params)

	f.params = "null"
	params, err = Params(t.Context(), f)
	require.NoError(t, err)
	assert.NotNil(t, params)

	f.params = "["
	_, err = Params(t.Context(), f)
	require.Error(t, err)
}

func FuzzParseEvent(f *testing.F) {
	f.Add("hooks/install", "", "", "", "x")
	f.Add("actions/health", "", "", "", "x")
	f.Add("", "proxy-relation-broken", "", "proxy:1", "x")
	f.Add("", "", "health", "", "hooks/stop")
	f.Fuzz(func(t *testing.T, dispatch, hook, action, relation, argv0 string) {
		event, err := ParseEvent(environ(map[string]string{
			"JUJU_DISPATCH_PATH": dispatch, "JUJU_HOOK_NAME": hook, "JUJU_ACTION_NAME": action, "JUJU_RELATION_ID": relation,
		}), argv0)
		if err != nil {
			assert.Zero(t, event)
			return
		}
		assert.NotEmpty(t, event.Kind)
		assert.Equal(t, event.Kind == hooks.Action, event.Action != "")
		assert.Equal(t, event.Kind.IsRelation(), event.RelationID != "")
		if event.Kind.IsRelation() {
			assert.NotEmpty(t, event.Endpoint)
		}
	})
}

// Whatever a tool prints, the model is complete or says why it is not.
func FuzzObserve(f *testing.F) {
	for _, tool := range []string{"config-get", "is-leader", "goal-state", "relation-ids", "relation-get", "network-get", "state-get", "secret-get", "secret-ids", "secret-info-get"} {
		for _, answer := range []string{"", "null", "{}", "[]", "true", `{"units": {"etcd/0": {"status": "dying"}}}`, `{"ingress-addresses": ["fe80::1%eth0", "::", ""]}`, `{"schema": "2", "cluster-id": "c1"}`} {
			f.Add(tool, []byte(answer), true)
		}
	}
	f.Fuzz(func(t *testing.T, tool string, answer []byte, secrets bool) {
		juju := newFake()
		juju.says[tool] = string(answer)
		m := observe(t, juju, func(e *Env) { e.Secrets = secrets })
		if !json.Valid(answer) && juju.count()[tool] > 0 && tool != "config-get" && secrets {
			assert.False(t, foundable(m))
		}
		if m.PeerAddress.OK {
			assert.NotEmpty(t, m.PeerAddress.Value.Ingress)
		}
	})
}
