package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// ReadAuthority makes of an authority's content, as kept in the Juju secret or the peer bag, what operator works
// with. An error names the key that is missing or broken, never its value.
func ReadAuthority(content map[string]string) (operator.Authority, error) {
	a, err := pki.DecodeAuthority(content)
	if err != nil {
		return operator.Authority{}, err
	}
	return describeAuthority(a), nil
}

// NewAuthority makes two new certificate authorities for an application.
func (h *Host) NewAuthority(app string) (operator.Authority, error) {
	a, err := pki.NewAuthority(h.random, h.now(), app)
	if err != nil {
		return operator.Authority{}, err
	}
	return describeAuthority(a), nil
}

func describeAuthority(a pki.Authority) operator.Authority {
	return operator.Authority{
		Fingerprint: a.Fingerprint(),
		Trust:       trustDigest(a.TrustPeer, a.TrustClient),
		Content:     a.Encode(),
	}
}

// trustDigest is operator.Authority.Trust, and what operator.TLS.Trust is compared with; "" when a bundle is missing.
func trustDigest(peer, client []byte) string {
	if len(peer) == 0 || len(client) == 0 {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%d:%s", len(peer), peer, len(client), client)
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// ConsumerCredentials derives what one consumer relation is given; the same on every unit for the same input.
func ConsumerCredentials(a operator.Authority, modelUUID, relationID string, period int64) (credentials.Credentials, error) {
	authority, err := pki.DecodeAuthority(a.Content)
	if err != nil {
		return credentials.Credentials{}, err
	}
	c, _, err := pki.DeriveClient(authority.Client, authority.TrustClient, modelUUID, relationID, period)
	if err != nil {
		return credentials.Credentials{}, err
	}
	return credentials.Credentials{Cert: string(c.CertPEM), Key: string(c.Key.PEM()), CA: string(c.CAPEM)}, nil
}
