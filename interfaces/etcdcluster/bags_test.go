package etcdcluster

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

func samples(tb testing.TB, path string) map[string]databag.Bag {
	tb.Helper()
	text, err := os.ReadFile(path)
	require.NoError(tb, err)
	var out map[string]databag.Bag
	require.NoError(tb, yaml.Unmarshal(text, &out))
	return out
}

func TestApplicationBagOfSchema2(t *testing.T) {
	t.Parallel()
	const id = 0xcdf818194e3a8c32
	want := map[string]AppBag{
		"founded": {
			Schema: 2, ClusterID: id, Authority: "1a2b3c4d5e6f",
			Revoked: []Ended{{RelationID: "proxy:12", Generation: 1, Period: 228}, {RelationID: "db:15", Generation: 2, Period: 228}},
		},
		"ended": {Schema: 2, ClusterID: id, Ended: id, Authority: "1a2b3c4d5e6f"},
		"first": {Schema: 2, Authority: "1a2b3c4d5e6f"},
		"with certificates": {
			Schema: 2, ClusterID: id, Authority: "1a2b3c4d5e6f",
			Leaves: []UnitLeaves{
				{Unit: "etcd/0", Leaves: []Issued{{Kind: "admin", Serial: "1c", End: 1796774400}, {Kind: "peer", Serial: "1a", End: 1796774400}, {Kind: "server", Serial: "1b", End: 1796774400}}},
				{Unit: "etcd/10", Leaves: []Issued{{Kind: "peer", Serial: "1d", End: 1796774401}}},
			},
		},
		"with a later charm's key":      {Schema: 2, ClusterID: id},
		"with authorities of their own": {Schema: 2, ClusterID: id},
		"with an operation": {Schema: 2, ClusterID: id, Operation: Operation{
			ID: "restart-3f2a91", Kind: "rolling-restart", Phase: "restarting", Units: []string{"etcd/0", "etcd/10"},
			Without: []string{"etcd/10"}, Began: 1796774400, Moved: 1796774460,
		}},
		"with a later operation": {Schema: 2, Operation: Operation{
			ID: "restore-3f2a91", Kind: "restore", Phase: "copying", Outcome: "done", Source: "etcd/1",
		}},
		"with an operation's later key": {Schema: 2, Operation: Operation{
			ID: "restore-3f2a91", Kind: "restore", Phase: "copying", later: map[string]json.RawMessage{"store": json.RawMessage(`"s3"`)},
		}},
		"restored": {Schema: 2, ClusterID: id, Replaced: []uint64{0x7fce04ec8602b2fc, 0xc1}, Operation: Operation{
			ID: "restore-3f2a91", Kind: "restore", Phase: "serving", Units: []string{"etcd/0", "etcd/1"}, Began: 1796774400, Moved: 1796774460,
			Source: "etcd/1", Snapshot: "/var/tmp/my copy.db", Before: 1796770000, Unverified: true, Token: "0f1e2d", Seen: 1629, Target: "cdf818194e3a8c32",
		}},
		"recovered": {Schema: 2, ClusterID: 0xc1, Operation: Operation{
			ID: "recover-3f2a91", Kind: "recover", Phase: "stopping", Units: []string{"etcd/0", "etcd/1", "etcd/2"}, Without: []string{"etcd/2"},
			Source: "etcd/1", Token: "0f1e2d", Order: []string{"etcd/1", "etcd/0"},
		}},
	}
	bags := samples(t, "testdata/application.schema2.yaml")
	require.Len(t, bags, len(want))
	for name, bag := range bags {
		got, err := DecodeApp("cluster:0", "etcd", bag)
		require.NoError(t, err, name)
		assert.Equal(t, want[name], got, name)
		if !strings.HasPrefix(name, "with a") || name == "with an operation" {
			assert.Equal(t, bag, EncodeApp(got), name)
		}
		again, err := DecodeApp("cluster:0", "etcd", EncodeApp(got))
		require.NoError(t, err, name)
		assert.Equal(t, got, again, name)
	}
}

