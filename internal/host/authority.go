package host

import "github.com/juju-charms/etcd-charm/internal/pki"

// NewAuthority makes two new certificate authorities for an application.
func (h *Host) NewAuthority(app string) (*pki.Authority, error) {
	return pki.NewAuthority(h.random, h.now(), app)
}
