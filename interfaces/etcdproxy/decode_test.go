package etcdproxy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

func TestDecodeOneUnit(t *testing.T) {
	t.Parallel()
	good, other := mint(t), mint(t)
	expired := mintFor(t, ecKey(t), now-1, pkcs8)
	with := func(bag databag.Bag, key, value string) databag.Bag {
		bag = bag.Clone()
		bag[key] = value
		return bag
	}
	whole := bagOf(clusterTLS, good)
	tests := map[string]struct {
		bag            databag.Bag
		available, tls bool
		problem        string // without "relation upstream:3: unit etcd/0: "
	}{
		"silent":                     {bag: nil},
		"foreign keys only":          {bag: databag.Bag{"private-address": "10.0.0.5", "cluster_string": clusterTLS}},
		"four keys":                  {bag: whole, available: true, tls: true},
		"plain cluster":              {bag: databag.Bag{"cluster": clusterPlain}, available: true},
		"https and no credentials":   {bag: databag.Bag{"cluster": clusterTLS}, available: true},
		"credentials and no cluster": {bag: bagOf("", good)},
		"plain with credentials":     {bag: bagOf(clusterPlain, good), available: true, tls: true},
		"later schema":               {bag: with(with(whole, "schema", "2"), "client_urls", "?"), available: true, tls: true},

		"broken cluster": {
			bag: bagOf("etcd0=https://10.0.0.5:2380,etcd1", good), problem: "cluster: piece 2 has no URL",
		},
		"half credentials": {
			bag:       databag.Bag{"cluster": clusterTLS, "client_key": good.Key, "client_ca": good.CA},
			available: true, problem: "client_ca and client_key without client_cert",
		},
		"key alone": {
			bag: databag.Bag{"client_key": good.Key}, problem: "client_key without client_ca and client_cert",
		},
		"mismatch": {
			bag: with(whole, "client_key", other.Key), available: true, problem: "client_cert: certificate does not match its key",
		},
		"expired": {
			bag: bagOf(clusterTLS, expired), available: true, problem: "client_cert: certificate has expired on 2023-11-14T22:29:59Z",
		},
		"broken client URLs": {
			bag: with(whole, "client_urls", "https://10.0.0.5:2379,"), available: true, tls: true, problem: "client_urls: piece 2 is empty",
		},
		"client URLs twice": {
			bag: with(whole, "client_urls", "https://h:2379,https://H:2379"), available: true, tls: true, problem: "client_urls: piece 2 repeats piece 1",
		},
		"broken version": {
			bag: with(whole, "version", "none"), available: true, tls: true, problem: "version: is not a version",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": test.bag}), now)
			assert.Equal(t, etcdproxy.State{Connected: true, Available: test.available, TLSAvailable: test.tls}, r.State)
			if test.problem == "" {
				assert.Empty(t, r.Problem.String())
				return
			}
			assert.Equal(t, "relation upstream:3: unit etcd/0: "+test.problem, r.Problem.String())
			assert.Equal(t, "etcd/0", r.Problem.Unit)
			assert.Equal(t, "upstream:3", r.Problem.Relation)
			assert.True(t, strings.HasPrefix(test.problem, r.Problem.Key), "the problem names its setting")
			assert.NotContains(t, r.Problem.String(), "10.0.0")
		})
	}
}

func TestDecodeReadsOurFurtherKeys(t *testing.T) {
	t.Parallel()
	bag := bagOf(clusterTLS, mint(t))
	bag["client_urls"] = " https://10.0.0.6:2379,https://10.0.0.5:2379,https://other.example:2379\n"
	bag["version"], bag["schema"] = "3.7.3", "1"
	data, problem := etcdproxy.Decode(upstream(map[string]databag.Bag{"etcd/0": bag}), now)
	require.Zero(t, problem)
	assert.Equal(t, "3.7.3", data.Version)
	assert.Equal(t, []string{"https://10.0.0.5:2379", "https://10.0.0.6:2379", "https://other.example:2379"}, data.ClientURLs)
	assert.Equal(t, []etcdproxy.Member{
		{Name: "etcd0", PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379"},
		{Name: "etcd1", PeerURL: "https://10.0.0.6:2380", ClientURL: "https://10.0.0.6:2379"},
	}, data.Members)

	bag["schema"] = "2"
	data, problem = etcdproxy.Decode(upstream(map[string]databag.Bag{"etcd/0": bag}), now)
	require.Zero(t, problem)
	assert.Empty(t, data.ClientURLs, "a later schema's further keys are not ours to read")
	assert.Len(t, data.Members, 2)
}

func TestDecodeGuessesNoClientURL(t *testing.T) {
	t.Parallel()
	tests := map[string]databag.Bag{
		"two members on a host": {"cluster": "a=http://h:1,b=http://h:2", "client_urls": "http://h:3"},
		"two URLs on a host":    {"cluster": "a=http://h:1", "client_urls": "http://h:3,http://h:4"},
		"another network":       {"cluster": "a=http://h:1", "client_urls": "http://g:3"},
	}
	for name, bag := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, problem := etcdproxy.Decode(upstream(map[string]databag.Bag{"etcd/0": bag}), now)
			require.Zero(t, problem)
			for _, member := range data.Members {
				assert.Empty(t, member.ClientURL)
			}
			assert.Equal(t, strings.Split(bag["client_urls"], ","), data.ClientURLs)
		})
	}
}