// TestOperationOfALaterCharm: a leader that writes the record for another reason takes nothing away from an operation that its
// charm does not know.
func TestOperationOfALaterCharm(t *testing.T) {
	t.Parallel()
	const text = `{"id":"restore-3f2a91","kind":"restore","phase":"copying","ID":"x","store":"s3","to":{"a":[1,2]},"units":["etcd/0"]}`
	got, err := DecodeApp("cluster:0", "etcd", databag.Bag{keySchema: "2", keyOperation: text})
	require.NoError(t, err)
	got.Authority = "1a2b3c4d5e6f"
	assert.JSONEq(t, `{"id":"x","kind":"restore","phase":"copying","store":"s3","to":{"a":[1,2]},"units":["etcd/0"]}`, EncodeApp(got)[keyOperation])
}

func TestUnitBagOfSchema2(t *testing.T) {
	t.Parallel()
	const cluster, member = 0xcdf818194e3a8c32, 0x8e9e05c52164694d
	want := map[string]UnitBag{
		"member": {
			Schema: 2, PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379", ClusterID: cluster,
			MemberID: member, Running: "0123456789abcdef0123456789abcdef",
		},
		"leaver": {
			Schema: 2, PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379", ClusterID: cluster,
			MemberID: member, Leaving: true, Stopped: true,
		},
		"newcomer":  {Schema: 2, PeerURL: "https://[fd00::5]:2380", Can: []string{"db", "later"}},
		"issuer":    {Schema: 2, Leaves: []Issued{{Kind: "admin", Serial: "1c", End: 1796774400}, {Kind: "peer", Serial: "1a", End: 1796774400}}},
		"zoned":     {Schema: 2, Zone: "eu-west-1a"},
		"restarter": {Schema: 2, Can: []string{"db", "proxy", "rolling-restart"}, Part: Part{ID: "restart-3f2a91", State: "ready"}},
		"source":    {Schema: 2, Can: []string{"restore"}, Part: Part{"restore-3f2a91", "failed", "the file is no snapshot: too short"}},
		"with what a later charm left behind of its part": {Schema: 2, Part: Part{ID: "restart-3f2a91", State: "ready"}},
		"survivor":                 {Schema: 2, ClusterID: cluster, MemberID: member, Log: LogState{Term: 3, Index: 1008, Revision: 931}},
		"torn learner":             {Schema: 2, ClusterID: cluster, MemberID: member, Log: LogState{Index: 506, Torn: true, Learner: true, Revision: 931}},
		"with a later charm's key": {Schema: 2},

		"of a known build":                  {Schema: 2, Running: "0123456789abcdef0123456789abcdef", Server: "0123456789ab"},
		"of a known build, to be restarted": {Schema: 2, Server: "0123456789ab"},

		"with what a later charm left behind": {Schema: 2, Running: "fedcba9876543210fedcba9876543210"},
		"with a server that cannot be read":   {Schema: 2},
		"full":                                {Schema: 2, Running: "0123456789abcdef0123456789abcdef", Quota: 33554432},
	}
	bags := samples(t, "testdata/unit.schema2.yaml")
	require.Len(t, bags, len(want))
	for name, bag := range bags {
		got, err := DecodeUnit("cluster:0", "etcd/0", bag)
		require.NoError(t, err, name)
		assert.Equal(t, want[name], got, name)
		if !strings.HasPrefix(name, "with ") {
			assert.Equal(t, bag, EncodeUnit(got), name)
		}
	}
}

func TestEmptyBagsSayNothing(t *testing.T) {
	t.Parallel()
	record, err := DecodeApp("cluster:0", "etcd", nil)
	require.NoError(t, err)
	assert.Zero(t, record)
	unitBag, err := DecodeUnit("cluster:0", "etcd/1", databag.Bag{"ingress-address": "10.0.0.5"})
	require.NoError(t, err, "Juju writes keys of its own into a unit's bag")
	assert.Zero(t, unitBag)
}

