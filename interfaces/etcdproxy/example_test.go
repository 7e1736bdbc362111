package etcdproxy_test

import (
	"fmt"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// A charm that uses etcd: its endpoint upstream requires etcd-proxy. In every hook it passes what
// relation-list and relation-get answer, and the time; it keeps nothing. A real charm passes
// time.Now().Unix().
func ExampleNewRequires() {
	rel := databag.Relation{
		ID: "upstream:3", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{
			"etcd/0": {"cluster": "etcd0=http://10.0.0.5:2380", "client_urls": "http://10.0.0.5:2379", "version": "3.7.3"},
		},
	}
	up := etcdproxy.NewRequires(rel, 1_700_000_000)
	fmt.Println(etcdproxy.States(rel.Endpoint, up.State))
	if problem := up.Problem; !problem.IsZero() {
		fmt.Println("blocked:", problem)
		return
	}
	if waiting := up.Waiting(); waiting != "" {
		fmt.Println(waiting)
		return
	}
	if up.TLSAvailable {
		// Write Cert, Key and CA of up.Data.Credentials to files, by rename and with
		// mode 0600, and give etcd's client their paths.
		fmt.Println("with credentials:", up.Data.Credentials)
	}
	fmt.Println("members:", up.Data.Cluster())
	fmt.Println("dial:", up.Data.ClientURLs)
	// Output:
	// [upstream.available upstream.connected]
	// members: etcd0=http://10.0.0.5:2380
	// dial: [http://10.0.0.5:2379]
}

// What the provider has not published yet is waited for; it is not a problem.
func ExampleRequires_Waiting() {
	up := etcdproxy.NewRequires(databag.Relation{
		ID: "upstream:3", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{"etcd/0": {"cluster": "etcd0=https://10.0.0.5:2380"}},
	}, 1_700_000_000)
	fmt.Println(up.Waiting())
	// Output:
	// waiting for etcd to publish client credentials
}

// A provider publishes half of its credentials: the requirer learns which unit and which setting,
// and nothing of what they hold.
func ExampleProblem() {
	rel := databag.Relation{
		ID: "upstream:3", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{
			"etcd/0": {"cluster": "etcd0=https://10.0.0.5:2380", "client_key": "-----BEGIN PRIVATE KEY-----…"},
		},
	}
	up := etcdproxy.NewRequires(rel, 1_700_000_000)
	fmt.Println(etcdproxy.States(rel.Endpoint, up.State))
	fmt.Println(up.Problem)
	// Output:
	// [upstream.available upstream.connected]
	// relation upstream:3: unit etcd/0: client_key without client_ca and client_cert
}

// A charm that provides etcd: each unit encodes the same data and writes what differs
// from its bag in each relation of its endpoint, if anything does, by relation-set. A
// cluster without members is an error: what is published stays.
func ExampleEncode() {
	written := databag.Bag{"cluster": "etcd0=http://10.0.0.5:2380", "schema": "1"}
	bag, err := etcdproxy.Encode(etcdproxy.Data{
		Members: []etcdproxy.Member{
			{Name: "etcd1", PeerURL: "http://10.0.0.6:2380", ClientURL: "http://10.0.0.6:2379"},
			{Name: "etcd0", PeerURL: "http://10.0.0.5:2380", ClientURL: "http://10.0.0.5:2379"},
		},
		Version: "3.7.3",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	change := databag.Diff(written, bag)
	for _, key := range change.Set.Keys() {
		fmt.Printf("%s=%s\n", key, change.Set[key])
	}
	_, err = etcdproxy.Encode(etcdproxy.Data{})
	fmt.Println(err)
	// Output:
	// client_urls=http://10.0.0.5:2379,http://10.0.0.6:2379
	// cluster=etcd0=http://10.0.0.5:2380,etcd1=http://10.0.0.6:2380
	// version=3.7.3
	// cannot encode cluster: it has no members
}
