package juju

import (
	"os"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// From this state a unit knows that it was a member, and which consumers it has told what. The
// sample is never changed: new data gets a key of its own.
func TestStateOfSchema2(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/state.schema2.yaml")
	require.NoError(t, err)
	f := newFake()
	require.NoError(t, yaml.Unmarshal(text, &f.state))
	want := operator.Memory{
		Bags: map[string]string{
			"cluster:0": "0123456789abcdef0123456789abcdef",
			"proxy:9":   "456789abcdef0123456789abcdef0123",
			"proxy:12":  "3456789abcdef0123456789abcdef012",
			"db:140":    "3456789abcdef0123456789abcdef012",
			"proxy:7":   "gone",
		},
		Secrets:       map[string]string{"a:3/a.3": "23456789abcdef0123456789abcdef01"},
		Deserted:      map[string]operator.Desertion{"proxy:12": "missing", "db:140": "deserted"},
		Ports:         "2379,2382",
		Learner:       "https://10.0.0.5:2380",
		Foreign:       "56789abcdef0123456789abcdef01234",
		AbandonedTurn: "6789abcdef0123456789abcdef012345",
	}
	assert.Equal(t, operator.Know(want), observe(t, f).Memory)

	written := map[string]string{}
	for key, value := range encodeState(want) {
		if value != "" {
			written[key] = value
		}
	}
	assert.Equal(t, f.state, written, "what this release writes")
}

// TestStateRoundTrip: each field of the memory has a key of its own, and comes back as it was.
func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	var want operator.Memory
	fields := reflect.ValueOf(&want).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		switch field := fields.Field(i); field.Kind() {
		case reflect.String:
			field.SetString("text of " + name)
		case reflect.Uint64:
			field.SetUint(1<<63 + uint64(i))
		case reflect.Int64:
			field.SetInt(1<<62 + int64(i))
		case reflect.Struct:
			for j := range field.NumField() {
				if part := field.Field(j); part.CanUint() {
					part.SetUint(1<<63 + uint64(j))
				} else {
					part.SetInt(1<<62 + int64(j))
				}
			}
		case reflect.Slice:
			field.Set(reflect.ValueOf([]operator.Sample{{At: 1 << 40, Revision: 5}, {At: 1<<40 + 1, Revision: 1 << 50}}))
		case reflect.Map:
			field.Set(reflect.MakeMap(field.Type()))
			field.SetMapIndex(reflect.ValueOf("proxy:1"), reflect.ValueOf("digest"+name).Convert(field.Type().Elem()))
		default:
			require.Fail(t, "no such field yet", name)
		}
	}
	f := newFake()
	f.state = encodeState(want)
	assert.Equal(t, want, observe(t, f).Memory.Value)
	assert.Len(t, f.state, fields.NumField()+1)
}
