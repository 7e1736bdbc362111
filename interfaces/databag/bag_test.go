package databag_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

const secret = "-----BEGIN PRIVATE KEY----- deadbeef"

func TestCloneIsIndependentAndDropsEmptyValues(t *testing.T) {
	t.Parallel()
	original := databag.Bag{"a": "1", "gone": ""}
	clone := original.Clone()
	clone["a"] = "2"
	assert.Equal(t, "1", original["a"])
	assert.NotContains(t, clone, "gone")
	assert.NotNil(t, databag.Bag(nil).Clone(), "a clone can be written to")
}

func TestEqual(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		a, b databag.Bag
		want bool
	}{
		"nil and empty":         {nil, databag.Bag{}, true},
		"empty value is absent": {databag.Bag{"a": ""}, nil, true},
		"same":                  {databag.Bag{"a": "1", "b": "2"}, databag.Bag{"b": "2", "a": "1"}, true},
		"other value":           {databag.Bag{"a": "1"}, databag.Bag{"a": "2"}, false},
		"one more":              {databag.Bag{"a": "1"}, databag.Bag{"a": "1", "b": "2"}, false},
		"one less":              {databag.Bag{"a": "1", "b": "2"}, databag.Bag{"a": "1"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, test.a.Equal(test.b))
			assert.Equal(t, test.want, test.b.Equal(test.a))
		})
	}
}

func TestNothingPrintsValues(t *testing.T) {
	t.Parallel()
	bag := databag.Bag{"client_key": secret, "cluster": "etcd0=https://10.0.0.5:2380"}
	relation := databag.Relation{
		ID: "proxy:1", Endpoint: "proxy", App: "calico",
		Local: bag, LocalApp: bag, RemoteApp: bag, Units: map[string]databag.Bag{"calico/0": bag},
	}
	change := databag.Change{Set: bag, Delete: []string{"old"}}

	for _, value := range []any{bag, relation, change, &relation, []databag.Bag{bag}, map[string]any{"x": relation}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			text := fmt.Sprintf(verb, value)
			assertHidden(t, text, "%T under %s", value, verb)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("look", "value", value)
		assertHidden(t, log.String(), "%T as a text attribute", value)
		log.Reset()
		slog.New(slog.NewJSONHandler(&log, nil)).Info("look", "value", value)
		assertHidden(t, log.String(), "%T as a JSON attribute", value)
	}
	assert.Equal(t, "{client_key: 36 bytes, cluster: 27 bytes}", bag.String())
	assert.Equal(t, "{}", databag.Bag{"a": ""}.String())
}

func assertHidden(t *testing.T, text, format string, args ...any) {
	t.Helper()
	for _, leak := range []string{"deadbeef", "6465616462656566", "10.0.0.5"} {
		assert.NotContainsf(t, strings.ToLower(text), leak, format, args...)
	}
}

func TestLogShowsKeysAndLengths(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("look", "relation",
		databag.Relation{ID: "proxy:1", App: "calico", Units: map[string]databag.Bag{"calico/0": {"cluster": "12345"}}})
	assert.Contains(t, log.String(), `"relation":{"id":"proxy:1","app":"calico","units":{"calico/0":{"cluster":5}}}`)
}

func TestKeysAreForeignDataToo(t *testing.T) {
	t.Parallel()
	bag := databag.Bag{"a\nb": "1", strings.Repeat("k", 1000): "2"}
	assert.Equal(t, `{"a\nb": 1 bytes, `+strings.Repeat("k", 64)+`…: 1 bytes}`, bag.String())
}

func TestYAML(t *testing.T) {
	t.Parallel()
	_, err := yaml.Marshal(databag.Relation{Local: databag.Bag{"client_key": secret}})
	require.ErrorContains(t, err, "convert it")
	assert.NotContains(t, err.Error(), "deadbeef")
}

func TestJSON(t *testing.T) {
	t.Parallel()
	_, err := json.Marshal(databag.Relation{Local: databag.Bag{"client_key": secret}})
	require.ErrorContains(t, err, "convert it")
	assert.NotContains(t, err.Error(), "deadbeef")

	meant, err := json.Marshal(map[string]string(databag.Bag{"a": "1"}))
	require.NoError(t, err)
	var decoded databag.Bag
	require.NoError(t, json.Unmarshal(meant, &decoded))
	assert.True(t, decoded.Equal(databag.Bag{"a": "1"}))
}