func TestDecodeChoosesAmongUnits(t *testing.T) {
	t.Parallel()
	one, two := mint(t), mint(t)
	const cluster1, cluster2 = "a=https://h1:1", "b=https://h2:1"
	tests := map[string]struct {
		units       map[string]databag.Bag
		cluster     string
		credentials etcdproxy.Credentials
		problem     string
	}{
		"the first in natural order": {
			units:   map[string]databag.Bag{"etcd/10": bagOf(cluster1, one), "etcd/9": bagOf(cluster2, two)},
			cluster: cluster2, credentials: two,
		},
		"a whole one before a silent one": {
			units:   map[string]databag.Bag{"etcd/0": {}, "etcd/1": bagOf(cluster1, one)},
			cluster: cluster1, credentials: one,
		},
		"a whole one before one without credentials": {
			units:   map[string]databag.Bag{"etcd/0": {"cluster": cluster2}, "etcd/1": bagOf(cluster1, one)},
			cluster: cluster1, credentials: one,
		},
		"a plain one is whole": {
			units:   map[string]databag.Bag{"etcd/0": {"cluster": clusterPlain}, "etcd/1": bagOf(cluster1, one)},
			cluster: clusterPlain,
		},
		"a whole one before a broken one": {
			units:   map[string]databag.Bag{"etcd/0": bagOf("junk", two), "etcd/1": bagOf(cluster1, one)},
			cluster: cluster1, credentials: one,
		},
		"cluster here, credentials there": {
			units:   map[string]databag.Bag{"etcd/0": {"cluster": cluster1}, "etcd/1": bagOf("", one)},
			cluster: cluster1, credentials: one,
		},
		"credentials from three units": {
			units: map[string]databag.Bag{
				"etcd/0": {"cluster": cluster1, "client_ca": one.CA}, "etcd/1": {"client_cert": one.Cert}, "etcd/2": {"client_key": one.Key},
			},
			cluster: cluster1, credentials: one,
		},
		"credentials that do not belong together": {
			units: map[string]databag.Bag{
				"etcd/0": {"cluster": cluster1, "client_ca": one.CA, "client_cert": one.Cert}, "etcd/1": {"client_key": two.Key},
			},
			cluster: cluster1, problem: "unit etcd/0: client_ca and client_cert without client_key",
		},
		"no first value hides a good one": {
			units:   map[string]databag.Bag{"etcd/0": {"cluster": "junk"}, "etcd/1": {"cluster": cluster1}},
			cluster: cluster1,
		},
		"all broken: the first is named": {
			units:   map[string]databag.Bag{"etcd/2": {"cluster": "junk"}, "etcd/10": {"cluster": "a="}},
			problem: "unit etcd/2: cluster: piece 1 has no URL",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, problem := etcdproxy.Decode(upstream(test.units), now)
			assert.Equal(t, test.cluster, data.Cluster())
			assert.Equal(t, test.credentials, data.Credentials)
			if test.problem == "" {
				assert.Empty(t, problem.String())
				return
			}
			assert.Equal(t, "relation upstream:3: "+test.problem, problem.String())
		})
	}
}

// A unit whose clock is ahead must not take from the consumer what the other units still publish.
func TestDecodePrefersWhatHasBegun(t *testing.T) {
	t.Parallel()
	good, early, earlier := mint(t), mintBetween(t, ecKey(t), now+60, now+90, pkcs8), mintBetween(t, ecKey(t), now+1, now+90, pkcs8)
	choose := func(clock int64, units ...etcdproxy.Credentials) etcdproxy.Credentials {
		bags := map[string]databag.Bag{}
		for i, c := range units {
			bags[fmt.Sprintf("etcd/%d", i)] = bagOf(clusterTLS, c)
		}
		data, problem := etcdproxy.Decode(upstream(bags), clock)
		require.Zero(t, problem)
		assert.Len(t, data.Members, 2)
		return data.Credentials
	}
	assert.Equal(t, good, choose(now, early, good))
	assert.Equal(t, good, choose(now, early, earlier, good))
	assert.Equal(t, earlier, choose(now+1, early, earlier, good), "it begins now")
	assert.Equal(t, early, choose(now, early, earlier), "our clock may be slow: the first, as ever")
	assert.Equal(t, early, choose(now, early))
}

