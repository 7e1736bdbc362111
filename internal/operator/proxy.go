package operator

import (
	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// encodeProxy is what a consumer at the endpoint proxy is told.
func encodeProxy(t ConsumerData) (databag.Bag, error) {
	data := etcdproxy.Data{ClientURLs: t.ClientURLs(), Version: t.Version, Credentials: t.Credentials}
	for _, m := range t.Members {
		data.Members = append(data.Members, etcdproxy.Member{Name: m.Name, PeerURL: m.PeerURL})
	}
	return etcdproxy.Encode(data)
}

// proxyKeys are the keys that tellProxy may write.
func proxyKeys() []string {
	return []string{
		etcdproxy.KeySchema, etcdproxy.KeyCluster, etcdproxy.KeyClientURLs, etcdproxy.KeyVersion,
		etcdproxy.KeyClientCert, etcdproxy.KeyClientKey, etcdproxy.KeyClientCA,
	}
}
