package etcdproxy_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// The story that left the flags of the old requires side on for ever: its handler for
// departed never ran.
func TestStatesFollowTheBags(t *testing.T) {
	t.Parallel()
	rel := upstream(nil)
	states := func() []string { return etcdproxy.NewRequires(rel, now).States() }
	waiting := func() string { return etcdproxy.NewRequires(rel, now).Waiting() }

	assert.Empty(t, states(), "created: nobody has joined")
	assert.Equal(t, "waiting for a unit of etcd", waiting())

	rel.Units = map[string]databag.Bag{"etcd/0": {}}
	assert.Equal(t, []string{"upstream.connected"}, states(), "joined")
	assert.Equal(t, "waiting for etcd to publish its cluster", waiting())

	rel.Units["etcd/0"] = databag.Bag{"cluster": clusterTLS}
	assert.Equal(t, []string{"upstream.available", "upstream.connected"}, states())
	assert.Equal(t, "waiting for etcd to publish client credentials", waiting())

	rel.Units["etcd/0"] = bagOf(clusterTLS, mint(t))
	all := []string{"upstream.available", "upstream.connected", "upstream.tls.available"}
	assert.Equal(t, all, states())
	assert.Empty(t, waiting())

	rel.Units["etcd/1"] = rel.Units["etcd/0"]
	delete(rel.Units, "etcd/0")
	assert.Equal(t, all, states(), "one unit of two departed")

	delete(rel.Units, "etcd/1")
	assert.Empty(t, states(), "the last unit departed")
	assert.Empty(t, etcdproxy.NewRequires(rel, now).ClusterString())
	assert.Empty(t, etcdproxy.NewRequires(rel, now).ClientKey())

	rel = databag.Relation{Endpoint: "upstream"}
	assert.Empty(t, states(), "broken")
}

func TestPlainClusterWaitsForNothing(t *testing.T) {
	t.Parallel()
	r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": {"cluster": clusterPlain}}), now)
	assert.Empty(t, r.Waiting())
	assert.Empty(t, r.Problem)
	assert.Equal(t, []string{"upstream.available", "upstream.connected"}, r.States())
}

func TestStates(t *testing.T) {
	t.Parallel()
	full := etcdproxy.State{Connected: true, Available: true, TLSAvailable: true}
	assert.Equal(t, []string{"proxy.connected"}, etcdproxy.States("proxy", etcdproxy.ProvidesSide, etcdproxy.State{}, full),
		"the provides side has one state; one relation of two is enough")
	assert.Equal(t, []string{"u.available", "u.connected"},
		etcdproxy.States("u", etcdproxy.RequiresSide, etcdproxy.State{Connected: true}, etcdproxy.State{Connected: true, Available: true}))
	assert.Empty(t, etcdproxy.States("u", etcdproxy.RequiresSide))
	assert.Empty(t, etcdproxy.States("u", 0, full), "neither side")
}

func TestRequiresCalls(t *testing.T) {
	t.Parallel()
	credentials := mint(t)
	r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": bagOf(clusterTLS, credentials)}), now)
	assert.Equal(t, clusterTLS, r.ClusterString())
	assert.Equal(t, credentials.CA, r.ClientCA())
	assert.Equal(t, credentials.Cert, r.ClientCert())
	assert.Equal(t, credentials.Key, r.ClientKey())
}

// proxyRelation is the provider's view of a relation.
func proxyRelation(local databag.Bag) databag.Relation {
	return databag.Relation{
		ID: "proxy:1", Endpoint: "proxy", App: "calico", Local: local, Units: map[string]databag.Bag{"calico/0": {}},
	}
}

