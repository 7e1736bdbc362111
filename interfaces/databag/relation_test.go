package databag_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

func TestUnitsComeInTheirNaturalOrder(t *testing.T) {
	t.Parallel()
	relation := databag.Relation{Units: map[string]databag.Bag{
		"etcd/10": {"n": "10"}, "etcd/2": {"n": "2"}, "etcd/0": {"n": "0"}, "calico/3": {"n": "3"}, "odd": {},
		"etcd/99999999999999999999999": {"n": "big"}, "etcd/11": {"n": "11"},
	}}
	want := []string{"calico/3", "etcd/0", "etcd/2", "etcd/10", "etcd/11", "etcd/99999999999999999999999", "odd"}
	assert.Equal(t, want, relation.UnitNames())

	var seen []string
	for name, bag := range relation.All() {
		if name == "etcd/11" {
			break
		}
		seen = append(seen, name+"="+bag["n"])
	}
	assert.Equal(t, []string{"calico/3=3", "etcd/0=0", "etcd/2=2", "etcd/10=10"}, seen)
	assert.Empty(t, databag.Relation{}.UnitNames())
}

func TestCheck(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("S", databag.MaxValue)
	tests := map[string]struct {
		bag  databag.Bag
		want string
	}{
		"empty":          {},
		"just allowed":   {bag: databag.Bag{"cluster": big}},
		"value too long": {databag.Bag{"cluster": big + "S", "a": "1"}, "relation upstream:3: bag of etcd/0: cluster has 1048577 bytes, more than the 1048576 allowed"},
		"key too long":   {databag.Bag{big + "S": "x"}, "relation upstream:3: bag of etcd/0: " + strings.Repeat("S", 64) + "… has 1048577 bytes, more than the 1048576 allowed"},
		"too much in all": {
			databag.Bag{"a": big[1:], "b": big[1:], "c": big, "d": big[1:], "e": "12"},
			"relation upstream:3: bag of etcd/0 has 4194308 bytes, more than the 4194304 allowed; its largest value is c",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := databag.Check("upstream:3", "etcd/0", test.bag)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.want)
		})
	}
}
