package juju

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

func samples(tb testing.TB, path string) map[string]databag.Bag {
	tb.Helper()
	text, err := os.ReadFile(path)
	require.NoError(tb, err)
	var out map[string]databag.Bag
	require.NoError(tb, yaml.Unmarshal(text, &out))
	return out
}

func TestRecordOfSchema1(t *testing.T) {
	t.Parallel()
	const id = 0xcdf818194e3a8c32
	want := map[string]operator.Record{
		"founded": {
			Schema: 1, ClusterID: id, Authority: "1a2b3c4d5e6f",
			Revoked: []operator.Ended{{RelationID: "proxy:12", Period: 228}, {RelationID: "proxy:15", Period: 228}},
		},
		"ended": {Schema: 1, ClusterID: id, Ended: id, Authority: "1a2b3c4d5e6f"},
		"first": {Schema: 1, Authority: "1a2b3c4d5e6f"},
		"with certificates": {
			Schema: 1, ClusterID: id, Authority: "1a2b3c4d5e6f",
			Leaves: []operator.UnitLeaves{
				{Unit: "etcd/0", Leaves: []operator.Issued{{Kind: "admin", Serial: "1c", End: 1796774400}, {Kind: "peer", Serial: "1a", End: 1796774400}, {Kind: "server", Serial: "1b", End: 1796774400}}},
				{Unit: "etcd/10", Leaves: []operator.Issued{{Kind: "peer", Serial: "1d", End: 1796774401}}},
			},
		},
		"with a later charm's key":      {Schema: 1, ClusterID: id},
		"with authorities of their own": {Schema: 1, ClusterID: id},
	}
	bags := samples(t, "testdata/record.schema1.yaml")
	require.Len(t, bags, len(want))
	for name, bag := range bags {
		got, err := DecodeRecord("cluster:0", "etcd", bag)
		require.NoError(t, err, name)
		assert.Equal(t, want[name], got, name)
		if !strings.HasPrefix(name, "with a") {
			assert.Equal(t, bag, EncodeRecord(got), name)
		}
	}
}

func TestWordOfSchema1(t *testing.T) {
	t.Parallel()
	const cluster, member = 0xcdf818194e3a8c32, 0x8e9e05c52164694d
	want := map[string]operator.Word{
		"member": {
			Schema: 1, PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379", ClusterID: cluster,
			MemberID: member, Running: "0123456789abcdef0123456789abcdef",
		},
		"leaver": {
			Schema: 1, PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379", ClusterID: cluster,
			MemberID: member, Leaving: true, Stopped: true,
		},
		"newcomer":                 {Schema: 1, PeerURL: "https://[fd00::5]:2380"},
		"issuer":                   {Schema: 1, Leaves: []operator.Issued{{Kind: "admin", Serial: "1c", End: 1796774400}, {Kind: "peer", Serial: "1a", End: 1796774400}}},
		"with a later charm's key": {Schema: 1},
	}
	bags := samples(t, "testdata/word.schema1.yaml")
	require.Len(t, bags, len(want))
	for name, bag := range bags {
		got, err := DecodeWord("cluster:0", "etcd/0", bag)
		require.NoError(t, err, name)
		assert.Equal(t, want[name], got, name)
		if !strings.HasPrefix(name, "with ") {
			assert.Equal(t, bag, EncodeWord(got), name)
		}
	}
}

func TestEmptyBagsSayNothing(t *testing.T) {
	t.Parallel()
	record, err := DecodeRecord("cluster:0", "etcd", nil)
	require.NoError(t, err)
	assert.Zero(t, record)
	word, err := DecodeWord("cluster:0", "etcd/1", databag.Bag{"ingress-address": "10.0.0.5"})
	require.NoError(t, err, "Juju writes keys of its own into a unit's bag")
	assert.Zero(t, word)
}