func TestProvidesSpeaksAsInTwentySixteen(t *testing.T) {
	t.Parallel()
	credentials := mint(t)
	p := etcdproxy.NewProvides(proxyRelation(databag.Bag{"private-address": "10.0.0.5"}))
	assert.True(t, p.Connected())
	assert.Equal(t, []string{"proxy.connected"}, p.States())
	require.NoError(t, p.SetClientCredentials(credentials.Key, credentials.Cert, credentials.CA))
	_, err := p.Change()
	require.ErrorContains(t, err, "relation proxy:1: cannot publish credentials without a cluster string")

	require.NoError(t, p.ProvideClusterString("etcd1=https://10.0.0.6:2380,etcd0=https://10.0.0.5:2380"))
	want := bagOf(clusterTLS, credentials)
	want["private-address"] = "10.0.0.5"
	assert.Equal(t, map[string]string(want), map[string]string(p.Bag()))

	again := etcdproxy.NewProvides(proxyRelation(p.Bag()))
	require.NoError(t, again.SetClusterString(clusterTLS))
	change, err := again.Change()
	require.NoError(t, err)
	assert.True(t, change.IsZero(), "the same again writes nothing")
}

func TestProvidesKeepsWhatIsPublishedWhenACallFails(t *testing.T) {
	t.Parallel()
	credentials, other := mint(t), mint(t)
	local := bagOf(clusterTLS, credentials)
	p := etcdproxy.NewProvides(proxyRelation(local))
	require.ErrorContains(t, p.SetClusterString(""), "relation proxy:1: cannot parse cluster string: is empty")
	require.Error(t, p.SetClusterString("junk"))
	require.Error(t, p.SetClientCredentials("", credentials.Cert, credentials.CA))
	require.Error(t, p.SetClientCredentials(other.Key, credentials.Cert, credentials.CA))
	require.Error(t, p.SetClientCredentials(credentials.Cert, credentials.Key, credentials.CA), "the order is key, cert, ca")
	require.ErrorContains(t, p.Set(etcdproxy.Data{}), "relation proxy:1: cannot encode cluster: it has no members")
	change, err := p.Change()
	require.NoError(t, err)
	assert.True(t, change.IsZero())
	assert.True(t, p.Bag().Equal(local))

	p.Bag()["cluster"] = "x"
	assert.True(t, p.Bag().Equal(local), "the bag given out is a copy")
}

func TestProvidesSetTakesBackWhatIsNoLongerSo(t *testing.T) {
	t.Parallel()
	local := bagOf(clusterTLS, mint(t))
	local["client_urls"], local["version"], local["other"] = "https://10.0.0.5:2379", "3.6.0", "kept"
	p := etcdproxy.NewProvides(proxyRelation(local))
	require.NoError(t, p.Set(etcdproxy.Data{Members: []etcdproxy.Member{{Name: "etcd0", PeerURL: "http://10.0.0.5:2380"}}}))
	change, err := p.Change()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"cluster": clusterPlain, "schema": "1"}, map[string]string(change.Set))
	assert.Equal(t, []string{"client_ca", "client_cert", "client_key", "client_urls", "version"}, change.Delete)
	assert.Equal(t, clusterTLS, local["cluster"], "the relation's own bag is not touched")
}

func TestProvidesIsNotConnectedWithoutUnits(t *testing.T) {
	t.Parallel()
	rel := proxyRelation(nil)
	rel.Units = nil
	p := etcdproxy.NewProvides(rel)
	assert.False(t, p.Connected())
	assert.Empty(t, p.States())
}

// disk is a Files in memory. failing names the path whose write fails.
type disk struct {
	dirs    []string
	files   map[string]string
	order   []string
	failing string
}

func (d *disk) MkdirAll(dir string, perm fs.FileMode) error {
	if perm != 0o755 {
		panic("parents are made with 0755")
	}
	d.dirs = append(d.dirs, dir)
	return nil
}

func (d *disk) WriteFile(path string, data []byte, perm fs.FileMode) error {
	if perm != 0o600 {
		panic("credentials are written with 0600")
	}
	if path == d.failing {
		return errors.New("disk is full")
	}
	if d.files == nil {
		d.files = make(map[string]string)
	}
	d.files[path] = string(data)
	d.order = append(d.order, path)
	return nil
}