func TestBrokenBagsAreNamed(t *testing.T) {
	t.Parallel()
	for key, values := range map[string][]string{
		keySchema:    {"1", "3", "0", "-1", "secret", "2.0", "99999999999999999999"},
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
		keyOperation: {"secret", "secret secret secret", "restart-1 ", "{}", `{"id":"a","kind":"b"}`, `{"id":"a","kind":"b","phase":"c","units":["etcd"]}`, `{"id":"a b","kind":"b","phase":"c"}`, `{"id":"a","kind":"b","phase":"c","without":["etcd/x"]}`, "[]"},
		keyReplaced:  {"secret", "0", "c1,", "c1,0c1", "C1", "c1,,c2", "12345678901234567", strings.Repeat("c1,", maxReplaced) + "c1"},
		keyLog: {
			"secret", "3", "3:1", "3:1:intact", "3:1:secret:1", "3:1:intact:-1", "03:1:intact:1", "3:1:intact:1:secret", "3:1:torn:1:learner:learner", "-3:1:torn:1",
			"3:1:intact:1:", "18446744073709551616:1:torn:1", "0:0:intact:0",
		},
		keyRevoked: {
			"secret", "12.1@228", "proxy:12", "proxy:12.1", "proxy:12.1@", "@228", "proxy:012.1@228", "proxy:12.1@228,", "proxy:12.1@+1", "proxy:12.1@1.5", "proxy:-1.1@1",
			"proxy:12@228", "proxy:12.@228", "proxy:12.0@228", "proxy:12.-1@228", "proxy:12.01@228", "proxy:12.1.1@228", "proxy:12.9999999999@228", "proxy:1.12@228@228",
			":1.1@1", "Proxy:1.1@1", "proxy:9999999999.1@1", strings.Repeat("p:1.1@1,", maxRevoked) + "p:1.1@1",
		},
		keyQuota: {"secret", "0", "-1", "1e9", "016", "+16", " 16", "99999999999999999999"},
		keyCan:   {"secret!", "b,a", "a,a", "a,", ",a", "A"},
	} {
		for _, value := range values {
			bag := databag.Bag{keySchema: "2", key: value}
			_, wordErr := DecodeUnit("cluster:0", "etcd/1", bag)
			_, recordErr := DecodeApp("cluster:0", "etcd/1", bag)
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

// TestOperationsThatCannotBe: the ID goes into a server's environment, where a text that is too long keeps it from starting.
func TestOperationsThatCannotBe(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxWord+1)
	for _, text := range []string{
		`{"id":"` + long + `","kind":"b","phase":"c"}`, `{"id":"a","kind":"` + long + `","phase":"c"}`, `{"id":"a","kind":"b","phase":"` + long + `"}`,
		`{"id":"a","kind":"b","phase":"c","began":1e99}`, `{"id":"a","kind":"b","phase":"c","units":["etcd/-1"]}`,
		`{"id":"a","kind":"b","phase":"c","source":"etcd"}`, `{"id":"a","kind":"b","phase":"c","target":"0c1"}`, `{"id":"a","kind":"b","phase":"c","target":"0"}`,
		`{"id":"a","kind":"b","phase":"c","token":"a b"}`, `{"id":"a","kind":"b","phase":"c","before":-1}`, `{"id":"a","kind":"b","phase":"c","seen":-1}`,
		`{"id":"a","kind":"b","phase":"c","order":["x"]}`, `{"id":"a","kind":"b","phase":"c","snapshot":"a\u0000"}`,
		`{"id":"a","kind":"b","phase":"c","snapshot":"` + strings.Repeat("a", maxPath+1) + `"}`, `{"id":"a","kind":"b","phase":"c","unverified":"yes"}`,
		`{"id":"a","kind":"b","phase":"c","units":["` + strings.Repeat(`etcd/1","`, maxUnits) + `etcd/1"]}`,
	} {
		_, err := DecodeApp("cluster:0", "etcd", databag.Bag{keySchema: "2", keyOperation: text})
		require.ErrorContains(t, err, "relation cluster:0: bag of etcd: operation", "%.60s", text)
	}
	said := databag.Bag{keySchema: "2", keyOperation: "a failed", keySaid: "a failed: " + strings.Repeat("x", MaxSaid+1)}
	_, err := DecodeUnit("cluster:0", "etcd/1", said)
	require.ErrorContains(t, err, "relation cluster:0: bag of etcd/1: operation-said is too long")
	for _, text := range []string{long + " ready", "a " + long, "a  ready", "a ready "} {
		_, err := DecodeUnit("cluster:0", "etcd/1", databag.Bag{keySchema: "2", keyOperation: text})
		require.ErrorContains(t, err, "relation cluster:0: bag of etcd/1: operation", text)
	}
}

// TestSchemaOfAnotherCharm: which of the two charms is too old can be told from the error.
func TestSchemaOfAnotherCharm(t *testing.T) {
	t.Parallel()
	for schema, is := range map[string]struct{ old, newer bool }{"1": {old: true}, "3": {newer: true}, "secret": {}, "0": {}} {
		bag := databag.Bag{keySchema: schema, keyClusterID: "means something else"}
		_, wordErr := DecodeUnit("cluster:0", "etcd/1", bag)
		_, recordErr := DecodeApp("cluster:0", "etcd/1", bag)
		for _, err := range []error{wordErr, recordErr} {
			require.ErrorContains(t, err, "relation cluster:0: bag of etcd/1: schema ")
			assert.Equal(t, is.old, errors.Is(err, ErrOldSchema), schema)
			assert.Equal(t, is.newer, errors.Is(err, ErrNewSchema), schema)
		}
	}
}

func TestAuthorityInABag(t *testing.T) {
	t.Parallel()
	content := map[string]string{"peer-ca-key": "secret", "client-trust": "x"}
	bag := EncodeAuthority(content)
	assert.Equal(t, []string{"authority.client-trust", "authority.peer-ca-key"}, bag.Keys())
	bag["schema"], bag["authority"] = "2", "f00"
	assert.Equal(t, content, DecodeAuthority(bag))
	assert.Nil(t, DecodeAuthority(databag.Bag{"authority": "f00"}))
}

// What decodes encodes to a bag that decodes to the same; nothing panics.
func FuzzDecodeApp(f *testing.F) {
	for _, bag := range samples(f, "testdata/application.schema2.yaml") {
		f.Add(bag[keySchema], bag[keyClusterID], bag[keyEnded], bag[keyAuthority], bag[keyRevoked], bag[keyLeaves], bag[keyOperation], bag[keyReplaced])
	}
	f.Add("3", "x", "-", "\x00", "p:1@2,3", "etcd/0=peer:1@5;x", `{"id":"a","kind":"b","phase":"c","units":[],"Later":1e9,"outcome":"\u0000"}`, "c1,")
	f.Add("2", "", "", "", "", "", `{"id":"a","kind":"b","phase":"c","order":[],"Source":"a/1","target":"c1"}`, "c2,c1,c2")
	f.Fuzz(func(t *testing.T, schema, cluster, ended, authority, revoked, leaves, operation, replaced string) {
		bag := databag.Bag{
			keySchema: schema, keyClusterID: cluster, keyEnded: ended, keyAuthority: authority, keyRevoked: revoked, keyLeaves: leaves,
			keyOperation: operation, keyReplaced: replaced,
		}
		got, err := DecodeApp("cluster:0", "etcd", bag)
		if err != nil {
			assert.Zero(t, got)
			return
		}
		again, err := DecodeApp("cluster:0", "etcd", EncodeApp(got))
		require.NoError(t, err)
		got.Schema = Schema // written again by this charm
		assert.Equal(t, got, again)
	})
}

func FuzzDecodeUnit(f *testing.F) {
	for _, bag := range samples(f, "testdata/unit.schema2.yaml") {
		f.Add(bag[keySchema], bag[keyPeerURL], bag[keyClientURL], bag[keyClusterID], bag[keyMemberID], bag[keyRunning], bag[keyLeaving], bag[keyStopped], bag[keyCan], bag[keyLeaves], bag[keyQuota], bag[keyZone], bag[keyOperation], bag[keySaid], bag[keyLog])
	}
	f.Add("2", "\xff", "x", "0", "g", "", "yes", "no", "b,a", "peer:1@5,admin:1@5,peer:1@5", "1e9", "\x7f", "a  b", "a b:", "1:2:torn")
	f.Add("2", "", "", "", "", "", "", "", "", "", "", "", "a b", "a b: \u00a0 c", "1:2:torn:3:learner")
	f.Fuzz(func(t *testing.T, schema, peer, client, cluster, member, running, leaving, stopped, can, leaves, quota, zone, operation, said, log string) {
		bag := databag.Bag{
			keyZone: zone, keySchema: schema, keyPeerURL: peer, keyClientURL: client, keyClusterID: cluster, keyMemberID: member,
			keyRunning: running, keyLeaving: leaving, keyStopped: stopped, keyCan: can, keyLeaves: leaves,
			keyQuota: quota, keyOperation: operation, keySaid: said, keyLog: log,
		}
		got, err := DecodeUnit("cluster:0", "etcd/1", bag)
		if err != nil {
			assert.Zero(t, got)
			return
		}
		again, err := DecodeUnit("cluster:0", "etcd/1", EncodeUnit(got))
		require.NoError(t, err)
		got.Schema = Schema
		assert.Equal(t, got, again)
	})
}
