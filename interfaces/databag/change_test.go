package databag_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		old, updated databag.Bag
		want         databag.Change
	}{
		"nothing to nothing": {},
		"same is the zero change": {
			old: databag.Bag{"a": "1"}, updated: databag.Bag{"a": "1"},
		},
		"absent and empty are the same": {
			old: databag.Bag{"a": ""}, updated: databag.Bag{"b": ""},
		},
		"first words": {
			updated: databag.Bag{"a": "1"},
			want:    databag.Change{Set: databag.Bag{"a": "1"}},
		},
		"only what changed": {
			old: databag.Bag{"a": "1", "b": "2"}, updated: databag.Bag{"a": "1", "b": "3"},
			want: databag.Change{Set: databag.Bag{"b": "3"}},
		},
		"removed keys are sorted": {
			old:  databag.Bag{"c": "1", "a": "1", "b": "1"},
			want: databag.Change{Delete: []string{"a", "b", "c"}},
		},
		"an empty value removes": {
			old: databag.Bag{"a": "1"}, updated: databag.Bag{"a": "", "b": "2"},
			want: databag.Change{Set: databag.Bag{"b": "2"}, Delete: []string{"a"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := test.old.Clone()
			change := databag.Diff(test.old, test.updated)
			assert.Equal(t, settings(test.want), settings(change))
			assert.Equal(t, test.want.Delete, change.Delete)
			assert.Equal(t, len(test.want.Set)+len(test.want.Delete) == 0, change.IsZero())
			assert.True(t, apply(test.old, change).Equal(test.updated))
			assert.True(t, before.Equal(test.old), "the old bag is not touched")
		})
	}
}

// apply is what relation-set does with a change.
func apply(b databag.Bag, change databag.Change) databag.Bag {
	out := b.Clone()
	for key, value := range change.Settings() {
		out[key] = value
	}
	return out.Clone()
}

// settings makes changes comparable with all their values; a Bag in a failure's
// text would show lengths only.
func settings(change databag.Change) map[string]string { return change.Settings() }

func TestSettings(t *testing.T) {
	t.Parallel()
	assert.Nil(t, databag.Change{}.Settings())
	assert.Equal(t, map[string]string{"a": "1", "b": ""},
		databag.Change{Set: databag.Bag{"a": "1"}, Delete: []string{"b"}}.Settings())
}

func FuzzDiff(f *testing.F) {
	f.Add("a", "1", "b", "2", "a", "3", "c", "")
	f.Add("", "", "", "", "", "", "", "")
	f.Add("k", "same", "k2", "x", "k", "same", "k2", "x")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3, k4, v4 string) {
		old, updated := databag.Bag{k1: v1, k2: v2}, databag.Bag{k3: v3, k4: v4}
		change := databag.Diff(old, updated)
		applied := apply(old, change)
		assert.True(t, applied.Equal(updated), "applying the difference leads to the new bag")
		assert.True(t, databag.Diff(applied, updated).IsZero(), "and then nothing is left to do")
		assert.Equal(t, change.IsZero(), old.Equal(updated))
	})
}