// setDisk is a disk that can write all or nothing.
type setDisk struct{ disk }

func (d *setDisk) WriteFiles(files []etcdproxy.File) error {
	for _, file := range files {
		if file.Path == d.failing {
			return errors.New("disk is full")
		}
	}
	for _, file := range files {
		if err := d.WriteFile(file.Path, file.Data, file.Perm); err != nil {
			panic(err)
		}
	}
	return nil
}

func TestSaveClientCredentials(t *testing.T) {
	t.Parallel()
	credentials := mint(t)
	r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": bagOf(clusterTLS, credentials)}), now)

	var d disk
	require.NoError(t, r.SaveClientCredentials(&d, "/a/key", "/b/cert", "/c/ca"))
	assert.Equal(t, map[string]string{"/a/key": credentials.Key, "/b/cert": credentials.Cert, "/c/ca": credentials.CA}, d.files)
	assert.ElementsMatch(t, []string{"/a", "/b", "/c"}, d.dirs)
	assert.Equal(t, []string{"/c/ca", "/b/cert", "/a/key"}, d.order, "the key comes last")

	d = disk{}
	require.NoError(t, r.SaveClientCredentialsDir(&d, "/etc/ssl/etcd/"))
	assert.Equal(t, map[string]string{
		"/etc/ssl/etcd/client-key.pem":  credentials.Key,
		"/etc/ssl/etcd/client-cert.pem": credentials.Cert,
		"/etc/ssl/etcd/client-ca.pem":   credentials.CA,
	}, d.files)

	all := setDisk{disk{failing: "/a/key"}}
	require.EqualError(t, r.SaveClientCredentials(&all, "/a/key", "/b/cert", "/c/ca"), "cannot save client credentials: disk is full")
	assert.Empty(t, all.files, "all three or nothing")
	all.failing = ""
	require.NoError(t, r.SaveClientCredentials(&all, "/a/key", "/b/cert", "/c/ca"))
	assert.Len(t, all.files, 3)

	d = disk{failing: "/b/cert"}
	require.EqualError(t, r.SaveClientCredentials(&d, "/a/key", "/b/cert", "/c/ca"),
		"cannot save client credentials: cannot write /b/cert: disk is full")
	assert.NotContains(t, d.files, "/a/key")
}

func TestSaveClientCredentialsTouchesNothingWithoutAllThree(t *testing.T) {
	t.Parallel()
	good := mint(t)
	whole := bagOf(clusterTLS, good)
	tests := map[string]struct {
		bag            databag.Bag
		key, cert, dir string
		want           string
	}{
		"nothing published": {bag: databag.Bag{"cluster": clusterTLS}, want: "relation upstream:3: etcd has published none"},
		"half": {
			bag:  databag.Bag{"cluster": clusterTLS, "client_key": good.Key},
			want: "relation upstream:3: unit etcd/0: client_key without client_ca and client_cert",
		},
		"an empty path":    {bag: whole, key: "", cert: "/cert", want: "a path is empty"},
		"one path twice":   {bag: whole, key: "/x/../cert", cert: "/cert", want: "/cert is named twice"},
		"key over CA path": {bag: whole, key: "/ca", cert: "/cert", want: "/ca is named twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d disk
			r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": test.bag}), now)
			err := r.SaveClientCredentials(&d, test.key, test.cert, "/ca")
			require.EqualError(t, err, "cannot save client credentials: "+test.want)
			assert.Empty(t, d.files)
			assert.Empty(t, d.dirs)
		})
	}
	var d disk
	require.EqualError(t, etcdproxy.Requires{}.SaveClientCredentialsDir(&d, "/etc/ssl"), "cannot save client credentials: there is no relation")
	r := etcdproxy.NewRequires(upstream(map[string]databag.Bag{"etcd/0": whole}), now)
	require.EqualError(t, r.SaveClientCredentialsDir(&d, ""), "cannot save client credentials: the directory has no name")
	assert.Empty(t, d.files)
}