func TestBrokenBagsAreNamed(t *testing.T) {
	t.Parallel()
	for key, values := range map[string][]string{
		keySchema:    {"2", "0", "-1", "secret", "1.0", "99999999999999999999"},
		keyClusterID: {"secret", "0", "-1", "0x12", "12345678901234567"},
		keyMemberID:  {"secret", "+1"},
		keyEnded:     {"secret"},
		keyLeaving:   {"secret", "false", "True"},
		keyStopped:   {"1"},
		keyPeerURL:   {"secret\n"},
		keyAuthority: {"secret\x00", strings.Repeat("secret", 1<<20)},
		keyLeaves: {
			"secret", "etcd/0", "etcd/0=", "etcd/0=secret", "etcd=peer:1@5", "etcd/0=peer:1@5;", "etcd/1=peer:1@5;etcd/0=peer:2@5",
			"etcd/0=peer:1@5;etcd/0=peer:2@5", "peer:1@secret",
		},
		keyRevoked: {"secret", "12", "12@", "@228", "012@228", "12@228,", "12@+1", "12@1.5", "-1@1", "9999999999@1", strings.Repeat("1@1,", maxRevoked) + "1@1"},
	} {
		for _, value := range values {
			bag := databag.Bag{keySchema: "1", key: value}
			_, wordErr := DecodeWord("cluster:0", "etcd/1", bag)
			_, recordErr := DecodeRecord("cluster:0", "etcd/1", bag)
			err := recordErr
			if wordErr != nil {
				err = wordErr
			}
			if assert.Error(t, err, "%s %.30q", key, value) {
				assert.Contains(t, err.Error(), "relation cluster:0: bag of etcd/1: "+key)
				assert.NotContains(t, err.Error(), "secret")
			}
		}
	}
}

func TestAuthorityInABag(t *testing.T) {
	t.Parallel()
	content := map[string]string{"peer-ca-key": privateKey, "client-trust": "x"}
	bag := encodeAuthority(content)
	assert.Equal(t, []string{"authority.client-trust", "authority.peer-ca-key"}, bag.Keys())
	bag["schema"], bag["authority"] = "1", "f00"
	assert.Equal(t, content, decodeAuthority(bag))
	assert.Nil(t, decodeAuthority(databag.Bag{"authority": "f00"}))
}

// What decodes encodes to a bag that decodes to the same; nothing panics.
func FuzzDecodeRecord(f *testing.F) {
	for _, bag := range samples(f, "testdata/record.schema1.yaml") {
		f.Add(bag[keySchema], bag[keyClusterID], bag[keyEnded], bag[keyAuthority], bag[keyRevoked], bag[keyLeaves])
	}
	f.Add("2", "x", "-", "\x00", "1@2,3", "etcd/0=peer:1@5;x")
	f.Fuzz(func(t *testing.T, schema, cluster, ended, authority, revoked, leaves string) {
		bag := databag.Bag{
			keySchema: schema, keyClusterID: cluster, keyEnded: ended, keyAuthority: authority, keyRevoked: revoked, keyLeaves: leaves,
		}
		got, err := DecodeRecord("cluster:0", "etcd", bag)
		if err != nil {
			assert.Zero(t, got)
			return
		}
		again, err := DecodeRecord("cluster:0", "etcd", EncodeRecord(got))
		require.NoError(t, err)
		got.Schema = operator.Schema // written anew by this charm
		assert.Equal(t, got, again)
	})
}

func FuzzDecodeWord(f *testing.F) {
	for _, bag := range samples(f, "testdata/word.schema1.yaml") {
		f.Add(bag[keySchema], bag[keyPeerURL], bag[keyClientURL], bag[keyClusterID], bag[keyMemberID], bag[keyRunning], bag[keyLeaving], bag[keyStopped], bag[keyLeaves])
	}
	f.Add("1", "\xff", "x", "0", "g", "", "yes", "no", "peer:1@5,admin:1@5,peer:1@5")
	f.Fuzz(func(t *testing.T, schema, peer, client, cluster, member, running, leaving, stopped, leaves string) {
		bag := databag.Bag{
			keySchema: schema, keyPeerURL: peer, keyClientURL: client, keyClusterID: cluster, keyMemberID: member,
			keyRunning: running, keyLeaving: leaving, keyStopped: stopped, keyLeaves: leaves,
		}
		got, err := DecodeWord("cluster:0", "etcd/1", bag)
		if err != nil {
			assert.Zero(t, got)
			return
		}
		again, err := DecodeWord("cluster:0", "etcd/1", EncodeWord(got))
		require.NoError(t, err)
		got.Schema = operator.Schema
		assert.Equal(t, got, again)
	})
}

// By these names a unit knows that it was a member, and which consumers it has told of themselves.
func TestStateOfSchema1(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/state.schema1.yaml")
	require.NoError(t, err)
	f := newFake()
	require.NoError(t, yaml.Unmarshal(text, &f.state))
	assert.Equal(t, map[string]string{
		BagKey("cluster:0"): "0123456789abcdef0123456789abcdef",
		BagKey("proxy:9"):   "456789abcdef0123456789abcdef0123",
		BagKey("proxy:12"):  "123456789abcdef0123456789abcdef0",
		BagKey("proxy:13"):  "3456789abcdef0123456789abcdef012",
		BagKey("proxy:140"): "3456789abcdef0123456789abcdef012",
		"ports":             "2379/tcp",
	}, observe(t, f).Published)
}
