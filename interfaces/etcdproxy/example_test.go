package etcdproxy_test

import (
	"fmt"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// A charm that uses etcd: its endpoint upstream requires etcd-proxy. In every hook it
// hands over what relation-list and relation-get say, and the time; it keeps nothing.
// A real charm saves the credentials with osfiles.Files{} and time.Now().Unix().
func ExampleNewRequires() {
	rel := databag.Relation{
		ID: "upstream:3", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{
			"etcd/0": {"cluster": "etcd0=http://10.0.0.5:2380", "client_urls": "http://10.0.0.5:2379", "version": "3.7.3"},
		},
	}
	up := etcdproxy.NewRequires(rel, 1_700_000_000)
	fmt.Println(up.States())
	if problem := up.Problem; !problem.IsZero() {
		fmt.Println("blocked:", problem)
		return
	}
	if waiting := up.Waiting(); waiting != "" {
		fmt.Println(waiting)
		return
	}
	if up.TLSAvailable {
		var files etcdproxy.Files // osfiles.Files{}
		if err := up.SaveClientCredentialsDir(files, "/etc/ssl/etcd"); err != nil {
			fmt.Println("blocked:", err)
			return
		}
	}
	fmt.Println("members:", up.ClusterString())
	fmt.Println("dial:", up.Data.ClientURLs)
	// Output:
	// [upstream.available upstream.connected]
	// members: etcd0=http://10.0.0.5:2380
	// dial: [http://10.0.0.5:2379]
}

// A provider that publishes half of its credentials: the requirer is told which unit
// and which setting, and nothing of what they hold.
func ExampleProblem() {
	up := etcdproxy.NewRequires(databag.Relation{
		ID: "upstream:3", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{
			"etcd/0": {"cluster": "etcd0=https://10.0.0.5:2380", "client_key": "-----BEGIN PRIVATE KEY-----…"},
		},
	}, 1_700_000_000)
	fmt.Println(up.States())
	fmt.Println(up.Problem)
	// Output:
	// [upstream.available upstream.connected]
	// relation upstream:3: unit etcd/0: client_key without client_ca and client_cert
}

// A charm that provides etcd: each unit sets the same data in each relation of its
// endpoint and writes the difference, if any, with relation-set.
func ExampleProvides() {
	rel := databag.Relation{
		ID: "proxy:1", Endpoint: "proxy", App: "calico",
		Local: databag.Bag{"cluster": "etcd0=http://10.0.0.5:2380", "schema": "1"},
		Units: map[string]databag.Bag{"calico/0": {}},
	}
	proxy := etcdproxy.NewProvides(rel)
	fmt.Println(proxy.States())
	if err := proxy.Set(etcdproxy.Data{
		Members: []etcdproxy.Member{
			{Name: "etcd1", PeerURL: "http://10.0.0.6:2380", ClientURL: "http://10.0.0.6:2379"},
			{Name: "etcd0", PeerURL: "http://10.0.0.5:2380", ClientURL: "http://10.0.0.5:2379"},
		},
		Version: "3.7.3",
	}); err != nil {
		fmt.Println(err) // no members, say: what is published stays
		return
	}
	change, err := proxy.Change()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range change.Set.Keys() {
		fmt.Printf("%s=%s\n", key, change.Set[key])
	}
	// Output:
	// [proxy.connected]
	// client_urls=http://10.0.0.5:2379,http://10.0.0.6:2379
	// cluster=etcd0=http://10.0.0.5:2380,etcd1=http://10.0.0.6:2380
	// version=3.7.3
}

// A charm carried over from the Python layer keeps its calls and their order of
// arguments.
func ExampleProvides_SetClusterString() {
	proxy := etcdproxy.NewProvides(databag.Relation{ID: "proxy:1", Endpoint: "proxy"})
	fmt.Println(proxy.SetClusterString("etcd0=http://10.0.0.5:2380"))
	fmt.Println(proxy.SetClusterString(""))
	fmt.Println(proxy.SetClientCredentials("", "cert", "ca"))
	fmt.Println(proxy.Bag()["cluster"])
	// Output:
	// <nil>
	// relation proxy:1: cannot parse cluster string: is empty
	// relation proxy:1: cannot encode client credentials: client_ca and client_cert without client_key
	// etcd0=http://10.0.0.5:2380
}
