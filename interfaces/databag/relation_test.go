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

func TestNumber(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		number int
		ok     bool
	}{
		"proxy:3": {3, true}, "db-admin:0": {0, true},
		"": {}, "proxy": {}, "proxy:": {}, "proxy:x": {}, "proxy:-1": {}, "proxy:03": {}, "proxy:99999999999999999999": {}, "a:b:1": {},
	}
	for id, want := range tests {
		number, ok := databag.Relation{ID: id}.Number()
		assert.Equal(t, want.ok, ok, id)
		assert.Equal(t, want.number, number, id)
	}
}

func TestRelationCloneIsIndependent(t *testing.T) {
	t.Parallel()
	relation := databag.Relation{ID: "proxy:1", Local: databag.Bag{"a": "1"}, Units: map[string]databag.Bag{"x/0": {"b": "2"}}}
	clone := relation.Clone()
	clone.Local["a"], clone.Units["x/0"]["b"] = "other", "other"
	clone.Units["x/1"] = databag.Bag{}
	clone.LocalApp["new"] = "1"
	assert.Equal(t, "1", relation.Local["a"])
	assert.Equal(t, "2", relation.Units["x/0"]["b"])
	assert.Len(t, relation.Units, 1)
	assert.Equal(t, "proxy:1", clone.ID)
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

func TestRelationCheckLooksAtEveryBag(t *testing.T) {
	t.Parallel()
	bad := databag.Bag{"junk": strings.Repeat("S", 10<<20)}
	tests := map[string]databag.Relation{
		"bag of etcd/2":           {Units: map[string]databag.Bag{"etcd/10": bad, "etcd/2": bad}},
		"bag of application etcd": {RemoteApp: bad},
		"bag of this unit":        {Local: bad},
		"bag of this application": {LocalApp: bad},
	}
	for want, relation := range tests {
		relation.ID, relation.App = "upstream:3", "etcd"
		err := relation.Check()
		require.ErrorContains(t, err, "relation upstream:3: "+want+": junk has 10485760 bytes")
		assert.NotContains(t, err.Error(), "SSS")
	}
	require.NoError(t, databag.Relation{ID: "upstream:3"}.Check())
}
