package operator

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// TestDigests pins every digest that is stored, or compared between units or releases. A digest
// that changes restarts every member or writes every bag again, so none may change with a name in
// the sources.
func TestDigests(t *testing.T) {
	t.Parallel()
	config, problem := ParseConfig(map[string]any{"extra_sans": "a b", "tls_cipher_suites": requiredSuite})
	require.Empty(t, problem)
	unitBag := UnitBag{
		PeerURL: "https://10.0.0.1:2380", ClientURL: "https://10.0.0.1:2379", ClusterID: 1, MemberID: 2, Running: "r", Leaving: true,
		Leaves: []Issued{{Kind: PeerLeaf, Serial: "1f", End: 9}},
	}
	v := newView(Event{}, Model{UUID: "m"}, World{Period: 230})
	v.m.Authority = Know(ca1())
	told := ConsumerData{Members: []ConsumerMember{{"etcd0", "https://10.0.0.1:2380", "https://10.0.0.1:2379"}}, Version: "3.7.3"}
	for name, tt := range map[string]struct{ want, got string }{
		"the generation of settings": {"724d2db6bc8125d0a6d205f4f26821e0", Server{Release: "3.7.3-0", Trust: "t", Config: config}.Generation()},
		"a unit's bag":               {"be4f3cf4fe795561dc6c7977c1e3b9af", bagDigest(etcdcluster.EncodeUnit(unitBag))},
		"a consumer's bag":           {"adad3a35c537485ffb4949cfea13922a", v.digestOf(told)},
		"the revocation list":        {"1567ea308d3e1b58ea298e90c37a597e", RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 228}})},
		"the proxy's process":        {"febfd7bd3816595ffad5a0d9be130ce1", Upstream{Release: "3.7.3-0", Listen: []string{"127.0.0.1:2379"}}.ProcessDigest()},
		"what the proxy follows":     {"1e30197772cc9ddd2b726eb401af3330", Upstream{Release: "3.7.3-0", Members: []UpstreamMember{{"a", "b", "c"}}, Cert: "d", Key: "e", CA: "f"}.Digest()},
	} {
		assert.Equal(t, tt.want, tt.got, name)
	}
}

// TestGenerationsAreRemembered: the generation stands beside the digest, which is the same for all
// relations.
func TestGenerationsAreRemembered(t *testing.T) {
	t.Parallel()
	for generation, want := range map[int]string{1: "abc", 2: "abc.2", 12: "abc.12"} {
		assert.Equal(t, want, marked("abc", generation))
		assert.Equal(t, generation, generationIn(want))
	}
	for _, alien := range []string{"", "abc.", "abc.x", "abc.-1", "abc.0", "gone"} {
		assert.Equal(t, 1, generationIn(alien), alien)
	}
	assert.NotEqual(t, RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 1, Period: 228}}), RevokedDigest([]Ended{{RelationID: "proxy:1", Generation: 2, Period: 228}}))
}

// TestEveryOptionCounts: two members whose options differ in anything have different generations.
func TestEveryOptionCounts(t *testing.T) {
	t.Parallel()
	config, _ := ParseConfig(nil)
	base := Server{Config: config}.Generation()
	for i := range reflect.TypeFor[Config]().NumField() {
		other := config
		field := reflect.ValueOf(&other).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Int, reflect.Int64:
			field.SetInt(field.Int() + 1)
		case reflect.Bool:
			field.SetBool(!field.Bool())
		case reflect.Slice:
			field.Set(reflect.ValueOf([]string{"x"}))
		default:
			require.Fail(t, "a kind of option that the test does not know", field.Kind().String())
		}
		assert.NotEqual(t, base, Server{Config: other}.Generation(), reflect.TypeFor[Config]().Field(i).Name)
	}
}