// Not parallel: it counts allocations. Ten megabytes in each setting of several units
// must be refused by their length, without being split, copied or decoded.
func TestDecodeRefusesGarbageByItsLength(t *testing.T) {
	for name, unit := range map[string]string{"commas": ",", "spaces": " ", "names": "a=b,", "PEM": "-----BEGIN PRIVATE KEY-----\n", "binary": "\x00\xff"} {
		garbage := strings.Repeat(unit, 10<<20/len(unit))
		bag := databag.Bag{"unrelated": garbage}
		for _, key := range []string{"cluster", "client_cert", "client_key", "client_ca", "client_urls", "version"} {
			bag[key] = garbage
		}
		rel := upstream(map[string]databag.Bag{"etcd/0": bag, "etcd/1": bag, "etcd/2": bag})

		_, problem := etcdproxy.Decode(rel, now)
		assert.Contains(t, problem.String(), "relation upstream:3: unit etcd/0: cluster: has 104857", name)
		assert.Less(t, len(problem.String()), 200)

		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = etcdproxy.Decode(rel, now)
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10), "%s: bytes allocated", name)
	}
}

func FuzzParseCluster(f *testing.F) {
	for _, seed := range []string{
		"", clusterTLS, clusterPlain, "a=http://[::1]:1,b=http://[::2]:1", " a=http://h:1 ", "a=b=c", ",,,", "a=http://h:1,a=http://h:1",
		"é=https://h:1", "a=http://user:pw@h:1/x?y#z", "a=http://[fe80::1%25eth0]:1", "a=http://10.0.0.5:99999",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, err := etcdproxy.ParseCluster(text)
		if err != nil {
			assert.Nil(t, members)
			return
		}
		require.NotEmpty(t, members)
		rendered := etcdproxy.Data{Members: members}.Cluster()
		assert.NotContains(t, rendered, " ")
		again, err := etcdproxy.ParseCluster(rendered)
		require.NoError(t, err)
		assert.Equal(t, members, again)
		_, err = etcdproxy.Encode(etcdproxy.Data{Members: members})
		require.NoError(t, err, "what can be read can be written")
	})
}

func FuzzDecode(f *testing.F) {
	good, other := mint(f), mint(f)
	f.Add(clusterTLS, good.Cert, good.Key, good.CA, "https://10.0.0.5:2379", "3.7.3", "1", "", "")
	f.Add(clusterTLS, good.Cert, other.Key, good.CA, "", "", "", clusterPlain, other.Cert)
	f.Add("", good.Cert, "", good.CA, "x", "y", "2", clusterTLS, "")
	f.Add(clusterPlain, "", "", "", "http://h:1,http://10.0.0.5:2379", "3.4", "", "junk", good.Cert)
	f.Add("a=http://h:1", "\n"+good.Cert+" ", good.Key, good.CA+other.CA, "http://h:2", "v", "1", "", "")
	f.Fuzz(func(t *testing.T, cluster, cert, key, ca, urls, version, schema, cluster2, cert2 string) {
		rel := upstream(map[string]databag.Bag{
			"etcd/0": {
				"cluster": cluster, "client_cert": cert, "client_key": key, "client_ca": ca,
				"client_urls": urls, "version": version, "schema": schema,
			},
			"etcd/1": {"cluster": cluster2, "client_cert": cert2},
		})
		data, problem := etcdproxy.Decode(rel, now)
		r := etcdproxy.NewRequires(rel, now)
		assert.Equal(t, len(data.Members) > 0, r.Available)
		assert.True(t, data.Credentials.IsZero() || data.Credentials.Check(now) == nil, "credentials are whole or none")
		assert.Less(t, len(problem.String()), 300)
		if !r.Available {
			return
		}
		bag, err := etcdproxy.Encode(data)
		require.NoError(t, err, "what can be read can be written")
		for setting, value := range bag {
			assert.NotEmpty(t, value, setting)
		}
		again, problem := etcdproxy.Decode(upstream(map[string]databag.Bag{"etcd/7": bag}), now)
		require.Zero(t, problem)
		assert.Equal(t, data.Credentials, again.Credentials)
		assert.Equal(t, data, again)
	})
}
