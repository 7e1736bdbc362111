package operator

import (
	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
)

// encodeDB is what a consumer at the endpoint db gets.
func encodeDB(t ConsumerData) (databag.Bag, error) {
	return etcd.Encode(etcd.Data{
		ClientURLs: t.ClientURLs(), Version: t.Version, Credentials: t.Credentials,
	})
}
