package databag_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// FuzzCompareUnits: any three names have one order, whatever they are, and only equal names compare
// as equal.
func FuzzCompareUnits(f *testing.F) {
	f.Add("etcd/2", "etcd/10", "etcd/010")
	f.Add("", "/", "/0")
	f.Add("a/1/2", "a/1", "a/99999999999999999999")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		assert.Equal(t, a == b, databag.CompareUnits(a, b) == 0)
		assert.Equal(t, databag.CompareUnits(a, b), -databag.CompareUnits(b, a))
		if databag.CompareUnits(a, b) < 0 && databag.CompareUnits(b, c) < 0 {
			assert.Negative(t, databag.CompareUnits(a, c))
		}
	})
}

// FuzzBagPrints: no verb and no encoder shows a value.
func FuzzBagPrints(f *testing.F) {
	f.Add("client_key", "hush, hush")
	f.Add("\xff\n", "hush\x00hush")
	f.Fuzz(func(t *testing.T, key, value string) {
		bag := databag.Bag{key: value}
		other := databag.Bag{key: string(make([]byte, len(value)))}
		assert.Equal(t, other.String(), bag.String(), "what is shown depends on the length alone")
		_, err := json.Marshal(bag)
		assert.Error(t, err)
	})
}
